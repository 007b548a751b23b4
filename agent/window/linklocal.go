package window

import (
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// budget is what one interface sent to link-local services.
type budget struct {
	peaks   column
	pending uint64 // this second so far
	counted bool   // this second
}

// Sent adds that r sent, in the fullest second that ended in this one, peak
// packets to link-local services.
func (w *Window) Sent(r *Row, peak uint64) {
	r.linklocal.pending = max(r.linklocal.pending, peak)
	r.linklocal.counted = true
}

// Unanswered adds queries of DNS that had no answer.
func (w *Window) Unanswered(n uint64) {
	w.dns = true
	w.unanswered += n
}

func (w *Window) endLinkLocal(l *budget) {
	if l.counted {
		l.peaks.push(w, l.pending, func(last, v uint64) uint64 { return max(last, v) })
	}
	l.pending, l.counted = 0, false
}

// closeLinkLocal moves the samples of one interface into the batch.
func (w *Window) closeLinkLocal(b *metric.Batch, l *budget, at int, mac string) {
	if l.peaks.seconds == 0 {
		return
	}
	d := LinkLocalPPSPeak
	out := metric.Series{Name: d.Name, Kind: d.Kind, Unit: d.Unit, Scope: d.Scope, Interface: at, Samples: l.peaks.floats()}
	w.release(&l.peaks)
	if w.publish(d.Name, mac, out.IsZero(), false) {
		b.Series = append(b.Series, out)
	}
	used := out.Max() * 100 / ena.LinkLocalBudget
	if d := LinkLocalBudgetUsed; w.publish(d.Name, mac, used == 0, false) {
		b.Series = append(b.Series, metric.Series{
			Name: d.Name, Kind: d.Kind, Unit: d.Unit, Scope: d.Scope, Interface: at, Whole: true, Samples: []float64{used},
		})
	}
}

// closeDNS publishes what is known of queries.
func (w *Window) closeDNS(b *metric.Batch) {
	if w.dns {
		w.single(b, DNSQueriesUnanswered, -1, "", float64(w.unanswered))
	}
	w.dns, w.unanswered = false, 0
}
