// Package delta turns readings into deltas: what each counter truly grew by
// since the reading that was believed last.
//
// Its rules, per interface and group of stats:
//
//   - The first reading is a baseline and yields nothing, unless the arrival of
//     the interface was seen: then its counters started at 0.
//   - A counter that fell has started again. For the card's counters that must
//     be true: it is accepted if something else says that the device was reset
//     (its mark of resets moved, or the network device is a new one), or if the
//     card answers with a living gauge beside the zeros, or if the next reading
//     confirms it. The new value is the delta. Until then the reading is
//     suspect and the baseline stays.
//   - If all of the card's counters come back to at least where they were after
//     zeros that nothing explained, the zeros were no reset.
//   - A counter cannot grow faster than any card can count: such a reading is
//     suspect too.
//   - No delta is negative, and none wraps.
package delta

import (
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// Tracker keeps the lives of all interfaces that were seen since the agent
// started, or that its baselines tell of. It is not safe for concurrent use.
type Tracker struct {
	bootID string
	lives  map[Key]*Life
}

// NewTracker returns a tracker for this boot that goes on from baselines.
func NewTracker(bootID string, baselines []Baseline) *Tracker {
	t := &Tracker{bootID: bootID, lives: make(map[Key]*Life, len(baselines))}
	for _, b := range baselines {
		t.lives[b.Key] = restore(b)
	}
	return t
}

// Life returns what is known of the interface i, which the kernel now knows
// under index. attached says that its arrival was seen, which also counts if it
// was said before and no reading came since.
func (t *Tracker) Life(i metric.Interface, index int, attached bool) *Life {
	key := KeyOf(i)
	l, known := t.lives[key]
	switch {
	case !known:
		l = &Life{key: key}
		t.lives[key] = l
	case l.bootID != t.bootID:
		l.beginAnew()
	case l.index != index:
		for g := range l.groups {
			l.groups[g].moved = true
		}
	}
	attached = attached || l.attached && l.index == index && l.have == (ena.Set{})
	l.index, l.bootID, l.attached = index, t.bootID, attached
	return l
}

// Baselines returns a baseline of every life, to be restored by NewTracker. wall
// is the time of the newest readings.
func (t *Tracker) Baselines(wall time.Time) []Baseline {
	all := make([]Baseline, 0, len(t.lives))
	for _, l := range t.lives {
		if l.have == (ena.Set{}) {
			continue // never read
		}
		if l.read {
			l.seenAt, l.read = wall, false
		}
		values := l.baseline()
		all = append(all, Baseline{
			Key: l.key, BootID: l.bootID, Index: l.index, At: l.seenAt,
			Values: byName(l.have, &values), Totals: byName(l.have, &l.total),
		})
	}
	return all
}

// Forget drops the lives of interfaces that are neither present nor were known
// after oldest, and hands them to f: an instance may meet thousands of ENIs.
func (t *Tracker) Forget(oldest time.Time, present func(Key) bool, f func(Key)) {
	for k, l := range t.lives {
		if !l.read && l.seenAt.Before(oldest) && !present(k) {
			delete(t.lives, k)
			f(k)
		}
	}
}
