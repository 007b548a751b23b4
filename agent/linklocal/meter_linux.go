package linklocal

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// Meter counts. Make one with Open. Its methods are safe for concurrent use,
// and none but Close waits for the kernel's network lock.
type Meter struct {
	log             *slog.Logger
	root, logs      string // of cgroups, and the kubelet's
	collection      *ebpf.Collection
	egress, ingress *ebpf.Program
	interfaces      *ebpf.Map
	cgroups         io.Closer // nil if senders are not counted
	clsact          bool      // the goroutine's
	batch           *batch
	snmp            *os.File // or nil

	mu       sync.Mutex // guards what follows
	wanted   map[int]string
	attached map[int]*attached
	table    *senderTable
	complain bool // reading failed, and that was said
	key      uint32

	snmpText    [8192]byte
	retransmits uint64

	wake chan struct{}
	stop chan struct{}
	done chan struct{}
}

// attached is an interface that is counted.
type attached struct {
	port
	link io.Closer
}

// Open loads the programs and counts senders from now on. The error says in one
// line why this host can't do it.
func Open(o Options) (*Meter, error) {
	m := &Meter{
		log: o.Log, root: o.Cgroup, logs: cmp.Or(o.Logs, "/var/log"), clsact: o.clsact,
		wanted: map[int]string{}, attached: map[int]*attached{}, table: newSenderTable(),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	_ = rlimit.RemoveMemlock() // for kernels before 5.11; without it, loading says so
	var err error
	if m.collection, err = load(o); err != nil {
		return nil, why(err)
	}
	m.egress, m.ingress = m.collection.Programs[programsProgLinklocalOut], m.collection.Programs[programsProgLinklocalIn]
	m.interfaces = m.collection.Maps[programsMapInterfaces]
	senders := m.collection.Maps[programsMapSenders]
	m.batch = newBatch(senders)
	if err := senders.Put(programsSenderKey{}, programsSender{}); err != nil {
		m.collection.Close()
		return nil, why(err)
	}
	if err := m.SetResolvers(o.Resolvers); err != nil {
		m.collection.Close()
		return nil, err
	}
	if m.root == "" {
		m.root, err = cgroupRoot()
	}
	if err == nil {
		m.cgroups, err = attachCgroup(m.root, m.collection)
	}
	if err != nil {
		m.log.Warn("senders of link-local traffic are not counted; interfaces are", "err", err)
	}
	if m.snmp, err = os.Open(snmp); err != nil {
		m.log.Warn("retransmits of TCP will be missing in records", "err", err)
	}
	go m.follow()
	return m, nil
}

// load loads all programs, or all but those that name processes where the
// kernel refuses these.
func load(o Options) (*ebpf.Collection, error) {
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // never fails (crypto/rand)
	for _, processes := range []bool{true, false} {
		spec, err := loadPrograms()
		if err != nil {
			return nil, err
		}
		if err := errors.Join(
			spec.Variables[programsVarKeepNames].Set(o.DNSNames),
			spec.Variables[programsVarSeed].Set(binary.NativeEndian.Uint64(seed[:])),
		); err != nil {
			return nil, err
		}
		if !processes {
			for name, p := range spec.Programs {
				if p.Type == ebpf.CGroupSockAddr {
					delete(spec.Programs, name)
				}
			}
		}
		c, err := ebpf.NewCollection(spec)
		if err == nil || !processes {
			if err == nil && !processes {
				o.Log.Info("senders are told apart by cgroup alone: this kernel does not say which process owns a socket")
			}
			return c, err
		}
	}
	panic("not reached")
}

// SetResolvers says which addresses the VPC's resolver has besides the fixed
// ones, from now on.
func (m *Meter) SetResolvers(all []netip.Addr) error {
	var addresses [MaxResolvers][4]byte
	for i, a := range all {
		if i == MaxResolvers || !a.Is4() {
			return fmt.Errorf("resolver %s: the programs take at most %d addresses, of IPv4", a, MaxResolvers)
		}
		addresses[i] = a.As4()
	}
	return m.collection.Variables[programsVarResolvers].Set(addresses)
}

// Watch counts what an interface sends, from soon on, until Unwatch. name is for
// the log.
func (m *Meter) Watch(index int, name string) {
	m.mu.Lock()
	m.wanted[index] = name
	m.mu.Unlock()
	m.poke()
}

// Unwatch ends Watch.
func (m *Meter) Unwatch(index int) {
	m.mu.Lock()
	delete(m.wanted, index)
	m.mu.Unlock()
	m.poke()
}

func (m *Meter) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Tick counts what was sent since the last time. Call it at least every
// MaxPause; it takes two system calls and one for each interface, and allocates
// nothing unless a sender is new.
func (m *Meter) Tick() {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs error
	now := monotonic()
	m.readRetransmits()
	for index, a := range m.attached {
		m.key = uint32(index)
		if err := m.interfaces.LookupWithFlags(&m.key, &a.counts, ebpf.LookupLock); err != nil {
			errs = err
			continue
		}
		a.advance(now)
	}
	if m.cgroups != nil {
		if err := m.tickSenders(); err != nil {
			errs = err
		}
	}
	if errs != nil && !m.complain {
		m.log.Error("link-local counts can't be read", "err", errs)
	}
	m.complain = errs != nil
}

func (m *Meter) tickSenders() error {
	n, err := m.batch.read()
	m.table.begin()
	for i := range n {
		m.table.add(m.batch.keys[i], &m.batch.values[i])
	}
	if m.table.now%crowdedTicks == 0 {
		senders := m.collection.Maps[programsMapSenders]
		m.table.forget(func(key programsSenderKey) { _ = senders.Delete(key) })
	}
	if len(m.table.unnamed) > 0 {
		m.poke()
	}
	return err
}

// monotonic is the clock that the programs use.
func monotonic() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // fails for no clock that exists
	return time.Duration(t.Nano())
}

