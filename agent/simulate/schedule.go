package simulate

import (
	"math/bits"
	"slices"
	"time"
)

// script is how far the scenario has come.
type script struct {
	start, cycle time.Time // of the scenario, of its repetition
	pending      []pending // by position in Scenario.steps
	rates        []*rate
	done         bool
}

// pending is a step that has happened or has not.
type pending struct {
	happened bool
	due      time.Time // zero: not by time, or not known yet
}

// rate is growth under way.
type rate struct {
	*step
	start    time.Time     // by time
	paid     time.Duration // for how long it has grown, by time
	left     int           // readings, by readings
	resolved *layout       // for which at holds
	at       [][]int       // positions, by amount
}

func newScript(s *Scenario, now time.Time) script {
	sc := script{start: now, pending: make([]pending, len(s.steps))}
	sc.begin(s, now)
	return sc
}

// begin makes every step pending, for a cycle that starts now.
func (sc *script) begin(s *Scenario, now time.Time) {
	sc.cycle = now
	for i := range s.steps {
		sc.pending[i] = pending{}
		if w := s.steps[i].when; w.read == 0 && !w.relative {
			sc.pending[i].due = now.Add(w.time)
		}
	}
}

// Advance makes happen what is due by the clock, and says when more will be;
// ok is false if nothing will until the next reading.
func (m *Machine) Advance() (next time.Time, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock.Now()
	m.advance(now)
	m.checkDone(now)
	if i := m.earliest(); i >= 0 {
		next, ok = m.pending[i].due, true
	}
	if e := m.scenario.end.at; e > 0 && !m.done {
		if at := m.start.Add(e); !ok || at.Before(next) {
			next, ok = at, true
		}
	}
	if r := m.scenario.repeat; r > 0 && !ok {
		next, ok = m.cycle.Add(r), true
	}
	return next, ok
}

// earliest returns the step that is the next by time, or -1.
func (m *Machine) earliest() int {
	first := -1
	for i := range m.pending {
		p := &m.pending[i]
		if p.happened || p.due.IsZero() {
			continue
		}
		if first < 0 || p.due.Before(m.pending[first].due) {
			first = i
		}
	}
	return first
}

// advance makes happen, in order, what is due by now.
func (m *Machine) advance(now time.Time) {
	for {
		i := m.earliest()
		if i >= 0 && !m.pending[i].due.After(now) {
			due := m.pending[i].due
			m.accrue(due)
			m.happen(i, due)
			continue
		}
		r := m.scenario.repeat
		if r == 0 || i >= 0 || m.cycle.Add(r).After(now) {
			break
		}
		m.accrue(m.cycle.Add(r))
		m.begin(m.scenario, m.cycle.Add(r))
	}
	m.accrue(now)
}

// read counts a reading of d and makes happen what the script has for it.
func (m *Machine) read(d *device) {
	now := m.clock.Now()
	d.count.Reads++
	for i := range m.pending {
		w := m.scenario.steps[i].when
		if !m.pending[i].happened && w.read > 0 && m.devices[w.of] == d && w.read <= d.count.Reads {
			m.happen(i, now)
		}
	}
	m.advance(now) // for steps 0s after these
	for _, r := range m.rates {
		if r.readings > 0 && r.left > 0 && m.devices[r.when.of] == d {
			r.left--
			for i, a := range r.amounts {
				m.growRate(r, i, a.n)
			}
		}
	}
	m.dropRates(now)
}

// happen makes step i happen at the time now.
func (m *Machine) happen(i int, now time.Time) {
	st := &m.scenario.steps[i]
	m.pending[i].happened = true
	if next := i + 1; next < len(m.pending) && m.scenario.steps[next].when.relative {
		m.pending[next].due = now.Add(m.scenario.steps[next].when.time)
	}
	m.do(st, now)
	m.noteOver()
}

func (m *Machine) do(st *step, now time.Time) {
	if st.do == doKernel {
		m.oldKernel = st.old
		return
	}
	d := m.devices[st.device]
	a := d.adapter
	if st.do == doRate {
		m.rates = append(m.rates, &rate{step: st, start: now, left: st.readings, at: make([][]int, len(st.amounts))})
		return
	}
	if (st.do == doAttach) == (a != nil) {
		return
	}
	switch st.do {
	case doAdd:
		for _, am := range st.amounts {
			for _, i := range a.find(am.stat) {
				a.grow(i, am.n)
			}
		}
	case doSet:
		for _, am := range st.amounts {
			a.put(am.stat, am.n)
		}
	case doFault:
		a.fault = st.fault
	case doReset:
		a.reset(st.cause)
	case doQueues:
		a.setQueues(st.queues)
	case doRename:
		old := a.name
		a.name, d.lastName = st.name, st.name
		m.linkChanged(a, LinkChange{Old: old, New: st.name, MAC: d.mac})
	case doDetach:
		d.unplug()
		m.linkChanged(a, LinkChange{Old: a.name, MAC: d.mac})
	case doAttach:
		m.plug(d)
		m.linkChanged(d.adapter, LinkChange{New: d.adapter.name, MAC: d.mac})
	}
}

// accrue lets rates by time grow until now.
func (m *Machine) accrue(now time.Time) {
	for _, r := range m.rates {
		if r.readings > 0 {
			continue
		}
		elapsed := min(now.Sub(r.start), r.duration)
		if elapsed <= 0 {
			continue
		}
		for i, a := range r.amounts {
			m.growRate(r, i, a.in(elapsed)-a.in(r.paid))
		}
		r.paid = elapsed
	}
	m.dropRates(now)
}

// in returns what a rate a second comes to in d. Both are bounded (maxAmount,
// maxDuration), so that the quotient fits.
func (a amount) in(d time.Duration) uint64 {
	hi, lo := bits.Mul64(a.n, uint64(d))
	q, _ := bits.Div64(hi, lo, uint64(time.Second))
	return q
}

// growRate grows the stats of r's amount i by n each.
func (m *Machine) growRate(r *rate, i int, n uint64) {
	a := m.devices[r.device].adapter
	if a == nil || n == 0 {
		return
	}
	if r.resolved != a.layout {
		for j, am := range r.amounts {
			r.at[j] = a.find(am.stat)
		}
		r.resolved = a.layout
	}
	for _, at := range r.at[i] {
		a.grow(at, n)
	}
}

// dropRates forgets rates that are over.
func (m *Machine) dropRates(now time.Time) {
	before := len(m.rates)
	m.rates = slices.DeleteFunc(m.rates, func(r *rate) bool {
		if r.readings > 0 {
			return r.left == 0
		}
		return !now.Before(r.start.Add(r.duration))
	})
	if len(m.rates) < before {
		m.noteOver()
	}
}

// noteOver remembers how often each device was read when the latest thing was
// over.
func (m *Machine) noteOver() {
	for _, d := range m.devices {
		d.readsDone = d.count.Reads
	}
}

// Done reports whether the script is done: see "End" in the package's text.
func (m *Machine) Done() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.done
}

func (m *Machine) checkDone(now time.Time) {
	if m.done || m.scenario.repeat > 0 {
		return
	}
	if at := m.scenario.end.at; at > 0 {
		m.done = !now.Before(m.start.Add(at))
		return
	}
	if len(m.rates) > 0 {
		return
	}
	for i := range m.pending {
		if !m.pending[i].happened {
			return
		}
	}
	for _, d := range m.devices {
		if d.adapter != nil && d.count.Reads < d.readsDone+m.scenario.end.readings {
			return
		}
	}
	m.done = true
}
