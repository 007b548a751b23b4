package emf_test

import (
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/sink"
)

// onDisk runs f with a small file system of its own, which nobody else sees: it
// is mounted for one thread, which ends with the test.
func onDisk(t *testing.T, f func(t *testing.T, dir string, mount func(flags uintptr))) {
	dir := t.TempDir()
	t.Run("disk", func(t *testing.T) {
		runtime.LockOSThread()
		if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
			t.Fatalf("unshare (are you root?): %v", err)
		}
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		mount := func(flags uintptr) {
			if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, "size=64k"); err != nil {
				t.Fatal(err)
			}
		}
		mount(0)
		f(t, dir, mount)
	})
}

// A disk that fills up in the middle of a request: when there is room again, the
// rest follows, and no line is lost, doubled or torn.
func TestFullDisk(t *testing.T) {
	onDisk(t, func(t *testing.T, dir string, _ func(uintptr)) {
		fill := dir + "/fill"
		if err := os.WriteFile(fill, make([]byte, 50<<10), 0o600); err != nil {
			t.Fatal(err)
		}
		s := newFile(t, dir+"/emf.log")
		var big []byte
		for n := range 600 {
			big = append(big, numbered(n)...)
		}
		deliver(t, s, sink.Request{Data: numbered(600)})
		for range 2 {
			checkError(t, s.Deliver(t.Context(), big), sink.Transient, false, "no space left on device: make room")
		}
		part := read(t, dir+"/emf.log")
		if len(part) < 4000 || strings.HasSuffix(part, "\n") {
			t.Fatalf("the disk took %d bytes, ending in %q", len(part), part[max(0, len(part)-10):])
		}
		s.Reopen() // as SIGHUP comes when it likes
		if err := os.Remove(fill); err != nil {
			t.Fatal(err)
		}
		deliver(t, s, sink.Request{Data: big}, sink.Request{Data: numbered(601)})
		if diff := cmp.Diff(string(numbered(600))+string(big)+string(numbered(601)), read(t, dir+"/emf.log")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// If the file is moved in the meantime, all of the request goes to the new one,
// and the doubt is said.
func TestFullDiskThenMoved(t *testing.T) {
	onDisk(t, func(t *testing.T, dir string, _ func(uintptr)) {
		path := dir + "/emf.log"
		s := newFile(t, path)
		big := []byte(strings.Repeat("x", 70<<10) + "\n")
		checkError(t, s.Deliver(t.Context(), big), sink.Transient, false, "no space left")
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path+".1", 0); err != nil {
			t.Fatal(err)
		}
		s.Reopen()
		checkError(t, s.Deliver(t.Context(), big), sink.Transient, true, "it was moved after a write that failed")
		deliver(t, s, sink.Request{Data: numbered(1)})
		if got := read(t, path); got != string(numbered(1)) {
			t.Errorf("the new file has %d bytes", len(got))
		}
	})
}

func TestReadOnlyDisk(t *testing.T) {
	onDisk(t, func(t *testing.T, dir string, mount func(uintptr)) {
		s := newFile(t, dir+"/emf.log")
		deliver(t, s, sink.Request{Data: numbered(1)})
		s.Reopen()
		mount(syscall.MS_REMOUNT | syscall.MS_RDONLY)
		checkError(t, s.Deliver(t.Context(), numbered(2)), sink.Transient, false, "read-only file system: let enawatch write to the file and its directory")
		mount(syscall.MS_REMOUNT)
		deliver(t, s, sink.Request{Data: numbered(2)})
		if got, want := read(t, dir+"/emf.log"), string(numbered(1))+string(numbered(2)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
