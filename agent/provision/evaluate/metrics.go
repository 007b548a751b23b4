package evaluate

import (
	"slices"
	"strings"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/provision"
	"github.com/enawatch/enawatch/agent/sink/cloudwatch"
)

// Metrics holds data as CloudWatch does: by namespace, name and dimensions. The
// zero value is empty.
type Metrics struct {
	// Delay is how long after the end of its window a datum arrives.
	Delay time.Duration

	byKey map[string]*series
	keys  []string // in the order of arrival
}

// series is one metric.
type series struct {
	metric provision.Metric
	data   []sample // in order of time
}

// sample is one distribution that was published.
type sample struct {
	at, arrived         time.Time
	sum, least, most, n float64
}

// Put adds a datum: values that were observed in the window of this length that
// began at time at. Dimensions may be in any order.
func (m *Metrics) Put(id provision.Metric, at time.Time, length time.Duration, values ...float64) {
	if len(values) == 0 {
		return
	}
	s := m.of(id)
	d := sample{at: at, arrived: at.Add(length + m.Delay), least: values[0], most: values[0], n: float64(len(values))}
	for _, v := range values {
		d.sum, d.least, d.most = d.sum+v, min(d.least, v), max(d.most, v)
	}
	i := len(s.data)
	for i > 0 && s.data[i-1].at.After(at) {
		i--
	}
	s.data = slices.Insert(s.data, i, d)
}

// Add adds a window as the sink for CloudWatch publishes it, and each of its
// metrics under the dimensions of each roll-up too.
func (m *Metrics) Add(namespace string, b *metric.Batch, rollups ...[]metric.Dimension) {
	for i := range b.Series {
		s := &b.Series[i]
		if s.Detail {
			continue
		}
		sets := append([][]metric.Dimension{cloudwatch.Dimensions(b, s)}, rollups...)
		for _, set := range sets {
			id := provision.Metric{Namespace: namespace, MetricName: s.Name}
			for _, d := range set {
				id.Dimensions = append(id.Dimensions, provision.Dimension(d))
			}
			m.Put(id, b.Start, b.Length, s.Samples...)
		}
	}
}

func (m *Metrics) of(id provision.Metric) *series {
	id.Dimensions = slices.SortedFunc(slices.Values(id.Dimensions), func(a, b provision.Dimension) int { return strings.Compare(a.Name, b.Name) })
	k := key(id)
	s, ok := m.byKey[k]
	if !ok {
		if m.byKey == nil {
			m.byKey = map[string]*series{}
		}
		s = &series{metric: id}
		m.byKey[k] = s
		m.keys = append(m.keys, k)
	}
	return s
}

// key tells metrics apart. Dimensions are sorted.
func key(id provision.Metric) string {
	var b strings.Builder
	b.WriteString(id.Namespace + "\x00" + id.MetricName)
	for _, d := range id.Dimensions {
		b.WriteString("\x00" + d.Name + "\x00" + d.Value)
	}
	return b.String()
}

// span is a row of n periods that ends now.
type span struct {
	now    time.Time
	period time.Duration
	n      int
}

func (s span) from() time.Time { return s.now.Add(-time.Duration(s.n) * s.period) }

// values is a point for each period of a span; nil is no data.
type values []*float64

// statistic returns a statistic of a metric in each period, of what has arrived.
func (s *series) statistic(stat string, in span) (values, error) {
	cells, from := make([]sample, in.n), in.from()
	first, _ := slices.BinarySearchFunc(s.data, from, func(d sample, t time.Time) int { return d.at.Compare(t) })
	for _, d := range s.data[first:] {
		if d.arrived.After(in.now) {
			continue
		}
		i := int(d.at.Sub(from) / in.period)
		if i >= in.n {
			break
		}
		if c := &cells[i]; c.n == 0 {
			*c = d
		} else {
			c.sum, c.n, c.least, c.most = c.sum+d.sum, c.n+d.n, min(c.least, d.least), max(c.most, d.most)
		}
	}
	out := make(values, in.n)
	for i, c := range cells {
		if c.n == 0 {
			continue
		}
		v, ok := map[string]float64{"Sum": c.sum, "Minimum": c.least, "Maximum": c.most, "SampleCount": c.n, "Average": c.sum / c.n}[stat]
		if !ok {
			return nil, unsupported("statistic", stat)
		}
		out[i] = &v
	}
	return out, nil
}
