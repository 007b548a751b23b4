package ena

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func poll(t *testing.T, w *Watcher, rescan bool) []string {
	t.Helper()
	var got []string
	word := map[Change]string{Found: "found", Attached: "attached", Changed: "changed", Left: "left", Replaced: "replaced"}
	err := w.Poll(rescan, func(d Netdev, c Change) {
		line := fmt.Sprintf("%s %d %s", word[c], d.Index, d.Interface.Name)
		if d.Interface.Link == "up" && c == Changed {
			line += " up"
		}
		got = append(got, line)
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestWatcher(t *testing.T) {
	k := newFakeKernel()
	w := NewWatcher(k)
	k.add(1, "lo", "")
	k.add(2, "ens5", "ena")
	k.add(9, "ens6", "ena")
	k.add(5, "eni0123456789a", "veth")

	steps := []struct {
		name   string
		do     func()
		rescan bool
		want   []string
	}{
		{"what was there before is found, in any order", func() {}, false, []string{"found 9 ens6", "found 2 ens5"}},
		{"nothing new", func() {}, false, nil},
		{"a hot attach", func() { k.add(10, "ens7", "ena") }, false, []string{"attached 10 ens7"}},
		{"a pod", func() { k.add(11, "eni1", "veth") }, false, nil},
		{"back from another namespace, with its old index", func() { k.add(7, "ens8", "ena") }, false, []string{"found 7 ens8"}},
		{"renamed", func() { k.rename(10, "eth3") }, false, []string{"changed 10 eth3"}},
		{"the link goes up", func() { k.up(10) }, false, []string{"changed 10 eth3 up"}},
		{"detached", func() { k.remove(10) }, false, []string{"left 10 eth3"}},
		{"attached again", func() { k.add(12, "ens7", "ena") }, false, []string{"attached 12 ens7"}},
		{"came and went between two looks", func() { k.add(13, "ens9", "ena"); k.remove(13) }, false, nil},
		{"events were lost", func() {
			k.remove(12)
			k.add(15, "ens11", "ena")
			k.add(14, "ens10", "ena")
			k.rename(2, "eth0")
			k.lost = true
		}, false, []string{"left 12 ens7", "attached 15 ens11", "attached 14 ens10", "changed 2 eth0"}},
		{"the driver was loaded anew", func() { k.remove(14); k.add(16, "ens10", "ena") }, false, []string{"replaced 14 ens10", "attached 16 ens10"}},
		{"and events were lost", func() { k.remove(16); k.add(17, "ens10", "ena"); k.lost = true }, false, []string{"replaced 16 ens10", "attached 17 ens10"}},
		{"a foreign device has the name", func() { k.remove(17); k.add(18, "ens10", "veth") }, false, []string{"replaced 17 ens10"}},
		{"a rescan without news", func() {}, true, nil},
	}
	for _, s := range steps {
		s.do()
		if diff := cmp.Diff(s.want, poll(t, w, s.rescan)); diff != "" {
			t.Fatalf("%s (-want +got)\n%s", s.name, diff)
		}
	}
}

// A watcher in another's place reports everything again: as attached what came
// after the other looked last.
func TestSuccessor(t *testing.T) {
	k := newFakeKernel()
	k.add(2, "ens5", "ena")
	w := NewWatcher(k)
	if diff := cmp.Diff([]string{"found 2 ens5"}, poll(t, w, false)); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	k.add(10, "ens7", "ena")
	s := w.Successor()
	if diff := cmp.Diff([]string{"attached 10 ens7", "found 2 ens5"}, poll(t, s, false)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	k.remove(2)
	if diff := cmp.Diff([]string{"left 2 ens5"}, poll(t, s, false)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Thousands of pods come, change and go: each device is asked once who drives it.
func TestForeignDevicesAreAskedOnce(t *testing.T) {
	k := newFakeKernel()
	w := NewWatcher(k)
	poll(t, w, false)
	for i := range 1000 {
		k.add(100+i, fmt.Sprintf("eni%d", i), "veth")
	}
	poll(t, w, false)
	for range 3 {
		for i := range 1000 {
			k.events = append(k.events, LinkEvent{Link: k.links[100+i]})
		}
		poll(t, w, true)
	}
	for name, n := range k.asked {
		if n != 1 {
			t.Fatalf("%s was asked %d times", name, n)
		}
	}
	if n := testing.AllocsPerRun(100, func() { w.Poll(false, nil) }); n != 0 {
		t.Errorf("%v allocations a look without news, want 0", n)
	}
	if k.listed != 4 {
		t.Errorf("listed %d times, want 4", k.listed)
	}
}
