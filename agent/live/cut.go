package live

import (
	"slices"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// cut is what there is to tell of the seconds since the last Cut.
type cut struct {
	tick     uint64 // how many seconds there were by then
	event    uint64 // number of the newest event by then
	last     int64  // the newest second by then, or since; 0 before the first
	from     int64  // the newest second by then
	happened bool   // since then
	again    bool   // since then only the rest of the newest second before
}

// missed takes note of a second, and whether it does not follow the last one.
func (c *cut) missed(at int64, step time.Duration) {
	c.happened = c.happened || c.last != 0 && at != c.last+int64(step/time.Second)
	c.last = at
}

// notice takes note of whether a second of an interface is worth to be kept: it
// was not read or not believed, something was exceeded or unwell, or the
// connections left are another number than is known, by more than an eighth.
func (r *Row) notice(slot int) {
	c := &r.history.cut
	if state := r.states[slot]; state != Valid && state != Absent {
		c.happened = true
	}
	for n, s := range kept {
		switch e := s.Entry(); {
		case !r.has[n] || e.Group == ena.SRD:
		case e.Kind == metric.Counter:
			c.happened = c.happened || r.pending[n] != 0
		case s == ena.ConntrackAllowanceAvailable:
			off := max(r.pending[n], r.room) - min(r.pending[n], r.room)
			c.happened = c.happened || !r.roomKnown || off > r.room/8
		}
	}
}

// End puts what was read since the newest second into that: the agent ends, and
// the next one may begin in the second that follows. If there was no second, at is
// the one.
func (h *History) End(at time.Time) {
	if h == nil {
		return
	}
	h.mu.Lock()
	none := h.seconds == 0
	h.mu.Unlock()
	if none {
		h.EndSecond(at)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cut.again = h.tick == h.cut.tick
	for _, r := range h.rows {
		r.end(h.newest)
	}
}

// end adds what is pending to a second that has ended, the newest.
func (r *Row) end(slot int) {
	before := r.states[slot]
	if r.read && before == Missed {
		r.states[slot] = r.state
	}
	r.notice(slot)
	for n, s := range kept {
		r.rest[n], r.hasRest[n] = r.pending[n], r.has[n]
		old := r.valueIn(n, before)
		v, has := r.pending[n], r.has[n]
		if old != none && s.Entry().Kind == metric.Counter {
			v += uint64(old)
		}
		if !has && old != none {
			v, has = uint64(old), true
		}
		if c := r.columns[n]; c != nil {
			c.takeBack(r.history.tick)
		}
		r.put(n, slot, v, has)
		r.pending[n], r.has[n] = 0, false
	}
	r.read = false
}

// valueIn returns what a stat came to in the newest second, whose state is s.
func (r *Row) valueIn(at int, s State) uint32 {
	if c := r.columns[at]; c != nil {
		p := c.newest()
		return p.at(r.history.tick, s)
	}
	if r.known[at] && s == Valid {
		return 0
	}
	return none
}

// Cut returns the seconds since the last Cut as a Document, with values of every
// stat that grew, and the events since then. Times is empty if nothing happened in
// these seconds, and the Document is nil if there is no event either; always has
// the seconds told in any case, with values of every stat. from is the newest second of the Cut before, 0 if this is the first.
func (h *History) Cut(always bool) (d *Document, from int64) {
	if h == nil {
		return nil, 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &h.cut
	from = c.from
	seconds, tell := int(h.tick-c.tick), c.happened || always
	if c.again {
		seconds = 1
	}
	events := h.nextSeq-1 > c.event
	if !tell && !events {
		*c = cut{tick: h.tick, event: c.event, last: c.last, from: c.last}
		return nil, from
	}
	d = &Document{Step: h.step.Seconds(), Events: h.eventsAfter([]Event{}, c.event)}
	if tell {
		d.Times = h.last([]int64{}, seconds)
		for _, r := range h.rows {
			if i, ok := r.cut(d.Times, always); ok {
				d.Interfaces = append(d.Interfaces, i)
			}
		}
	}
	*c = cut{tick: h.tick, event: h.nextSeq - 1, last: c.last, from: c.last}
	return d, from
}

// cut returns the newest seconds of an interface, with all of its stats or without
// other counters that did not grow, and false if it was in none of them.
func (r *Row) cut(times []int64, all bool) (i Interface, there bool) {
	i, there = r.describe(len(times))
	for at, s := range kept {
		if !r.known[at] {
			continue
		}
		values := make(Values, len(times))
		r.fill(values, at, 0)
		if r.history.cut.again {
			values[0] = r.restOf(at)
		}
		grew := slices.ContainsFunc(values, func(v uint32) bool { return v != none && v != 0 })
		switch {
		case at < len(Tracked):
			i.Allowances = append(i.Allowances, Allowance{Name: s.String(), Values: values})
		case grew || all:
			i.Counters = append(i.Counters, Counter{Name: s.String(), Values: values})
		}
		if s == ena.ConntrackAllowanceAvailable && len(values) > 0 && values[len(values)-1] != none {
			r.room, r.roomKnown = uint64(values[len(values)-1]), true
		}
	}
	return i, there
}

// restOf is what was read of a stat after its newest second ended.
func (r *Row) restOf(at int) uint32 {
	if !r.hasRest[at] {
		return none
	}
	return clip(r.rest[at])
}
