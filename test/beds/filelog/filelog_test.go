//go:build beds

// Package filelog lets the OpenTelemetry collector's own filelog receiver follow
// the file that the binary writes EMF to.
package filelog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/simulate"
	"github.com/enawatch/enawatch/agent/sink/emf"
	"github.com/enawatch/enawatch/test/beds/bed"
	"github.com/enawatch/enawatch/test/emfspec"
)

// receiver is a running one, and the lines that it has found.
type receiver struct {
	c    *exec.Cmd
	read sync.WaitGroup

	mu    sync.Mutex
	lines []string
}

// follow starts a receiver of a file.
func follow(t *testing.T, program, path string) *receiver {
	t.Helper()
	r := &receiver{c: exec.Command(program, path)}
	r.c.Stderr = os.Stderr
	out, err := r.c.StdoutPipe()
	if err == nil {
		err = r.c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	r.read.Go(func() {
		in := bufio.NewScanner(out)
		in.Buffer(nil, 4<<20)
		for in.Scan() {
			r.mu.Lock()
			r.lines = append(r.lines, in.Text())
			r.mu.Unlock()
		}
	})
	t.Cleanup(func() { r.c.Process.Kill() })
	return r
}

// await waits for so many lines.
func (r *receiver) await(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		r.mu.Lock()
		found := len(r.lines)
		r.mu.Unlock()
		if found >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the receiver has found %d lines, not %d", found, n)
		}
	}
}

// end stops the receiver, which reads once more before, and returns all lines.
func (r *receiver) end(t *testing.T) []string {
	t.Helper()
	if err := r.c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.read.Wait()
	if err := r.c.Wait(); err != nil {
		t.Error(err)
	}
	return r.lines
}

func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "receiver")
	c := exec.Command("go", "build", "-o", program, ".")
	c.Dir, c.Env = "receiver", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// The binary writes, under the rig, and begins a new file every two seconds: the
// receiver, which looks for the newest alone, finds each line once, and they add
// up to what happened.
func TestAgent(t *testing.T) {
	program, agent, rig := build(t), bed.Build(t, "./cmd/enawatch"), bed.Build(t, "./test/enasim")
	dir := t.TempDir()
	path, ledgerPath := filepath.Join(dir, "emf.jsonl"), filepath.Join(dir, "ledger.json")
	r := follow(t, program, path)
	c := exec.Command(rig, "--ledger", ledgerPath, "--stop-when-done",
		"--scenario", filepath.Join(bed.Root(), "test/enasim/testdata/scenarios/steady-growth.yaml"), "--",
		agent, "run", "--sinks.emf.output", "file://"+path, "--sinks.emf.rotate-age=2s", "--sinks.emf.keep=1000", "--publish-interval=1s",
		"--sinks.prometheus=false", "--state-dir", dir, "--identity.mode=static")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var written []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		written = append(written, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")...)
	}
	r.await(t, len(written))
	found := r.end(t)
	slices.Sort(written)
	slices.Sort(found)
	if diff := cmp.Diff(written, found); diff != "" {
		t.Errorf("lines written (-) and found (+):\n%s", diff)
	}
	var ledger simulate.Ledger
	content, err := os.ReadFile(ledgerPath)
	if err == nil {
		err = json.Unmarshal(content, &ledger)
	}
	if err != nil {
		t.Fatal(err)
	}
	compare(t, ledger, found)
}

// compare adds up what the documents say of the host.
func compare(t *testing.T, ledger simulate.Ledger, lines []string) {
	t.Helper()
	sums := map[string]float64{}
	for _, line := range lines {
		d, errs := emfspec.Validate([]byte(line))
		if len(errs) > 0 {
			t.Fatalf("%v in %s", errs, line)
		}
		for _, m := range d.Metrics {
			sums[m.Name] += m.Sum()
		}
	}
	grown := 0
	for i := range ena.Catalogue() {
		e := ena.Stat(i).Entry()
		if e.Kind != metric.Counter || e.Internal || e.Group == ena.Queue {
			continue
		}
		var added uint64
		for _, d := range ledger.Devices {
			added += d.Stats[e.Name].Added
		}
		if added > 0 {
			grown++
		}
		if sums[e.Name] != float64(added) {
			t.Errorf("%s: found %v, happened %d", e.Name, sums[e.Name], added)
		}
	}
	if grown < 5 || !ledger.Done {
		t.Errorf("only %d counters grew, the script is done: %t", grown, ledger.Done)
	}
}

// Under load, files of a mebibyte follow each other as fast as the receiver
// reads: it finds each line once, in order.
func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "emf.jsonl")
	output, err := emf.ParseOutput("file://"+path, "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := emf.New(emf.Options{Output: output, Namespace: "ENA", Interval: time.Minute, File: emf.FileOptions{RotateMiB: 1, Keep: 2}})
	if err != nil {
		t.Fatal(err)
	}
	r := follow(t, build(t), path)
	const lines = 1500
	line := func(n int) string { return fmt.Sprintf(`{"n":%d,"pad":"%s"}`, n, strings.Repeat("x", 4000+n%3000)) }
	for n := range lines {
		if n%50 == 0 {
			r.await(t, n) // or it would miss whole files, as any collector does that is slower than the rotation
		}
		if err := s.Deliver(t.Context(), []byte(line(n)+"\n")); err != nil {
			t.Fatal(err)
		}
	}
	r.await(t, lines)
	found := r.end(t)
	for n, got := range found {
		if n >= lines || got != line(n) {
			t.Fatalf("line %d is %.60q", n, got)
		}
	}
}
