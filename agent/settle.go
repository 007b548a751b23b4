package agent

import (
	"errors"
	"time"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/event"
)

// counts are what the agent counts of itself.
type counts struct {
	windows, pollErrors                uint64
	missed, blocked, restarted, undone uint64
	steps                              uint64
	readings                           [4]uint64 // by ena.Verdict
}

// settle turns this tick's readings into one second of the window, closes the
// window if it is over, and reports whether the turn is still the caller's.
func (a *Agent) settle(turn int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.loop.turn != turn {
		return false
	}
	a.loop.unsettled = false
	for _, i := range a.interfaces {
		if i.fresh && !i.busy {
			a.observe(i)
		}
	}
	if !a.ready && a.loop.listed && a.allRead(a.Clock.Mono()) {
		a.ready = true
		if len(a.interfaces) == 0 {
			a.Log.Warn("this host has no ENA interface that is wanted: waiting for one")
		}
	}
	if a.Settled != nil {
		a.Settled(a.ready, a.Clock.Mono())
	}
	t := a.loop.tick
	switch {
	case a.loop.last:
		a.tickTraffic(true)
		a.window.EndSecond()
		a.Live.End(a.lastSecond())
		end := a.schedule.End()
		a.sample(end.At, true)
		a.closeWindow(end)
		for _, i := range a.interfaces {
			if !i.busy {
				a.closeReader(i)
			}
			i.left = true // whoever is busy with it closes it
			i.live.Leave()
		}
		a.interfaces, a.loop.ended = nil, true
		close(a.loop.done)
		return false
	case t.At.IsZero():
		a.sample(a.Clock.Wall(), false)
		return true // the readings at the start belong to the first tick
	case a.loop.settled:
		return true // what took over from a goroutine that the kernel holds, after the tick
	}
	a.loop.settled = true
	a.sample(t.At, false)
	a.tickTraffic(false)
	a.window.EndSecond()
	a.Live.EndSecond(t.At)
	if t.Step != 0 {
		a.counts.steps++
		a.Log.Warn("the wall clock jumped: the window ends here", event.Key, event.Clock, "by", t.Step)
	}
	if t.Close {
		a.closeWindow(t)
	}
	return true
}

// allRead reports whether every interface has a verdict, or is stuck for so long
// that nobody waits for it any more.
func (a *Agent) allRead(now time.Duration) bool {
	for _, i := range a.interfaces {
		if !i.judged && (!i.busy || now-i.seen < firstLimit) {
			return false
		}
	}
	return true
}

// observe takes the newest reading of i into account. The caller holds the lock.
func (a *Agent) observe(i *iface) {
	i.fresh = false
	r := i.reading
	verdict, reason := r.Verdict, r.Reason
	slow := i.took > slowLimit
	bad := verdict != ena.Valid || slow
	var result *delta.Result
	if r.Verdict == ena.Valid {
		result = i.life.Observe(r.Vector, a.now())
		verdict, reason = result.Verdict, result.Reason
		a.noteForRecord(i, result)
		a.window.Observe(i.row, result)
		if a.Exceeded != nil && exceeded(result) {
			a.Exceeded()
		}
		if verdict == ena.Valid {
			i.reader.Believe()
		}
		if result.Restarted {
			a.counts.restarted++
			a.Log.Info("the card's counters started again", event.Key, event.Reset, "interface", i.name())
		}
		if result.Undone {
			a.counts.undone++
			a.Log.Warn("counters are back after zeros that nothing explained: there was no reset", "interface", i.name())
		}
	} else {
		if verdict == ena.Suspect {
			a.window.Suspect()
		}
		if verdict == ena.Gone {
			a.loop.rescan = 0 // perhaps it left unseen
		}
	}
	i.live.Observe(i.row.Interface, verdict, reason, result)
	i.counts[verdict]++
	a.counts.readings[verdict]++
	a.sayVerdict(i, verdict, reason)
	if d, changed := i.pace.after(bad, a.Clock.Mono()); changed {
		if d == 0 {
			d = a.Sample
		}
		a.Log.Warn("interface is read at another pace", "interface", i.name(), "every", d, "slow", slow, "verdict", verdict.String())
	}
}

// exceeded reports whether a counter of an allowance grew.
func exceeded(r *delta.Result) bool {
	for s := ena.Stat(0); s.Exceeded(); s++ {
		if r.Counted.Has(s) && r.Values[s] > 0 {
			return true
		}
	}
	return false
}

// sayVerdict logs a verdict that is not what it was.
func (a *Agent) sayVerdict(i *iface, v ena.Verdict, reason ena.Reason) {
	first, changed := !i.judged, !i.judged || v != i.verdict
	i.judged, i.verdict, i.reason = true, v, reason
	if !changed {
		return
	}
	switch {
	case first && v == ena.Valid:
		a.Log.Info("readings are believed", "interface", i.name())
	case v == ena.Valid:
		a.Log.Info("readings are believed again", event.Key, event.Believed, "interface", i.name(), "suspect_so_far", i.counts[ena.Suspect])
	case errors.Is(i.reading.Err, ena.ErrNoStats):
		a.Log.Error("the driver keeps no stats for this interface", "interface", i.name(), "err", i.reading.Err)
	default:
		a.Log.Warn("readings are not believed: baselines are held", event.Key, event.Suspect, "interface", i.name(), "verdict", v.String(), "reason", string(reason))
	}
}
