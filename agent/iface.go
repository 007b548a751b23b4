package agent

import (
	"time"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/window"
)

// iface is one interface that is read.
type iface struct {
	index  int
	driver ena.DriverIdentity
	reader *ena.Reader
	life   *delta.Life
	row    *window.Row

	// reading is the newest one, until it is observed; took is how long it took.
	reading ena.Reading
	took    time.Duration
	unread  bool // there is no new reading
	busy    bool // a goroutine is in the kernel for it
	left    bool // it is gone; whoever is busy with it closes it
	stale   bool // it was renamed while it was read

	pace    pace
	verdict ena.Verdict
	reason  ena.Reason
	judged  bool // verdict was set
	counts  [4]uint64
}

func (i *iface) name() string { return i.row.Interface.Name }

const (
	// readLimit is how long a reading may take before the others go on
	// without it.
	readLimit = 100 * time.Millisecond
	// slowLimit is how long it may take before its device counts as slow.
	slowLimit = time.Second
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

// due reports whether a tick of the given length reads the interface.
func (i *iface) due(now, sample time.Duration) bool {
	return !i.busy && !i.left && i.pace.next <= now+sample/2
}

// newInterface starts to read an interface that was found. The caller holds the
// lock.
func (a *Agent) newInterface(index int, mi metric.Interface, c ena.Change) {
	mi.ENI = a.enis[mi.MAC]
	if !a.Want(mi) {
		a.unwanted[index] = mi
		a.Log.Info("interface is left out by interfaces.include and exclude", "interface", mi.Name, "mac", mi.MAC)
		return
	}
	delete(a.unwanted, index)
	reader, err := ena.NewReader(a.Kernel, mi.Name, a.Queues)
	if err != nil {
		a.Log.Error("interface can't be read", "interface", mi.Name, "err", err)
		return
	}
	a.interfaces = append(a.interfaces, &iface{
		index: index, driver: a.watcher.Driver(index), reader: reader, unread: true,
		life: a.tracker.Life(mi, index, c == ena.Attached),
		row:  a.window.Add(mi),
	})
	a.Log.Info("reading an ENA interface", "interface", mi.Name, "mac", mi.MAC, "bus", mi.BusInfo,
		"driver_version", mi.DriverVersion, "attached", c == ena.Attached)
	if a.Attached != nil && mi.ENI == "" {
		a.Attached(mi.MAC)
	}
}
