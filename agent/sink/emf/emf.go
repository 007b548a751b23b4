// Package emf writes windows as CloudWatch embedded metric format: one compact
// JSON document on each line, from which CloudWatch Logs extracts metrics.
//
// # Dimensions
//
// The host key is InstanceId where the instance's id is known, else host.
//
//   - Series of the instance have the dimensions [host key, fixed ones].
//   - Series of an interface have [host key, NetworkInterfaceId, fixed ones]
//     where the id of its ENI is known, else [host key, interface, fixed ones].
//   - In a simulation, every set has simulated="true" before the fixed ones.
//
// Each dimension is a string member of the root, and so is host, always.
// CloudWatch takes printable ASCII only in dimensions: another character in a
// name that the host gave becomes "?", one in a fixed dimension is an error.
//
// # Lines
//
// A host with one interface gets one line for each window. It has a directive
// for each scope that has series, and the members NetworkInterfaceId, interface,
// mac and driver_version; if it exceeded an allowance and its pods are known, also
// pods, pods_dns (those of them that answer the cluster's DNS) and pods_omitted.
// Series with Detail set are left out: on such a host they equal the instance's.
//
// A host with several interfaces, or none, gets one line for its own series,
// with a list of all interfaces in the property interfaces; and one line more,
// with the members above, for each interface that has series of its own. An
// entry of the list has the interface's names and the scalars (see below) of all
// of its series, Detail or not.
//
// That is the shape PerHost. In the shape PerInterface, the host's series and
// each interface have lines of their own, however many interfaces there are.
// There is no list; an interface's line has the scalars of its series with
// Detail set as members of the root, and is written even if it has nothing else
// and so no directive.
//
// A scope without series to publish gets no directive, and in the shape PerHost
// a line without directives is not written. What is more than 100 metrics in a
// directive, or more than a log event can hold, goes to another line; the list
// stands on the host's first line only, and is cut where the event is full: then
// interfaces_omitted counts the entries that are missing.
//
// # Members
//
// A counter NAME is an array of its samples in order of time. NAME_sum and
// NAME_max stand beside it: Logs Insights and Contributor Insights read scalars
// only. A gauge NAME is an array of its samples, or one number if they are all
// equal, beside NAME_min, NAME_max and NAME_last. Only NAME is a metric. What
// speaks of the whole window, as the heartbeat does, is one number and needs no
// others.
//
// The metrics' timestamp is the window's start, which start repeats in RFC 3339;
// window_seconds is how long the window was. Strings are UTF-8; what is not
// becomes U+FFFD. Members that are not known are omitted. Their order is fixed:
// equal batches give equal bytes.
//
// Source: "Specification: Embedded metric format" in the CloudWatch User Guide.
package emf

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/enawatch/enawatch/agent/metric"
)

const (
	// maxMetrics is how many metrics one directive takes.
	maxMetrics = 100
	// maxSamples is how many values one array takes.
	maxSamples = 100
	// maxName is how long a namespace or metric name may be, in characters
	// (PutMetricData and MetricDatum; the EMF schema would allow 1024).
	maxName = 255
	// maxValue bounds what CloudWatch stores: -2^360 to 2^360 (MetricDatum).
	maxValue = 0x1p360
	// maxEvent is how many bytes a document may have: PutLogEvents takes
	// 1,048,576 bytes and counts 26 more for each event.
	maxEvent = 1<<20 - 26
)

// Encoder writes batches as EMF documents. It keeps scratch space from one batch
// to the next, so it is not safe for concurrent use.
type Encoder struct {
	namespace string
	// highResolution is true if data comes more often than once a minute: then
	// CloudWatch has to store it by the second.
	highResolution bool
	shape          Shape
	maxEvent       int // bytes
	// group and stream are where the CloudWatch agent is to write the documents
	// to; "" says nothing of it.
	group, stream string

	text text
	// Series of the host, of one interface, and its shares in the host's.
	host, own, details []int
	lines              []line
	refused            []error
}

// Shape says how a window becomes documents.
type Shape string

const (
	// PerHost is one document for each window of a host with one interface, and
	// a list of all interfaces in the host's document if there are several.
	PerHost Shape = "host"
	// PerInterface is one document for the host and one for each interface.
	PerInterface Shape = "interface"
)

// line is one document in an encoder's text.
type line struct{ end, metrics int }

// NewEncoder returns an encoder for metrics of namespace. If publishInterval is
// below one minute, metrics are declared with a storage resolution of 1 second.
// The error says why CloudWatch would refuse the namespace.
func NewEncoder(namespace string, publishInterval time.Duration) (*Encoder, error) {
	switch {
	case strings.HasPrefix(namespace, "AWS/"):
		return nil, fmt.Errorf("EMF namespace %q: AWS/ is reserved for AWS services: choose another", namespace)
	case !validKey(namespace, maxName):
		return nil, fmt.Errorf("EMF namespace %q: it must be 1 to %d printable ASCII characters, not only spaces, and not start with a colon", namespace, maxName)
	}
	return &Encoder{namespace: namespace, highResolution: publishInterval < time.Minute, shape: PerHost, maxEvent: maxEvent}, nil
}

// SetShape chooses a shape other than PerHost.
func (e *Encoder) SetShape(s Shape) error {
	if s != PerHost && s != PerInterface {
		return fmt.Errorf("EMF shape %q is not known: use %s or %s", s, PerHost, PerInterface)
	}
	e.shape = s
	return nil
}

// Append appends the documents of b to dst, each ended by a newline, and returns
// the extended slice. It appends nothing if no series is to be published. If it
// returns an error, which names the series or dimension that CloudWatch would
// refuse, the returned slice is dst.
func (e *Encoder) Append(dst []byte, b *metric.Batch) ([]byte, error) {
	text, refused := e.encode(dst, b)
	if refused != nil {
		return dst, refused[0]
	}
	return text, nil
}

