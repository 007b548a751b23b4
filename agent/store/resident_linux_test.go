package store

import (
	"bytes"
	"testing"

	"github.com/enawatch/enawatch/test/residenttest"
)

// What the state file holds does not count as this process's memory, however much
// waits: not after a start, be it one after kill -9, which looks at every page, nor
// after a window's end. And it is all there.
func TestFileIsNotResident(t *testing.T) {
	b := newBed(t)
	s := b.open(t, nil)
	s.Queue("cw")
	big := bytes.Repeat([]byte("spool"), 4000)
	for i := range 200 {
		commit(t, s, items(Item{At: b.item(i).At, Points: 1, Data: big}))
	}
	if kib := residenttest.KiB(t, s.path); kib > 64 {
		t.Errorf("%d KiB of the file are in memory after %d windows", kib, 200)
	}
	kill(t, s)
	s = b.open(t, nil)
	defer s.Close()
	q := s.Queue("cw")
	if kib := residenttest.KiB(t, s.path); kib > 64 {
		t.Errorf("%d KiB of the file are in memory after the start", kib)
	}
	for i := range 100 {
		item, ok := q.Oldest()
		if !ok || !bytes.Equal(item.Data, big) {
			t.Fatalf("item %d: %t, %d bytes", i, ok, len(item.Data))
		}
		q.Done(item)
	}
	if kib := residenttest.KiB(t, s.path); kib < 1000 {
		t.Fatalf("%d KiB of the file are in memory after 2 MB of it were read: nothing is measured here", kib)
	}
	commit(t, s, items(b.item(200)))
	if kib := residenttest.KiB(t, s.path); kib > 64 {
		t.Errorf("%d KiB of the file are in memory after a window's end", kib)
	}
	if left := len(drain(q)); left != 101 {
		t.Errorf("%d items are left, want 101", left)
	}
}
