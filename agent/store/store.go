// Package store is the state file: what must survive a restart of the agent.
// One bbolt file holds the baselines of all interfaces, for each sink the spool of
// what is not delivered yet, and a ring of what happened in the last day. A
// window's end writes all of it in one transaction.
//
// What the disk refuses stays in memory and is written with the next window's
// end, so that a full disk or a read-only directory stops nothing: it only
// means that a crash would lose what waits.
package store

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/metric"
)

// Options bound a store. Log is required; zero bounds take their defaults.
type Options struct {
	// MaxBytes bounds what waits on disk, of all sinks together.
	MaxBytes int64
	// MaxAge bounds how long an item waits.
	MaxAge time.Duration
	Log    *slog.Logger
	// Now is the wall clock, time.Now if nil.
	Now func() time.Time
}

// Defaults. CloudWatch takes nothing that is older than 14 days.
const (
	DefaultMaxBytes = 64 << 20
	DefaultMaxAge   = 14 * 24 * time.Hour
)

// maxMemory bounds what waits in memory while the disk refuses it, in bytes.
const maxMemory = 4 << 20

// Store is safe for concurrent use.
type Store struct {
	path string
	o    Options

	mu        sync.Mutex
	db        *bolt.DB // nil while it can't be opened
	queues    map[string]*Queue
	order     []*Queue
	loaded    []delta.Baseline
	baselines []delta.Baseline // not written yet
	unwritten bool
	ring      ring
	failing   error // the last write's, or nil
	broken    error // what is wrong with a file that is in use and to be set aside, or nil
	failures  uint64
	replaced  uint64 // broken files that were set aside
	said      time.Time

	selfMu sync.Mutex // guards what follows; never held with the disk
	self   []metric.SelfMetric
	idle   time.Time // when the disk was last seen to be free
}

// Open opens the state file in dir, or makes one. A file that is torn or not of
// this program is set aside, and the agent starts anew. A directory that can't
// be written to is reported and worked around. The only error is compatible with
// errors.Is(err, ErrInUse).
func Open(dir string, o Options) (*Store, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxAge == 0 {
		o.MaxAge = DefaultMaxAge
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{path: statePath(dir), o: o, queues: map[string]*Queue{}, idle: o.Now()}
	if err := s.open(); errors.Is(err, ErrInUse) {
		return nil, fmt.Errorf("state_dir %s: %w", dir, err)
	} else if err != nil {
		s.failed(err)
	}
	return s, nil
}

// Bound changes how much may wait, and for how long, from the next write on.
func (s *Store) Bound(maxBytes int64, maxAge time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.MaxBytes, s.o.MaxAge = maxBytes, maxAge
}

// Load returns the baselines of the last Commit that reached the disk.
func (s *Store) Load() ([]delta.Baseline, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loaded, nil
}

// Commit keeps the baselines together with the items that every queue gets, by
// its name, and the records for the ring. What the disk refuses is delivered from memory, said in the log and
// tried again with the next Commit.
func (s *Store) Commit(baselines []delta.Baseline, items map[string][]Item, records ...Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.baselines, s.unwritten = baselines, true
	s.ring.add(records)
	for name, list := range items {
		s.add(name, list)
	}
	s.write()
	s.giveBack()
}

// Add keeps items that belong to no window, for the queue of that name, as
// Commit does.
func (s *Store) Add(name string, items ...Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(name, items)
	s.write()
}

func (s *Store) add(name string, items []Item) {
	q := s.queue(name) // whose delivery may not have begun yet
	for _, i := range items {
		q.add(i)
	}
}

// write brings everything to the disk, or says why not, and wakes whoever waits
// for items.
func (s *Store) write() {
	if err := s.flush(); err != nil {
		s.failed(err)
	}
	for _, q := range s.order {
		q.signal()
	}
}

// flush writes everything that is not on disk yet. The caller holds the lock.
func (s *Store) flush() error {
	if s.db == nil {
		if err := s.open(); err != nil {
			s.trimMemory()
			return err
		}
	}
	w := &writing{store: s, counts: map[*Queue]counts{}}
	if err := s.guard(func() error { return s.db.Update(w.run) }); err != nil {
		s.trimMemory()
		return err
	}
	w.done()
	if s.failing != nil {
		s.o.Log.Info("the state file can be written again", "file", s.path)
		s.failing = nil
	}
	return nil
}

// trimMemory drops what is over the bound, oldest first.
func (s *Store) trimMemory() {
	for {
		var total int64
		var oldest *Queue
		for _, q := range s.order {
			total += q.pendingBytes()
			if at := q.spare(); at < len(q.pending) && (oldest == nil || q.pending[at].At.Before(oldest.pending[oldest.spare()].At)) {
				oldest = q
			}
		}
		if total <= maxMemory || oldest == nil {
			return
		}
		at := oldest.spare()
		oldest.drop(oldest.pending[at], DroppedMemory)
		oldest.pending = slices.Delete(oldest.pending, at, at+1)
	}
}

// failed counts a write that failed and says so, once a minute at most.
func (s *Store) failed(err error) {
	s.failures++
	s.failing = err
	if now := s.o.Now(); now.Sub(s.said) >= time.Minute || now.Before(s.said) {
		s.said = now
		s.o.Log.Error("the state file can't be written: what is not delivered is kept in memory, and a crash would lose it",
			"file", s.path, "err", err, "remedy", "make room, or make state_dir writable for enawatch")
	}
}

// Close writes what is left and closes the file.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.flush()
	if s.db == nil {
		return err
	}
	if err == nil {
		err = s.guard(func() error {
			return s.db.Update(func(tx *bolt.Tx) error { return markClean(tx, true) })
		})
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	s.db = nil
	return err
}

// stuckAfter is how long a disk may take before it counts as one that can't be
// written to.
const stuckAfter = 5 * time.Second

// Self returns what the store counts of itself. While the disk hangs it returns
// what it returned last, and that the disk can't be written to.
func (s *Store) Self() []metric.SelfMetric {
	s.selfMu.Lock()
	defer s.selfMu.Unlock()
	stuck := true
	if s.mu.TryLock() {
		stuck, s.idle = false, s.o.Now()
		s.self = s.counters()
		s.mu.Unlock()
	} else if s.o.Now().Sub(s.idle) < stuckAfter {
		stuck = false
	}
	list := slices.Clone(s.self)
	if stuck && len(list) > 0 {
		list[0].Value = 0
	}
	return list
}

// counters lists what is counted, whether the file can be written to being the
// first. The caller holds the lock.
func (s *Store) counters() []metric.SelfMetric {
	ok := 1.0
	if s.failing != nil {
		ok = 0
	}
	list := []metric.SelfMetric{
		{Name: "enawatch_state_writable", Help: "1 if the state file takes writes, 0 if what is not delivered waits in memory.", Kind: metric.Gauge, Value: ok},
		{Name: "enawatch_state_errors_total", Help: "Writes to the state file that failed.", Value: float64(s.failures)},
		{Name: "enawatch_state_records_lost_total", Help: "Records of incidents that never reached the state file.", Value: float64(s.ring.lost)},
		{Name: "enawatch_state_replaced_total", Help: "Broken state files that were set aside.", Value: float64(s.replaced)},
	}
	for _, q := range s.order {
		list = append(list, q.self()...)
	}
	return list
}
