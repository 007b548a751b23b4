package otlp

import (
	"bytes"
	"maps"
	"slices"

	"github.com/enawatch/enawatch/agent/metric"
)

// streams are the cumulative series that have begun, by name and place. With
// deltas there are none.
type streams struct {
	resource []byte // that they are of, as it is sent
	known    map[string]*stream
}

// stream is what one series has come to.
type stream struct {
	series metric.Series // without samples
	at     place
	start  uint64 // ns since 1970
	total  float64
	spread histogram
	told   uint64 // end of the newest window that has a point, in ns since 1970
}

// begin forgets the streams of another resource, and of places that are gone: to
// whoever receives them, what comes now are other series.
func (all *streams) begin(resource []byte, places []place) {
	if !bytes.Equal(resource, all.resource) {
		all.resource, all.known = resource, map[string]*stream{}
	}
	maps.DeleteFunc(all.known, func(_ string, s *stream) bool {
		return !slices.ContainsFunc(places, func(p place) bool { return p.id == s.at.id })
	})
}

// add counts what a series came to in a window, and puts its points into p.
func (all *streams) add(p *packer, s *metric.Series, at place) {
	if s.Kind == metric.Gauge && (s.Whole || p.o.Distribution != Histogram) {
		return // there is nothing to add up
	}
	key := s.Name + " " + at.id
	st := all.known[key]
	if st == nil {
		st = &stream{series: *s, at: at, start: p.span.start}
		st.series.Samples = nil
		all.known[key] = st
		st.publish(p, p.span.start)
	}
	st.total += s.Sum()
	if p.o.Distribution == Histogram && !s.Whole {
		for _, v := range s.Samples {
			st.spread.add(v)
		}
	}
	st.publish(p, p.span.end)
}

// unchanged puts points of the streams into p that have nothing new.
func (all *streams) unchanged(p *packer) {
	for _, key := range slices.Sorted(maps.Keys(all.known)) {
		if s := all.known[key]; s.told != p.span.end {
			s.publish(p, p.span.end)
		}
	}
}

// publish puts what the stream came to by a time into p.
func (s *stream) publish(p *packer, now uint64) {
	t := span{s.start, now}
	s.told = now
	if s.series.Kind == metric.Counter {
		p.add(Cumulative.sum(&s.series), appendNumber(p.bodies, s.total, s.series.Unit, t, s.at.attributes))
	}
	if p.o.Distribution == Histogram && !s.series.Whole {
		p.add(Cumulative.distribution(&s.series), s.spread.appendPoint(p.bodies, t, Cumulative, s.at.attributes))
	}
}
