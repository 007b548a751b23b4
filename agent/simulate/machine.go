package simulate

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
)

// Clock tells the time and waits. Under testing/synctest, SystemClock is the
// bubble's.
type Clock interface {
	Now() time.Time
	Sleep(time.Duration)
}

// SystemClock is the clock of package time.
type SystemClock struct{}

func (SystemClock) Now() time.Time        { return time.Now() }
func (SystemClock) Sleep(d time.Duration) { time.Sleep(d) }

// Machine plays a scenario. It is safe for concurrent use. What is due by the
// clock happens when the Machine is next asked for something.
type Machine struct {
	scenario *Scenario
	clock    Clock
	bootID   string

	mu        sync.Mutex
	devices   []*device
	oldKernel bool
	lastIndex int
	onLink    func(LinkChange)
	events    []ena.LinkEvent
	lost      bool
	script
}

var _ ena.Kernel = (*Machine)(nil)

// device is a device of the scenario, there or not.
type device struct {
	*deviceScript
	adapter   *adapter // nil while detached
	lastName  string
	count     Counts
	readsDone int // reads when the latest step was over

	// What its stats were when the device first came, what they grew by
	// since, and what they were when it was detached.
	first, grown, last totals
}

type totals = map[string]uint64

// LinkChange tells of a network device that comes (Old is ""), leaves (New is
// "") or changes its name.
type LinkChange struct{ Old, New, MAC string }

// New returns a machine on which the scenario begins now.
func New(s *Scenario, clock Clock) *Machine {
	now := clock.Now()
	m := &Machine{
		scenario: s, clock: clock, oldKernel: s.oldKernel,
		// One machine is one boot; its start time tells it from others.
		bootID:    fmt.Sprintf("00000000-0000-4000-8000-%012x", uint64(now.UnixNano())&(1<<48-1)),
		lastIndex: 1, // of the loopback device
		script:    newScript(s, now),
	}
	for _, ds := range s.devices {
		d := &device{deviceScript: ds, first: totals{}, grown: totals{}, last: totals{}}
		m.devices = append(m.devices, d)
		if ds.attached {
			m.plug(d)
			d.age()
		}
	}
	return m
}

// age makes a new adapter one that was there before the script.
func (d *device) age() {
	a := d.adapter
	for _, i := range []int{a.submitted, a.completed} {
		a.values[i] += 1000 // commands of readings before
	}
	for _, i := range d.deviceScript.initial {
		a.put(i.stat, i.n)
	}
	copy(a.fetched, a.values)
	d.noteFirst()
}

func (d *device) noteFirst() {
	for i, name := range d.adapter.layout.names {
		d.first[name] = d.adapter.values[i]
	}
}

// plug puts a new adapter into d's slot.
func (m *Machine) plug(d *device) {
	m.lastIndex++
	d.adapter = newAdapter(d.deviceScript, m.lastIndex, d.grown)
	d.lastName = d.adapter.name
	d.count.Adapters++
	if d.count.Adapters == 1 {
		d.noteFirst()
	}
}

// unplug takes the adapter out.
func (d *device) unplug() {
	d.adapter.settle()
	for i, name := range d.adapter.layout.names {
		d.last[name] = d.adapter.values[i]
	}
	d.adapter = nil
}

// OnLink has f called for each change of links from now on, with the Machine
// locked: f can make the change real before any other reading is answered. It
// must not call the Machine.
func (m *Machine) OnLink(f func(LinkChange)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.onLink = f
}

// maxEvents bounds the queue of events that nobody fetches, as a socket's
// receive buffer does.
const maxEvents = 1024

func (m *Machine) linkChanged(a *adapter, c LinkChange) {
	if m.onLink != nil {
		m.onLink(c)
	}
	if len(m.events) == maxEvents {
		m.lost = true
		return
	}
	e := ena.LinkEvent{Link: a.link(), Left: c.New == ""}
	e.Up = !e.Left
	m.events = append(m.events, e)
}

// link is the adapter's network device, which is always up.
func (a *adapter) link() ena.Link {
	return ena.Link{Index: a.index, Name: a.name, MAC: a.script.mac, Up: true}
}

// Knows reports whether the scenario ever gives a device that name.
func (m *Machine) Knows(name string) bool {
	return slices.ContainsFunc(m.scenario.devices, func(d *deviceScript) bool {
		_, ok := d.names[name]
		return ok
	})
}

