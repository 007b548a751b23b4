package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/enawatch/enawatch/agent/delta"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

type bed struct {
	dir string
	now time.Time
	log bytes.Buffer
}

func newBed(t *testing.T) *bed { return &bed{dir: t.TempDir(), now: noon} }

func (b *bed) open(t *testing.T, change func(*Options)) *Store {
	t.Helper()
	o := Options{Log: slog.New(slog.NewTextHandler(&b.log, nil)), Now: func() time.Time { return b.now }}
	if change != nil {
		change(&o)
	}
	s, err := Open(b.dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b *bed) item(i int) Item {
	return Item{At: noon.Add(time.Duration(i) * time.Minute), Points: 1, Data: fmt.Appendf(nil, "item %d", i)}
}

func items(list ...Item) map[string][]Item { return map[string][]Item{"cw": list} }

// drain takes everything out of a queue.
func drain(q *Queue) (got []string) {
	for {
		i, ok := q.Oldest()
		if !ok {
			return got
		}
		text := string(i.Data)
		if i.Tried {
			text += " (tried)"
		}
		got = append(got, text)
		q.Done(i)
	}
}

func commit(t *testing.T, s *Store, m map[string][]Item) {
	t.Helper()
	s.Commit([]delta.Baseline{{Key: delta.Key{MAC: "02:05"}, BootID: "b", Values: map[string]uint64{"x": 1}}}, m)
	if s.failing != nil {
		t.Fatal(s.failing)
	}
}

func TestWhatIsCommittedSurvives(t *testing.T) {
	for _, closed := range []bool{true, false} {
		t.Run(fmt.Sprintf("closed in order %v", closed), func(t *testing.T) {
			b := newBed(t)
			s := b.open(t, nil)
			q := s.Queue("cw")
			commit(t, s, items(b.item(1), b.item(2)))
			commit(t, s, items(b.item(3)))
			first, _ := q.Oldest()
			q.Done(first)
			second, _ := q.Oldest()
			q.Try(second)
			if closed {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				kill(t, s)
			}
			s = b.open(t, nil)
			defer s.Close()
			list, err := s.Load()
			if err != nil || len(list) != 1 || list[0].Values["x"] != 1 {
				t.Errorf("baselines %+v, %v", list, err)
			}
			if diff := cmp.Diff([]string{"item 2 (tried)", "item 3"}, drain(s.Queue("cw"))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if b.log.Len() > 0 {
				t.Errorf("log:\n%s", b.log.String())
			}
		})
	}
}

// kill leaves the file as kill -9 would: its lock is gone, nothing is closed.
func kill(t *testing.T, s *Store) {
	t.Helper()
	content, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSecondAgentIsRefused(t *testing.T) {
	b := newBed(t)
	s := b.open(t, nil)
	defer s.Close()
	if _, err := Open(b.dir, Options{Log: slog.New(slog.DiscardHandler)}); !errors.Is(err, ErrInUse) {
		t.Errorf("%v, want ErrInUse", err)
	}
}

func TestInspect(t *testing.T) {
	b := newBed(t)
	if _, _, err := Inspect(b.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v, want ErrNotExist", err)
	}
	s := b.open(t, nil)
	s.Queue("cw")
	s.Queue("rw")
	for i := range 3 {
		commit(t, s, items(b.item(i)))
	}
	if _, _, err := Inspect(b.dir); !errors.Is(err, ErrInUse) {
		t.Errorf("of an agent that runs: %v, want ErrInUse", err)
	}
	oldest, _ := s.Queue("cw").Oldest()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := Inspect(b.dir)
	want := []Waiting{{Sink: "cw", Items: 3, Bytes: 3 * (6 + itemHeader), Oldest: oldest.At}, {Sink: "rw"}}
	if diff := cmp.Diff(want, list); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if after, err := os.ReadFile(s.path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed: %v", err)
	}
}

func TestBrokenFileIsSetAside(t *testing.T) {
	good := func(t *testing.T) []byte {
		b := newBed(t)
		s := b.open(t, nil)
		s.Queue("cw")
		for i := range 200 {
			commit(t, s, items(b.item(i)))
		}
		kill(t, s)
		content, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	// drained was closed in order, with nothing left in most of it.
	drained := func(t *testing.T) []byte {
		b := newBed(t)
		s := b.open(t, nil)
		q := s.Queue("cw")
		for i := range 200 {
			commit(t, s, items(Item{At: b.item(i).At, Points: 1, Data: bytes.Repeat([]byte("x"), 20_000)}))
		}
		drain(q)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	foreign := func(t *testing.T) []byte {
		path := filepath.Join(t.TempDir(), "x")
		db, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("theirs")); return err })
		db.Close()
		content, _ := os.ReadFile(path)
		return content
	}
	tests := []struct {
		name    string
		content func(*testing.T) []byte
	}{
		{"text", func(*testing.T) []byte { return bytes.Repeat([]byte("this is no database\n"), 1000) }},
		{"torn", func(t *testing.T) []byte { c := good(t); return c[:len(c)/4] }},
		{"torn in its first pages", func(t *testing.T) []byte { return good(t)[:5000] }},
		{"torn to its first pages", func(t *testing.T) []byte { return good(t)[:8192] }},
		{"cut short", func(t *testing.T) []byte { return drained(t)[:1<<20] }},
		{"zeros in the middle", func(t *testing.T) []byte {
			c := good(t)
			clear(c[8192 : len(c)-4096])
			return c
		}},
		{"noise in the middle", func(t *testing.T) []byte {
			c := good(t)
			for i := 8192; i < len(c); i++ {
				c[i] ^= byte(i * 31)
			}
			return c
		}},
		{"foreign", foreign},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t)
			path := statePath(b.dir)
			if err := os.WriteFile(path, tt.content(t), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, err := Inspect(b.dir); !errors.Is(err, ErrBroken) {
				t.Errorf("to inspect it gives %v, want ErrBroken", err)
			}
			s := b.open(t, nil)
			defer s.Close()
			q := s.Queue("cw")
			commit(t, s, items(b.item(1)))
			if diff := cmp.Diff([]string{"item 1"}, drain(q)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if _, err := os.Stat(path + ".broken"); err != nil || !strings.Contains(b.log.String(), "set aside") {
				t.Errorf("%v; log:\n%s", err, b.log.String())
			}
		})
	}
}

// A broken file that can't be set aside yet is set aside when that can be done.
func TestBrokenFileThatCannotBeSetAside(t *testing.T) {
	b := newBed(t)
	s := b.open(t, nil)
	q := s.Queue("cw")
	commit(t, s, items(b.item(1)))
	inTheWay := filepath.Join(s.path+".broken", "x")
	if err := os.MkdirAll(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.guard(func() error { return errBroken }); err == nil || s.db != nil {
		t.Fatalf("%v, a file is open: %t", err, s.db != nil)
	}
	for range 3 {
		s.Commit(nil, items(b.item(2)))
	}
	if s.failing == nil || errors.Is(s.failing, ErrInUse) {
		t.Errorf("the write's error is %v", s.failing)
	}
	if strings.Contains(b.log.String(), "was set aside") {
		t.Errorf("it was not set aside:\n%s", b.log.String())
	}
	if err := os.RemoveAll(s.path + ".broken"); err != nil {
		t.Fatal(err)
	}
	commit(t, s, items(b.item(3)))
	kill(t, s) // and the good one is opened again
	s.db = nil
	commit(t, s, items(b.item(4)))
	if diff := cmp.Diff([]string{"item 2", "item 2", "item 2", "item 3", "item 4"}, drain(q)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	s.Close()
}

// Items may come before anybody asks for their queue, as at a reload that switches
// a sink on.
func TestItemsBeforeTheirQueue(t *testing.T) {
	b := newBed(t)
	s := b.open(t, nil)
	defer s.Close()
	s.Add("new", b.item(1))
	commit(t, s, map[string][]Item{"newer": {b.item(2)}})
	if got := append(drain(s.Queue("new")), drain(s.Queue("newer"))...); !cmp.Equal(got, []string{"item 1", "item 2"}) {
		t.Errorf("got %q", got)
	}
}

// refuse makes the disk refuse every write, or take them again.
func refuse(t *testing.T, s *Store, yes bool) {
	t.Helper()
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.db, err = bolt.Open(s.path, 0o600, &bolt.Options{ReadOnly: yes}); err != nil {
		t.Fatal(err)
	}
}

// A disk that refuses writes costs nothing but the safety of what waits.
func TestDiskThatRefusesWrites(t *testing.T) {
	b := newBed(t)
	s := b.open(t, nil)
	defer s.Close()
	q := s.Queue("cw")
	commit(t, s, items(b.item(1)))
	refuse(t, s, true)
	for i := 2; i <= 4; i++ {
		if s.Commit(nil, items(b.item(i))); s.failing == nil {
			t.Fatal("the disk took it")
		}
	}
	first, _ := q.Oldest()
	q.Done(first) // can't be noted either, and must not come again
	if diff := cmp.Diff("item 2", func() string { i, _ := q.Oldest(); return string(i.Data) }()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if n := strings.Count(b.log.String(), "read-only"); n != 1 {
		t.Errorf("said %d times in one minute, want once", n)
	}
	refuse(t, s, false)
	commit(t, s, items(b.item(5)))
	kill(t, s)
	s = b.open(t, nil)
	defer s.Close()
	if diff := cmp.Diff([]string{"item 2", "item 3", "item 4", "item 5"}, drain(s.Queue("cw"))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if !strings.Contains(b.log.String(), "can be written again") {
		t.Errorf("log:\n%s", b.log.String())
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	b := newBed(t)
	b.dir = filepath.Join(b.dir, "file", "below")
	if err := os.WriteFile(filepath.Dir(b.dir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := b.open(t, nil)
	defer s.Close()
	q := s.Queue("cw")
	if s.Commit(nil, items(b.item(1), b.item(2))); s.failing == nil {
		t.Error("no error")
	}
	if diff := cmp.Diff([]string{"item 1", "item 2"}, drain(q)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestBounds(t *testing.T) {
	t.Run("bytes", func(t *testing.T) {
		b := newBed(t)
		s := b.open(t, func(o *Options) { o.MaxBytes = 5 * int64(itemHeader+len("item 0")) })
		defer s.Close()
		q := s.Queue("cw")
		for i := range 9 {
			commit(t, s, items(b.item(i)))
		}
		if diff := cmp.Diff([]string{"item 4", "item 5", "item 6", "item 7", "item 8"}, drain(q)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if q.dropped[DroppedSpace] != 4 {
			t.Errorf("dropped %v, want 4", q.dropped)
		}
	})
	t.Run("age", func(t *testing.T) {
		b := newBed(t)
		s := b.open(t, func(o *Options) { o.MaxAge = 10 * time.Minute })
		defer s.Close()
		q := s.Queue("cw")
		commit(t, s, items(b.item(0), b.item(1), b.item(2)))
		b.now = noon.Add(11*time.Minute + time.Second)
		commit(t, s, items(b.item(11)))
		if diff := cmp.Diff([]string{"item 2", "item 11"}, drain(q)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if q.dropped[DroppedOld] != 2 {
			t.Errorf("dropped %v, want 2", q.dropped)
		}
	})
	t.Run("memory", func(t *testing.T) {
		b := newBed(t)
		s := b.open(t, nil)
		defer s.Close()
		q := s.Queue("cw")
		refuse(t, s, true)
		big := b.item(1)
		big.Data = make([]byte, maxMemory/4)
		for range 6 {
			s.Commit(nil, items(big))
		}
		if len(q.pending) != 4 || q.dropped[DroppedMemory] != 2 {
			t.Errorf("%d wait, dropped %v; want 4 and 2", len(q.pending), q.dropped)
		}
		refuse(t, s, false)
	})
}

// Parts take the place of the whole, before what follows it.
func TestReplaceKeepsOrder(t *testing.T) {
	for _, onDisk := range []bool{true, false} {
		t.Run(fmt.Sprintf("on disk %v", onDisk), func(t *testing.T) {
			b := newBed(t)
			s := b.open(t, nil)
			defer s.Close()
			q := s.Queue("cw")
			if !onDisk {
				refuse(t, s, true)
			}
			s.Commit(nil, items(b.item(1), b.item(2)))
			one, _ := q.Oldest()
			half := func(i Item, text string) Item { i.Data = []byte(text); return i }
			q.Replace(one, half(one, "1a"), half(one, "1b"))
			a, _ := q.Oldest()
			q.Replace(a, half(a, "1aa"), half(a, "1ab"))
			if diff := cmp.Diff([]string{"1aa", "1ab", "1b", "item 2"}, drain(q)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			refuse(t, s, false)
		})
	}
}

func TestFileIsPrivate(t *testing.T) {
	b := newBed(t)
	b.dir = filepath.Join(b.dir, "new")
	s := b.open(t, nil)
	defer s.Close()
	for path, want := range map[string]os.FileMode{s.path: 0o600, b.dir: 0o700} {
		i, err := os.Stat(path)
		if err != nil || i.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v; want %v", path, i.Mode().Perm(), err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	i := Item{At: noon, Points: 3, Tried: true, Data: []byte("x")}
	f.Add(i.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := decode([]byte("id"), b)
		if err == nil && !bytes.Equal(i.encode()[1:], b[1:]) {
			t.Errorf("%x became %x", b, i.encode())
		}
	})
}

// What waits for a sink that is no longer configured ages like the rest.
func TestSinkThatIsOffKeepsItsBounds(t *testing.T) {
	b := newBed(t)
	s := b.open(t, nil)
	s.Queue("cw")
	commit(t, s, items(b.item(0)))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b.now = noon.Add(DefaultMaxAge + time.Hour)
	s = b.open(t, nil)
	defer s.Close()
	commit(t, s, nil)
	if q := s.Queue("cw"); q.disk.items != 0 || q.dropped[DroppedOld] != 1 {
		t.Errorf("%d items wait, dropped %v", q.disk.items, q.dropped)
	}
}

// What waited in memory before the file could be opened does not overwrite what
// the file holds.
func TestLateOpenKeepsWhatWaits(t *testing.T) {
	b := newBed(t)
	s := b.open(t, nil)
	s.Queue("cw")
	commit(t, s, items(b.item(1), b.item(2)))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	away := b.dir + ".away"
	if err := os.Rename(b.dir, away); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.dir, nil, 0o600); err != nil { // a file where the directory should be
		t.Fatal(err)
	}
	s = b.open(t, nil)
	defer s.Close()
	q := s.Queue("cw")
	s.Commit(nil, items(b.item(3)))
	if err := errors.Join(os.Remove(b.dir), os.Rename(away, b.dir)); err != nil {
		t.Fatal(err)
	}
	commit(t, s, items(b.item(4)))
	if diff := cmp.Diff([]string{"item 1", "item 2", "item 3", "item 4"}, drain(q)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// The item that is on its way is not evicted: it would be counted as lost and
// delivered all the same.
func TestItemOnItsWayIsNotEvicted(t *testing.T) {
	b := newBed(t)
	s := b.open(t, func(o *Options) { o.MaxBytes = 2 * int64(itemHeader+len("item 0")) })
	defer s.Close()
	q := s.Queue("cw")
	commit(t, s, items(b.item(0), b.item(1)))
	head, _ := q.Oldest()
	q.Try(head)
	commit(t, s, items(b.item(2), b.item(3)))
	q.Done(head)
	if diff := cmp.Diff([]string{"item 3"}, drain(q)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if q.dropped[DroppedSpace] != 2 {
		t.Errorf("dropped %v, want 2", q.dropped)
	}
}

// Random damage never ends the program.
func TestDamage(t *testing.T) {
	b := newBed(t)
	s := b.open(t, nil)
	s.Queue("cw")
	for i := range 60 {
		commit(t, s, items(b.item(i)))
	}
	kill(t, s)
	s.db = nil
	good, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 0))
		bad := bytes.Clone(good)
		for range 1 + rng.IntN(20) {
			bad[rng.IntN(len(bad))] ^= byte(1 + rng.IntN(255))
		}
		b := newBed(t)
		if err := os.WriteFile(statePath(b.dir), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s := b.open(t, nil)
		q := s.Queue("cw")
		s.Commit(nil, items(b.item(100)))
		drain(q)
		s.Close()
	}
}

// Whoever asks for the counters does not wait for the disk.
func TestSelfWhileTheDiskHangs(t *testing.T) {
	b := newBed(t)
	s := b.open(t, nil)
	s.Queue("cw")
	writable := func() float64 { return s.Self()[0].Value }
	if writable() != 1 {
		t.Error("not writable at the start")
	}
	s.mu.Lock() // as a transaction that hangs does
	if writable() != 1 {
		t.Error("not writable although the disk has only just begun")
	}
	b.now = b.now.Add(stuckAfter)
	if writable() != 0 {
		t.Error("writable although the disk hangs")
	}
	s.mu.Unlock()
	if writable() != 1 {
		t.Error("not writable after it")
	}
	s.Close()
}
