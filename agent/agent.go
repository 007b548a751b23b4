// Package agent wires the parts: it reads every ENA interface once a second,
// turns readings into windows of deltas and hands closed windows on. It owns
// the clock and the shutdown.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/store"
	"github.com/enawatch/enawatch/agent/window"
)

// Store keeps what must survive a restart.
type Store interface {
	// Load returns the baselines of the last Commit.
	Load() ([]delta.Baseline, error)
	// Commit keeps baselines, the window that they belong to and what the ring
	// gets of it, or nothing.
	Commit([]delta.Baseline, *metric.Batch, []store.Record) error
}

// Output takes closed windows. Publish must not block; what it can't take it
// drops and counts.
type Output interface {
	Publish(*metric.Batch)
}

// Options say what an agent works with. Store and all before it are required.
type Options struct {
	Kernel   ena.Kernel
	Clock    window.Clock
	Log      *slog.Logger
	Resource metric.Resource
	// Sample is the time between readings, and Publish that between windows:
	// a multiple of Sample, at most window.MaxSamples of them.
	Sample, Publish time.Duration
	// Sparse leaves out of a window what stays at zero.
	Sparse bool
	// Want says which interfaces to read, and Queues which stats of queues.
	Want    func(metric.Interface) bool
	Queues  func(ena.Stat) bool
	Store   Store
	Outputs []Output
	// Levels puts the raw values of each interface into its windows.
	Levels bool
	// Samples says when a snapshot is taken, and who gets it.
	Samples Samples
	// Attached is told the MAC address of each interface that is read from now
	// on, if it is not nil. It must not block.
	Attached func(mac string)
	// LinkLocal counts what interfaces send to link-local services, if it is not
	// nil, and TopSenders is how many of those who send are named in a window.
	LinkLocal  LinkLocal
	TopSenders int
	// Conntrack watches tables of tracked connections, if it is not nil, and
	// TopOwners is how many of those who have most are named in a window.
	Conntrack Conntrack
	TopOwners int
	// Exceeded is told of each reading in which an allowance was exceeded, if it
	// is not nil. It must not block.
	Exceeded func()
	// Settled is told at the end of each tick, at the monotonic time now, if it is
	// not nil: ready says whether every interface was read by then. It must not
	// block.
	Settled func(ready bool, now time.Duration)
	// Live remembers each second, if it is not nil: for people who look, and for
	// the ring, which needs a window of them.
	Live *live.History
	// Before is the agent that ran before this one in the same process, if it is
	// not nil: its Run has returned, and this one goes on where it ended, whatever
	// the store has by then.
	Before *Agent
}

// Samples asks for a snapshot at the readings on wall-clock multiples of Every,
// Offset later, beside the first and the last one. The zero value asks for none.
type Samples struct {
	Every, Offset time.Duration
	// Take gets the snapshot and keeps it. It must not block.
	Take func(*metric.Snapshot)
}

// Agent reads, counts and hands on. Make one with New and run it once.
type Agent struct {
	Options

	mu             sync.Mutex // guards everything below
	pods           func(index int, eni string) *metric.Pods
	watcher        *ena.Watcher
	tracker        *delta.Tracker
	window         *window.Window
	schedule       *window.Schedule
	linkLocalTicks int       // in the open window
	ownersAt       time.Time // of those that a window had last
	recorder       recorder
	// interfaces are those that are read, in the order of arrival.
	interfaces []*iface
	// unwanted are those that are not read, by index, and enis what NameENI
	// said, by MAC.
	unwanted map[int]sighting
	enis     map[string]eni
	loop     loop
	counts   counts
	ready    bool
	// sampled is the multiple of Samples.Every that had its snapshot last.
	sampled time.Time
	// alive is until when the agent before ran, zero if that is not known.
	alive time.Time

	// commits stands before the store: a disk that hangs stops no reading.
	commits *sink.Queue[commit]
}

// commit is what a window's end writes to the store.
type commit struct {
	baselines []delta.Baseline
	batch     *metric.Batch
	records   []store.Record
}

