package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	bolt "go.etcd.io/bbolt"
)

// ErrBroken says that the state file is torn, or not this program's.
var ErrBroken = errBroken

// inspectTimeout is how long another process may hold the file: one that only
// reads it.
const inspectTimeout = 100 * time.Millisecond

// Waiting is what waits for one sink.
type Waiting struct {
	Sink         string
	Items, Bytes int64
	// Oldest is the time that the oldest item speaks of; zero without one.
	Oldest time.Time
}

// Inspect returns what waits in the state file of dir, and how many interfaces
// have baselines in it. It changes nothing, and holds the file for a moment only,
// so that an agent that starts meanwhile waits for it. The error is compatible
// with errors.Is(err, ErrInUse) if an agent has the file, with ErrBroken, with
// fs.ErrNotExist and with fs.ErrPermission.
func Inspect(dir string) (list []Waiting, interfaces int, err error) {
	s := &Store{path: statePath(dir), o: Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now}, queues: map[string]*Queue{}}
	err = s.try(func() error {
		db, err := bolt.Open(s.path, 0o600, &bolt.Options{ReadOnly: true, Timeout: inspectTimeout})
		if err != nil {
			return classify(err)
		}
		s.db = db
		return db.View(func(tx *bolt.Tx) error {
			list, interfaces, err = s.inspect(tx)
			return err
		})
	})
	if s.db != nil {
		err = errors.Join(err, s.try(s.db.Close))
	}
	return list, interfaces, err
}

func (s *Store) inspect(tx *bolt.Tx) (list []Waiting, interfaces int, err error) {
	if err := s.checkSize(tx); err != nil {
		return nil, 0, err
	}
	meta := tx.Bucket(bucketMeta)
	if meta == nil || tx.Bucket(bucketSpool) == nil || tx.Bucket(bucketCounts) == nil || tx.Bucket(bucketBaselines) == nil {
		return nil, 0, fmt.Errorf("%w: it is another program's", errBroken)
	}
	if v := string(meta.Get(keyVersion)); v != layoutVersion {
		return nil, 0, fmt.Errorf("%w: its layout is version %q, this program's is %s", errBroken, v, layoutVersion)
	}
	if meta.Get(keyClean) == nil {
		if err := walk(tx); err != nil {
			return nil, 0, err
		}
	}
	baselines, err := getBaselines(tx)
	if err != nil {
		return nil, 0, err
	}
	err = tx.Bucket(bucketSpool).ForEachBucket(func(name []byte) error {
		q := s.queue(string(name))
		q.load(tx)
		first, _, err := q.oldestOnDisk(tx)
		list = append(list, Waiting{Sink: q.name, Items: q.disk.items, Bytes: q.disk.bytes, Oldest: first.At})
		return err
	})
	return list, len(baselines), err
}
