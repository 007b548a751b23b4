// Package live is what the agent remembers of the last minutes, second by second:
// for people who look at it, half an hour; else the open window, of which the
// state file gets what was not zero. Its memory is bounded, and to add a second
// allocates nothing.
package live

import (
	"sync"
	"time"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// Bounds. Sixteen interfaces whose every allowance is exceeded in every second, by
// thousands of packets, take 0.5 MB.
const (
	// Span is how far back the history goes for people who look.
	Span = 30 * time.Minute
	// maxEvents is how many events are kept; the oldest go first.
	maxEvents = 512
	// maxRows is how many interfaces are remembered, those that left included.
	maxRows = 64
)

// none stands in a column for a second without a value.
const none = ^uint32(0)

// State says what became of an interface's reading in one second.
type State byte

// States, by the letter that stands for each in a Document.
const (
	Absent  State = '.' // the interface was not there
	First   State = 'b' // the reading that later ones are compared with
	Valid   State = 'v' // read and believed
	Suspect State = 's' // read and not believed
	Gone    State = 'g' // it could not be read
	Missed  State = 'm' // it was not read in time
)

// Tracked lists the stats that are shown second by second: those that speak of
// an allowance. kept lists those that are remembered: besides, all others that
// windows have, but those of queues.
var Tracked, kept = func() (tracked, kept []ena.Stat) {
	var others []ena.Stat
	for s, e := range ena.Catalogue() {
		switch {
		case e.Allowance != "":
			tracked = append(tracked, ena.Stat(s))
		case !e.Internal && e.Group != ena.Queue:
			others = append(others, ena.Stat(s))
		}
	}
	return tracked, append(tracked[:len(tracked):len(tracked)], others...)
}()

// History is safe for concurrent use.
type History struct {
	step time.Duration
	now  func() time.Time

	mu      sync.Mutex
	times   []int64 // Unix seconds of each slot; a ring
	newest  int     // slot of the newest second; -1 before the first
	seconds int     // how many slots are in use
	tick    uint64  // how many seconds there were
	rows    []*Row

	events   []Event // a ring, once it is full
	nextSeq  uint64
	problems map[string]string // what is wrong with each sink, by name

	watchers map[chan struct{}]struct{}
	cut      cut
}

// New returns an empty history of the last span, in seconds that are step apart.
// now is the wall clock.
func New(span, step time.Duration, now func() time.Time) *History {
	return &History{
		step: step, now: now, newest: -1, times: make([]int64, max(1, int(span/step))),
		nextSeq: 1, problems: map[string]string{}, watchers: map[chan struct{}]struct{}{},
	}
}

// Row is one interface in the history.
type Row struct {
	history   *History
	iface     metric.Interface
	left      bool
	read      bool // this second
	state     State
	verdict   ena.Verdict
	reason    ena.Reason
	judged    bool
	states    []State   // a ring, as times
	columns   []*column // by index in kept; nil while all values are 0
	pending   []uint64  // this second's values, by index in kept
	has       []bool    // which of them there are
	known     []bool    // which the interface ever had
	sum       [ena.NumStats]uint64
	have      ena.Set
	unhealthy ena.Set // health counters that grew in the last reading
	grown     ena.Set // in this one
	room      uint64  // connections left, as the last Document of Cut says
	roomKnown bool
	// rest are the values that End added to the newest second.
	rest    []uint64
	hasRest []bool
}

// Add makes room for an interface, or goes on with the row of one that left. A
// nil history keeps nothing and returns nil.
func (h *History) Add(i metric.Interface) *Row {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cut.happened = true
	for _, r := range h.rows {
		if r.left && r.iface.MAC == i.MAC && r.iface.BusInfo == i.BusInfo {
			r.left, r.iface, r.judged = false, i, false
			return r
		}
	}
	r := &Row{
		history: h, iface: i, states: make([]State, len(h.times)), columns: make([]*column, len(kept)),
		pending: make([]uint64, len(kept)), has: make([]bool, len(kept)), known: make([]bool, len(kept)),
		rest: make([]uint64, len(kept)), hasRest: make([]bool, len(kept)),
	}
	for n := range r.states {
		r.states[n] = Absent
	}
	h.rows = append(h.rows, r)
	h.forget()
	return r
}

// forget drops interfaces that left: those of which no second is left, and the
// oldest while there are too many.
func (h *History) forget() {
	for n := 0; n < len(h.rows); n++ {
		r := h.rows[n]
		if r.left && (len(h.rows) > maxRows || r.empty()) {
			h.rows = append(h.rows[:n], h.rows[n+1:]...)
			n--
		}
	}
}

func (r *Row) empty() bool {
	for _, s := range r.states {
		if s != Absent {
			return false
		}
	}
	return true
}

// Leave says that the interface is gone. What it did stays for Span.
func (r *Row) Leave() {
	if r == nil {
		return
	}
	r.history.mu.Lock()
	defer r.history.mu.Unlock()
	r.left, r.history.cut.happened = true, true
}

// Observe takes what a reading came to. result may be nil if it is not valid.
func (r *Row) Observe(i metric.Interface, v ena.Verdict, reason ena.Reason, result *delta.Result) {
	if r == nil {
		return
	}
	h := r.history
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cut.happened = h.cut.happened || r.iface.Name != i.Name || r.iface.ENI != i.ENI
	r.iface, r.verdict, r.reason, r.judged, r.read = i, v, reason, true, true
	r.state = stateOf(v)
	if result == nil {
		return
	}
	r.keep(result)
	r.grown = ena.Set{}
	for s := range ena.Stat(ena.NumStats) {
		if !result.Counted.Has(s) {
			continue
		}
		r.have.Add(s)
		if s.Entry().Kind == metric.Gauge {
			r.sum[s] = result.Values[s]
			continue
		}
		r.sum[s] += result.Values[s]
		if result.Values[s] > 0 && tellsOfHealth(s.Entry()) {
			r.grown.Add(s)
		}
	}
	h.tellGrowth(r, result)
	r.unhealthy = r.grown
}

// keep puts the values of a result into this second.
func (r *Row) keep(result *delta.Result) {
	counted := false
	for n, s := range kept {
		if !result.Counted.Has(s) {
			continue
		}
		value, counter := result.Values[s], s.Entry().Kind == metric.Counter
		if counter && r.has[n] {
			value += r.pending[n]
		}
		r.pending[n], r.has[n], r.known[n] = value, true, true
		counted = counted || counter
	}
	if r.state == Valid && !counted {
		r.state = First
	}
}

// tellsOfHealth reports whether growth of a stat is an event.
func tellsOfHealth(e *ena.Entry) bool {
	return !e.Internal && (e.Group == ena.Driver || e.Group == ena.AdminQueue || e.Group == ena.Clock)
}

func stateOf(v ena.Verdict) State {
	switch v {
	case ena.Valid:
		return Valid
	case ena.Suspect:
		return Suspect
	}
	return Gone
}

// EndSecond closes the second that stands for the wall-clock time at, and wakes
// who waits for it.
func (h *History) EndSecond(at time.Time) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cut.missed(at.Unix(), h.step)
	h.newest = (h.newest + 1) % len(h.times)
	h.seconds = min(h.seconds+1, len(h.times))
	h.tick++
	h.times[h.newest] = at.Unix()
	for _, r := range h.rows {
		r.endSecond(h.newest)
	}
	if h.newest == 0 {
		h.forget()
		for _, r := range h.rows {
			r.shrink()
		}
	}
	for w := range h.watchers {
		select {
		case w <- struct{}{}:
		default: // it has not looked at the last second yet
		}
	}
}

