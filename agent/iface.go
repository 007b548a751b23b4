package agent

import (
	"time"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/event"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/window"
)

// iface is one interface that is read.
type iface struct {
	index  int
	driver ena.DriverIdentity
	reader *ena.Reader
	life   *delta.Life
	row    *window.Row
	live   *live.Row // nil if nobody can look

	// reading is the newest one, until it is observed; took is how long it took.
	reading ena.Reading
	took    time.Duration
	seen    time.Duration // monotonic time at which it was found
	fresh   bool          // the reading is not observed yet
	busy    bool          // a goroutine is in the kernel for it
	blocked bool          // the kernel held it up, and that was said
	left    bool          // it is gone; whoever is busy with it closes it
	stale   bool          // it was renamed while it was read

	pace    pace
	verdict ena.Verdict
	reason  ena.Reason
	judged  bool // verdict was set
	counts  [4]uint64
	// What records need of the readings since the last tick: what allowances were
	// exceeded by, what queues did, and what the card can still track, if known.
	exceeded  excess
	queues    [len(recordQueues)]uint64
	available uint64
	tracks    bool
}

func (i *iface) name() string { return i.row.Interface.Name }

const (
	// readLimit is how long a reading may take before the others go on
	// without it.
	readLimit = 100 * time.Millisecond
	// slowLimit is how long it may take before its device counts as slow.
	slowLimit = time.Second
	// firstLimit is for how long the agent is not ready for want of a first
	// reading: less than a service manager waits.
	firstLimit = 30 * time.Second
)

// pace slows readings down of a device that is slow or fails: each of them
// holds the kernel's RTNL lock, logs two lines to dmesg and may lead the driver
// to reset the device (ena_com_wait_and_process_admin_cq_*).
type pace struct {
	bad  int           // bad readings in a row
	next time.Duration // monotonic time of the next reading
}

// badLimit is how many bad readings in a row lead to the next slower pace.
const badLimit = 3

var paces = [...]time.Duration{0, 10 * time.Second, 60 * time.Second}

// after takes note of a reading that ended now and reports whether the pace
// changed, and to what: 0 is every tick.
func (p *pace) after(bad bool, now time.Duration) (d time.Duration, changed bool) {
	before := p.interval()
	if bad {
		p.bad++
	} else {
		p.bad = 0
	}
	d = p.interval()
	p.next = now + d
	return d, d != before
}

func (p *pace) interval() time.Duration {
	return paces[min(p.bad/badLimit, len(paces)-1)]
}

// due reports whether a tick of the given length reads the interface. A late
// reading is observed before the next one is made.
func (i *iface) due(now, sample time.Duration) bool {
	return i.free() && i.pace.next <= now+sample/2
}

func (i *iface) free() bool { return !i.busy && !i.left && !i.fresh }

// sighting is an interface that is not read.
type sighting struct {
	netdev ena.Netdev
	change ena.Change
}

// newInterface starts to read an interface that was found. The caller holds the
// lock.
func (a *Agent) newInterface(n ena.Netdev, c ena.Change) {
	mi := n.Interface
	if a.Attached != nil && mi.ENI == "" {
		a.Attached(mi.MAC)
	}
	if !a.Want(mi) {
		a.unwanted[n.Index] = sighting{n, c}
		a.Log.Info("interface is left out by interfaces.include and exclude", "interface", mi.Name, "mac", mi.MAC)
		return
	}
	reader, err := ena.NewReader(a.Kernel, mi.Name, a.readQueue)
	if err != nil {
		a.unwanted[n.Index] = sighting{n, c}
		a.Log.Error("interface can't be read; will try again", "interface", mi.Name, "every", rescanEvery, "err", err)
		return
	}
	mi.Pods = a.pods(n.Index, mi.ENI)
	a.interfaces = append(a.interfaces, &iface{
		index: n.Index, driver: n.Driver, reader: reader, seen: a.Clock.Mono(),
		life: a.tracker.Life(mi, n.Index, c == ena.Attached),
		row:  a.window.Add(mi),
		live: a.Live.Add(mi),
	})
	if a.LinkLocal != nil {
		a.LinkLocal.Watch(n.Index, mi.Name)
	}
	a.Log.Info("reading an ENA interface", event.Key, event.Attach, "interface", mi.Name, "mac", mi.MAC, "bus", mi.BusInfo,
		"driver_version", mi.DriverVersion, "attached", c == ena.Attached)
}

// reconsider reads the interfaces that were left out and are wanted now: those
// with a MAC address, or all. The caller holds the lock.
func (a *Agent) reconsider(mac string) {
	for index, s := range a.unwanted {
		mi := &s.netdev.Interface
		a.enis[mi.MAC].name(mi)
		if (mac == "" || mi.MAC == mac) && a.Want(*mi) {
			delete(a.unwanted, index)
			a.newInterface(s.netdev, s.change)
		}
	}
}
