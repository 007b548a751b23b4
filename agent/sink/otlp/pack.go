package otlp

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
)

// A request stays far below what receivers take (the collector 20 MiB; what
// CloudWatch's limits are is not known here).
const (
	maxPoints = 1000
	maxBytes  = 1_000_000
)

// scopeName names what made the metrics.
const scopeName = "github.com/enawatch/enawatch"

// Pack turns a window into requests: ExportMetricsServiceRequest in protobuf,
// whose only field is that of MetricsData.
func (s *Sink) Pack(b *metric.Batch) ([]sink.Request, error) {
	if b.Resource.Simulated {
		return nil, errSimulated
	}
	s.packing.Lock()
	defer s.packing.Unlock()
	p := &packer{
		o: &s.o, batch: b, resource: resource(&b.Resource, s.o.Host()), streams: &s.streams,
		span: span{uint64(b.Start.UnixNano()), uint64(b.Start.Add(b.Length).UnixNano())},
	}
	p.places = append(p.places, newPlace(&b.Resource, nil))
	for i := range b.Interfaces {
		p.places = append(p.places, newPlace(&b.Resource, &b.Interfaces[i]))
	}
	p.streams.begin(p.resource, p.places)
	for i := range b.Series {
		if wanted := &b.Series[i]; p.wants(wanted) {
			p.series(wanted)
		}
	}
	p.streams.unchanged(p)
	slices.SortStableFunc(p.metrics, func(a, b *metricspb.Metric) int { return cmp.Compare(a.Name, b.Name) })
	return p.requests(), errors.Join(p.errs...)
}

// place is the host, or an interface, as points name it.
type place struct {
	id         string
	attributes []*commonpb.KeyValue
}

func newPlace(r *metric.Resource, i *metric.Interface) place {
	p := place{attributes: attributes(r, i)}
	for _, a := range p.attributes {
		p.id += fmt.Sprintf("%q=%q ", a.Key, a.Value.GetStringValue())
	}
	return p
}

// packer fills requests with the points of one window.
type packer struct {
	o        *Options
	batch    *metric.Batch
	resource *resourcepb.Resource
	places   []place // of the host, then of each interface
	span     span
	streams  *streams
	metrics  []*metricspb.Metric // of one point each
	errs     []error
}

// wants reports whether a series is published. A metric is published for the
// instance or for each interface, never both: its points add up.
func (p *packer) wants(s *metric.Series) bool {
	if p.o.PerInterface {
		return s.Interface >= 0 || s.Whole
	}
	return !s.Detail
}

func (p *packer) series(s *metric.Series) {
	if s.Interface+1 < 0 || s.Interface+1 >= len(p.places) || len(s.Samples) == 0 {
		p.errs = append(p.errs, fmt.Errorf("series %.80q: %d samples of interface %d of %d", s.Name, len(s.Samples), s.Interface, len(p.batch.Interfaces)))
		return
	}
	at := p.places[s.Interface+1]
	if p.o.Temporality == Cumulative {
		p.streams.add(p, s, at)
	} else if s.Kind == metric.Counter {
		p.add(Delta.sum(s, number(s.Sum(), s.Unit, p.span, at.attributes)))
	}
	if s.Kind == metric.Gauge {
		p.add(gauge(s, "", s.Last(), p.span.end, at.attributes))
	}
	if s.Whole {
		return
	}
	switch p.o.Distribution {
	case Extremes:
		p.add(gauge(s, suffixMax, s.Max(), p.span.end, at.attributes))
		if s.Kind == metric.Gauge {
			p.add(gauge(s, suffixMin, s.Min(), p.span.end, at.attributes))
		}
	case Histogram:
		if p.o.Temporality == Delta {
			var h histogram
			for _, v := range s.Samples {
				h.add(v)
			}
			p.add(Delta.distribution(s, h.point(p.span, Delta, at.attributes)))
		}
	}
}

func (p *packer) add(m *metricspb.Metric) { p.metrics = append(p.metrics, m) }

// requests puts the metrics into as few requests as their limits allow.
func (p *packer) requests() (list []sink.Request) {
	r := request{resource: p.resource, scope: &commonpb.InstrumentationScope{Name: scopeName, Version: p.o.Version}}
	size := 0
	flush := func(next int) {
		if len(r.metrics) > 0 && (next == 0 || len(r.metrics) == maxPoints || size+next > maxBytes) {
			list = append(list, r.encode())
			r.metrics, size = nil, 0
		}
	}
	for _, m := range p.metrics {
		n := proto.Size(m)
		flush(n)
		r.metrics = append(r.metrics, m)
		size += n
	}
	flush(0)
	return list
}

// request is what one POST carries.
type request struct {
	resource *resourcepb.Resource
	scope    *commonpb.InstrumentationScope
	metrics  []*metricspb.Metric // of one point each
}

func (r *request) encode() sink.Request {
	points := len(r.metrics)
	// Strings are valid UTF-8, which is all that could be refused.
	data, _ := proto.Marshal(&metricspb.MetricsData{ResourceMetrics: []*metricspb.ResourceMetrics{{
		Resource: r.resource, ScopeMetrics: []*metricspb.ScopeMetrics{{Scope: r.scope, Metrics: join(r.metrics)}},
	}}})
	return sink.Request{Data: data, Points: points}
}

// decode reads what encode wrote.
func decode(data []byte) (*request, error) {
	var in metricspb.MetricsData
	if err := proto.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("read a spooled request: %w", err)
	}
	if len(in.ResourceMetrics) != 1 || len(in.ResourceMetrics[0].GetScopeMetrics()) != 1 {
		return nil, errors.New("read a spooled request: it is not of one resource and one scope")
	}
	only := in.ResourceMetrics[0].ScopeMetrics[0]
	r := &request{resource: in.ResourceMetrics[0].Resource, scope: only.GetScope()}
	for _, m := range only.GetMetrics() {
		list, err := apart(m)
		if err != nil {
			return nil, fmt.Errorf("read a spooled request: %w", err)
		}
		r.metrics = append(r.metrics, list...)
	}
	if len(r.metrics) == 0 {
		return nil, errors.New("read a spooled request: it has no points")
	}
	return r, nil
}

// Split halves a request; it returns nil if there is only one point in it, or
// none that can be read.
func (s *Sink) Split(data []byte) []sink.Request {
	r, err := decode(data)
	if err != nil || len(r.metrics) < 2 {
		return nil
	}
	half := len(r.metrics) / 2
	first, second := *r, *r
	first.metrics, second.metrics = r.metrics[:half], r.metrics[half:]
	return []sink.Request{first.encode(), second.encode()}
}

// Describe names the first few points of a request.
func (s *Sink) Describe(data []byte) string {
	r, err := decode(data)
	if err != nil {
		return fmt.Sprintf("%d bytes that are no request of this program", len(data))
	}
	const most = 3
	var names []string
	for _, m := range r.metrics[:min(most, len(r.metrics))] {
		names = append(names, fmt.Sprintf("%.80q", m.Name))
	}
	if rest := len(r.metrics) - most; rest > 0 {
		names = append(names, fmt.Sprintf("%d more", rest))
	}
	return strings.Join(names, ", ")
}
