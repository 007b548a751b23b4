package emf

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
)

// errTooLarge says that a document is more than one log event can hold.
var errTooLarge = errors.New("one metric alone is too large for a log event: shorten names and dimensions")

// document is what one line is to hold.
type document struct {
	// named is the index of the interface that the root's members name, or -1.
	named int
	// listed is true if the root has the list of all interfaces.
	listed bool
	// senders is true if the root has who sent to link-local services, whose the
	// tracked connections are, and records.
	senders bool
	// host and own are the indexes of the series under the host's dimensions
	// and under those of the named interface.
	host, own []int
	// details are the indexes of what the named interface contributed to the
	// host's series: properties, not metrics.
	details []int
}

// metrics returns how many metrics d has.
func (d document) metrics() int { return len(d.host) + len(d.own) }

// longest returns how many series d has of the kind of which it has most.
func (d document) longest() int { return max(len(d.host), len(d.own), len(d.details)) }

// cut splits d after n series of each kind, or after the first series of all if
// n is 0. The list stays with the head.
func (d document) cut(n int) (head, tail document) {
	h, o, t := min(n, len(d.host)), min(n, len(d.own)), min(n, len(d.details))
	if n == 0 {
		switch {
		case len(d.host) > 0:
			h = 1
		case len(d.own) > 0:
			o = 1
		default:
			t = 1
		}
	}
	head, tail = d, d
	head.host, tail.host = d.host[:h], d.host[h:]
	head.own, tail.own = d.own[:o], d.own[o:]
	head.details, tail.details = d.details[:t], d.details[t:]
	tail.listed, tail.senders = false, false
	return head, tail
}

// first returns the index of the first series of d.
func (d document) first() int {
	return slices.Concat(d.host, d.own, d.details)[0]
}

// appendDocument appends d as one line. The error is errTooLarge if the line
// would be larger than a log event even with no entry in its list.
func (e *Encoder) appendDocument(b *metric.Batch, d document) error {
	t := &e.text
	start := len(t.buf)
	t.keys = t.keys[:0]
	t.raw(`{`)
	t.key(awsMember)
	t.raw(`{"Timestamp":`)
	t.integer(b.Start.UnixMilli())
	if e.group != "" {
		t.raw(`,"LogGroupName":`)
		t.string(e.group)
		t.raw(`,"LogStreamName":`)
		t.string(e.stream)
	}
	t.raw(`,"CloudWatchMetrics":[`)
	e.appendDirective(b, -1, d.host)
	e.appendDirective(b, d.named, d.own)
	t.raw(`]}`)

	t.key(startMember)
	t.raw(`"`)
	t.buf = b.Start.UTC().AppendFormat(t.buf, "2006-01-02T15:04:05.999Z07:00")
	t.raw(`"`)
	t.key(lengthMember)
	t.number(math.Round(float64(b.Length)/float64(time.Millisecond)) / 1000)
	if err := e.appendIdentity(b, d); err != nil {
		return err
	}
	for _, i := range d.host {
		e.appendMetric(&b.Series[i])
	}
	for _, i := range d.own {
		e.appendMetric(&b.Series[i])
	}
	for _, i := range d.details {
		t.share(&b.Series[i])
	}

	if d.senders {
		if err := errors.Join(t.senders(b), t.owners(b), t.records(b)); err != nil {
			return err
		}
	}
	limit := start + e.maxEvent - len(`}`)
	if d.listed {
		if err := e.appendList(b, limit); err != nil {
			return err
		}
	}
	if len(t.buf) > limit {
		return errTooLarge
	}
	if err := t.unique(0); err != nil {
		return err
	}
	t.raw("}\n")
	e.lines = append(e.lines, line{end: len(t.buf), metrics: d.metrics()})
	return nil
}

// appendDirective declares metrics under the dimensions of the host, if named
// is -1, or else of that interface.
func (e *Encoder) appendDirective(b *metric.Batch, named int, series []int) {
	if len(series) == 0 {
		return
	}
	t := &e.text
	t.separate()
	t.raw(`{"Namespace":`)
	t.string(e.namespace)
	t.raw(`,"Dimensions":[[`)
	t.element(hostKey(b))
	if named >= 0 {
		t.element(interfaceKey(&b.Interfaces[named]))
	}
	if b.Resource.Simulated {
		t.element(simulatedMember)
	}
	for _, d := range b.Resource.Dimensions {
		t.element(d.Name)
	}
	t.raw(`]],"Metrics":[`)
	for _, i := range series {
		t.separate()
		t.raw(`{"Name":`)
		t.string(b.Series[i].Name)
		t.raw(`,"Unit":`)
		t.string(string(b.Series[i].Unit))
		if e.highResolution {
			t.raw(`,"StorageResolution":1`)
		}
		t.raw(`}`)
	}
	t.raw(`]}`)
}

// hostKey returns the dimension that names the host.
func hostKey(b *metric.Batch) string {
	if b.Resource.InstanceID != "" {
		return instanceMember
	}
	return hostMember
}

// interfaceKey returns the dimension that names the interface n.
func interfaceKey(n *metric.Interface) string {
	if n.ENI != "" {
		return eniMember
	}
	return interfaceMember
}

