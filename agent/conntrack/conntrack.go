// Package conntrack says how full the tables of tracked connections are, the
// kernel's and the card's, when they will be full at the present growth, and
// whose connections fill the kernel's.
//
// How full they are takes no privilege: the kernel tells it in /proc, and the
// card by the driver's gauge conntrack_allowance_available. Whose they are takes
// CAP_NET_ADMIN, and is asked only while it hurts or is about to.
package conntrack

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/enawatch/enawatch/agent/event"
)

// Options say what a Watch works with. Warn and Log are required.
type Options struct {
	// Warn is how long before a table is full, at the present growth, that is
	// warned of.
	Warn time.Duration
	// Proc is the directory with nf_conntrack_count and nf_conntrack_max; the
	// kernel's own if empty, and none if "-".
	Proc string
	Log  *slog.Logger
}

// Use is how full a table is.
type Use struct {
	// Known is false if this host can't tell; then the rest is zero.
	Known bool
	// Entries and Max are of the kernel's table. Of the card's, only what is free
	// is known.
	Entries, Max, Free uint64
	// PerSecond is how many entries more there are each second, over the last 60
	// readings; negative while there are less and less.
	PerSecond float64
	// Full is in what time the table is full at that growth, or 0 if that is not
	// in sight: less than half of it is used, or it takes longer than Horizon.
	Full time.Duration
	// Near is true from the warning on until it is over.
	Near bool
}

// Percent returns how much of a table is used whose size is known, or 0.
func (u Use) Percent() float64 {
	if u.Max == 0 {
		return 0
	}
	return 100 * float64(u.Entries) / float64(u.Max)
}

// Horizon is how far a forecast looks.
const Horizon = time.Hour

// Owner is whose connections are in the kernel's table.
type Owner struct {
	// Name is "namespace/pod" of a pod that is known, the address of another one,
	// "this host to tcp 10.0.3.9:5432" or "this host at tcp port 443".
	Name    string
	Entries uint64
	// Unreplied are those of them that have seen no packet back.
	Unreplied uint64
	// Mostly is where most of a pod's go, as "tcp 10.0.3.9:5432", and MostlyEntries
	// how many; empty for the host's own, whose name says it.
	Mostly        string
	MostlyEntries uint64
}

// Owners are the answer to one look at the kernel's table.
type Owners struct {
	At time.Time
	// Top are those that have most, most first, and Others the entries of all who
	// are not listed.
	Top    []Owner
	Others uint64
	// Seen is how many entries were looked at: all, unless there are more than
	// maxSeen. As the table is a hash, those are a fair sample.
	Seen uint64
}

const (
	// maxOwners is how many owners a look names.
	maxOwners = 20
	// lookPause is how long the table is left alone after a look.
	lookPause = 30 * time.Second
)

// Watch watches the tables of this host. Make one with Open. Its methods are safe
// for concurrent use; none waits for the kernel but Tick, for a moment.
type Watch struct {
	log  *slog.Logger
	wake chan struct{}
	stop context.CancelFunc
	done chan struct{}
	dump func(ctx context.Context, each func(*entry)) error

	mu           sync.Mutex // guards what follows
	table        *table
	kernel, card forecast
	most         uint64 // free in the card's table, ever
	ticks        int
	names        func(netip.Addr) (string, bool)
	owners       *Owners
	complaint    string
}

// Open starts to watch. What can't be read is said in the log, and missing.
func Open(o Options) *Watch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watch{
		log: o.Log, wake: make(chan struct{}, 1), stop: cancel, done: make(chan struct{}), dump: dump,
		table:  newTable(o.Proc),
		kernel: forecast{warn: o.Warn}, card: forecast{warn: o.Warn},
		names: func(netip.Addr) (string, bool) { return "", false },
	}
	if err := w.table.open(); err != nil {
		o.Log.Info("the kernel tracks no connections here, or does not say how many; it will be asked again", "err", err)
	}
	go w.run(ctx)
	return w
}

// SetNames says which pod has an address, from now on.
func (w *Watch) SetNames(names func(netip.Addr) (string, bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names = names
}

// Tick reads the kernel's table at the monotonic time now. available is what the
// card can still track, if known.
func (w *Watch) Tick(now time.Duration, available uint64, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ticks++; !w.table.ok() && w.ticks%reopenTicks == 0 {
		_ = w.table.open() // it was said at the start
	}
	entries, most, ok := w.table.read()
	w.say(w.kernel.add(now, entries, most, ok), "the kernel's table of tracked connections", &w.kernel.use)
	// The card says what is free, not how much it holds: at least what was free
	// once.
	w.most = max(w.most, available)
	w.say(w.card.add(now, w.most-available, w.most, known), "the card's allowance of tracked connections", &w.card.use)
	w.card.use.Entries, w.card.use.Max = 0, 0
}

// reopenTicks is after how many ticks a table is looked for that was not there.
const reopenTicks = 60

// say logs that a warning begins or ends. The caller holds the lock.
func (w *Watch) say(turn turn, what string, u *Use) {
	switch turn {
	case begins:
		attributes := []any{event.Key, event.Conntrack, "free", u.Free, "per_second", int64(u.PerSecond)}
		if u.Full > 0 {
			attributes = append(attributes, "full_in", u.Full.Round(time.Second))
		}
		w.log.Warn(what+" is about to be full: new connections will fail", attributes...)
		w.look()
	case ends:
		w.log.Info(what+" has room again", event.Key, event.Conntrack, "free", u.Free)
	}
}

// State returns how full the kernel's table and the card's are.
func (w *Watch) State() (kernel, card Use) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kernel.use, w.card.use
}

// Look has the owners looked up soon, because it hurts.
func (w *Watch) Look() { w.look() }

func (w *Watch) look() {
	select {
	case w.wake <- struct{}{}:
	default: // it is to look already
	}
}

// Owners returns what the newest look found, or nil.
func (w *Watch) Owners() *Owners {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.owners
}

// Close ends the watch.
func (w *Watch) Close() {
	w.stop()
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	w.table.close()
}

// run looks who owns the entries, when it is asked to and not too often.
func (w *Watch) run(ctx context.Context) {
	defer close(w.done)
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		w.lookUp(ctx)
		pause.Reset(lookPause)
	}
}

// lookUp looks at the kernel's table once.
func (w *Watch) lookUp(ctx context.Context) {
	w.mu.Lock()
	names := w.names
	w.mu.Unlock()
	c := newCensus(names)
	err := w.dump(ctx, c.add)
	if ctx.Err() != nil {
		return
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if text != "" && text != w.complaint {
		remedy := "it will be asked again"
		if errors.Is(err, syscall.EPERM) {
			remedy = "give the agent CAP_NET_ADMIN, as docs/conntrack.md says"
		}
		w.log.Warn("whose connections the kernel tracks can't be told: "+remedy, "err", err)
	}
	w.complaint = text
	if err != nil && c.seen == 0 {
		return
	}
	w.owners = c.owners(maxOwners)
	w.owners.At = time.Now()
	if len(w.owners.Top) > 0 {
		o := w.owners.Top[0]
		w.log.Info("who has most of the kernel's tracked connections", "owner", o.Name, "entries", o.Entries, "unreplied", o.Unreplied, "mostly", o.Mostly, "seen", c.seen)
	}
}
