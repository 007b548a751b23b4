package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/event"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/window"
)

// loop is the state of the readings. One goroutine has the turn: it waits for
// the tick and reads every interface that is due, one after the other. If a
// device keeps it in the kernel for longer than readLimit, a new goroutine
// takes the turn and goes on with the next interface; the old one hands in its
// reading whenever it comes back, and ends. So in steady state there is one
// goroutine and one timer, and a stuck device delays nobody.
type loop struct {
	turn      int
	ticked    time.Duration // monotonic time of the newest tick
	tick      window.Tick
	since     time.Duration // when the work began that is under way, if busy
	busy      bool
	at        *iface // what it is about: an interface, or nil for the device list
	todo      []*iface
	unsettled bool // readings are under way that the tick waits for
	settled   bool // the tick is a second of the window already
	last      bool // these are the last readings
	ended     bool // nothing counts any more
	guard     *time.Timer
	done      chan struct{}

	polling   bool                         // some goroutine is asking for the device list
	listed    bool                         // it was answered once
	blocked   bool                         // the kernel held it up, and that was said
	complaint string                       // what was said last of its errors
	onChange  func(ena.Netdev, ena.Change) // changed, made a function value once
	rescan    time.Duration
}

// rescanEvery is how often all devices are listed although no event asked for it.
const rescanEvery = 5 * time.Minute

// run has the turn until it ends, with ctx or by losing the turn. first reads
// at once instead of waiting for a tick.
func (a *Agent) run(ctx context.Context, turn int, first bool) {
	if first {
		a.loop.guard.Reset(readLimit)
		if !a.poll(turn) || !a.readAll(turn) {
			return
		}
	} else if !a.readRest(turn) {
		return
	}
	timer := time.NewTimer(a.wait())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			a.finish(turn)
			return
		case <-timer.C:
		}
		a.mu.Lock()
		a.loop.tick, a.loop.settled = a.schedule.Tick(), false
		a.loop.ticked = a.Clock.Mono()
		if m := a.loop.tick.Missed; m > 0 {
			a.window.Miss(m)
			a.counts.missed += uint64(m)
		}
		a.mu.Unlock()
		if !a.readAll(turn) {
			return
		}
		timer.Reset(a.wait())
	}
}

func (a *Agent) wait() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.schedule.Next()
}

// finish makes the last readings, of what came in the last second too, closes
// the window and lets Run return.
func (a *Agent) finish(turn int) {
	a.loop.guard.Reset(readLimit)
	if !a.poll(turn) {
		return
	}
	a.mu.Lock()
	a.loop.last = true
	a.mu.Unlock()
	a.readAll(turn)
}

// readAll reads every interface that is due, then settles the tick. It reports
// whether the turn is still the caller's.
func (a *Agent) readAll(turn int) bool {
	a.mu.Lock()
	now := a.Clock.Mono()
	a.loop.todo = a.loop.todo[:0]
	for _, i := range a.interfaces {
		if i.due(now, a.Sample) || a.loop.last && i.free() {
			a.loop.todo = append(a.loop.todo, i)
		}
	}
	a.mu.Unlock()
	return a.readRest(turn)
}

// readRest reads what is still to do in this tick, settles it, and reports
// whether the turn is still the caller's.
func (a *Agent) readRest(turn int) bool {
	a.loop.guard.Reset(readLimit)
	for {
		i, start := a.nextRead()
		if i == nil {
			break
		}
		reading := i.reader.Read()
		if !a.handIn(turn, i, reading, start) {
			return false
		}
	}
	if !a.poll(turn) {
		return false
	}
	a.loop.guard.Stop()
	return a.settle(turn)
}

// nextRead returns the next interface to read in this tick, or nil, and when
// its reading began.
func (a *Agent) nextRead() (i *iface, start time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.loop.unsettled = true
	for len(a.loop.todo) > 0 {
		i, a.loop.todo = a.loop.todo[0], a.loop.todo[1:]
		if !i.busy && !i.left {
			i.busy = true
			a.begin(i)
			return i, a.loop.since
		}
	}
	return nil, 0
}

// handIn keeps a reading for settle and reports whether the turn is still the
// caller's. If not, the reading is late: the next tick observes it.
func (a *Agent) handIn(turn int, i *iface, r ena.Reading, start time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	i.busy = false
	i.took = a.Clock.Mono() - start
	i.blocked = i.blocked && i.took >= readLimit
	i.reading, i.fresh = r, !i.stale
	if i.stale {
		i.stale = false
		i.reader.Rename(i.name())
	}
	if i.left {
		a.closeReader(i)
	}
	return a.endWork(turn)
}

// endWork says that the work of begin is over and reports whether the turn is
// still the caller's. The caller holds the lock.
func (a *Agent) endWork(turn int) bool {
	mine := a.loop.turn == turn
	if mine {
		a.loop.busy = false
	}
	return mine
}