func (r *Row) endSecond(slot int) {
	switch {
	case r.left && (!r.read || r.state == Gone):
		r.states[slot] = Absent // and could not be read for that
	case r.read:
		r.states[slot] = r.state
	default:
		r.states[slot] = Missed
	}
	r.notice(slot)
	for n := range r.columns {
		r.put(n, slot, r.pending[n], r.has[n])
		r.pending[n], r.has[n] = 0, false
	}
	r.read = false
}

// put adds a stat's value, if there is one, to the newest second, whose state is
// in its slot.
func (r *Row) put(at, slot int, value uint64, has bool) {
	v := none
	if has {
		v = clip(value)
	}
	gauge := kept[at].Entry().Kind == metric.Gauge
	if r.columns[at] == nil && has && (gauge || v != 0) {
		r.columns[at] = &column{gauge: gauge, from: r.history.tick}
	}
	if c := r.columns[at]; c != nil {
		c.add(r.history.tick, v, r.states[slot], r.history.oldest())
	}
}

// clip makes a number fit.
func clip(v uint64) uint32 { return uint32(min(v, uint64(none-1))) }

// shrink gives up what is not needed any more.
func (r *Row) shrink() {
	for n, c := range r.columns {
		if c == nil {
			continue
		}
		if c.shrink(r.history.oldest()); len(c.entries) == 0 && !c.gauge {
			r.columns[n] = nil
		}
	}
}

// oldest returns the tick of the second before the oldest in the ring.
func (h *History) oldest() uint64 { return h.tick - uint64(h.seconds) }

// Mark says how far somebody has looked: the number of the newest second and of
// the newest event, both from 1.
type Mark struct{ Tick, Event uint64 }

// Mark returns the newest.
func (h *History) Mark() Mark {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mark()
}

func (h *History) mark() Mark { return Mark{h.tick, h.nextSeq - 1} }

// Watch returns a channel that is signalled when a second ended or something
// happened, until stop is called.
func (h *History) Watch() (wake <-chan struct{}, stop func()) {
	w := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers[w] = struct{}{}
	return w, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, w)
	}
}
