package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/enawatch/enawatch/agent/resident"
)

const fileName = "enawatch.db"

func statePath(dir string) string { return filepath.Join(dir, fileName) }

// Layout of the file.
var (
	bucketMeta      = []byte("enawatch") // marks the file as this program's
	keyVersion      = []byte("version")
	keyClean        = []byte("clean") // there if the file was closed in order
	bucketBaselines = []byte("baselines")
	bucketSpool     = []byte("spool")  // a bucket in it for each sink
	bucketCounts    = []byte("counts") // how much is in it, by sink
)

const layoutVersion = "1"

// ErrInUse says that another agent uses the state directory.
var ErrInUse = errors.New("another enawatch uses it: stop that, or give this one a directory of its own")

// errBroken says that the file is torn or foreign.
var errBroken = errors.New("the state file is broken")

// lockTimeout is how long another agent may take to end, as in a restart.
const lockTimeout = time.Second

// open opens the file or makes one; a broken one is set aside first. The caller
// holds the lock.
func (s *Store) open() error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	why := s.broken
	if why == nil {
		if why = s.openFile(); !errors.Is(why, errBroken) {
			return why
		}
	}
	if err := s.setAside(why); err != nil {
		return err
	}
	s.broken = nil
	return s.openFile()
}

func (s *Store) openFile() error {
	err := s.try(func() error {
		db, err := bolt.Open(s.path, 0o600, &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType})
		if err != nil {
			return classify(err)
		}
		s.db = db
		if err := s.prepare(); err != nil {
			return err
		}
		return s.db.View(func(tx *bolt.Tx) (err error) {
			// What waits for a sink that is off now counts too, and ages.
			err = tx.Bucket(bucketSpool).ForEachBucket(func(name []byte) error {
				s.queue(string(name))
				return nil
			})
			if err != nil {
				return err
			}
			for _, q := range s.order {
				q.load(tx)
			}
			s.loaded, err = getBaselines(tx)
			return err
		})
	})
	if err != nil && s.db != nil {
		s.try(s.db.Close)
		s.db = nil
	}
	s.giveBack()
	return err
}

// giveBack unmaps the pages of the file that were read, until they are read again;
// they count as this process's memory. Nothing is lost: bbolt reads its mapping, which
// is no smaller than what a transaction sees (checkSize), and writes to the file. The
// caller holds the lock.
func (s *Store) giveBack() {
	if s.db == nil {
		return
	}
	// Where the kernel refuses, it costs memory alone.
	_ = s.try(func() error {
		return s.db.View(func(tx *bolt.Tx) error { // which no new mapping replaces meanwhile
			from := s.db.Info().Data
			return resident.Drop(from, from+uintptr(tx.Size()))
		})
	})
}

// checkSize reports as broken a file that was cut short. bbolt does not look, and maps
// as much as there is.
func (s *Store) checkSize(tx *bolt.Tx) error {
	if f, err := os.Stat(s.path); err == nil && f.Size() < tx.Size() {
		return fmt.Errorf("%w: it has %d bytes of %d", errBroken, f.Size(), tx.Size())
	}
	return nil
}

// prepare checks a file that was not closed in order and makes the buckets.
func (s *Store) prepare() error {
	err := s.db.View(func(tx *bolt.Tx) error {
		if err := s.checkSize(tx); err != nil {
			return err
		}
		meta := tx.Bucket(bucketMeta)
		if meta == nil {
			if k, _ := tx.Cursor().First(); k != nil {
				return fmt.Errorf("%w: it is another program's", errBroken)
			}
			return nil
		}
		if err := checkLayout(tx); err != nil || meta.Get(keyClean) != nil {
			return err
		}
		return walk(tx)
	})
	if err != nil {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketBaselines, bucketSpool, bucketCounts} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		if err := makeRing(tx); err != nil {
			return err
		}
		if err := tx.Bucket(bucketMeta).Put(keyVersion, []byte(layoutVersion)); err != nil {
			return err
		}
		return markClean(tx, false)
	})
}

// walk reads every byte of every bucket. bbolt's own check would do it in a
// goroutine of its own, where a bad page ends the program instead of the try.
func walk(tx *bolt.Tx) error {
	var sum byte
	var bucket func(b *bolt.Bucket) error
	left := tx.Size() // no file holds more keys than bytes: a circle of pages ends
	bucket = func(b *bolt.Bucket) error {
		var last []byte
		return b.ForEach(func(k, v []byte) error {
			if left--; left < 0 || last != nil && bytes.Compare(last, k) >= 0 {
				return fmt.Errorf("%w: its keys are out of order", errBroken)
			}
			last = append(last[:0], k...)
			for _, c := range v {
				sum ^= c // reads it
			}
			if v != nil {
				return nil
			}
			return bucket(b.Bucket(k))
		})
	}
	return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return bucket(b) })
}

func markClean(tx *bolt.Tx, clean bool) error {
	if clean {
		return tx.Bucket(bucketMeta).Put(keyClean, []byte("yes"))
	}
	return tx.Bucket(bucketMeta).Delete(keyClean)
}

// classify tells what bbolt says of opening a file.
func classify(err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return ErrInUse
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum),
		errors.Is(err, bolterrors.ErrInvalidMapping), strings.HasPrefix(err.Error(), "file size too small"): // db.go, mmap: no error of its own
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	return fmt.Errorf("open the state file: %w", err)
}

// guard runs a transaction. A file that turns out to be broken is set aside for
// a new one, and the transaction fails once. The caller holds the lock.
func (s *Store) guard(f func() error) error {
	err := s.try(f)
	if !errors.Is(err, errBroken) {
		return err
	}
	// Not closed: a broken transaction may hold its locks for ever, and the file's with
	// them. So it is not opened again, but set aside, now or when that can be done.
	s.db, s.broken = nil, err
	return errors.Join(err, s.open())
}

// setAside renames the broken file, so that a new one can be made.
func (s *Store) setAside(why error) error {
	aside := s.path + ".broken"
	if err := os.Rename(s.path, aside); err != nil {
		return fmt.Errorf("set the broken state file aside: %w", err)
	}
	s.o.Log.Error("the state file was set aside: starting with new baselines and an empty spool", "file", s.path, "kept_as", aside, "err", why)
	s.replaced++
	for _, q := range s.order {
		if q.disk.items > 0 {
			q.dropped[DroppedBroken] += uint64(q.disk.items)
		}
		q.disk = counts{}
	}
	return nil
}

// try runs f. bbolt panics when pages make no sense, and a file that is shorter
// than its map makes reading it a fault: both mean that the file is broken.
func (s *Store) try(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errBroken, p)
		}
	}()
	return f()
}
