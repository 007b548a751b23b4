package store

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/enawatch/enawatch/agent/metric"
)

// Item is what one request to a destination will carry.
type Item struct {
	// ID tells items of a queue apart and orders them. The store sets it.
	ID string
	// At is the time that the item speaks of; it ages from then.
	At time.Time
	// Points is how many data it carries, for counting.
	Points int
	// Tried is true if a delivery was begun whose outcome is not known: a
	// crash came between. To deliver it again may double it.
	Tried bool
	Data  []byte
}

// itemHeader is what stands before an item's data on disk: Tried, At, Points.
const itemHeader = 1 + 8 + 4

func (i *Item) encode() []byte {
	b := make([]byte, itemHeader, itemHeader+len(i.Data))
	if i.Tried {
		b[0] = 1
	}
	binary.BigEndian.PutUint64(b[1:], uint64(i.At.UnixNano()))
	binary.BigEndian.PutUint32(b[9:], uint32(i.Points))
	return append(b, i.Data...)
}

func decode(id, b []byte) (Item, error) {
	if len(b) < itemHeader {
		return Item{}, fmt.Errorf("%w: an item is cut short", errBroken)
	}
	return Item{
		ID: string(id), Tried: b[0] != 0, At: time.Unix(0, int64(binary.BigEndian.Uint64(b[1:]))).UTC(),
		Points: int(binary.BigEndian.Uint32(b[9:])), Data: slices.Clone(b[itemHeader:]),
	}, nil
}

// Queue is the spool of one sink, oldest first. Its methods are safe for
// concurrent use; one goroutine takes items from it.
type Queue struct {
	store *Store
	name  string
	wake  chan struct{}

	next    uint64 // number of the newest item
	disk    counts
	pending []Item // not on disk yet, in order
	// edits say, by ID, what the disk should have instead of an item and does
	// not yet: nothing, the item changed, or its parts.
	edits map[string][]Item
	// taken is the ID of the item that Oldest returned last: it may be on its
	// way, and is not evicted.
	taken   string
	oldest  time.Time         // what the item was of that Oldest returned last
	dropped map[string]uint64 // data by reason
	lost    uint64            // of them, not said yet
	said    time.Time
}

// Queue returns the spool of the sink called name.
func (s *Store) Queue(name string) *Queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue(name)
}

func (s *Store) queue(name string) *Queue {
	if q, ok := s.queues[name]; ok {
		return q
	}
	q := &Queue{
		store: s, name: name, wake: make(chan struct{}, 1),
		edits: map[string][]Item{}, dropped: map[string]uint64{},
	}
	if s.db == nil {
		// What the file holds is not known. Whatever it is, this comes later:
		// nobody counts as fast as nanoseconds pass.
		q.next = uint64(s.o.Now().UnixNano())
	}
	s.queues[name] = q
	s.order = append(s.order, q)
	return q
}

// Wake is signalled when an item was added.
func (q *Queue) Wake() <-chan struct{} { return q.wake }

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *Queue) bucket(tx *bolt.Tx) *bolt.Bucket {
	return tx.Bucket(bucketSpool).Bucket([]byte(q.name))
}

// load learns what is on disk.
func (q *Queue) load(tx *bolt.Tx) {
	q.disk = getCounts(tx.Bucket(bucketCounts), q.name)
	if b := q.bucket(tx); b != nil {
		q.next = max(q.next, b.Sequence())
	}
}

// add puts an item behind all others. The caller holds the store's lock.
func (q *Queue) add(i Item) {
	q.next++
	i.ID = string(binary.BigEndian.AppendUint64(nil, q.next))
	q.pending = append(q.pending, i)
}

// spare returns the index of the oldest pending item that is not on its way.
func (q *Queue) spare() int {
	if len(q.pending) > 0 && q.pending[0].ID == q.taken {
		return 1
	}
	return 0
}

func (q *Queue) pendingBytes() (n int64) {
	for _, i := range q.pending {
		n += int64(len(i.Data))
	}
	return n
}

