package otlp

import (
	"slices"
	"time"
)

// totals are the cumulative sums of all streams.
type totals struct {
	streams []*stream // in the order in which they began
	// resource is what they are of, and end how far they reach.
	resource string
	end      time.Time
}

// stream is one cumulative sum.
type stream struct {
	name, unit string
	// where has the attributes of its points, and key tells these from others.
	where attributes
	key   string
	start time.Time
	value float64
}

// begin prepares for a window from start to end, in which there are interfaces
// with the given attributes. Streams end here that another resource had, or an
// interface that is no more, and all of them if time went back: points of one
// stream must follow each other.
func (t *totals) begin(resource string, end time.Time, interfaces []attributes) {
	if resource != t.resource || !end.After(t.end) {
		t.streams = nil
	}
	t.resource, t.end = resource, end
	present := map[string]bool{"": true}
	for _, a := range interfaces {
		present[a.key()] = true
	}
	t.streams = slices.DeleteFunc(t.streams, func(s *stream) bool { return !present[s.key] })
}

// add adds what a counter grew by in the window that begins at start.
func (t *totals) add(name, unit string, where attributes, start time.Time, value float64) {
	key := where.key()
	i := slices.IndexFunc(t.streams, func(s *stream) bool { return s.name == name && s.key == key })
	if i < 0 {
		i = len(t.streams)
		t.streams = append(t.streams, &stream{name: name, unit: unit, where: where, key: key, start: start})
	}
	t.streams[i].value += value
}