// New returns an agent that has not read yet. An error means that the kernel's
// boot id or the store's baselines could not be read.
func New(o Options) (*Agent, error) {
	bootID, err := o.Kernel.BootID()
	if err != nil {
		return nil, fmt.Errorf("read the boot id: %w", err)
	}
	tracker, watcher, alive, err := begin(&o, bootID)
	if err != nil {
		return nil, fmt.Errorf("load the baselines: %w", err)
	}
	w := window.New(int(o.Publish/o.Sample), o.Sparse)
	w.Every = o.Sample
	return &Agent{
		Options: o, pods: func(int, string) *metric.Pods { return nil }, unwanted: map[int]sighting{}, enis: map[string]eni{},
		watcher: watcher, tracker: tracker, window: w, alive: alive,
		commits: sink.NewQueue("state", func(c commit) error { return o.Store.Commit(c.baselines, c.batch, c.records) }, o.Log),
	}, nil
}

// begin returns what the agent goes on with, and until when the one before it is
// known to have run. It leaves o.Before to be forgotten.
func begin(o *Options, bootID string) (*delta.Tracker, *ena.Watcher, time.Time, error) {
	before := o.Before
	if before == nil {
		baselines, err := o.Store.Load()
		return delta.NewTracker(bootID, baselines), ena.NewWatcher(o.Kernel), lastAlive(baselines), err
	}
	o.Before = nil
	before.mu.Lock()
	defer before.mu.Unlock()
	if before.loop.polling { // the kernel holds it up: it may never come back
		return before.tracker, ena.NewWatcher(o.Kernel), before.loop.tick.At, nil
	}
	return before.tracker, before.watcher.Successor(), before.loop.tick.At, nil
}

// Run reads until ctx ends, then reads once more, closes the open window and
// hands it on, for which it waits grace at most.
func (a *Agent) Run(ctx context.Context, grace time.Duration) {
	a.loop.done = make(chan struct{})
	a.loop.onChange = a.changed
	a.mu.Lock()
	a.schedule = window.NewSchedule(a.Clock, a.Sample, a.Publish)
	a.mu.Unlock()
	a.loop.guard = time.AfterFunc(readLimit, func() { a.takeOver(ctx) })
	go a.run(ctx, 0, true)
	<-a.loop.done
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	a.commits.Close(ctx)
}

// EndWindow has the open window end with the next reading.
func (a *Agent) EndWindow() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.schedule != nil {
		a.schedule.Cut()
	}
}

// closeWindow hands the window on that t ends. The caller holds the lock.
func (a *Agent) closeWindow(t window.Tick) {
	b := a.window.Close()
	b.Start, b.Length, b.Resource = t.Start, t.Length, a.Resource
	if a.Levels {
		b.Levels = a.levels(b.Interfaces)
	}
	nameCulprits(b)
	a.addSenders(b)
	a.addOwners(b)
	b.Records, a.recorder.window = a.recorder.window, nil
	a.counts.windows++
	end := t.Start.Add(t.Length)
	a.commits.Publish(commit{a.tracker.Baselines(end), b, append(a.cut(end), flights(b.Records)...)})
	a.tracker.Forget(end.Add(-forgetAfter), a.present, func(k delta.Key) { delete(a.enis, k.MAC) })
	for _, o := range a.Outputs {
		o.Publish(b)
	}
}

// forgetAfter is how long the baseline of an interface that left is kept.
const forgetAfter = 14 * 24 * time.Hour

func (a *Agent) present(k delta.Key) bool {
	for _, i := range a.interfaces {
		if delta.KeyOf(i.row.Interface) == k {
			return true
		}
	}
	return false
}

// now is the wall clock with the monotonic one in it, for ages.
func (a *Agent) now() time.Time { return monoEpoch.Add(a.Clock.Mono()) }

// monoEpoch makes times out of the monotonic clock: only their differences mean
// something.
var monoEpoch = time.Unix(0, 0)

// Ready reports whether every interface that is there was read, nil meaning yes.
// A host without ENA interfaces is ready: there is nothing to wait for.
func (a *Agent) Ready() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ready {
		return errors.New("the first readings are not in yet")
	}
	return nil
}

// Healthy reports whether readings go on, nil meaning yes.
func (a *Agent) Healthy() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if age := a.Clock.Mono() - a.loop.ticked; a.ready && age > 3*a.Sample+readLimit {
		return fmt.Errorf("no tick for %s", age.Round(time.Millisecond))
	}
	return nil
}