// appendIdentity appends who the document speaks of: dimensions, and the
// properties beside them. The error names a dimension that has no valid value.
func (e *Encoder) appendIdentity(b *metric.Batch, d document) error {
	t, r := &e.text, &b.Resource
	if r.InstanceID != "" {
		t.property(hostMember, r.Host)
		if err := t.dimension(instanceMember, r.InstanceID); err != nil {
			return err
		}
	} else if err := t.dimension(hostMember, r.Host); err != nil {
		return err
	}
	t.property(zoneMember, r.Zone)
	if r.Simulated {
		t.property(simulatedMember, "true")
	}
	for _, f := range r.Dimensions {
		t.property(f.Name, f.Value)
	}
	if d.named < 0 {
		return nil
	}
	n := &b.Interfaces[d.named]
	if n.ENI != "" {
		if err := t.dimension(eniMember, n.ENI); err != nil {
			return err
		}
		t.property(interfaceMember, n.Name)
	} else if err := t.dimension(interfaceMember, n.Name); err != nil {
		return err
	}
	t.property(macMember, n.MAC)
	t.property(subnetMember, n.Subnet)
	t.property(driverMember, n.DriverVersion)
	t.pods(n.Pods)
	return nil
}

// dimension appends a member of the root that is a dimension, with "?" for each
// character that CloudWatch would not take.
func (t *text) dimension(name, value string) error {
	if !validLength(value) {
		return fmt.Errorf("dimension %q: the host gives it the value %.80q, CloudWatch takes 1 to %d characters", name, value, maxDimension)
	}
	t.key(name)
	t.ascii(value)
	return nil
}

// property appends a member unless its value is not known.
func (t *text) property(name, value string) {
	if value == "" {
		return
	}
	t.key(name)
	t.string(value)
}

// pods appends who is on an interface, unless that is not known.
func (t *text) pods(p *metric.Pods) {
	if p == nil {
		return
	}
	t.names(podsMember, p.Names)
	t.names(podsDNSMember, p.DNS)
	if p.Omitted > 0 {
		t.key(podsMoreMember)
		t.integer(int64(p.Omitted))
	}
}

// names appends a list, unless it is empty.
func (t *text) names(member string, names []string) {
	if len(names) == 0 {
		return
	}
	t.key(member)
	t.raw(`[`)
	for _, n := range names {
		t.element(n)
	}
	t.raw(`]`)
}

// appendMetric appends the samples of s, and its scalars.
func (e *Encoder) appendMetric(s *metric.Series) {
	t := &e.text
	t.key(s.Name)
	if s.Whole || s.Kind == metric.Gauge && s.Min() == s.Max() {
		t.number(s.Last())
	} else {
		t.raw(`[`)
		for _, v := range s.Samples {
			t.separate()
			t.number(v)
		}
		t.raw(`]`)
	}
	t.scalars(s)
}

// scalars appends what a log query can use of s, if its metric is not a scalar
// already.
func (t *text) scalars(s *metric.Series) {
	if s.Whole {
		return
	}
	if s.Kind == metric.Gauge {
		t.key(s.Name, "_min")
		t.number(s.Min())
	} else {
		t.key(s.Name, "_sum")
		t.number(s.Sum())
	}
	t.key(s.Name, "_max")
	t.number(s.Max())
	if s.Kind == metric.Gauge {
		t.key(s.Name, "_last")
		t.number(s.Last())
	}
}

// share appends what a log query can use of a series of one interface.
func (t *text) share(s *metric.Series) {
	if s.Whole {
		t.key(s.Name)
		t.number(s.Last())
		return
	}
	t.scalars(s)
}

// appendList appends the list of interfaces, with as many entries as end before
// limit, an index of the text.
func (e *Encoder) appendList(b *metric.Batch, limit int) error {
	const reserve = len(`],"`+omittedMember+`":`) + 20 // and an integer
	t := &e.text
	t.key(listMember)
	t.raw(`[`)
	for i := range b.Interfaces {
		end := len(t.buf)
		if err := e.appendEntry(b, i); err != nil {
			return err
		}
		if len(t.buf)+reserve > limit {
			t.buf = t.buf[:end]
			t.raw(`]`)
			t.key(omittedMember)
			t.integer(int64(len(b.Interfaces) - i))
			return nil
		}
	}
	t.raw(`]`)
	return nil
}

// appendEntry appends one interface to the list.
func (e *Encoder) appendEntry(b *metric.Batch, i int) error {
	t := &e.text
	outer := len(t.keys)
	t.separate()
	t.raw(`{`)
	n := &b.Interfaces[i]
	t.property(eniMember, n.ENI)
	t.property(interfaceMember, n.Name)
	t.property(macMember, n.MAC)
	t.property(subnetMember, n.Subnet)
	t.property(driverMember, n.DriverVersion)
	t.pods(n.Pods)
	for s := range b.Series {
		if s := &b.Series[s]; s.Interface == i {
			t.share(s)
		}
	}
	t.raw(`}`)
	return t.unique(outer)
}
