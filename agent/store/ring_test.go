package store

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var ever = time.Unix(0, math.MaxInt64)

func record(kind Kind, minute int) Record {
	return Record{Kind: kind, At: noon.Add(time.Duration(minute) * time.Minute), Data: fmt.Appendf(nil, "%s %d", kind, minute)}
}

// read lists what a copy of the file has of a kind, between two times.
func read(t *testing.T, dir string, kind Kind, from, to time.Time) (got []string) {
	t.Helper()
	r, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	err = r.Range(kind, from, to, func(n Record) error {
		got = append(got, string(n.Data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Records survive kill -9, and who reads them needs no lock.
func TestRing(t *testing.T) {
	b := newBed(t)
	s := b.open(t, nil)
	s.Commit(nil, nil, record(Seconds, 1), record(Events, 1), record(Seconds, 2))
	s.Append(record(Flights, 2))
	s.Commit(nil, nil, record(Seconds, 3))
	check := func() {
		t.Helper()
		for _, tt := range []struct {
			kind     Kind
			from, to time.Time
			want     []string
		}{
			{Seconds, time.Time{}, ever, []string{"seconds 1", "seconds 2", "seconds 3"}},
			{Seconds, noon.Add(2 * time.Minute), ever, []string{"seconds 2", "seconds 3"}},
			{Seconds, time.Time{}, noon.Add(2 * time.Minute), []string{"seconds 1", "seconds 2"}},
			{Events, time.Time{}, ever, []string{"events 1"}},
			{Flights, time.Time{}, ever, []string{"flights 2"}},
		} {
			if diff := cmp.Diff(tt.want, read(t, b.dir, tt.kind, tt.from, tt.to)); diff != "" {
				t.Errorf("%s from %v to %v (-want +got)\n%s", tt.kind, tt.from, tt.to, diff)
			}
		}
	}
	check() // while the store has it open
	kill(t, s)
	check()
	s = b.open(t, nil)
	defer s.Close()
	check()
}

func TestRingBounds(t *testing.T) {
	old := bounds
	defer func() { bounds = old }()
	big := func(minute int) Record {
		r := record(Events, minute)
		r.Data = append(r.Data, bytes.Repeat([]byte("."), 100)...)
		return r
	}
	tests := []struct {
		name     string
		bound    bound
		now      int // minutes after noon
		records  []Record
		want     []string
		restarts bool
	}{
		{"entries", bound{Events, 2, 1 << 20}, 4, []Record{record(Events, 1), record(Events, 2), record(Events, 3)}, []string{"events 2", "events 3"}, false},
		{"entries, known after a restart", bound{Events, 2, 1 << 20}, 4, []Record{record(Events, 1), record(Events, 2), record(Events, 3)}, []string{"events 2", "events 3"}, true},
		{"bytes", bound{Events, 99, 250}, 4, []Record{big(1), big(2), big(3)}, []string{string(big(2).Data), string(big(3).Data)}, true},
		{"age", bound{Events, 99, 1 << 20}, 24*60 + 1, []Record{record(Events, 0), record(Events, 1), record(Events, 2)}, []string{"events 1", "events 2"}, false},
		{"another kind is not pushed out", bound{Seconds, 1, 1 << 20}, 4, []Record{record(Events, 1), record(Seconds, 1), record(Seconds, 2)}, []string{"events 1"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bounds = []bound{tt.bound}
			for _, o := range old {
				if o.kind != tt.bound.kind {
					bounds = append(bounds, o)
				}
			}
			b := newBed(t)
			s := b.open(t, nil)
			for _, r := range tt.records {
				if s.Commit(nil, nil, r); tt.restarts {
					kill(t, s)
					s = b.open(t, nil)
				}
			}
			b.now = noon.Add(time.Duration(tt.now) * time.Minute)
			s.Commit(nil, nil)
			defer s.Close()
			if diff := cmp.Diff(tt.want, read(t, b.dir, Events, time.Time{}, ever)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A full disk loses the oldest records only, and says how many.
func TestRingOnADiskThatRefusesWrites(t *testing.T) {
	b := newBed(t)
	s := b.open(t, nil)
	defer s.Close()
	s.Commit(nil, nil, record(Events, 0))
	refuse(t, s, true)
	large := record(Flights, 1)
	large.Data = make([]byte, MaxRecord)
	for range 5 {
		s.Commit(nil, nil, large)
	}
	s.Commit(nil, nil, record(Events, 2))
	refuse(t, s, false)
	s.Commit(nil, nil, record(Events, 3))
	if diff := cmp.Diff([]string{"events 0", "events 2", "events 3"}, read(t, b.dir, Events, time.Time{}, ever)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if n := len(read(t, b.dir, Flights, time.Time{}, ever)); n != 3 || s.ring.lost != 2 {
		t.Errorf("%d large records are there and %d lost, want 3 and 2", n, s.ring.lost)
	}
	large.Data = make([]byte, MaxRecord+1)
	if s.Commit(nil, nil, large); s.ring.lost != 3 {
		t.Errorf("%d lost after one that is too large, want 3", s.ring.lost)
	}
}

// A host on which nothing happens writes nothing to the ring.
func TestNoRecordWritesNothing(t *testing.T) {
	b := newBed(t)
	s := b.open(t, nil)
	defer s.Close()
	s.Commit(nil, nil, record(Events, 0))
	written := func() int64 { stats := s.db.Stats(); return stats.TxStats.GetPageAlloc() }
	before := written()
	s.Commit(nil, nil)
	quiet := written() - before
	s.Commit(nil, nil, record(Events, 1))
	if loud := written() - before - quiet; quiet >= loud {
		t.Errorf("a commit without a record wrote %d bytes, one with a record %d", quiet, loud)
	}
}

func TestReadWhatCannotBeRead(t *testing.T) {
	tests := []struct {
		name, content, want string
		is                  error
	}{
		{"no file", "", "no agent has written one: give the state_dir of the agent", ErrNoState},
		{"text", strings.Repeat("this is no database\n", 1000), "the state file is broken", errBroken},
		{"short", "x", "the state file is broken", errBroken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.content != "" {
				if err := os.WriteFile(statePath(dir), []byte(tt.content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Read(dir)
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v", err)
			}
		})
	}
}

// A copy that a transaction ended in is not used.
func TestCopyIsWhole(t *testing.T) {
	b := newBed(t)
	s := b.open(t, nil)
	defer s.Close()
	s.Queue("cw")
	stop := make(chan struct{})
	done := make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				done <- n
				return
			default:
				s.Commit(nil, items(b.item(n%60)), record(Events, n%60))
			}
		}
	}()
	whole := 0
	for range 30 {
		r, err := Read(b.dir)
		if err != nil {
			if !strings.Contains(err.Error(), "changes faster") {
				t.Error(err)
			}
			continue
		}
		whole++
		if err := r.view(walk); err != nil {
			t.Error(err)
		}
		r.Close()
	}
	close(stop)
	if n := <-done; n == 0 || whole == 0 {
		t.Errorf("%d commits, %d whole copies", n, whole)
	}
}
