package delta

import (
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// maxRate bounds how fast one counter of a card can grow, in packets per
// second. The fastest instances move a few hundred million.
const maxRate = 1_000_000_000

// Reasons for a reading to be suspect although the device seems to have answered.
const (
	Fell       ena.Reason = "counters fell and nothing says that the device was reset"
	AllZero    ena.Reason = "every allowance is zero at once, the connections left too"
	Impossible ena.Reason = "a counter grew faster than any card can count"
)

// Result is what one reading came to. It belongs to its Life, which writes it
// anew for each reading.
type Result struct {
	// Verdict is Valid or Suspect, and Reason says why it is suspect.
	Verdict ena.Verdict
	Reason  ena.Reason
	// Counted are the stats that have a value here: a delta for counters, the
	// level for gauges. A suspect reading may still have some, of groups that
	// are beyond doubt.
	Counted ena.Set
	Values  [ena.NumStats]uint64
	// Restarted is true if counters of the card were found to have started
	// again, and Undone if zeros that had been taken for that turned out to be
	// none.
	Restarted, Undone bool
}

// group is what a Life remembers of one group of stats.
type group struct {
	at   time.Time // of the last believed reading; zero if that was before a restart of the agent
	mark uint64    // ena.Vector.ResetMark then

	// anew says that the counters began at 0 since the baseline was taken.
	anew bool
	// moved says that the network device may be another one than the
	// baseline's, so that a fall needs no other explanation.
	moved bool

	// doubt holds the values of a fall that waits to be confirmed, and before
	// the baseline under zeros that only their repetition explains.
	doubt, before *[ena.NumStats]uint64
}

// Life is one interface through all restarts of its counters.
type Life struct {
	key    Key
	index  int
	bootID string
	// attached says that the interface's arrival was seen and its first reading
	// is still to come.
	attached bool
	// read says that there was a reading since seenAt, the wall-clock time by
	// which it was known last.
	read   bool
	seenAt time.Time

	have  ena.Set // stats that have a baseline
	base  [ena.NumStats]uint64
	total [ena.NumStats]uint64 // first believed value plus every delta

	groups [ena.NumGroups]group
	result Result
}

func restore(b Baseline) *Life {
	l := &Life{key: b.Key, index: b.Index, bootID: b.BootID, seenAt: b.At}
	l.have, l.base = fromNames(b.Values)
	_, l.total = fromNames(b.Totals)
	v := ena.Vector{Values: l.base, Present: l.have}
	for g := range l.groups {
		l.groups[g].mark = v.ResetMark()
	}
	return l
}

// beginAnew says that every counter began at 0 since its baseline.
func (l *Life) beginAnew() {
	for g := range l.groups {
		l.groups[g].anew = true
	}
}

// reload says that the network device is another one: the driver's counters
// began at 0. What the card counts may go on, as ENA Express does through a
// reload of the driver; it has started again if it fell.
func (l *Life) reload() {
	for g := range l.groups {
		card := ena.Group(g) == ena.Device || ena.Group(g) == ena.SRD
		l.groups[g].anew = l.groups[g].anew || !card
		l.groups[g].moved = true
	}
}

// arrive decides what an arrival that was seen means. A device that was moved
// here from another namespace was taken down there; one that was just attached
// never was, and all its counters are young.
func (l *Life) arrive(v *ena.Vector) {
	newborn := v.Values[ena.InterfaceDown] == 0 && v.Values[ena.InterfaceUp] <= 1
	switch known := l.have != (ena.Set{}); {
	case newborn && !known:
		l.beginAnew()
	case newborn:
		l.reload()
		l.groups[ena.Device].anew = true
	}
	l.attached = false
}

// Total returns what the counter s came to: its first believed value plus every
// delta since; for a gauge, its level. ok is false if s was never read.
func (l *Life) Total(s ena.Stat) (value uint64, ok bool) { return l.total[s], l.have.Has(s) }

// Observe takes a valid reading that was made at the given time, of which only
// differences count, and returns what it came to, until the next call.
func (l *Life) Observe(v *ena.Vector, at time.Time) *Result {
	r := &l.result
	r.Verdict, r.Reason, r.Counted, r.Restarted, r.Undone = ena.Valid, "", ena.Set{}, false, false

	if l.attached {
		l.arrive(v)
	}
	// A new network device has a new admin queue, whose counters start low; one
	// that only went to another namespace and came back still has the old one.
	if s := ena.AdminSubmitted; v.Present.Has(s) && l.have.Has(s) && v.Values[s] < l.base[s] {
		l.reload()
	}
	mark := v.ResetMark()
	for g := range ena.NumGroups {
		l.observeGroup(ena.Group(g), v, at, mark)
	}
	l.read = true
	return r
}

func (l *Life) observeGroup(g ena.Group, v *ena.Vector, at time.Time, mark uint64) {
	if !listed(g, v) {
		return
	}
	state := &l.groups[g]
	// What else than the counters says that they may have started again?
	explained := state.anew || state.moved || mark != state.mark
	found, doubted := l.weigh(g, v, at, explained)
	if doubted != "" {
		l.result.Verdict, l.result.Reason = ena.Suspect, doubted
		return
	}
	switch found {
	case restarted:
		l.result.Restarted = l.result.Restarted || g == ena.Device && l.have.Has(ena.BWInAllowanceExceeded)
		state.before = nil
		if !explained && allZero(g, v) && !alive(g, v) {
			before := l.base
			state.before = &before
		}
		l.rebase(g, &zero)
	case undone:
		l.result.Undone = true
		l.rebase(g, state.before)
		state.before = nil
	case grew:
		if !allZero(g, v) {
			state.before = nil // it does count from 0
		}
	}
	l.count(g, v, state.anew)
	*state = group{at: at, mark: mark, before: state.before}
}

// baseline returns the values to go on from after a restart. While zeros that
// nothing explains stand, those are what was before them: the zeros may be no
// reset yet.
func (l *Life) baseline() [ena.NumStats]uint64 {
	values := l.base
	for g := range l.groups {
		if before := l.groups[g].before; before != nil {
			for _, s := range byGroup[g] {
				values[s] = before[s]
			}
		}
	}
	return values
}

// finding is how the values of a group follow from its baseline.
type finding uint8

const (
	grew      finding = iota // from the baseline
	restarted                // from 0
	undone                   // from the baseline before zeros that were no restart
)

// weigh compares a group with its baseline. doubted is the reason to leave that
// as it is.
func (l *Life) weigh(g ena.Group, v *ena.Vector, at time.Time, explained bool) (f finding, doubted ena.Reason) {
	state := &l.groups[g]
	fell := state.anew || l.fell(g, v, &l.base)
	from := &l.base
	switch {
	case fell:
		f, from = restarted, &zero
	case state.before != nil && !explained && !allZero(g, v) && !l.fell(g, v, state.before):
		f, from = undone, state.before
	}
	if g != ena.Device && g != ena.SRD {
		return f, "" // the driver's own counters are always true
	}
	if l.tooFast(g, v, from, at) {
		return f, Impossible
	}
	if !fell || explained || alive(g, v) && allZero(g, v) {
		return f, ""
	}
	if g == ena.Device && allZero(g, v) && v.Present.Has(ena.ConntrackAllowanceAvailable) {
		// The gauge is 0 too. A host whose table is full counts drops: this is
		// an answer that never came.
		return f, AllZero
	}
	if state.doubt != nil && !l.fell(g, v, state.doubt) {
		return f, "" // said twice
	}
	doubt := v.Values
	state.doubt = &doubt
	return f, Fell
}

// alive reports whether the group has a gauge that shows that the card answered.
func alive(g ena.Group, v *ena.Vector) bool {
	return g == ena.Device && v.Values[ena.ConntrackAllowanceAvailable] > 0
}

var zero [ena.NumStats]uint64

// rebase sets the baseline of a group.
func (l *Life) rebase(g ena.Group, values *[ena.NumStats]uint64) {
	for _, s := range byGroup[g] {
		l.base[s] = values[s]
	}
}

// count writes the deltas of a group into the result and moves its baseline.
func (l *Life) count(g ena.Group, v *ena.Vector, anew bool) {
	for _, s := range byGroup[g] {
		if !v.Present.Has(s) {
			continue
		}
		value := v.Values[s]
		switch {
		case s.Entry().Kind == metric.Gauge:
			l.result.Values[s], l.total[s] = value, value
			l.result.Counted.Add(s)
		case !l.have.Has(s) && !anew:
			l.total[s] = value // first sight
		default:
			d := value - min(l.base[s], value)
			l.result.Values[s] = d
			l.total[s] += d
			l.result.Counted.Add(s)
		}
		l.base[s] = value
		l.have.Add(s)
	}
}

// fell reports whether a counter of the group is below from.
func (l *Life) fell(g ena.Group, v *ena.Vector, from *[ena.NumStats]uint64) bool {
	for _, s := range byGroup[g] {
		if v.Values[s] < from[s] && s.Entry().Kind == metric.Counter && v.Present.Has(s) && l.have.Has(s) {
			return true
		}
	}
	return false
}

// tooFast reports whether a counter of the group grew faster than maxRate.
func (l *Life) tooFast(g ena.Group, v *ena.Vector, from *[ena.NumStats]uint64, at time.Time) bool {
	since := l.groups[g].at
	if since.IsZero() {
		return false // before a restart: how long ago, only the wall clock says
	}
	limit := uint64(maxRate * (1 + at.Sub(since)/time.Second))
	for _, s := range byGroup[g] {
		if v.Values[s] > from[s] && v.Values[s]-from[s] > limit && s.Entry().Kind == metric.Counter && l.have.Has(s) {
			return true
		}
	}
	return false
}

// allZero reports whether every counter of the group is 0.
func allZero(g ena.Group, v *ena.Vector) bool {
	for _, s := range byGroup[g] {
		if v.Values[s] != 0 && s.Entry().Kind == metric.Counter {
			return false
		}
	}
	return true
}

// listed reports whether the driver has any stat of the group.
func listed(g ena.Group, v *ena.Vector) bool {
	for _, s := range byGroup[g] {
		if v.Present.Has(s) {
			return true
		}
	}
	return false
}

var byGroup = func() (stats [ena.NumGroups][]ena.Stat) {
	for i, e := range ena.Catalogue() {
		stats[e.Group] = append(stats[e.Group], ena.Stat(i))
	}
	return stats
}()
