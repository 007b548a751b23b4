package resident

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/enawatch/enawatch/test/residenttest"
)

// TestGiveBack maps a file, reads it, and gives back: the kernel holds no page
// of it for this process any more, and what it reads then is what it was.
func TestGiveBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mapped")
	content := bytes.Repeat([]byte("enawatch"), 1<<17)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mapped, err := unix.Mmap(int(f.Fd()), 0, len(content), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mapped)
	if !bytes.Equal(mapped, content) {
		t.Fatal("the mapping is not the file")
	}
	if kib := residenttest.KiB(t, path); kib != 1024 {
		t.Fatalf("%d KiB resident after reading, want 1024", kib)
	}
	k := Keeper{program: path}
	for _, all := range []bool{true, false} {
		if err := k.giveBack(all); err != nil {
			t.Fatal(err)
		}
		if kib := residenttest.KiB(t, path); kib != 0 {
			t.Errorf("%d KiB resident after giving back", kib)
		}
		if !bytes.Equal(mapped, content) {
			t.Error("giving back changed what was read")
		}
	}
}

// TestOwnPages writes to a private mapping before it is protected, as a dynamic
// linker does: what was written stays.
func TestOwnPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mapped")
	if err := os.WriteFile(path, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	own, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(own)
	own[5000] = 7
	if err := unix.Mprotect(own, unix.PROT_READ); err != nil {
		t.Fatal(err)
	}
	k := Keeper{program: path}
	for _, all := range []bool{true, false} {
		if err := k.giveBack(all); err != nil || own[5000] != 7 {
			t.Fatalf("%d, %v; want 7", own[5000], err)
		}
	}
}

func TestClean(t *testing.T) {
	const smaps = `00400000-00c8d000 r-xp 00000000 fe:00 1310 /usr/bin/enawatch
Size:               8756 kB
Rss:                5648 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00c8d000-01570000 r--p 0088d000 fe:00 1310 /usr/bin/enawatch
Anonymous:             0 kB
01570000-015ed000 rw-p 01170000 fe:00 1310 /usr/bin/enawatch
Anonymous:             0 kB
015ed000-0163f000 rw-p 00000000 00:00 0 
Anonymous:             0 kB
7f0000000000-7f0000004000 r--p 00000000 fe:00 77 /lib/libc.so.6
Anonymous:             8 kB
7f9e00000000-7f9e00010000 r--s 00000000 fe:00 99 /var/lib/enawatch/enawatch.db
Anonymous:             0 kB
7ffc1000-7ffc3000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
`
	for program, want := range map[string][]span{
		"/usr/bin/enawatch": {{0x400000, 0xc8d000}, {0xc8d000, 0x1570000}},
		"/lib/libc.so.6":    nil,
		"/usr/bin/other":    nil,
	} {
		if diff := cmp.Diff(want, clean(smaps, program), cmp.AllowUnexported(span{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", program, diff)
		}
	}
}

// TestKeeper works without a break for half an hour, rests, then works once.
func TestKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var at []time.Duration // of everything
		times, reports := 0, 0
		k := Keeper{
			give: func(all bool) error {
				if times++; all {
					at = append(at, time.Since(began))
				}
				return errors.New("no /proc")
			},
			Report: func(error) { reports++ },
		}
		for range 30 * 60 {
			k.Done()
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		k.Done()
		time.Sleep(time.Hour)
		synctest.Wait()
		// Work is done every second, so that each time comes up to one later.
		want := []time.Duration{calm, calm + pause}
		for range 2 {
			want = append(want, want[len(want)-1]+seldom)
		}
		want = append(want, 90*time.Minute+calm)
		late := cmp.Comparer(func(a, b time.Duration) bool { return (a - b).Abs() <= max(2*time.Second, a/20) })
		if diff := cmp.Diff(want, at, late); diff != "" {
			t.Errorf("given back at (-want +got):\n%s", diff)
		}
		if n := int(30*time.Minute/pause) + 1; times < n-1 || times > n+1 {
			t.Errorf("something given back %d times, want about %d", times, n)
		}
		if reports != 1 {
			t.Errorf("%d reports of one fault", reports)
		}
	})
}
