package otlp

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/wire"
)

// A request stays far below what receivers take (the collector 20 MiB; what
// CloudWatch's limits are is not known here).
const (
	maxPoints = 1000
	maxBytes  = 1_000_000
)

// scope names what made the metrics.
const scope = "github.com/enawatch/enawatch"

// Pack turns a window into requests: ExportMetricsServiceRequest in protobuf.
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
	slices.SortStableFunc(p.points, func(a, b point) int { return cmp.Compare(a.name, b.name) })
	return p.requests(), errors.Join(p.errs...)
}

// place is the host, or an interface, as points name it.
type place struct {
	id         string
	attributes []attribute
}

func newPlace(r *metric.Resource, i *metric.Interface) place {
	p := place{attributes: attributes(r, i)}
	for _, a := range p.attributes {
		p.id += fmt.Sprintf("%q=%q ", a.key, a.value)
	}
	return p
}

// packer fills requests with the points of one window.
type packer struct {
	o        *Options
	batch    *metric.Batch
	resource []byte
	places   []place // of the host, then of each interface
	span     span
	streams  *streams
	points   []point
	bodies   []byte // of the points
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
		p.add(Delta.sum(s), appendNumber(p.bodies, s.Sum(), s.Unit, p.span, at.attributes))
	}
	if s.Kind == metric.Gauge {
		p.level(s, "", s.Last(), at)
	}
	if s.Whole {
		return
	}
	switch p.o.Distribution {
	case Extremes:
		p.level(s, suffixMax, s.Max(), at)
		if s.Kind == metric.Gauge {
			p.level(s, suffixMin, s.Min(), at)
		}
	case Histogram:
		if p.o.Temporality == Delta {
			var h histogram
			for _, v := range s.Samples {
				h.add(v)
			}
			p.add(Delta.distribution(s), h.appendPoint(p.bodies, p.span, Delta, at.attributes))
		}
	}
}

// level adds a point of a gauge: it has no begin.
func (p *packer) level(s *metric.Series, suffix string, v float64, at place) {
	p.add(gauge(s, suffix), appendNumber(p.bodies, v, s.Unit, span{end: p.span.end}, at.attributes))
}

// add adds the point that bodies has more than p.bodies.
func (p *packer) add(id identity, bodies []byte) {
	p.points = append(p.points, point{id, bodies[len(p.bodies):]})
	p.bodies = bodies
}

// requests puts the points into as few requests as their limits allow.
func (p *packer) requests() (list []sink.Request) {
	r := request{resource: p.resource, scope: wire.AppendBytes(nil, scopeName, scope)}
	if p.o.Version != "" {
		r.scope = wire.AppendBytes(r.scope, scopeVersion, p.o.Version)
	}
	first, size := 0, 0
	for i := range p.points {
		next := p.points[i].size()
		if i-first == maxPoints || i > first && size+next > maxBytes {
			r.points = p.points[first:i]
			list = append(list, r.encode())
			first, size = i, 0
		}
		size += next
	}
	if r.points = p.points[first:]; len(r.points) > 0 {
		list = append(list, r.encode())
	}
	return list
}

// Split halves a request; it returns nil if there is only one point in it, or
// none that can be read.
func (s *Sink) Split(data []byte) []sink.Request {
	r, err := decode(data)
	if err != nil || len(r.points) < 2 {
		return nil
	}
	half := len(r.points) / 2
	first, second := *r, *r
	first.points, second.points = r.points[:half], r.points[half:]
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
	for _, p := range r.points[:min(most, len(r.points))] {
		names = append(names, fmt.Sprintf("%.80q", p.name))
	}
	if rest := len(r.points) - most; rest > 0 {
		names = append(names, fmt.Sprintf("%d more", rest))
	}
	return strings.Join(names, ", ")
}