// Add has a counter of the device called name grow by n, as a step's add does, for
// what happens outside the script. The error says that there is no such device or
// stat.
func (m *Machine) Add(name, stat string, n uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.find(name)
	if err != nil {
		return err
	}
	at := d.adapter.find(stat)
	if len(at) == 0 {
		return fmt.Errorf("simulated interface %s has no stat %s", name, stat)
	}
	for _, i := range at {
		d.adapter.grow(i, n)
	}
	return nil
}

// BootID returns an id that is this Machine's own.
func (m *Machine) BootID() (string, error) { return m.bootID, nil }

// Close does nothing: a Machine holds no resources.
func (m *Machine) Close() error { return nil }

// Links lists the devices that are there.
func (m *Machine) Links() ([]ena.Link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(m.clock.Now())
	var links []ena.Link
	for _, d := range m.devices {
		if d.adapter != nil {
			links = append(links, d.adapter.link())
		}
	}
	slices.SortFunc(links, func(a, b ena.Link) int { return a.Index - b.Index })
	return links, nil
}

// Events implements [ena.Kernel].
func (m *Machine) Events(f func(ena.LinkEvent)) (lost bool, err error) {
	m.mu.Lock()
	m.advance(m.clock.Now())
	events := m.events
	lost = m.lost
	m.events, m.lost = nil, false
	m.mu.Unlock()
	for _, e := range events {
		f(e)
	}
	return lost, nil
}

// find returns the device that is called name now. Its errors, as those of
// every method that takes a name, are compatible with errors.Is for the errno
// that the kernel would give and for [ena.ErrGone] or [ena.ErrNoStats].
func (m *Machine) find(name string) (*device, error) {
	for _, d := range m.devices {
		if d.adapter != nil && d.adapter.name == name {
			return d, nil
		}
	}
	return nil, gone(name)
}

func gone(name string) error {
	return fmt.Errorf("simulated interface %s: %w: %w", name, ena.ErrGone, syscall.ENODEV)
}

// failure returns the error that the device's fault gives to commands on its
// stats.
func (a *adapter) failure() error {
	switch a.fault.errno {
	case 0:
		return nil
	case syscall.EOPNOTSUPP:
		return fmt.Errorf("simulated interface %s: %w: %w", a.name, ena.ErrNoStats, a.fault.errno)
	}
	return gone(a.name)
}

// Driver implements [ena.Kernel].
func (m *Machine) Driver(name string) (ena.DriverIdentity, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(m.clock.Now())
	d, err := m.find(name)
	if err != nil {
		return ena.DriverIdentity{}, err
	}
	if d.adapter.fault.errno == syscall.ENODEV {
		return ena.DriverIdentity{}, gone(name)
	}
	return ena.DriverIdentity{Driver: "ena", Version: d.version, BusInfo: d.bus}, nil
}

// StatNames implements [ena.Kernel].
func (m *Machine) StatNames(name string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(m.clock.Now())
	d, err := m.find(name)
	if err != nil {
		return nil, err
	}
	if err := d.adapter.failure(); err != nil {
		return nil, err
	}
	return slices.Clone(d.adapter.layout.names), nil
}

// Contract returns what the kernel says to somebody who expects want stats or
// names where there are n: 0 for nothing, or n.
func (m *Machine) Contract(want, n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.contract(want, n)
}

// contract is ethtool_get_stats and ethtool_get_strings (net/ethtool/ioctl.c):
// since 6.18.3 and the stable releases of January 2026, a number that is not 0
// must be right.
func (m *Machine) contract(want, n int) int {
	if want != 0 && want != n && !m.oldKernel {
		return 0
	}
	return n
}

// Stats implements [ena.Kernel]. It counts as a reading.
func (m *Machine) Stats(name string, want int, b *ena.Buffer) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(m.clock.Now())
	d, err := m.find(name)
	if err != nil {
		return 0, err
	}
	m.read(d)
	n, err := m.stats(d, name, want, b)
	if err != nil {
		d.count.Errors++
	}
	m.checkDone(m.clock.Now())
	return n, err
}

func (m *Machine) stats(d *device, name string, want int, b *ena.Buffer) (int, error) {
	a := d.adapter
	if a == nil || a.name != name {
		return 0, gone(name)
	}
	if delay := a.fault.delay; delay > 0 {
		m.mu.Unlock()
		m.clock.Sleep(delay)
		m.mu.Lock()
		m.advance(m.clock.Now())
		if d.adapter != a {
			return 0, gone(name)
		}
	}
	if err := a.failure(); err != nil {
		return 0, err
	}
	n := len(a.layout.names)
	if want != 0 && want != n {
		d.count.Mismatched++
	}
	if n = m.contract(want, n); n > 0 {
		if !a.answer(b.Values(n)) {
			d.count.Failed++
		}
	}
	return n, nil
}