// Use returns what an interface sent up to the last Tick since the one before.
// It reports false if the interface is not counted.
func (m *Meter) Use(index int) (Use, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.attached[index]
	if a == nil || !a.started {
		return Use{}, false
	}
	return a.use, true
}

// Totals returns the counts of an interface since it is counted, and false if
// it is not.
func (m *Meter) Totals(index int) (Totals, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.attached[index]
	if a == nil || !a.started {
		return Totals{}, false
	}
	return a.totals(), true
}

// Top ranks who sent in the newest ticks, at most 128: the n that sent most, and
// all others together. It reports false if senders are not counted.
func (m *Meter) Top(n, ticks int) (top []Sender, others Sender, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cgroups == nil {
		return nil, Sender{}, false
	}
	top, others = m.table.top(n, ticks)
	return top, others, true
}

// retryAfter is how long an interface waits that could not be attached to.
const retryAfter = 30 * time.Second

// follow attaches to what is watched, leaves what is not, and names senders.
func (m *Meter) follow() {
	defer close(m.done)
	retry := time.NewTimer(retryAfter)
	retry.Stop()
	said := map[int]string{}
	for {
		select {
		case <-m.stop:
			return
		case <-m.wake:
		case <-retry.C:
		}
		if !m.reconcile(said) {
			retry.Reset(retryAfter)
		}
		m.nameSenders()
	}
}

// reconcile reports whether everything is as it is wanted. said has what was
// logged of each interface.
func (m *Meter) reconcile(said map[int]string) (done bool) {
	m.mu.Lock()
	var gone []*attached
	for index, a := range m.attached {
		if _, wanted := m.wanted[index]; !wanted {
			gone = append(gone, a)
			delete(m.attached, index)
		}
	}
	missing := map[int]string{}
	for index, name := range m.wanted {
		if m.attached[index] == nil {
			missing[index] = name
		}
	}
	m.mu.Unlock()

	for _, a := range gone {
		m.leave(a)
		delete(said, a.index)
	}
	done = true
	for index, name := range missing {
		a, err := m.join(index)
		if err != nil {
			done = false
			if text := err.Error(); said[index] != text {
				said[index] = text
				m.log.Warn("link-local traffic of an interface is not counted; will try again", "interface", name, "every", retryAfter, "err", why(err))
			}
			continue
		}
		delete(said, index)
		m.log.Info("counting link-local traffic", "interface", name)
		m.mu.Lock()
		m.attached[index] = a
		m.mu.Unlock()
	}
	return done
}

func (m *Meter) join(index int) (*attached, error) {
	a := &attached{port: port{index: index}}
	if err := m.interfaces.Put(uint32(index), &a.counts); err != nil {
		return nil, err
	}
	var err error
	if a.link, err = m.attach(index); err != nil {
		_ = m.interfaces.Delete(uint32(index))
		return nil, err
	}
	return a, nil
}

func (m *Meter) leave(a *attached) {
	if err := a.link.Close(); err != nil {
		m.log.Warn("could not take a program off an interface", "index", a.index, "err", err)
	}
	_ = m.interfaces.Delete(uint32(a.index))
}

// nameSenders finds out who is new.
func (m *Meter) nameSenders() {
	m.mu.Lock()
	unnamed := m.table.unnamed
	m.table.unnamed = nil
	m.mu.Unlock()
	if len(unnamed) == 0 {
		return
	}
	ids := map[uint64]bool{}
	for _, s := range unnamed {
		ids[s.cgroup] = true
	}
	names := lookUp(m.root, m.logs, ids)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range unnamed {
		n, ok := names[s.cgroup]
		if !ok {
			continue // it is gone; the command's name is what is left
		}
		n.Process = cmp.Or(s.comm, n.Process)
		s.name = n
	}
}

// Close takes the programs off and forgets the counts.
func (m *Meter) Close() error {
	close(m.stop)
	<-m.done
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, a := range m.attached {
		errs = append(errs, a.link.Close())
	}
	clear(m.attached)
	if m.cgroups != nil {
		errs = append(errs, m.cgroups.Close())
	}
	m.collection.Close()
	m.snmp.Close() // nil is fine
	m.cgroups = nil
	return errors.Join(errs...)
}
