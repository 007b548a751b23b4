package emf_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/emf"
)

// rotated lists the files of path, oldest first.
func rotated(t *testing.T, path string) []string {
	t.Helper()
	var all []string
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s.%d", path, n)
		if _, err := os.Stat(name); err != nil {
			break
		}
		all = append(all, name)
	}
	slices.Reverse(all)
	all = append(all, path)
	if there, err := filepath.Glob(path + "*"); err != nil || len(there) != len(all) {
		t.Errorf("files %v, %v; want %v", there, err, all)
	}
	return all
}

// At full speed, no file is larger than it may be, and no line is lost, doubled
// or torn.
func TestRotateBySize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "emf.log")
	s := newFile(t, path, func(o *emf.Options) { o.File.RotateMiB, o.File.Keep = 1, 100 })
	line := func(n int) []byte {
		return fmt.Appendf(nil, `{"n":%d,"pad":"%s"}`+"\n", n, strings.Repeat("x", 5000+n%4000))
	}
	var want []byte
	for n := range 600 {
		deliver(t, s, sink.Request{Data: line(n)})
		want = append(want, line(n)...)
	}
	paths := rotated(t, path)
	if len(paths) != 4 {
		t.Errorf("%d files", len(paths))
	}
	var got []byte
	for i, p := range paths {
		text := read(t, p)
		if n := len(text); n > 1<<20 || i < len(paths)-1 && n < 1<<20-9100 {
			t.Errorf("%s has %d bytes", p, n)
		}
		got = append(got, text...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the files have %d bytes, want %d", len(got), len(want))
	}
}

// The oldest files go, and a gap in the numbers is filled first.
func TestRotateKeeps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "emf.log")
	s := newFile(t, path, func(o *emf.Options) { o.File.RotateMiB, o.File.Keep = 1, 3 })
	line := func(n int) string { return strings.Repeat(fmt.Sprint(n%10), 700_000) + "\n" } // one fills a file
	show := func() string {
		var numbers []string
		for _, p := range rotated(t, path) {
			numbers = append(numbers, read(t, p)[:1])
		}
		return strings.Join(numbers, " ")
	}
	for n, want := range []string{"0", "0 1", "0 1 2", "0 1 2 3", "1 2 3 4", "2 3 4 5"} {
		deliver(t, s, sink.Request{Data: []byte(line(n))})
		if got := show(); got != want {
			t.Errorf("files %s, want %s", got, want)
		}
	}
	if err := os.Remove(path + ".2"); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, sink.Request{Data: []byte(line(6))})
	if got, want := show(), "2 4 5 6"; got != want {
		t.Errorf("files %s, want %s", got, want)
	}
	// What is larger than a file may be has one of its own.
	deliver(t, s, sink.Request{Data: bytes.Repeat([]byte(line(7)), 2)}, sink.Request{Data: []byte(line(8))})
	if got, want := show(), "5 6 7 8"; got != want {
		t.Errorf("files %s, want %s", got, want)
	}
}

// A new file begins at each multiple of the age, also after a restart.
func TestRotateByAge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "emf.log")
	at := time.Now().Truncate(24 * time.Hour).Add(23 * time.Hour)
	open := func() *emf.File {
		s := newFile(t, path, func(o *emf.Options) { o.File.RotateAge, o.File.Keep = 24*time.Hour, 9 })
		s.SetNow(func() time.Time { return at })
		return s
	}
	write := func(s *emf.File, n int, files int) {
		t.Helper()
		deliver(t, s, sink.Request{Data: numbered(n)})
		if got := rotated(t, path); len(got) != files {
			t.Errorf("request %d, at %v: %d files, want %d", n, at, len(got), files)
		}
	}
	s := open()
	write(s, 0, 1)
	at = at.Add(59 * time.Minute)
	write(s, 1, 1)
	at = at.Add(time.Minute)
	write(s, 2, 2)
	at = at.Add(time.Hour)
	write(s, 3, 2)
	// Another process sees when the file was written to last.
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	at = at.Add(20 * time.Hour)
	s = open()
	write(s, 4, 2)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	at = at.Add(4 * time.Hour)
	s = open()
	write(s, 5, 3)
	// A line that is torn is ended where it began.
	torn, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := torn.Write(numbered(6)[:20]); err != nil {
		t.Fatal(err)
	}
	torn.Close()
	at = at.Add(24 * time.Hour)
	s = open()
	write(s, 6, 3)
	at = at.Add(24 * time.Hour)
	write(s, 7, 4)
	checkFlood(t, 8, rotated(t, path)...)
}

// A file that can't be moved grows, which is said once; afterwards it is moved.
func TestRotateFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "emf.log")
	if err := os.MkdirAll(path+".1/in the way", 0o700); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := newFile(t, path, logTo(&log), func(o *emf.Options) { o.File.RotateMiB, o.File.Keep = 1, 1 })
	line := strings.Repeat("x", 700_000) + "\n"
	for range 3 {
		deliver(t, s, sink.Request{Data: []byte(line)})
	}
	if diff := cmp.Diff(strings.Repeat(line, 3), read(t, path)); diff != "" {
		t.Error("the file does not have all lines")
	}
	if n := strings.Count(log.String(), "can't be rotated"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &log)
	}
	if err := os.RemoveAll(path + ".1"); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, sink.Request{Data: numbered(1)})
	if got := read(t, path); got != string(numbered(1)) {
		t.Errorf("the new file has %d bytes", len(got))
	}
}
