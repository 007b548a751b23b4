package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/enawatch/enawatch/agent/delta"
)

// Reasons for which the store itself drops data.
const (
	DroppedOld    = "too_old"      // for Options.MaxAge
	DroppedSpace  = "spool_full"   // Options.MaxBytes
	DroppedMemory = "memory_full"  // the disk takes nothing, and maxMemory waits
	DroppedBroken = "state_broken" // the state file was set aside; counts requests
)

// writing is one transaction that brings the disk to what the store is. It
// changes nothing in memory until it has succeeded.
type writing struct {
	store   *Store
	counts  map[*Queue]counts
	evicted []eviction
}

// counts are what a queue or a kind of records has on disk.
type counts struct{ items, bytes int64 }

func (c counts) encode() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(c.items)), uint64(c.bytes))
}

func getCounts(b *bolt.Bucket, name string) counts {
	v := b.Get([]byte(name))
	if len(v) != 16 {
		return counts{}
	}
	return counts{int64(binary.BigEndian.Uint64(v)), int64(binary.BigEndian.Uint64(v[8:]))}
}

type eviction struct {
	queue  *Queue
	item   Item
	reason string
}

func (w *writing) run(tx *bolt.Tx) error {
	if w.store.unwritten {
		if err := putBaselines(tx, w.store.baselines); err != nil {
			return err
		}
	}
	for _, q := range w.store.order {
		if err := w.write(tx, q); err != nil {
			return err
		}
	}
	if err := w.evict(tx); err != nil {
		return err
	}
	for q, c := range w.counts {
		if err := tx.Bucket(bucketCounts).Put([]byte(q.name), c.encode()); err != nil {
			return err
		}
	}
	return w.writeRing(tx)
}

// write does a queue's edits and appends what is pending.
func (w *writing) write(tx *bolt.Tx, q *Queue) error {
	w.counts[q] = q.disk
	b, err := tx.Bucket(bucketSpool).CreateBucketIfNotExists([]byte(q.name))
	if err != nil {
		return err
	}
	for id, parts := range q.edits {
		if b.Get([]byte(id)) == nil {
			continue // it went with a file that was set aside
		}
		if err := w.put(b, q, id, nil); err != nil {
			return err
		}
		for _, p := range parts {
			if err := w.put(b, q, p.ID, &p); err != nil {
				return err
			}
		}
	}
	for _, i := range q.pending {
		if err := w.put(b, q, i.ID, &i); err != nil {
			return err
		}
	}
	if b.Sequence() == q.next {
		return nil
	}
	return b.SetSequence(q.next)
}

// put writes one item, or deletes it if i is nil, and keeps count.
func (w *writing) put(b *bolt.Bucket, q *Queue, id string, i *Item) error {
	c := w.counts[q]
	if old := b.Get([]byte(id)); old != nil {
		c.items--
		c.bytes -= int64(len(old))
	}
	var err error
	if i == nil {
		err = b.Delete([]byte(id))
	} else {
		value := i.encode()
		c.items++
		c.bytes += int64(len(value))
		err = b.Put([]byte(id), value)
	}
	w.counts[q] = c
	return err
}

// evict keeps the spool within its bounds: the oldest items go first, whosever
// they are.
func (w *writing) evict(tx *bolt.Tx) error {
	limit := w.store.o.Now().Add(-w.store.o.MaxAge)
	for {
		var total int64
		var oldest eviction
		for _, q := range w.store.order {
			total += w.counts[q].bytes
			i, ok, err := firstOf(q.bucket(tx), func(id string) bool { return id == q.taken })
			if err != nil {
				return err
			}
			if ok && (oldest.queue == nil || i.At.Before(oldest.item.At)) {
				oldest = eviction{queue: q, item: i}
			}
		}
		switch {
		case oldest.queue == nil:
			return nil
		case oldest.item.At.Before(limit):
			oldest.reason = DroppedOld
		case total > w.store.o.MaxBytes:
			oldest.reason = DroppedSpace
		default:
			return nil
		}
		if err := w.put(oldest.queue.bucket(tx), oldest.queue, oldest.item.ID, nil); err != nil {
			return err
		}
		oldest.item.Data = nil // all of them may be as much as the spool
		w.evicted = append(w.evicted, oldest)
	}
}

// firstOf returns the first item of a bucket that skip does not pass over.
func firstOf(b *bolt.Bucket, skip func(id string) bool) (Item, bool, error) {
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if !skip(string(k)) {
			i, err := decode(k, v)
			return i, err == nil, err
		}
	}
	return Item{}, false, nil
}

// done takes over what the transaction wrote.
func (w *writing) done() {
	s := w.store
	if s.unwritten {
		s.loaded, s.baselines, s.unwritten = s.baselines, nil, false
	}
	s.ring.waiting, s.ring.bytes = nil, 0
	for q, c := range w.counts {
		q.disk, q.pending = c, nil
		clear(q.edits)
	}
	for _, e := range w.evicted {
		e.queue.drop(e.item, e.reason)
	}
}

func putBaselines(tx *bolt.Tx, list []delta.Baseline) error {
	if err := tx.DeleteBucket(bucketBaselines); err != nil {
		return err
	}
	b, err := tx.CreateBucket(bucketBaselines)
	if err != nil {
		return err
	}
	for _, l := range list {
		value, err := json.Marshal(l)
		if err != nil {
			return err
		}
		if err := b.Put([]byte(l.MAC+"|"+l.BusInfo), value); err != nil {
			return err
		}
	}
	return nil
}

func getBaselines(tx *bolt.Tx) (list []delta.Baseline, err error) {
	err = tx.Bucket(bucketBaselines).ForEach(func(_, value []byte) error {
		var l delta.Baseline
		if err := json.Unmarshal(value, &l); err != nil {
			return fmt.Errorf("%w: a baseline: %w", errBroken, err)
		}
		list = append(list, l)
		return nil
	})
	return list, err
}
