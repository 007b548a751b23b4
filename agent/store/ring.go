package store

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Kind tells the records of the ring apart. Each kind has its own bounds, so that
// none of them pushes another out.
type Kind string

// Kinds of records.
const (
	// Seconds are the seconds of a window in which something was not zero, as
	// package incident encodes them.
	Seconds Kind = "seconds"
	// Events are what happened, a JSON object each.
	Events Kind = "events"
	// Flights are what was known around a second in which an allowance was
	// exceeded, a JSON object each.
	Flights Kind = "flights"
)

// Record is an entry of the ring.
type Record struct {
	Kind Kind
	// At is the time that it speaks of; for a span, its end.
	At   time.Time
	Data []byte
}

// MaxRecord is how many bytes a record may have.
const MaxRecord = 256 << 10

// RingAge is how long records are kept.
const RingAge = 24 * time.Hour

// bound is how much of a kind is kept on disk; the oldest goes first.
type bound struct {
	kind           Kind
	entries, bytes int64
}

// bounds hold together some 13 MiB. Sixteen interfaces that exceed every
// allowance in every second make 12 KB of seconds a minute: 12 hours of them fit.
var bounds = []bound{
	{Seconds, 20_000, 8 << 20},
	{Events, 4_096, 1 << 20},
	{Flights, 512, 4 << 20},
}

// maxWaiting bounds the records that wait in memory while the disk refuses
// them, in bytes.
const maxWaiting = 1 << 20

var (
	bucketRing       = []byte("ring")        // a bucket in it for each kind
	bucketRingCounts = []byte("ring_counts") // how much is in it, by kind
)

// ring are the records that are not on disk yet, oldest first.
type ring struct {
	waiting []Record
	bytes   int64
	lost    uint64 // records that were dropped before they reached the disk
}

// Append adds records to the ring. They reach the disk with the next transaction;
// while it takes none, the oldest are dropped and counted.
func (s *Store) Append(records ...Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring.add(records)
}

func (r *ring) add(records []Record) {
	for _, n := range records {
		if len(n.Data) > MaxRecord || !slices.ContainsFunc(bounds, func(b bound) bool { return b.kind == n.Kind }) {
			r.lost++
			continue
		}
		r.waiting = append(r.waiting, n)
		r.bytes += int64(len(n.Data))
	}
	drop := 0
	for r.bytes > maxWaiting {
		r.bytes -= int64(len(r.waiting[drop].Data))
		drop++
	}
	r.lost += uint64(drop)
	r.waiting = slices.Delete(r.waiting, 0, drop)
}

// writeRing appends what waits and evicts what is over a bound. With nothing to
// do, it writes nothing.
func (w *writing) writeRing(tx *bolt.Tx) error {
	oldest := w.store.o.Now().Add(-RingAge)
	for _, b := range bounds {
		in := tx.Bucket(bucketRing).Bucket([]byte(b.kind))
		before := getCounts(tx.Bucket(bucketRingCounts), string(b.kind))
		c := before
		for _, r := range w.store.ring.waiting {
			if r.Kind != b.kind {
				continue
			}
			number, err := in.NextSequence()
			if err != nil {
				return err
			}
			value := append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(r.Data)), uint64(r.At.UnixNano())), r.Data...)
			if err := in.Put(binary.BigEndian.AppendUint64(nil, number), value); err != nil {
				return err
			}
			c.items++
			c.bytes += int64(len(value))
		}
		cursor := in.Cursor()
		for k, v := cursor.First(); k != nil; k, v = cursor.First() {
			r, err := decodeRecord(b.kind, v)
			if err != nil {
				return err
			}
			if c.items <= b.entries && c.bytes <= b.bytes && !r.At.Before(oldest) {
				break
			}
			c.items--
			c.bytes -= int64(len(v))
			if err := in.Delete(k); err != nil {
				return err
			}
		}
		if c != before {
			if err := tx.Bucket(bucketRingCounts).Put([]byte(b.kind), c.encode()); err != nil {
				return err
			}
		}
	}
	return nil
}

func decodeRecord(kind Kind, v []byte) (Record, error) {
	if len(v) < 8 {
		return Record{}, fmt.Errorf("%w: a record is cut short", errBroken)
	}
	return Record{Kind: kind, At: time.Unix(0, int64(binary.BigEndian.Uint64(v))).UTC(), Data: v[8:]}, nil
}

// makeRing makes the buckets.
func makeRing(tx *bolt.Tx) error {
	ring, err := tx.CreateBucketIfNotExists(bucketRing)
	if err != nil {
		return err
	}
	for _, b := range bounds {
		if _, err := ring.CreateBucketIfNotExists([]byte(b.kind)); err != nil {
			return err
		}
	}
	_, err = tx.CreateBucketIfNotExists(bucketRingCounts)
	return err
}
