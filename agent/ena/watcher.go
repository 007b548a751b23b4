package ena

import (
	"errors"
	"fmt"

	"github.com/enawatch/enawatch/agent/metric"
)

// driverName is what ETHTOOL_GDRVINFO says of an ENA device, whichever driver
// release and kernel. Interface names say nothing: eth0, ens5 and enp39s0 are
// all in use.
const driverName = "ena"

// Change says what became of an ENA interface.
type Change uint8

const (
	// Found is an interface that was there before the agent, or that came back
	// under an index that the kernel had given out before: what its counters
	// hold may be old.
	Found Change = iota
	// Attached is an interface whose arrival was seen. Its counters started at 0
	// not long ago, unless it came from another namespace.
	Attached
	// Changed is a known interface under another name, or whose link went up
	// or down.
	Changed
	// Left is a known interface that is gone.
	Left
	// Replaced is one that is gone and whose name another device has, as when the
	// driver was loaded anew: what was read by the name last may be the other's.
	Replaced
)

// Netdev is an ENA interface and what its driver said when it was found.
type Netdev struct {
	// Index is the interface index, which tells network devices apart.
	Index     int
	Interface metric.Interface
	Driver    DriverIdentity
}

// Watcher knows which network devices of this host are ENA interfaces, through
// hot attach and detach, renames, and thousands of pods' devices.
// It is not safe for concurrent use.
type Watcher struct {
	kernel Kernel
	listed bool
	relist bool // the next Poll lists, whatever it is told
	// highest is the highest interface index seen. The kernel gives out rising
	// ones, so a device above it came just now; one that returns from a
	// container's namespace mostly keeps its old index.
	highest int
	ena     map[int]*Netdev
	foreign map[int]struct{} // links of other drivers, never asked again

	// For the Poll under way; onEvent is event, made a function value once.
	report  func(Netdev, Change)
	failed  []error
	onEvent func(LinkEvent)
}

// NewWatcher returns a watcher that has not looked yet.
func NewWatcher(k Kernel) *Watcher {
	w := &Watcher{
		kernel: k, ena: map[int]*Netdev{}, foreign: map[int]struct{}{},
	}
	w.onEvent = w.event
	return w
}

// Successor returns a watcher that takes w's place and reports all interfaces
// again: as Attached those that w has not seen, as Found the others.
func (w *Watcher) Successor() *Watcher {
	s := NewWatcher(w.kernel)
	s.listed, s.highest, s.relist = w.listed, w.highest, true
	return s
}

// Poll hands every change since the last call to f.
// With rescan, or when the kernel dropped events, it lists all devices again.
// The usual answer is nothing, for one system call and no allocation.
func (w *Watcher) Poll(rescan bool, f func(Netdev, Change)) error {
	w.report, w.failed = f, w.failed[:0]
	lost, err := w.kernel.Events(w.onEvent)
	if err != nil {
		w.failed = append(w.failed, err)
	}
	if rescan || lost || !w.listed || w.relist {
		if err := w.list(); err != nil {
			w.failed = append(w.failed, err)
		}
	}
	return errors.Join(w.failed...)
}

// event takes note of one event. Those before the first list are older than it.
func (w *Watcher) event(e LinkEvent) {
	switch {
	case !w.listed:
	case e.Left:
		w.leave(e.Index)
	default:
		w.see(e.Link, w.highest)
	}
}

func (w *Watcher) list() error {
	links, err := w.kernel.Links()
	if err != nil {
		return err
	}
	present := make(map[int]struct{}, len(links))
	highest := w.highest
	for _, l := range links {
		present[l.Index] = struct{}{}
		highest = max(highest, l.Index)
	}
	known := w.highest
	if !w.listed {
		known = highest // all of the first list was there before us
	}
	// First those that left: others may have their names, and be the same ENI.
	for index := range w.ena {
		if _, ok := present[index]; !ok {
			w.leave(index)
		}
	}
	for _, l := range links {
		w.see(l, known)
	}
	w.listed, w.relist, w.highest = true, false, highest
	for index := range w.foreign {
		if _, ok := present[index]; !ok {
			delete(w.foreign, index)
		}
	}
	return nil
}

// see takes note of a link that is there. It was attached just now if its index
// is above known, the highest seen before.
func (w *Watcher) see(l Link, known int) {
	if _, ok := w.foreign[l.Index]; ok {
		return
	}
	if d, ok := w.ena[l.Index]; ok {
		if i := &d.Interface; i.Name != l.Name || i.Link != linkState(l) {
			i.Name, i.Link = l.Name, linkState(l)
			w.report(*d, Changed)
		}
		return
	}
	d, err := w.kernel.Driver(l.Name)
	switch {
	case errors.Is(err, ErrGone):
		return // left again before we asked; its event comes
	case errors.Is(err, ErrNoStats):
		d = DriverIdentity{} // devices without ethtool: not ENA
	case err != nil:
		w.failed = append(w.failed, fmt.Errorf("ask who drives a new device: %w", err))
		return
	}
	w.highest = max(w.highest, l.Index)
	if d.Driver != driverName {
		w.foreign[l.Index] = struct{}{}
		return
	}
	device := &Netdev{Index: l.Index, Driver: d, Interface: metric.Interface{
		Name: l.Name, MAC: l.MAC, BusInfo: d.BusInfo, DriverVersion: d.Version, Link: linkState(l),
	}}
	w.ena[l.Index] = device
	c := Found
	if l.Index > known {
		c = Attached
	}
	w.report(*device, c)
}

func linkState(l Link) string {
	if l.Up {
		return "up"
	}
	return "down"
}

func (w *Watcher) leave(index int) {
	delete(w.foreign, index)
	if d, ok := w.ena[index]; ok {
		delete(w.ena, index)
		c := Replaced
		if _, err := w.kernel.Driver(d.Interface.Name); errors.Is(err, ErrGone) {
			c = Left
		}
		w.report(*d, c)
	}
}
