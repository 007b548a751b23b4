package ena

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/safchain/ethtool"
	"golang.org/x/sys/unix"
)

// inNamespace moves the test's thread into a network namespace of its own, with
// a veth pair of the given number of queues. It needs root and Debian's
// iproute2. The thread ends with the test, and the namespace with it.
func inNamespace(tb testing.TB, queues int) (name string) {
	tb.Helper()
	runtime.LockOSThread() // never unlocked: the thread must not be used again
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		tb.Fatalf("make a network namespace: %v: run the tests as root", err)
	}
	name = "vb0"
	n := fmt.Sprint(queues)
	ip(tb, "link", "add", name, "numtxqueues", n, "numrxqueues", n, "type", "veth", "peer", "name", "vb1", "numtxqueues", n, "numrxqueues", n)
	return name
}

func ip(tb testing.TB, args ...string) {
	tb.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		tb.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func newTestKernel(tb testing.TB) Kernel {
	tb.Helper()
	k, err := NewKernel()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { k.Close() })
	return k
}

// A veth is the nearest real device: it has stats by ethtool as an ENA has.
func TestKernelReadsARealDevice(t *testing.T) {
	name := inNamespace(t, 4)
	k := newTestKernel(t)

	d, err := k.Driver(name)
	if err != nil || d.Driver != "veth" {
		t.Fatalf("driver %+v, %v", d, err)
	}
	names, err := k.StatNames(name)
	if err != nil || len(names) < 4 {
		t.Fatalf("names %q, %v", names, err)
	}
	reference, err := ethtool.NewEthtool()
	if err != nil {
		t.Fatal(err)
	}
	defer reference.Close()
	want, err := reference.Stats(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBuffer()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	n, err := k.Stats(name, len(names), b)
	if err != nil || n != len(names) {
		t.Fatalf("%d stats, %v; want %d", n, err, len(names))
	}
	for i, v := range b.Values(n) {
		if w, ok := want[names[i]]; !ok || w != v {
			t.Errorf("%s is %d, safchain/ethtool says %d (%v)", names[i], v, w, ok)
		}
	}
	// A count that does not fit is never taken for the device's.
	if n, err := k.Stats(name, len(names)-1, b); err != nil || n == len(names)-1 {
		t.Errorf("asked for one too few: %d, %v", n, err)
	}
	if n := testing.AllocsPerRun(100, func() { k.Stats(name, len(names), b) }); n != 0 {
		t.Errorf("%v allocations a reading, want 0", n)
	}

	for _, gone := range []string{"nosuch0", ""} {
		if _, err := k.Driver(gone); !errors.Is(err, ErrGone) {
			t.Errorf("Driver(%q): %v, want ErrGone", gone, err)
		}
		if _, err := k.Stats(gone, 1, b); !errors.Is(err, ErrGone) {
			t.Errorf("Stats(%q): %v, want ErrGone", gone, err)
		}
	}
	if _, err := k.StatNames("lo"); !errors.Is(err, ErrNoStats) {
		t.Errorf("StatNames(lo): %v, want ErrNoStats", err)
	}
}

// Interfaces of one driver share their names; those with other stats do not.
func TestNamesAreShared(t *testing.T) {
	name := inNamespace(t, 4)
	ip(t, "link", "add", "vc0", "type", "veth", "peer", "name", "vc1")
	k := newTestKernel(t)
	var sets [3][]string
	for i, name := range []string{name, "vb1", "vc0"} {
		names, err := k.StatNames(name)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %d names, %v", name, len(names), err)
		}
		sets[i] = names
	}
	if &sets[0][0] != &sets[1][0] {
		t.Error("two interfaces with the same names keep them twice")
	}
	if len(sets[2]) >= len(sets[0]) {
		t.Errorf("an interface of one queue has %d stats, one of four %d", len(sets[2]), len(sets[0]))
	}
}

func TestLinksAndTheirEvents(t *testing.T) {
	name := inNamespace(t, 1)
	k := newTestKernel(t)
	links, err := k.Links()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Link{}
	for _, l := range links {
		byName[l.Name] = l
	}
	if l := byName[name]; l.Index == 0 || len(l.MAC) != 17 {
		t.Fatalf("links %+v", links)
	}

	var got []string
	poll := func() {
		if lost, err := k.Events(func(e LinkEvent) { got = append(got, fmt.Sprint(e.Name, " ", e.Left)) }); lost || err != nil {
			t.Fatal(lost, err)
		}
	}
	poll()
	got = nil
	ip(t, "link", "set", name, "name", "ens5")
	ip(t, "link", "del", "ens5")
	poll()
	text := strings.Join(got, ",")
	if !strings.Contains(text, "ens5 false") || !strings.Contains(text, "ens5 true") {
		t.Errorf("events %q: the rename or the end is missing", text)
	}
	got = nil
	if poll(); len(got) != 0 {
		t.Errorf("events %q when nothing happened", got)
	}
}

// A port that leaves a bridge is still there.
func TestLeavingABridgeIsNotLeaving(t *testing.T) {
	name := inNamespace(t, 1)
	k := newTestKernel(t)
	ip(t, "link", "add", "br0", "type", "bridge")
	ip(t, "link", "set", name, "master", "br0")
	ip(t, "link", "set", name, "nomaster")
	if _, err := k.Events(func(e LinkEvent) {
		if e.Left {
			t.Errorf("%s is said to have left", e.Name)
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// Events that the socket had no room for are known to be lost.
func TestLostEventsAreNoticed(t *testing.T) {
	name := inNamespace(t, 1)
	k := newTestKernel(t).(*sysKernel)
	if err := unix.SetsockoptInt(k.links.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		ip(t, "link", "set", name, "mtu", fmt.Sprint(1400+i))
	}
	lost, err := k.Events(func(LinkEvent) {})
	if err != nil || !lost {
		t.Errorf("lost %v, %v; want true", lost, err)
	}
}

func FuzzNetlink(f *testing.F) {
	f.Add([]byte{16, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{44, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 3, 0, 'e', 'n', 's', '5', 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		walkMessages(b, func(LinkEvent) {})
	})
}

// BenchmarkReading compares one reading with what safchain/ethtool's Stats
// costs, on the same veth of 32 queues.
func BenchmarkReading(b *testing.B) {
	name := inNamespace(b, 32)
	k := newTestKernel(b)
	e, err := ethtool.NewEthtool() // here: subtests run in other threads
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	var own float64 // ns
	b.Run("enawatch", func(b *testing.B) {
		r, err := NewReader(k, name, func(Stat) bool { return false })
		if err != nil {
			b.Fatal(err)
		}
		defer r.Close()
		b.ReportAllocs()
		for b.Loop() {
			if got := r.Read(); got.Verdict != Valid {
				b.Fatal(got.Err)
			}
		}
		own = float64(b.Elapsed()) / float64(b.N)
	})
	b.Run("safchain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := e.Stats(name); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed())/float64(b.N)/own, "times-enawatch")
	})
}

// BenchmarkLook is what a tick without news of the devices costs.
func BenchmarkLook(b *testing.B) {
	inNamespace(b, 1)
	w := NewWatcher(newTestKernel(b))
	report := func(Netdev, Change) {}
	if err := w.Poll(true, report); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Poll(false, report); err != nil {
			b.Fatal(err)
		}
	}
}
