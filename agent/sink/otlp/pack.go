package otlp

import (
	"errors"
	"fmt"
	"math"
	"time"

	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
)

// Limits of one request to CloudWatch ("OTLP endpoints": 1,000 data points, 1 MB
// before compression). A collector takes more.
const (
	maxPoints = 1000
	maxBytes  = 1_000_000
)

// Pack turns a window into requests. The error names series that no destination
// would take; the requests hold everything else.
func (s *Sink) Pack(b *metric.Batch) ([]sink.Request, error) {
	if b.Resource.Simulated && s.o.isAWS(s.url) {
		return nil, errSimulated
	}
	if b.Start.Before(time.Unix(0, 0)) || b.Length <= 0 {
		return nil, fmt.Errorf("otlp sink: a window of %v from %v: OTLP knows no such time: set the host's clock", b.Length, b.Start)
	}
	host := s.o.Host()
	p := &packer{batch: b, o: &s.o, start: nano(b.Start), end: nano(b.Start.Add(b.Length))}
	p.resource = host.resource(&b.Resource)
	for i := range b.Interfaces {
		p.interfaces = append(p.interfaces, of(&b.Interfaces[i]))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.o.Temporality == TemporalityCumulative {
		p.totals = &s.totals
		p.totals.begin(attributes(p.resource.Attributes).key(), b.Start.Add(b.Length), p.interfaces)
	}
	for i := range b.Series {
		if err := p.series(&b.Series[i]); err != nil {
			p.errs = append(p.errs, fmt.Errorf("series %.80q: %w", b.Series[i].Name, err))
		}
	}
	p.cumulative()
	p.flush()
	return p.requests, errors.Join(p.errs...)
}

func nano(t time.Time) uint64 { return uint64(t.UnixNano()) }

// packer fills requests with the points of one window.
type packer struct {
	batch      *metric.Batch
	o          *Options
	start, end uint64 // of the window, in ns since 1970
	interfaces []attributes
	totals     *totals // nil if sums are of the window
	requests   []sink.Request
	errs       []error

	// metrics are those of the request that is being filled, open has them by
	// kind and name, and size bounds the bytes of their points.
	request
	open         map[[2]string]*metricspb.Metric
	points, size int
}

// series adds the points of a series, if it is to be published.
func (p *packer) series(s *metric.Series) error {
	if s.Interface >= len(p.interfaces) || s.Detail && s.Interface < 0 {
		return fmt.Errorf("interface %d of %d", s.Interface, len(p.interfaces))
	}
	if len(s.Samples) == 0 {
		return errors.New("no samples")
	}
	for _, v := range s.Samples {
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 && s.Kind == metric.Counter {
			return fmt.Errorf("%v is no number that a %v can have", v, s.Kind)
		}
	}
	// What is not of the whole window is there for each interface too.
	ofAll := s.Interface < 0 && !s.Whole
	if s.Detail && !p.o.PerInterface || ofAll && p.o.PerInterface {
		return nil
	}
	var where attributes
	if s.Interface >= 0 {
		where = p.interfaces[s.Interface]
	}
	name, unit := MetricName(s.Name), UnitOf(s.Name, s.Unit)
	switch {
	case s.Kind == metric.Gauge:
		p.gauge(name, unit, where, s.Last())
	case p.totals != nil:
		p.totals.add(name, unit, where, p.batch.Start, s.Sum())
	default:
		p.sum(name, unit, where, p.start, p.end, s.Sum())
	}
	if s.Whole {
		return nil
	}
	switch p.o.Distribution {
	case DistributionSumMax:
		if s.Kind == metric.Gauge {
			p.gauge(name+"_min", unit, where, s.Min())
		}
		p.gauge(name+"_max", unit, where, s.Max())
	case DistributionHistogram:
		p.distribution(name+"_distribution", unit, where, s.Samples)
	}
	return nil
}

// cumulative adds a point of each total, and one of zero where a stream begins:
// whoever compares two points sees its first growth too.
func (p *packer) cumulative() {
	if p.totals == nil {
		return
	}
	for _, s := range p.totals.streams {
		start := nano(s.start)
		if start == p.start {
			p.sum(s.name, s.unit, s.where, start, start, 0)
		}
		p.sum(s.name, s.unit, s.where, start, p.end, s.value)
	}
}

func (p *packer) sum(name, unit string, where attributes, start, end uint64, value float64) {
	temporality := metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
	if p.totals != nil {
		temporality = metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	}
	point := number(where, end, value)
	point.StartTimeUnixNano = start
	m := p.room("sum", name, unit, proto.Size(point))
	if m.Data == nil {
		m.Data = &metricspb.Metric_Sum{Sum: &metricspb.Sum{AggregationTemporality: temporality, IsMonotonic: true}}
	}
	sum := m.GetSum()
	sum.DataPoints = append(sum.DataPoints, point)
}

func (p *packer) gauge(name, unit string, where attributes, value float64) {
	point := number(where, p.end, value)
	m := p.room("gauge", name, unit, proto.Size(point))
	if m.Data == nil {
		m.Data = &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{}}
	}
	gauge := m.GetGauge()
	gauge.DataPoints = append(gauge.DataPoints, point)
}

func (p *packer) distribution(name, unit string, where attributes, samples []float64) {
	point := histogram(samples)
	point.Attributes, point.StartTimeUnixNano, point.TimeUnixNano = where, p.start, p.end
	m := p.room("histogram", name, unit, proto.Size(point))
	if m.Data == nil {
		m.Data = &metricspb.Metric_ExponentialHistogram{ExponentialHistogram: &metricspb.ExponentialHistogram{
			AggregationTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA,
		}}
	}
	spread := m.GetExponentialHistogram()
	spread.DataPoints = append(spread.DataPoints, point)
}

// number returns a point. Whole numbers stay whole.
func number(where attributes, at uint64, value float64) *metricspb.NumberDataPoint {
	point := &metricspb.NumberDataPoint{Attributes: where, TimeUnixNano: at}
	if math.Trunc(value) == value && math.Abs(value) < 1<<63 {
		point.Value = &metricspb.NumberDataPoint_AsInt{AsInt: int64(value)}
	} else {
		point.Value = &metricspb.NumberDataPoint_AsDouble{AsDouble: value}
	}
	return point
}

// frame is no less than the tags and lengths around a point or a metric.
const frame = 32

// room returns the metric to put a point of so many bytes into: that of the open
// request, or of the next if that is full.
func (p *packer) room(kind, name, unit string, size int) *metricspb.Metric {
	size += 2*frame + len(name) + len(unit)
	if p.points == maxPoints || p.points > 0 && p.size+size > maxBytes {
		p.flush()
	}
	if p.points == 0 {
		p.open, p.size = map[[2]string]*metricspb.Metric{}, proto.Size(p.resource)+4*frame
	}
	m := p.open[[2]string{kind, name}]
	if m == nil {
		m = &metricspb.Metric{Name: name, Unit: unit}
		p.open[[2]string{kind, name}] = m
		p.metrics = append(p.metrics, m)
	}
	p.points++
	p.size += size
	return m
}

// flush closes the open request, if there is something in it.
func (p *packer) flush() {
	if p.points == 0 {
		return
	}
	p.requests = append(p.requests, p.encode())
	p.metrics, p.points = nil, 0
}
