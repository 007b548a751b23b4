package conntrack

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// sysctlsOf writes what /proc shows of a table, into a directory that is new if
// it is "".
func sysctlsOf(t *testing.T, dir string, entries, size int) string {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	for name, v := range map[string]int{"nf_conntrack_count": entries, "nf_conntrack_max": size} {
		if err := os.WriteFile(filepath.Join(dir, name), fmt.Appendf(nil, "%d\n", v), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A table that fills up is warned of once, its owners are looked up, and its end
// is told.
func TestWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		dir := sysctlsOf(t, "", 0, 10_000)
		w := Open(Options{Warn: 10 * time.Minute, Proc: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
		looks := 0
		a := netip.MustParseAddr("10.0.1.20")
		w.dump = func(_ context.Context, each func(*entry)) error {
			looks++
			each(&entry{source: a, destination: a, answerer: a, protocol: 6, port: 443})
			return nil
		}
		w.SetNames(func(b netip.Addr) (string, bool) { return "shop/cart", a == b })
		at := time.Duration(0)
		tick := func(entries int) {
			sysctlsOf(t, dir, entries, 10_000)
			at += time.Second
			w.Tick(at, 50_000, true)
			time.Sleep(time.Second)
			synctest.Wait()
		}
		for i := range 30 { // 100 more a second, from 4000 on
			tick(4000 + 100*i)
		}
		kernel, card := w.State()
		if !kernel.Near || kernel.Entries != 6900 || kernel.Free != 3100 || kernel.Percent() != 69 || kernel.Full.Round(time.Second) != 31*time.Second || looks != 1 {
			t.Errorf("%+v after %d looks, want near, full in 31 s, 1 look", kernel, looks)
		}
		if !card.Known || card.Near || card.Free != 50_000 || card.Percent() != 0 {
			t.Errorf("the card: %+v", card)
		}
		o := w.Owners()
		if o == nil || len(o.Top) != 1 || o.Top[0].Name != "shop/cart" || o.At.IsZero() {
			t.Errorf("owners %+v", o)
		}
		w.Look()
		w.Look() // and once more it is looked, not sooner than half a minute after
		for range 200 {
			tick(3000)
		}
		w.Close()
		text := log.String()
		for _, want := range []struct {
			text  string
			times int
		}{
			{"level=WARN", 1},
			{`msg="the kernel's table of tracked connections is about to be full: new connections will fail" event=conntrack free=4800 per_second=100 full_in=48s`, 1},
			{`level=INFO msg="the kernel's table of tracked connections has room again" event=conntrack free=7000`, 1},
			{`owner=shop/cart entries=1 unreplied=1 mostly="tcp 10.0.1.20:443"`, 2},
		} {
			if n := strings.Count(text, want.text); n != want.times {
				t.Errorf("%s: %d times, want %d, in\n%s", want.text, n, want.times, text)
			}
		}
		if looks != 2 {
			t.Errorf("%d looks, want 2", looks)
		}
	})
}

// The card's gauge alone is warned of too, before it is 0.
func TestTheCardFillsUp(t *testing.T) {
	var log bytes.Buffer
	w := Open(Options{Warn: time.Minute, Proc: "-", Log: slog.New(slog.NewTextHandler(&log, nil))})
	defer w.Close()
	warned := 0
	for s := range 300 {
		left := 60_000 - 200*s
		w.Tick(time.Duration(s)*time.Second, uint64(max(left, 0)), s%7 > 0) // some readings are not believed
		if _, card := w.State(); card.Near && warned == 0 {
			warned = left
		}
	}
	if warned < 10_000 || warned > 12_000 {
		t.Errorf("warned with %d left at 200 a second, want a minute before the end", warned)
	}
	if kernel, _ := w.State(); kernel != (Use{}) {
		t.Errorf("the kernel's table: %+v, but it is not looked at", kernel)
	}
	if n := strings.Count(log.String(), "the card's allowance of tracked connections is about to be full"); n != 1 {
		t.Errorf("said %d times, want once:\n%s", n, log.String())
	}
}

// A module that is loaded later is found, and one that goes away is missed.
func TestTableComesAndGoes(t *testing.T) {
	dir := t.TempDir()
	w := Open(Options{Warn: time.Minute, Proc: dir, Log: slog.New(slog.DiscardHandler)})
	defer w.Close()
	known := func() bool { k, _ := w.State(); return k.Known }
	w.Tick(0, 0, false)
	sysctlsOf(t, dir, 5, 10)
	for range reopenTicks {
		w.Tick(0, 0, false)
	}
	if !known() {
		t.Error("the table is not found")
	}
	for _, name := range []string{"nf_conntrack_count", "nf_conntrack_max"} {
		if err := os.Truncate(filepath.Join(dir, name), 0); err != nil {
			t.Fatal(err)
		}
	}
	w.Tick(0, 0, false)
	if known() {
		t.Error("a table that is gone is known")
	}
}

// Who may not ask is told once what to do, and everything else goes on.
func TestWithoutTheRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := Open(Options{Warn: time.Minute, Proc: "-", Log: slog.New(slog.NewTextHandler(&log, nil))})
		w.dump = func(context.Context, func(*entry)) error { return fmt.Errorf("ask: %w", unix.EPERM) }
		for range 3 {
			w.Look()
			time.Sleep(lookPause)
			synctest.Wait()
		}
		w.Close()
		if n := strings.Count(log.String(), "CAP_NET_ADMIN"); n != 1 || w.Owners() != nil {
			t.Errorf("said %d times, want once; owners %v:\n%s", n, w.Owners(), log.String())
		}
	})
}

func TestTicksAllocateNothing(t *testing.T) {
	w := Open(Options{Warn: time.Minute, Proc: sysctlsOf(t, "", 5, 10), Log: slog.New(slog.DiscardHandler)})
	defer w.Close()
	var at time.Duration
	if n := testing.AllocsPerRun(100, func() { at += time.Second; w.Tick(at, 5, true) }); n != 0 {
		t.Errorf("%v allocations a tick, want 0", n)
	}
}

// A table whose size can't be read any more is not known.
func TestTableWithoutItsSize(t *testing.T) {
	dir := sysctlsOf(t, "", 7, 100)
	table := newTable(dir)
	if err := table.open(); err != nil {
		t.Fatal(err)
	}
	if entries, size, ok := table.read(); entries != 7 || size != 100 || !ok {
		t.Errorf("%d of %d, %t; want 7 of 100", entries, size, ok)
	}
	if err := os.WriteFile(filepath.Join(dir, "nf_conntrack_max"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := table.read(); ok || table.ok() {
		t.Error("it is read without its size")
	}
}
