package window

import (
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// series holds the samples of one host or one interface, a column for each stat.
type series struct {
	window  *Window
	columns [ena.NumStats]column
	// pending is this second so far.
	pending ena.Set
	values  [ena.NumStats]uint64
}

// column is one stat's samples. Storage is taken only once a sample is not
// zero, which most counters never see.
type column struct {
	seconds int
	samples []uint64 // nil while all of them are zero
}

// add puts a value into this second. Deltas add up; of two levels the newer
// one counts.
func (s *series) add(st ena.Stat, v uint64) {
	if st.Entry().Kind == metric.Counter && s.pending.Has(st) {
		v += s.values[st]
	}
	s.values[st] = v
	s.pending.Add(st)
}

// addHost puts a value of one interface into this second of the host: deltas
// add up over interfaces, of levels the smallest counts.
func (s *series) addHost(st ena.Stat, v uint64) {
	if st.Entry().Scope == metric.PerInterface {
		return
	}
	if st.Entry().Kind == metric.Gauge && s.pending.Has(st) {
		v = min(v, s.values[st])
	}
	s.add(st, v)
}

func (s *series) endSecond() {
	if s.pending == (ena.Set{}) {
		return
	}
	for st := range ena.Stat(ena.NumStats) {
		if s.pending.Has(st) {
			s.push(st, s.values[st])
		}
	}
	s.pending = ena.Set{}
}

// push appends a sample of a stat.
func (s *series) push(st ena.Stat, v uint64) {
	join := newer
	if st.Entry().Kind == metric.Counter {
		join = sum
	}
	s.columns[st].push(s.window, v, join)
}

func sum(a, b uint64) uint64   { return a + b }
func newer(_, b uint64) uint64 { return b }

// push appends a sample. One that the window has no second for, as after a
// clock that ran slow, joins the last.
func (c *column) push(w *Window, v uint64, join func(last, v uint64) uint64) {
	if c.samples == nil && v != 0 {
		c.samples = w.storage(c.seconds)
	}
	switch full := c.seconds == w.samples; {
	case full && c.samples != nil:
		c.samples[c.seconds-1] = join(c.samples[c.seconds-1], v)
	case !full:
		c.seconds++
		if c.samples != nil {
			c.samples = append(c.samples, v)
		}
	}
}

// storage returns room for a window's samples, the first n of them zero.
func (w *Window) storage(n int) []uint64 {
	var b []uint64
	if last := len(w.free) - 1; last >= 0 {
		b, w.free = w.free[last][:n], w.free[:last]
	} else {
		b = make([]uint64, n, w.samples)
	}
	clear(b)
	return b
}

func (w *Window) release(c *column) {
	if c.samples != nil {
		w.free = append(w.free, c.samples)
	}
	*c = column{}
}

func (c *column) floats() []float64 {
	out := make([]float64, c.seconds)
	for i, v := range c.samples {
		out[i] = float64(v)
	}
	return out
}

// nonZero counts the samples that are not zero.
func (c *column) nonZero() (n uint64) {
	for _, v := range c.samples {
		if v != 0 {
			n++
		}
	}
	return n
}
