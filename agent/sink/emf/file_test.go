package emf_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/emf"
)

// newFile returns a sink that writes to path.
func newFile(t testing.TB, path string, change ...func(*emf.Options)) *emf.File {
	t.Helper()
	return newSink(t, "file://"+path, change...).(*emf.File)
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The file has what the encoder writes, in order, whoever wrote to it before.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "emf.log")
	var want []byte
	for range 2 { // the second time, it is there
		s := newFile(t, path)
		for _, b := range minutes(3) {
			requests := pack(t, s, b)
			deliver(t, s, requests...)
			text, _ := join(requests)
			want = append(want, text...)
		}
	}
	if diff := cmp.Diff(string(want), read(t, path)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got, copies := sums(t, []byte(read(t, path)))
	if diff := cmp.Diff(wantSums(3), got); diff != "" || copies != 6 {
		t.Errorf("%d copies (-want +got):\n%s", copies, diff)
	}
}

// New files have the mode that is asked for, others keep theirs.
func TestFileMode(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	for name, tt := range map[string]struct{ there, asked, want fs.FileMode }{
		"default": {0, 0, 0o600},
		"group":   {0, 0o640, 0o640},
		"there":   {0o604, 0o640, 0o604},
	} {
		path := filepath.Join(t.TempDir(), "emf.log")
		if tt.there != 0 {
			if err := os.WriteFile(path, nil, tt.there); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.there); err != nil {
				t.Fatal(err)
			}
		}
		s := newFile(t, path, func(o *emf.Options) { o.File.Mode = tt.asked })
		deliver(t, s, sink.Request{Data: numbered(1)})
		if info, err := os.Stat(path); err != nil || info.Mode() != tt.want {
			t.Errorf("%s: mode %v, %v; want %v", name, info.Mode(), err, tt.want)
		}
	}
}

// After a crash, the next process writes what the file does not have, on a line
// of its own.
func TestFileAfterCrash(t *testing.T) {
	before, data := string(numbered(1)), string(numbered(2))+string(numbered(3))
	first := len(numbered(2))
	for name, tt := range map[string]struct{ have, want string }{
		"empty":                        {"", data},
		"whole":                        {before, before + data},
		"torn line of another":         {before + before[:30], before + before[:30] + "\n" + data},
		"one torn line":                {before[:30], before[:30] + "\n" + data},
		"torn where this one begins":   {before + `{"_aws":{`, before + data},
		"torn like a beginning":        {before + `{"_aws":{"x":[{`, before + `{"_aws":{"x":[{` + "\n" + data},
		"half of this":                 {before + data[:40], before + data},
		"half of this, first":          {data[:40], data},
		"one line of this":             {before + data[:first], before + data},
		"one line but for the newline": {before + data[:first-1], before + data},
		"all of this":                  {before + data, before + data},
		"all of this, first":           {data, data},
		"all but the newline":          {before + data[:len(data)-1], before + data},
		"more than this":               {data + before, data + before + data},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "emf.log")
			if err := os.WriteFile(path, []byte(tt.have), 0o600); err != nil {
				t.Fatal(err)
			}
			s := newFile(t, path)
			deliver(t, s, sink.Request{Data: []byte(data)}, sink.Request{Data: numbered(4)})
			if diff := cmp.Diff(tt.want+string(numbered(4)), read(t, path)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestFileRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir:              "is a directory",
		dir + "/pipe":    "is not a regular file",
		"/dev/null":      "is not a regular file",
		dir + "/no/file": "make the directory, and let enawatch write to it",
	} {
		s := newFile(t, path)
		for range 2 {
			err := s.Deliver(t.Context(), numbered(1))
			checkError(t, err, sink.Transient, false, want)
			if !strings.HasPrefix(err.Error(), "append EMF to a file: ") {
				t.Errorf("error %v", err)
			}
		}
	}
	for _, data := range []string{"", "{}"} {
		s := newFile(t, dir+"/file")
		checkError(t, s.Deliver(t.Context(), []byte(data)), sink.Poisoned, false, fmt.Sprintf("%d bytes that are no EMF documents", len(data)))
		if _, err := os.Stat(dir + "/file"); err == nil {
			t.Errorf("%q was written", data)
		}
	}
}

