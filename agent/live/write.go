package live

import (
	"encoding/json"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// Writer writes Documents as json.Marshal would, each as a line, out of what the
// history has and into the same memory each time: a page that is kept up to date
// every second must neither fill the heap nor have the garbage collector run. It
// serves one goroutine.
type Writer struct {
	source *Source
	b      []byte
	values Values
	times  []int64
	events []Event
	// What does not change each second, as of a mark: head is a document's
	// beginning, and rest what stands between the events and the interfaces.
	head, rest []byte
	asOf       Mark
	known      bool
}

// Writer returns one of the source's documents.
func (s *Source) Writer() *Writer { return &Writer{source: s} }

const (
	// settled is how long what is known of the host and its sinks is taken for
	// right, unless something happens.
	settled = 15 * time.Second
	// keepRoom is how much memory a Writer keeps from one document for the next, in
	// bytes: a second of sixteen interfaces takes less.
	keepRoom = 4 << 10
)

// Write writes a Document of the newest seconds, as many as asked for at most,
// and of the events after a mark, and returns how far it goes. It holds one
// interface in memory at a time.
func (w *Writer) Write(to io.Writer, seconds int, after Mark) (Mark, error) {
	m := w.begin(seconds, after.Event)
	first := true
	for n := range w.source.History.size() {
		if !w.interfaceAt(n, first) {
			continue
		}
		first = false
		if err := w.flush(to); err != nil {
			return m, err
		}
	}
	w.b = append(w.b, "]}\n"...)
	err := w.flush(to)
	if cap(w.b) > keepRoom {
		w.b = nil
	}
	if cap(w.values) > keepRoom/4 {
		w.values, w.times = nil, nil
	}
	return m, err
}

// flush writes what there is, if that is worth it or the last of it.
func (w *Writer) flush(to io.Writer) error {
	if len(w.b) < keepRoom/2 && w.b[len(w.b)-1] != '\n' {
		return nil
	}
	_, err := to.Write(w.b)
	w.b = w.b[:0]
	return err
}

// begin begins a document, up to its interfaces.
func (w *Writer) begin(seconds int, afterEvent uint64) Mark {
	h := w.source.History
	w.learn(h.Mark())
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.mark()
	b := append(w.b[:0], w.head...)
	b = number(append(b, `,"step":`...), h.step.Seconds())
	b = strconv.AppendUint(append(b, `,"tick":`...), m.Tick, 10)
	b = strconv.AppendUint(append(b, `,"last_event":`...), m.Event, 10)
	w.times = h.last(w.times[:0], seconds)
	b = append(b, `,"times":`...)
	b = list(b, w.times, func(b []byte, t *int64) []byte { return strconv.AppendInt(b, *t, 10) })
	w.events = h.eventsAfter(w.events[:0], afterEvent)
	b = list(append(b, `,"events":`...), w.events, appendEvent)
	clear(w.events) // their texts are not to be kept
	if room, ok := h.headroom(); ok {
		b = strconv.AppendUint(append(b, `,"conntrack":{"available":`...), room.Available, 10)
		b = number(append(b, `,"slope":`...), room.Slope)
		if room.SecondsLeft != 0 {
			b = number(append(b, `,"seconds_left":`...), room.SecondsLeft)
		}
		b = append(b, '}')
	}
	w.b = append(append(b, w.rest...), `,"interfaces":[`...)
	return m
}

// learn brings up to date what is taken for right for a while.
func (w *Writer) learn(m Mark) {
	s := w.source
	if w.known && m.Event == w.asOf.Event && time.Duration(m.Tick-w.asOf.Tick)*s.History.step < settled {
		return
	}
	w.asOf, w.known = m, true
	resource, self := s.Describe()
	b := text(append(w.head[:0], `{"host":`...), resource.Host)
	if resource.InstanceID != "" {
		b = text(append(b, `,"instance_id":`...), resource.InstanceID)
	}
	b = strconv.AppendBool(append(b, `,"simulated":`...), resource.Simulated)
	w.head = text(append(b, `,"version":`...), s.Version)
	b = w.rest[:0]
	if s.LinkLocal != nil {
		if l := linkLocal(s.LinkLocal()); l != nil {
			b = marshal(append(b, `,"linklocal":`...), l)
		}
	}
	s.History.mu.Lock()
	defer s.History.mu.Unlock()
	w.rest = list(append(b, `,"sinks":`...), sinksOf(self, s.History.problems), appendSink)
}

// interfaceAt writes the n-th interface, and reports false if there is none, or
// nothing of it in the document's seconds.
func (w *Writer) interfaceAt(n int, first bool) bool {
	h := w.source.History
	h.mu.Lock()
	defer h.mu.Unlock()
	if n >= len(h.rows) {
		return false
	}
	r := h.rows[n]
	newer := h.newer(w.times)
	if !r.there(newer, len(w.times)) {
		return false
	}
	b := w.b
	if !first {
		b = append(b, ',')
	}
	b = text(append(b, `{"name":`...), r.iface.Name)
	b = text(append(b, `,"mac":`...), r.iface.MAC)
	b = text(append(b, `,"bus_info":`...), r.iface.BusInfo)
	if r.iface.ENI != "" {
		b = text(append(b, `,"eni":`...), r.iface.ENI)
	}
	b = text(append(b, `,"driver_version":`...), r.iface.DriverVersion)
	if r.iface.Link != "" {
		b = text(append(b, `,"link":`...), r.iface.Link)
	}
	if pods := podsOf(r.iface); len(pods) > 0 {
		b = list(append(b, `,"pods":`...), pods, func(b []byte, pod *string) []byte { return text(b, *pod) })
	}
	if r.left {
		b = append(b, `,"left":true`...)
	}
	b = text(append(b, `,"verdict":`...), r.judgement())
	if r.reason != "" {
		b = text(append(b, `,"reason":`...), string(r.reason))
	}
	b = append(b, `,"states":"`...)
	for ago := newer + len(w.times) - 1; ago >= newer; ago-- {
		b = append(b, byte(r.stateAt(ago)))
	}
	b = w.allowances(append(b, `","allowances":`...), r, newer)
	w.b = append(r.counters(append(b, `,"counters":`...)), '}')
	return true
}

// allowances appends those of a row, or null if it has none.
func (w *Writer) allowances(b []byte, r *Row, newer int) []byte {
	if cap(w.values) < len(w.times) {
		w.values = make(Values, len(w.times))
	}
	v := w.values[:len(w.times)]
	before := byte('[')
	for at, s := range Tracked {
		if !r.known[at] {
			continue
		}
		b = text(append(append(b, before), `{"name":`...), s.String())
		b = strconv.AppendUint(append(b, `,"sum":`...), r.sum[s], 10)
		worst, when := r.worst(at)
		b = strconv.AppendUint(append(b, `,"worst":`...), worst, 10)
		if when != 0 {
			b = strconv.AppendInt(append(b, `,"worst_at":`...), when, 10)
		}
		r.fill(v, at, newer)
		b = append(v.append(append(b, `,"values":`...)), '}')
		before = ','
	}
	if before == '[' {
		return append(b, "null"...)
	}
	return append(b, ']')
}

// counters appends the other counters that grew.
func (r *Row) counters(b []byte) []byte {
	before := byte('[')
	for s := range ena.Stat(ena.NumStats) {
		e := s.Entry()
		if !r.have.Has(s) || r.sum[s] == 0 || e.Kind != metric.Counter || e.Internal || slices.Contains(Tracked, s) {
			continue
		}
		b = text(append(append(b, before), `{"name":`...), s.String())
		b = append(strconv.AppendUint(append(b, `,"sum":`...), r.sum[s], 10), '}')
		before = ','
	}
	if before == '[' {
		b = append(b, before)
	}
	return append(b, ']')
}

func appendEvent(b []byte, e *Event) []byte {
	b = strconv.AppendUint(append(b, `{"seq":`...), e.Seq, 10)
	b = number(append(b, `,"at":`...), e.At)
	b = text(append(b, `,"kind":`...), e.Kind)
	if e.Interface != "" {
		b = text(append(b, `,"interface":`...), e.Interface)
	}
	if e.Sink != "" {
		b = text(append(b, `,"sink":`...), e.Sink)
	}
	b = text(append(b, `,"text":`...), e.Text)
	if e.By != 0 {
		b = number(append(b, `,"by":`...), e.By)
	}
	return append(b, '}')
}

func appendSink(b []byte, s *Sink) []byte {
	b = text(append(b, `{"name":`...), s.Name)
	if s.LastSuccess != 0 {
		b = number(append(b, `,"last_success":`...), s.LastSuccess)
	}
	if s.OldestWaiting != 0 {
		b = number(append(b, `,"oldest_waiting":`...), s.OldestWaiting)
	}
	b = number(append(b, `,"waiting":`...), s.Waiting)
	b = number(append(b, `,"waiting_bytes":`...), s.WaitingBytes)
	b = number(append(b, `,"delivered":`...), s.Delivered)
	b = number(append(b, `,"ambiguous":`...), s.Ambiguous)
	b = number(append(b, `,"dropped":`...), s.Dropped)
	if len(s.DroppedBy) > 0 {
		b = marshal(append(b, `,"dropped_by":`...), s.DroppedBy)
	}
	b = number(append(b, `,"failed":`...), s.Failed)
	if s.Problem != "" {
		b = text(append(b, `,"problem":`...), s.Problem)
	}
	return append(b, '}')
}

// list appends an array.
func list[T any](b []byte, of []T, one func([]byte, *T) []byte) []byte {
	b = append(b, '[')
	for n := range of {
		if n > 0 {
			b = append(b, ',')
		}
		b = one(b, &of[n])
	}
	return append(b, ']')
}

// append appends numbers and nulls.
func (v Values) append(b []byte) []byte {
	return list(b, v, func(b []byte, x *uint32) []byte {
		if *x == none {
			return append(b, "null"...)
		}
		return strconv.AppendUint(b, uint64(*x), 10)
	})
}

// text appends a string. Names and most texts need no escape.
func text(b []byte, s string) []byte {
	for n := range len(s) {
		if c := s[n]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return marshal(b, s)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// number appends a number; null for one that is not finite, which JSON has no
// word for.
func number(b []byte, f float64) []byte {
	switch a := math.Abs(f); {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(b, "null"...)
	case a != 0 && (a < 1e-6 || a >= 1e21):
		return marshal(b, f)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

// marshal appends what is rare.
func marshal(b []byte, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, finite numbers, and maps and structs of them
	}
	return append(b, text...)
}
