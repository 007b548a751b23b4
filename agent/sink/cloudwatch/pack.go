package cloudwatch

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
)

// The CloudWatch agent's namespace and the prefix of its ethtool metrics.
const (
	cwagentNamespace = "CWAgent"
	cwagentPrefix    = "ethtool_"
)

// maxValue bounds what CloudWatch stores: -2^360 to 2^360, and nothing but zero
// that is closer to it than 2^-360 (API_MetricDatum).
const maxValue = 0x1p360

// Pack turns a window into requests. The error names series, dimensions and
// levels that CloudWatch would refuse; the requests hold everything else.
func (s *Sink) Pack(b *metric.Batch) ([]sink.Request, error) {
	if b.Resource.Simulated {
		return nil, errSimulated
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active.forget(b.Start)
	leftOut := s.active.leftOut
	host := s.o.Host()
	p := &packer{batch: b, active: s.active, open: request{
		Version: requestVersion, Namespace: s.o.Namespace, Time: b.Start.UnixMilli(), Resolution: int32(s.o.Resolution),
	}}
	if s.o.Entity {
		p.open.Entity = awsclient.InstanceEntity(b.Resource.InstanceID, host.AutoScalingGroup, host.Cluster, host.Node)
	}
	p.plain()
	for _, name := range s.o.Rollups {
		if list := host.rollup(name); list != nil {
			p.rollup(list)
		} else if !s.missing[name] {
			s.missing[name] = true
			s.o.Log.Warn("a roll-up is not published while its name is not known", "sink", s.Name(), "rollup", name,
				"remedy", "allow instance tags in the metadata options of the instance, or set it under identity")
		}
	}
	if s.o.PerInterface {
		p.details()
	}
	p.flush()
	if s.o.CompatCWAgent {
		p.open.Namespace, p.open.Time = cwagentNamespace, b.Start.Add(b.Length).UnixMilli()
		p.levels(&host, s.o.CWAgentDimensions)
		p.flush()
	}
	s.active.report(s.active.leftOut-leftOut, b.Start, s.o.Log)
	return p.requests, errors.Join(p.errs...)
}

// packer fills requests with the data of one window.
type packer struct {
	batch    *metric.Batch
	active   *activeSeries
	requests []sink.Request
	errs     []error

	// open is the request that is being filled; size bounds its bytes, and
	// places has the index of each of its dimensions.
	open   request
	size   int
	places map[*dimensions]int
}

// plain adds the series of the instance, and those of interfaces that are
// published for each.
func (p *packer) plain() {
	r := &p.batch.Resource
	host := p.dimensions([]dimension{hostKey(r)})
	p.series(func(s *metric.Series) bool { return !s.Detail && s.Interface < 0 }, func(int) *dimensions { return host })
	p.series(func(s *metric.Series) bool { return !s.Detail && s.Interface >= 0 }, p.interfaces())
}

// rollup adds what plain does, under other dimensions.
func (p *packer) rollup(list []dimension) {
	shared := p.dimensions(list)
	if shared != nil {
		shared.shared = true
	}
	p.series(func(s *metric.Series) bool { return !s.Detail }, func(int) *dimensions { return shared })
}

// details adds the interfaces' shares of what is published for the instance.
func (p *packer) details() {
	p.series(func(s *metric.Series) bool { return s.Detail }, p.interfaces())
}

// interfaces returns a function from an interface's index to its dimensions.
func (p *packer) interfaces() func(int) *dimensions {
	b := p.batch
	all := make([]*dimensions, len(b.Interfaces))
	return func(i int) *dimensions {
		if all[i] == nil {
			all[i] = p.dimensions([]dimension{hostKey(&b.Resource), interfaceKey(&b.Interfaces[i])})
		}
		return all[i]
	}
}

// levels adds the raw values as the CloudWatch agent publishes them.
func (p *packer) levels(host *Host, wanted []string) {
	b := p.batch
	all := make([]*dimensions, len(b.Interfaces))
	for i := range b.Interfaces {
		all[i] = p.dimensions(host.cwagent(&b.Resource, &b.Interfaces[i], wanted))
	}
	for _, l := range b.Levels {
		if l.Interface < 0 || l.Interface >= len(all) {
			p.fail("level %.80q: interface %d of %d", l.Name, l.Interface, len(all))
			continue
		}
		p.add(all[l.Interface], datum{Name: cwagentPrefix + l.Name, Unit: string(metric.None), Values: []float64{float64(l.Value)}})
	}
}

// dimensions returns list with the fixed ones behind it, or nil after an error
// that is then known.
func (p *packer) dimensions(list []dimension) *dimensions {
	d, err := newDimensions(list, &p.batch.Resource)
	if err != nil {
		p.fail("%w", err)
	}
	return d
}

// fail notes an error, once: each roll-up meets those of the series again.
func (p *packer) fail(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	if !slices.ContainsFunc(p.errs, func(o error) bool { return o.Error() == err.Error() }) {
		p.errs = append(p.errs, err)
	}
}

// series adds the series that are wanted, each under the dimensions of its
// interface's index.
func (p *packer) series(wanted func(*metric.Series) bool, of func(int) *dimensions) {
	for i := range p.batch.Series {
		s := &p.batch.Series[i]
		if !wanted(s) {
			continue
		}
		if s.Interface >= len(p.batch.Interfaces) || s.Detail && s.Interface < 0 {
			p.fail("series %.80q: interface %d of %d", s.Name, s.Interface, len(p.batch.Interfaces))
			continue
		}
		values, counts := distribution(s.Samples)
		p.add(of(s.Interface), datum{Name: s.Name, Unit: string(s.Unit), Values: values, Counts: counts})
	}
}

// distribution returns the distinct samples in rising order and how often each
// occurs. If each occurs once, there are no counts.
func distribution(samples []float64) (values, counts []float64) {
	sorted := slices.Sorted(slices.Values(samples))
	for i, v := range sorted {
		if i > 0 && v == sorted[i-1] {
			counts[len(counts)-1]++
			continue
		}
		values, counts = append(values, v), append(counts, 1)
	}
	if len(values) == len(sorted) {
		counts = nil
	}
	return values, counts
}

// check reports what CloudWatch would refuse of a datum.
func (d *datum) check() error {
	if !validName(d.Name) {
		return fmt.Errorf("the name must be 1 to %d printable ASCII characters, not only spaces, and not start with a colon", maxName)
	}
	if n := len(d.Values); n < 1 || n > maxValues {
		return fmt.Errorf("%d distinct values, CloudWatch takes 1 to %d", n, maxValues)
	}
	if !slices.Contains(types.StandardUnit("").Values(), types.StandardUnit(d.Unit)) {
		return fmt.Errorf("CloudWatch has no unit %.80q", d.Unit)
	}
	for _, v := range d.Values {
		if size := math.Abs(v); !(size <= maxValue) || size != 0 && size < 1/maxValue { // NaN as well
			return fmt.Errorf("%v is no number that CloudWatch stores", v)
		}
	}
	return nil
}

// add puts a datum into the open request, or into the next if it is full. A
// datum without dimensions met an error before.
func (p *packer) add(under *dimensions, d datum) {
	if under == nil {
		return
	}
	if err := d.check(); err != nil {
		p.fail("series %.80q: %w", d.Name, err)
		return
	}
	if !p.active.admit(p.open.Namespace+"\x00"+d.Name+"\x00"+under.key, p.batch.Start) {
		return
	}
	size := d.size(under.list)
	if len(p.open.Data) == maxData || p.size+size > maxBytes {
		p.flush()
	}
	if len(p.open.Data) == 0 {
		p.size, p.places = p.open.size(), map[*dimensions]int{}
	}
	place, ok := p.places[under]
	if !ok {
		place = len(p.open.Dimensions)
		p.places[under] = place
		p.open.Dimensions = append(p.open.Dimensions, under.list)
	}
	d.Dimensions, d.Shared = place, under.shared
	p.open.Data = append(p.open.Data, d)
	p.size += size
}

// flush closes the open request, if there is something in it.
func (p *packer) flush() {
	if len(p.open.Data) == 0 {
		return
	}
	p.requests = append(p.requests, p.open.encode())
	p.open.Data, p.open.Dimensions = nil, nil
}
