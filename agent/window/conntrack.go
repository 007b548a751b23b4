package window

import (
	"time"

	"github.com/enawatch/enawatch/agent/metric"
)

// tables is what was seen of the tables of tracked connections.
type tables struct {
	known bool
	used  float64       // most, in percent
	full  time.Duration // least; 0 if that was never in sight
}

// TableUsed adds how much of the kernel's table of tracked connections is used,
// in percent.
func (w *Window) TableUsed(percent float64) {
	w.tables.known = true
	w.tables.used = max(w.tables.used, percent)
}

// TableFull adds in what time a table of tracked connections will be full.
func (w *Window) TableFull(in time.Duration) {
	if w.tables.full == 0 || in < w.tables.full {
		w.tables.full = in
	}
}

// closeTables publishes what is known of tracked connections.
func (w *Window) closeTables(b *metric.Batch) {
	add := func(d Derived, value float64) {
		b.Series = append(b.Series, metric.Series{
			Name: d.Name, Kind: d.Kind, Unit: d.Unit, Scope: d.Scope, Interface: -1, Whole: true, Samples: []float64{value},
		})
	}
	if t := w.tables; t.known && w.publish(ConntrackTableUsed.Name, "", t.used == 0, false) {
		add(ConntrackTableUsed, t.used)
	}
	if in := w.tables.full; in > 0 {
		add(ConntrackExhaustion, in.Seconds())
	}
	w.tables = tables{}
}
