// Package window gathers one publish interval's deltas, second by second, and
// hands them over as a batch.
package window

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// MaxSamples is how many seconds a window can hold: an EMF document carries at
// most 100 values of a metric.
const MaxSamples = 100

// Window is the window that is open. It is not safe for concurrent use.
type Window struct {
	// Every is how long a sample lasts, where metrics are in seconds. Zero is one
	// second.
	Every time.Duration

	samples int
	sparse  bool
	host    series
	rows    []*Row // interfaces, in the order of arrival
	quiet   silence
	free    [][]uint64 // sample storage of closed windows

	observed, missed, suspect uint64 // samples, samples, readings

	dns        bool // queries are counted
	unanswered uint64
	tables     tables
}

// New returns an empty window of at most samples seconds. If sparse, metrics
// that stay at zero are left out.
func New(samples int, sparse bool) *Window {
	w := &Window{samples: min(samples, MaxSamples), sparse: sparse, quiet: silence{}}
	w.host.window = w
	return w
}

// Row is one interface in the window.
type Row struct {
	// Interface is what the interface is called at the window's end.
	Interface metric.Interface
	series    series
	gone      bool
	read      bool // this second
	linklocal budget
}

// Add makes room for an interface.
func (w *Window) Add(i metric.Interface) *Row {
	r := &Row{Interface: i}
	r.series.window = w
	w.rows = append(w.rows, r)
	return r
}

// Leave takes an interface out with the window's end.
func (w *Window) Leave(r *Row) { r.gone = true }

// Observe adds what a reading of r came to.
func (w *Window) Observe(r *Row, result *delta.Result) {
	if result.Verdict == ena.Suspect {
		w.Suspect()
	} else {
		r.read = true
	}
	for s := range ena.Stat(ena.NumStats) {
		if result.Counted.Has(s) && !s.Entry().Internal {
			r.series.add(s, result.Values[s])
			w.host.addHost(s, result.Values[s])
		}
	}
}

// Suspect counts a reading that was not believed.
func (w *Window) Suspect() { w.suspect++ }

// Miss counts samples for which nothing was read.
func (w *Window) Miss(samples int) { w.missed += uint64(samples) }

// EndSecond closes the second: what was added since the last one is one sample.
func (w *Window) EndSecond() {
	present, all := false, true
	for _, r := range w.rows {
		r.series.endSecond()
		w.endLinkLocal(&r.linklocal)
		if !r.gone {
			present, all = true, all && r.read
		}
		r.read = false
	}
	w.host.endSecond()
	switch {
	case !all:
		w.missed++
	case present:
		w.observed++
	}
}

// Close returns what the window holds and empties it. The caller adds times
// and resource.
func (w *Window) Close() *metric.Batch {
	b := &metric.Batch{}
	w.closeSeries(b, &w.host, -1, "")
	w.single(b, Heartbeat, -1, "", w.lasted(w.observed))
	w.single(b, SuspectReadings, -1, "", float64(w.suspect))
	w.single(b, MissedSeconds, -1, "", w.lasted(w.missed))
	w.closeDNS(b)
	w.closeTables(b)
	for i, r := range w.rows {
		b.Interfaces = append(b.Interfaces, r.Interface)
		w.closeSeries(b, &r.series, i, r.Interface.MAC)
		w.closeLinkLocal(b, &r.linklocal, i, r.Interface.MAC)
	}
	for _, r := range w.rows {
		if r.gone {
			maps.DeleteFunc(w.quiet, func(k silenceKey, _ struct{}) bool { return k.mac == r.Interface.MAC })
		}
	}
	w.rows = slices.DeleteFunc(w.rows, func(r *Row) bool { return r.gone })
	w.observed, w.missed, w.suspect = 0, 0, 0
	return b
}

// lasted returns how many seconds so many samples last.
func (w *Window) lasted(samples uint64) float64 {
	return float64(samples) * cmp.Or(w.Every, time.Second).Seconds()
}

// closeSeries moves the samples of one host or interface into the batch.
func (w *Window) closeSeries(b *metric.Batch, ser *series, at int, mac string) {
	scope := metric.Instance
	if at >= 0 {
		scope = metric.PerInterface
	}
	for s := range ena.Stat(ena.NumStats) {
		c := &ser.columns[s]
		if c.seconds == 0 {
			continue
		}
		e := s.Entry()
		throttled := c.nonZero()
		if always := e.Kind == metric.Gauge && e.Allowance != ""; w.publish(e.Name, mac, throttled == 0, always) {
			b.Series = append(b.Series, metric.Series{
				Name: e.Name, Kind: e.Kind, Unit: e.Unit, Scope: scope, Interface: at, Detail: scope != e.Scope,
				Samples: c.floats(),
			})
		}
		w.release(c)
		if d := throttledSeconds[s]; d.Name != "" && scope == e.Scope {
			w.single(b, d, at, mac, w.lasted(throttled))
		}
	}
}

// single adds a derived metric, which has one sample.
func (w *Window) single(b *metric.Batch, d Derived, at int, mac string, value float64) {
	if !w.publish(d.Name, mac, value == 0, d.Name == Heartbeat.Name) {
		return
	}
	scope := metric.Instance
	if at >= 0 {
		scope = metric.PerInterface
	}
	b.Series = append(b.Series, metric.Series{
		Name: d.Name, Kind: d.Kind, Unit: d.Unit, Scope: scope, Interface: at, Whole: true,
		Samples: []float64{value},
	})
}

// silence remembers which series were published with something in them: their
// first zero is published too, so that a graph comes down again.
type silence map[silenceKey]struct{}

type silenceKey struct{ name, mac string }

// publish decides whether a series is left out.
func (w *Window) publish(name, mac string, isZero, always bool) bool {
	if !w.sparse || always {
		return true
	}
	key := silenceKey{name, mac}
	_, spoke := w.quiet[key]
	if isZero {
		delete(w.quiet, key)
		return spoke
	}
	w.quiet[key] = struct{}{}
	return true
}