// encode appends what can be published of b to dst. The errors, each of one
// line, say what can't. e.lines tells the documents apart until the next call.
func (e *Encoder) encode(dst []byte, b *metric.Batch) ([]byte, []error) {
	e.text.buf, e.lines, e.refused = dst, e.lines[:0], nil
	if err := e.appendBatch(b); err != nil {
		e.text.buf, e.lines = dst, e.lines[:0]
		e.refused = append(e.refused, err)
	}
	for i, err := range e.refused {
		e.refused[i] = fmt.Errorf("encode the window of %s as EMF: %w", b.Start.UTC().Format(time.RFC3339), err)
	}
	return e.text.buf, e.refused
}

// refuse notes that a series can't be published.
func (e *Encoder) refuse(s *metric.Series, err error) {
	e.refused = append(e.refused, fmt.Errorf("series %q: %w", s.Name, err))
}

// valid returns b without the series that are impossible to publish.
func (e *Encoder) valid(b *metric.Batch) *metric.Batch {
	bad := func(s metric.Series) bool { return checkSeries(b, &s) != nil }
	if !slices.ContainsFunc(b.Series, bad) {
		return b
	}
	rest := *b
	rest.Series = nil
	for i := range b.Series {
		if err := checkSeries(b, &b.Series[i]); err != nil {
			e.refuse(&b.Series[i], err)
		} else {
			rest.Series = append(rest.Series, b.Series[i])
		}
	}
	return &rest
}

// appendBatch appends the documents of b. After an error, none of them counts.
func (e *Encoder) appendBatch(b *metric.Batch) error {
	if b.Start.UnixMilli() < 0 {
		return errors.New("the window starts before 1970: set the host's clock")
	}
	if err := CheckDimensions(b.Resource.Dimensions); err != nil {
		return err
	}
	b = e.valid(b)
	e.host = appendSeries(e.host[:0], b, metric.Instance, -1)
	if e.shape == PerHost && len(b.Interfaces) == 1 {
		e.own = appendSeries(e.own[:0], b, metric.PerInterface, 0)
		return e.appendLines(b, document{named: 0, senders: true, host: e.host, own: e.own})
	}
	if err := e.appendLines(b, document{named: -1, listed: e.shape == PerHost, senders: true, host: e.host}); err != nil {
		return err
	}
	for i := range b.Interfaces {
		e.own, e.details = appendSeries(e.own[:0], b, metric.PerInterface, i), e.details[:0]
		if e.shape == PerInterface {
			e.details = appendDetails(e.details, b, i)
		}
		if err := e.appendLines(b, document{named: i, own: e.own, details: e.details}); err != nil {
			return err
		}
	}
	return nil
}

// appendSeries appends the indexes of the series that are metrics of scope and
// of the interface at index i, which is -1 for the host.
func appendSeries(indexes []int, b *metric.Batch, scope metric.Scope, i int) []int {
	for n := range b.Series {
		if s := &b.Series[n]; s.Scope == scope && s.Interface == i && !s.Detail {
			indexes = append(indexes, n)
		}
	}
	return indexes
}

// appendDetails appends the indexes of the series with Detail set of the
// interface at index i.
func appendDetails(indexes []int, b *metric.Batch, i int) []int {
	for n := range b.Series {
		if s := &b.Series[n]; s.Detail && s.Interface == i {
			indexes = append(indexes, n)
		}
	}
	return indexes
}

// appendLines appends d as one line, or as several if it is more than one
// directive or one log event can hold. A series that fits none is refused.
func (e *Encoder) appendLines(b *metric.Batch, d document) error {
	for n := maxMetrics; d.longest() > 0; {
		head, tail := d.cut(n)
		start := len(e.text.buf)
		err := e.appendDocument(b, head)
		switch {
		case err == nil:
			d = tail
		case !errors.Is(err, errTooLarge):
			return err
		case n > 0:
			e.text.buf = e.text.buf[:start]
			n /= 2
		default:
			e.text.buf = e.text.buf[:start]
			e.refuse(&b.Series[head.first()], err)
			tail.listed, tail.senders = head.listed, head.senders
			d, n = tail, maxMetrics
		}
	}
	return nil
}

// checkSeries reports what makes s impossible to publish.
func checkSeries(b *metric.Batch, s *metric.Series) error {
	if n := utf8.RuneCountInString(s.Name); n < 1 || n > maxName {
		return fmt.Errorf("the name has %d characters, CloudWatch takes 1 to %d", n, maxName)
	}
	if n := len(s.Samples); n < 1 || n > maxSamples {
		return fmt.Errorf("%d samples, EMF takes 1 to %d", n, maxSamples)
	}
	for _, v := range s.Samples {
		if !(math.Abs(v) <= maxValue) { // true for NaN as well
			return fmt.Errorf("the sample %v is not a number that CloudWatch stores (-2^360 to 2^360)", v)
		}
	}
	switch s.Unit {
	case metric.Count, metric.Bytes, metric.Percent, metric.Seconds, metric.None:
	default:
		return fmt.Errorf("the unit %q is none of package metric's", s.Unit)
	}
	ofInterface := s.Scope == metric.PerInterface || s.Detail
	if s.Interface < -1 || s.Interface >= len(b.Interfaces) || ofInterface != (s.Interface >= 0) {
		return fmt.Errorf("scope %v, detail %t and interface %d of %d contradict each other", s.Scope, s.Detail, s.Interface, len(b.Interfaces))
	}
	return nil
}
