package emf_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/emf"
)

// tail follows files as Fluent Bit's in_tail does (plugins/in_tail/tail_file.c):
// a file is its device and inode, whatever its name; it is read from where it was
// read to before; a line counts when its newline is there; one that was renamed is
// read on, and forgotten some time after. One that is shorter than what was read
// of it is read from its beginning.
type tail struct {
	path   string
	files  map[inode]*followed
	lines  []string
	forgot int
}

type inode struct{ device, number uint64 }

type followed struct {
	f       *os.File
	offset  int64
	partial []byte
	// moved counts the scans since the name is another file's, or nobody's.
	moved int
}

// rotateWait is for how many scans a renamed file is read on: Rotate_Wait, 5 s,
// where a scan comes with each event.
const rotateWait = 5

func inodeOf(info os.FileInfo) inode {
	s := info.Sys().(*syscall.Stat_t)
	return inode{s.Dev, s.Ino}
}

// run scans until next is closed, and once more. Who sends to it waits for the end
// of the scan.
func (t *tail) run(next <-chan struct{}) error {
	for open := true; open; {
		select {
		case _, open = <-next:
		default:
		}
		if err := t.scan(); err != nil {
			return err
		}
	}
	return nil
}

// scan looks who has the name, and reads on in all that it knows.
func (t *tail) scan() error {
	var named inode
	switch f, err := os.Open(t.path); {
	case err == nil:
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if named = inodeOf(info); t.files[named] == nil {
			t.files[named] = &followed{f: f}
		} else {
			f.Close()
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	for id, f := range t.files {
		if err := t.read(f); err != nil {
			return err
		}
		if id == named {
			f.moved = 0
			continue
		}
		if f.moved++; f.moved > rotateWait {
			f.f.Close()
			delete(t.files, id)
			t.forgot++
		}
	}
	return nil
}

func (t *tail) read(f *followed) error {
	info, err := f.f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < f.offset {
		f.offset, f.partial = 0, nil
	}
	for buf := make([]byte, 32<<10); ; {
		n, err := f.f.ReadAt(buf, f.offset)
		f.offset += int64(n)
		f.partial = append(f.partial, buf[:n]...)
		for {
			line, rest, ended := bytes.Cut(f.partial, []byte("\n"))
			if !ended {
				break
			}
			t.lines, f.partial = append(t.lines, string(line)), rest
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// A collector that tails the file while the sink writes and rotates it at full
// speed has each line once, and whole, whenever it looks: whether the sink rotates
// by size, keeping many files or one, or somebody renames the file. The sink waits
// for nothing but that the collector looks once between two rotations, which are
// hours apart.
func TestTail(t *testing.T) {
	for name, tt := range map[string]struct {
		keep  int
		moved bool // by somebody else
	}{
		"many are kept":       {100, false},
		"one is kept":         {1, false},
		"renamed by somebody": {1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "emf.jsonl")
			s := newFile(t, path, func(o *emf.Options) {
				o.File.RotateMiB, o.File.Keep = 1, tt.keep
				if tt.moved {
					o.File.RotateMiB = 0
				}
			})
			const lines, perFile = 900, 180
			collector := &tail{path: path, files: map[inode]*followed{}}
			wait, done := make(chan struct{}), make(chan error, 1)
			go func() { done <- collector.run(wait) }()
			for n := range lines {
				if n%(perFile/2) == 0 {
					wait <- struct{}{}
					wait <- struct{}{} // a scan began and ended between the two
				}
				if tt.moved && n%perFile == perFile-1 {
					if err := os.Rename(path, fmt.Sprintf("%s-%d", path, n)); err != nil {
						t.Fatal(err)
					}
				}
				deliver(t, s, sink.Request{Data: fmt.Appendf(nil, `{"n":%d,"pad":"%s"}`+"\n", n, strings.Repeat("x", 4000+n%3000))})
			}
			close(wait)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			checkTailed(t, collector.lines, lines)
			if collector.forgot < 3 {
				t.Errorf("%d files were renamed", collector.forgot)
			}
		})
	}
}

// checkTailed fails unless each line is there once, and whole.
func checkTailed(t *testing.T, lines []string, want int) {
	t.Helper()
	seen := map[int]int{}
	for _, line := range lines {
		var n int
		if _, err := fmt.Sscanf(line, `{"n":%d,`, &n); err != nil || !strings.HasSuffix(line, `"}`) || strings.Count(line, `{"n"`) != 1 {
			t.Fatalf("not a whole line: %.60q", line)
		}
		seen[n]++
	}
	for n := range want {
		if seen[n] != 1 {
			t.Errorf("line %d was seen %d times", n, seen[n])
		}
	}
}
