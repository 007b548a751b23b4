package emf_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/emf"
)

// logrotate itself, with nocreate, moves the file away again and again while lines
// are written: none is lost, doubled or torn, with the reopening of SIGHUP as a
// postrotate script and without. (With create it renames a file that the sink made
// before it did.)
func TestLogrotate(t *testing.T) {
	for _, reopened := range []bool{false, true} {
		t.Run(fmt.Sprintf("reopened=%t", reopened), func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o755); err != nil { // logrotate refuses what others may write to
				t.Fatal(err)
			}
			path, config, state := filepath.Join(dir, "emf.jsonl"), filepath.Join(dir, "logrotate.conf"), filepath.Join(dir, "status")
			s := newFile(t, path, func(*emf.Options) {})
			text := path + " {\n rotate 1000\n nocreate\n nocompress\n missingok\n}\n"
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			const lines, rotations = 1000, 8
			rotated := make(chan struct{})
			go func() {
				defer close(rotated)
				for range rotations {
					if out, err := exec.Command("logrotate", "--force", "--state", state, config).CombinedOutput(); err != nil {
						t.Errorf("logrotate: %v\n%s", err, out)
					}
					if reopened {
						s.Reopen()
					}
				}
			}()
			for n := range lines {
				deliver(t, s, sink.Request{Data: fmt.Appendf(nil, `{"n":%d,"pad":"%s"}`+"\n", n, strings.Repeat("x", n%500))})
			}
			<-rotated
			next := 0
			files := rotatedFiles(t, path, rotations)
			for _, file := range files {
				for line := range strings.Lines(read(t, file)) {
					if want := fmt.Sprintf(`{"n":%d,`, next); !strings.HasPrefix(line, want) || !strings.HasSuffix(line, "\"}\n") {
						t.Fatalf("%s has %.40q, want %s", file, line, want)
					}
					next++
				}
			}
			if next != lines || len(files) < 3 {
				t.Errorf("%d lines in %d files, want %d", next, len(files), lines)
			}
		})
	}
}

// rotatedFiles lists what logrotate left of path, oldest first.
func rotatedFiles(t *testing.T, path string, most int) (files []string) {
	t.Helper()
	for n := most; n > 0; n-- {
		if name := fmt.Sprintf("%s.%d", path, n); exists(name) {
			files = append(files, name)
		}
	}
	return append(files, path)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