// flood delivers numbered requests as fast as it can until stop is closed, each
// within turn if that is not nil, and returns how many there were.
func flood(t *testing.T, s sink.Sink, turn sync.Locker, stop <-chan struct{}) <-chan int {
	result := make(chan int, 1)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				result <- n
				return
			default:
			}
			if turn != nil {
				turn.Lock()
			}
			if err := s.Deliver(t.Context(), numbered(n)); err != nil {
				t.Errorf("request %d: %v", n, err)
			}
			if turn != nil {
				turn.Unlock()
			}
			n++
		}
	}()
	return result
}

// checkFlood fails unless the files hold requests 0 to n-1, in order.
func checkFlood(t *testing.T, n int, paths ...string) {
	t.Helper()
	var got []byte
	for _, p := range paths {
		got = append(got, read(t, p)...)
	}
	var want []byte
	for i := range n {
		want = append(want, numbered(i)...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d files hold %d lines, %d bytes; want %d lines, %d bytes", len(paths), bytes.Count(got, []byte("\n")), len(got), n, len(want))
	}
}

// grown waits until the file at path is not empty.
func grown(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		if info, err := os.Stat(path); err == nil && info.Size() > 2000 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not grow", path)
		}
	}
}

// The file is renamed again and again, as by logrotate, while it is written to
// at full speed: no line is lost, doubled or torn, with SIGHUP or without.
func TestFileIsMoved(t *testing.T) {
	for name, reopen := range map[string]bool{"rename": false, "rename and reopen": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "emf.log")
			s := newFile(t, path)
			stop := make(chan struct{})
			result := flood(t, s, nil, stop)
			var paths []string
			for i := range 20 {
				grown(t, path)
				moved := fmt.Sprintf("%s-%d", path, i)
				if err := os.Rename(path, moved); err != nil {
					t.Fatal(err)
				}
				paths = append(paths, moved)
				if i%2 == 1 { // logrotate's create makes the new file itself
					f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600)
					if err == nil {
						err = f.Close()
					}
					if err != nil && !errors.Is(err, fs.ErrExist) { // unless the writer is faster
						t.Fatal(err)
					}
				}
				if reopen {
					s.Reopen()
				}
			}
			close(stop)
			checkFlood(t, <-result, append(paths, path)...)
		})
	}
}

// The file is copied and truncated: what follows begins at its new end, without
// a gap of zeros. What is written between the two is lost, so none is here.
func TestFileIsTruncated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "emf.log")
	var turn sync.Mutex
	stop := make(chan struct{})
	result := flood(t, newFile(t, path), &turn, stop)
	var paths []string
	for i := range 20 {
		grown(t, path)
		turn.Lock()
		copied := fmt.Sprintf("%s-%d", path, i)
		if err := os.WriteFile(copied, []byte(read(t, path)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, copied)
		turn.Unlock()
	}
	close(stop)
	checkFlood(t, <-result, append(paths, path)...)
}

// A file that is removed is made anew, and Reopen lets go of it.
func TestFileIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "emf.log")
	s := newFile(t, path)
	s.Reopen()
	deliver(t, s, sink.Request{Data: numbered(1)})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, sink.Request{Data: numbered(2)})
	if got := read(t, path); got != string(numbered(2)) {
		t.Errorf("the new file has %q", got)
	}
	if n := open(t, path); n != 1 {
		t.Errorf("the file is open %d times", n)
	}
	s.Reopen()
	if n := open(t, path); n != 0 {
		t.Errorf("after Reopen the file is open %d times", n)
	}
}

// open returns how often this process has a file open.
func open(t *testing.T, path string) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && to == path {
			n++
		}
	}
	return n
}

// Whoever asks for a new file does not wait for the disk, and it is opened anew when
// the disk is back.
func TestReopenDoesNotWait(t *testing.T) {
	s := newFile(t, filepath.Join(t.TempDir(), "emf.log"))
	requests := pack(t, s, minutes(1)[0])
	deliver(t, s, requests...)
	release := s.Hold()
	done := make(chan struct{})
	go func() { s.Reopen(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it waits")
	}
	release()
	if !s.Open() {
		t.Fatal("the file is closed under whoever writes to it")
	}
	deliver(t, s, requests...)
	if s.Open() {
		t.Error("the file is open still")
	}
}