// Oldest returns the item to deliver next; ok is false if there is none. Until
// Oldest is called again, the item is not evicted.
func (q *Queue) Oldest() (i Item, ok bool) {
	s := q.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil {
		err := s.guard(func() error {
			return s.db.View(func(tx *bolt.Tx) (err error) {
				i, ok, err = q.oldestOnDisk(tx)
				return err
			})
		})
		if err != nil {
			s.failed(err)
		}
	}
	// What is about to be written stands beside what is.
	for _, parts := range q.edits {
		if len(parts) > 0 && (!ok || parts[0].ID < i.ID) {
			i, ok = parts[0], true
		}
	}
	if !ok && len(q.pending) > 0 {
		i, ok = q.pending[0], true
	}
	q.taken, q.oldest = i.ID, i.At
	return i, ok
}

func (q *Queue) oldestOnDisk(tx *bolt.Tx) (Item, bool, error) {
	b := q.bucket(tx)
	if b == nil {
		return Item{}, false, nil
	}
	return firstOf(b, func(id string) bool {
		_, edited := q.edits[id]
		return edited // delivered, or changed
	})
}

// Try notes on disk that a delivery of the item begins.
func (q *Queue) Try(i Item) {
	i.Tried = true
	q.Replace(i, i)
}

// Done takes a delivered item out.
func (q *Queue) Done(i Item) { q.Replace(i) }

// Drop takes an item out that is given up, and counts its data under reason. The
// log gets the attributes, if it is told at all.
func (q *Queue) Drop(i Item, reason string, attrs ...any) {
	q.store.mu.Lock()
	q.drop(i, reason, attrs...)
	q.store.mu.Unlock()
	q.Done(i)
}

// Replace puts parts in an item's place, in one transaction. A single part is
// the item as it is now; several get IDs of their own.
func (q *Queue) Replace(i Item, parts ...Item) {
	s := q.store
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range parts {
		parts[n].ID = i.ID
		if len(parts) > 1 {
			// Sorts behind the item itself and before the one that follows it.
			parts[n].ID += string(rune('0' + n))
		}
	}
	same := func(o Item) bool { return o.ID == i.ID }
	if at := slices.IndexFunc(q.pending, same); at >= 0 {
		q.pending = slices.Replace(q.pending, at, at+1, parts...)
	} else {
		q.edit(i.ID, same, parts)
	}
	if err := s.flush(); err != nil {
		s.failed(err)
	}
}

// edit notes what the disk should have instead of an item, which may itself be
// noted only.
func (q *Queue) edit(id string, same func(Item) bool, parts []Item) {
	for of, noted := range q.edits {
		if at := slices.IndexFunc(noted, same); at >= 0 {
			q.edits[of] = slices.Replace(noted, at, at+1, parts...)
			return
		}
	}
	q.edits[id] = parts
}

// drop counts what is given up and says so, once a minute at most.
func (q *Queue) drop(i Item, reason string, attrs ...any) {
	q.dropped[reason] += uint64(i.Points)
	q.lost += uint64(i.Points)
	if now := q.store.o.Now(); now.Sub(q.said) >= time.Minute || now.Before(q.said) {
		q.store.o.Log.Error("data were dropped", append([]any{"sink", q.name, "reason", reason, "data", q.lost, "newest_from", i.At}, attrs...)...)
		q.said, q.lost = now, 0
	}
}

// self lists what the queue counts. The caller holds the store's lock.
func (q *Queue) self() []metric.SelfMetric {
	label := metric.Dimension{Name: "sink", Value: q.name}
	gauge := func(name, help string, v float64) metric.SelfMetric {
		return metric.SelfMetric{Name: name, Help: help, Kind: metric.Gauge, Labels: []metric.Dimension{label}, Value: v}
	}
	list := []metric.SelfMetric{
		gauge("enawatch_spool_items", "Requests that wait for delivery.", float64(q.disk.items)+float64(len(q.pending))),
		gauge("enawatch_spool_bytes", "Size of what waits for delivery.", float64(q.disk.bytes+q.pendingBytes())),
	}
	if q.disk.items+int64(len(q.pending)) > 0 && !q.oldest.IsZero() {
		list = append(list, gauge("enawatch_spool_oldest_timestamp_seconds", "When the window ended that waits longest for delivery.", float64(q.oldest.Unix())))
	}
	for _, reason := range slices.Sorted(maps.Keys(q.dropped)) {
		list = append(list, metric.SelfMetric{
			Name: "enawatch_dropped_data_total", Help: "Data that were given up, by sink and reason.",
			Labels: []metric.Dimension{label, {Name: "reason", Value: reason}}, Value: float64(q.dropped[reason]),
		})
	}
	return list
}