// begin says what the goroutine with the turn is about to do. The caller holds
// the lock.
func (a *Agent) begin(i *iface) {
	a.loop.at, a.loop.busy, a.loop.since = i, true, a.Clock.Mono()
}

// takeOver runs when the turn's work takes longer than readLimit.
func (a *Agent) takeOver(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if took := a.Clock.Mono() - a.loop.since; !a.loop.busy || took < readLimit {
		if a.loop.unsettled {
			a.loop.guard.Reset(readLimit) // many quick ones
		}
		return
	}
	name, said := "the list of devices", &a.loop.blocked
	if i := a.loop.at; i != nil {
		name, said = i.name(), &i.blocked
	}
	a.counts.blocked++
	if !*said {
		*said = true
		a.Log.Warn("the kernel does not answer in time: going on without it", "waiting_for", name, "limit", readLimit)
	}
	a.loop.turn++
	a.loop.busy = false
	go a.run(ctx, a.loop.turn, false)
}

// poll learns which interfaces came and left, unless another goroutine is still
// asking. It reports whether the turn is still the caller's.
func (a *Agent) poll(turn int) bool {
	a.mu.Lock()
	if a.loop.polling {
		a.mu.Unlock()
		return true
	}
	began := a.Clock.Mono()
	rescan := began >= a.loop.rescan
	if rescan {
		a.loop.rescan = began + rescanEvery
	}
	a.loop.polling = true
	a.begin(nil)
	a.mu.Unlock()

	err := a.watcher.Poll(rescan, a.loop.onChange)

	a.mu.Lock()
	defer a.mu.Unlock()
	a.loop.polling = false
	if a.loop.ended {
		return false // another agent goes on
	}
	a.loop.blocked = a.loop.blocked && a.Clock.Mono()-began >= readLimit
	a.pollEnded(rescan, err)
	return a.endWork(turn)
}

// pollEnded takes note of how a poll ended. The caller holds the lock.
func (a *Agent) pollEnded(rescan bool, err error) {
	text := fmt.Sprint(err)
	if err == nil {
		a.loop.listed, text = true, ""
	} else {
		a.counts.pollErrors++
		a.loop.rescan = min(a.loop.rescan, a.Clock.Mono()+paces[1])
		if text != a.loop.complaint {
			a.Log.Warn("could not look for interfaces; will list them again", "err", err, "every", paces[1])
		}
	}
	a.loop.complaint = text
	if !rescan {
		return
	}
	for _, i := range a.interfaces {
		if !i.busy {
			i.reader.Refresh()
		}
	}
	a.reconsider("")
}

// changed takes note of what became of an interface.
func (a *Agent) changed(n ena.Netdev, c ena.Change) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.loop.ended {
		return
	}
	a.enis[n.Interface.MAC].name(&n.Interface)
	at := slices.IndexFunc(a.interfaces, func(i *iface) bool { return i.index == n.Index })
	if old, ok := a.unwanted[n.Index]; ok && c == ena.Changed {
		c = old.change // whether it was attached, it still is
	}
	delete(a.unwanted, n.Index)
	if c == ena.Changed && at >= 0 && a.Want(n.Interface) {
		a.rename(a.interfaces[at], n.Interface)
		return
	}
	if at >= 0 {
		a.stopReading(at, c != ena.Replaced)
	}
	if c != ena.Left && c != ena.Replaced {
		a.newInterface(n, c)
	}
}

// rename follows an interface to its new name or link state. What was read by
// the old name may be another interface's.
func (a *Agent) rename(i *iface, mi metric.Interface) {
	i.row.Interface.Link = mi.Link
	if i.name() == mi.Name {
		return
	}
	a.Log.Info("interface was renamed", event.Key, event.Rename, "from", i.name(), "to", mi.Name)
	i.row.Interface.Name = mi.Name
	if i.busy {
		i.stale = true // and its reader still has the old name
		return
	}
	i.reader.Rename(mi.Name)
	i.fresh = false
}

// stopReading takes an interface out. What was read of it last, if it is its own,
// still counts. The caller holds the lock.
func (a *Agent) stopReading(at int, own bool) {
	i := a.interfaces[at]
	if own && i.fresh && !i.busy {
		a.observe(i) // its last drops
	}
	a.Log.Info("no longer reading an interface", event.Key, event.Detach, "interface", i.name(), "mac", i.row.Interface.MAC)
	i.left = true
	a.window.Leave(i.row)
	if a.LinkLocal != nil {
		a.LinkLocal.Unwatch(i.index)
	}
	i.live.Leave()
	a.interfaces = slices.Delete(a.interfaces, at, at+1)
	if !i.busy {
		a.closeReader(i)
	}
}

func (a *Agent) closeReader(i *iface) {
	if err := i.reader.Close(); err != nil {
		a.Log.Error("release a reader", "interface", i.name(), "err", err)
	}
}
