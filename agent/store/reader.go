package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/enawatch/enawatch/agent/delta"
)

// Reader is the state file as it was at one moment. It locks nothing: an agent
// may use the file meanwhile.
type Reader struct {
	store *Store // for try
	db    *bolt.DB
}

// ErrNoState says that there is no state file.
var ErrNoState = errors.New("no agent has written one")

const (
	// metaPages is where bbolt keeps its two meta pages, of which a transaction
	// writes one at its end.
	metaPages = 2
	// copies is how often the file is copied at most until no transaction ended
	// meanwhile. An agent writes a few times a minute.
	copies = 20
)

// Read copies the state file in dir, which may be an agent's that runs. An error
// is compatible with errors.Is(err, ErrNoState) if there is none, and else says
// why the file can't be read.
//
// A copy is whole if no transaction ended while it was made: the pages that the
// meta pages lead to are never written over before that.
func Read(dir string) (*Reader, error) {
	path := statePath(dir)
	from, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("state file %s: %w: give the state_dir of the agent", path, ErrNoState)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: run this as root, or as the user of the agent", err)
	case err != nil:
		return nil, err
	}
	defer from.Close()
	for range copies {
		r, whole, err := readCopy(from)
		if whole {
			return r, wrapBroken(path, err)
		}
		if err != nil {
			return nil, fmt.Errorf("copy the state file: %w", err)
		}
	}
	return nil, fmt.Errorf("state file %s: it changes faster than it can be copied: try again", path)
}

func wrapBroken(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("state file %s can't be read: %w", path, err)
}

// readCopy makes one copy, and reports whether it is whole. The copy is in
// memory: a disk that is full is no reason to see nothing.
func readCopy(from *os.File) (r *Reader, whole bool, err error) {
	meta := func() ([]byte, error) {
		b := make([]byte, metaPages*os.Getpagesize())
		n, err := from.ReadAt(b, 0)
		if err == io.EOF {
			err = nil
		}
		return b[:n], err
	}
	before, err := meta()
	if err != nil {
		return nil, false, err
	}
	to, err := anonymousFile()
	if err != nil {
		return nil, false, err
	}
	if _, err = io.Copy(to, io.NewSectionReader(from, 0, 1<<62)); err != nil {
		to.Close()
		return nil, false, err
	}
	after, err := meta()
	if err != nil || !bytes.Equal(before, after) {
		to.Close()
		return nil, false, err
	}
	r, err = readerOf(to)
	return r, true, err
}

// readerOf opens a copy, which it closes in the end.
func readerOf(f *os.File) (*Reader, error) {
	r := &Reader{store: &Store{}}
	err := r.store.try(func() (err error) {
		r.db, err = bolt.Open(f.Name(), 0o600, &bolt.Options{
			ReadOnly: true, OpenFile: func(string, int, os.FileMode) (*os.File, error) { return f, nil },
		})
		if err != nil {
			f.Close()
			return classify(err)
		}
		return r.db.View(checkLayout)
	})
	if err != nil && r.db != nil {
		r.store.try(r.db.Close)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// checkLayout checks that a file is a state file of this program.
func checkLayout(tx *bolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return fmt.Errorf("%w: it is another program's", errBroken)
	}
	if v := string(meta.Get(keyVersion)); v != layoutVersion {
		return fmt.Errorf("%w: its layout is version %q, this program's is %s", errBroken, v, layoutVersion)
	}
	return nil
}

// Range calls f with the records of a kind between two times, both included, in
// the order in which they were written. The data of a record are valid during
// the call. An error of f ends it.
func (r *Reader) Range(kind Kind, from, to time.Time, f func(Record) error) error {
	return r.view(func(tx *bolt.Tx) error {
		ring := tx.Bucket(bucketRing)
		if ring == nil || ring.Bucket([]byte(kind)) == nil {
			return nil // an agent that kept none wrote it
		}
		return ring.Bucket([]byte(kind)).ForEach(func(_, v []byte) error {
			n, err := decodeRecord(kind, v)
			if err != nil || n.At.Before(from) || n.At.After(to) {
				return err
			}
			return f(n)
		})
	})
}

// Baselines returns the baselines of the last window that reached the disk.
func (r *Reader) Baselines() (list []delta.Baseline, err error) {
	err = r.view(func(tx *bolt.Tx) (err error) {
		if tx.Bucket(bucketBaselines) != nil {
			list, err = getBaselines(tx)
		}
		return err
	})
	return list, err
}

func (r *Reader) view(f func(*bolt.Tx) error) error {
	return r.store.try(func() error { return r.db.View(f) })
}

// Close lets go of the copy.
func (r *Reader) Close() error { return r.store.try(r.db.Close) }
