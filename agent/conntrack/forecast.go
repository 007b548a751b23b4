package conntrack

import "time"

const (
	// readings is how many of them the growth is measured by, and fewest how many
	// it takes to say anything.
	readings, fewest = 60, 10
	// firm is how many readings in a row must be alarming for a warning, and calm
	// how many must not be for its end.
	firm, calm = 3, 60
	// half, most and enough are shares of a table, in percent: below half of it
	// growth alarms nobody, above most any use does, and below enough it is over.
	half, most, enough = 50, 90, 80
)

// turn is what a reading changes.
type turn uint8

const (
	stays turn = iota
	begins
	ends
)

// forecast follows one table.
type forecast struct {
	warn time.Duration
	use  Use

	ring  [readings]reading
	n     int // readings so far
	alarm int // alarming readings in a row
	quiet int // readings in a row that are not
}

type reading struct {
	at      time.Duration
	entries uint64
}

// add takes a reading into account, made at the monotonic time at, and says
// whether a warning begins or ends with it. What is not known leaves
// the warning as it is.
func (f *forecast) add(at time.Duration, entries, size uint64, known bool) turn {
	if !known || size == 0 {
		f.alarm, f.use = 0, Use{Near: f.use.Near}
		return stays
	}
	f.ring[f.n%readings] = reading{at, entries}
	f.n++
	near := f.use.Near
	f.use = Use{Known: true, Entries: entries, Max: size, Free: size - min(entries, size), PerSecond: f.growth(), Near: near}
	used := func(percent float64) bool { return float64(entries)*100 >= float64(size)*percent }
	if f.use.PerSecond > 0 && used(half) {
		if s := float64(f.use.Free) / f.use.PerSecond; s < Horizon.Seconds() {
			f.use.Full = max(time.Duration(s*float64(time.Second)), time.Second)
		}
	}
	soon := func(d time.Duration) bool { return f.use.Full > 0 && f.use.Full < d }
	f.alarm++
	if !soon(f.warn) && !used(most) {
		f.alarm = 0
	}
	f.quiet++
	if soon(2*f.warn) || used(enough) {
		f.quiet = 0
	}
	switch {
	case !near && f.alarm >= firm:
		f.use.Near = true
		return begins
	case near && f.quiet >= calm:
		f.use.Near = false
		return ends
	}
	return stays
}

// growth is the slope of the straight line through the readings that fits best,
// in entries a second.
func (f *forecast) growth() float64 {
	n := min(f.n, readings)
	if n < fewest {
		return 0
	}
	oldest := f.ring[(f.n-n)%readings]
	var x, y, xx, xy float64
	for k := range n {
		r := f.ring[(f.n-n+k)%readings]
		dx, dy := (r.at - oldest.at).Seconds(), float64(r.entries)-float64(oldest.entries)
		x, y, xx, xy = x+dx, y+dy, xx+dx*dx, xy+dx*dy
	}
	d := float64(n)*xx - x*x
	if d <= 0 {
		return 0
	}
	return (float64(n)*xy - x*y) / d
}
