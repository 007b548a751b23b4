//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enawatch/enawatch/agent/simulate"
	"github.com/enawatch/enawatch/test/enasim/rig"
)

// enasimName is the os.Args[0] by which the test binary acts as enasim.
const enasimName = "enasim"

// binaries is a folder that every user can read.
var binaries string

// Programs in it: the test binary itself, and testdata/reader.
const self, reader = "enasim", "reader"

func TestMain(m *testing.M) {
	switch os.Args[0] {
	case rig.StageName:
		rig.Stage()
	case enasimName:
		os.Exit(run(os.Args[1:]))
	}
	code, err := withBinaries(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "enasim's tests:", err)
		code = 1
	}
	os.Exit(code)
}

func withBinaries(run func() int) (code int, err error) {
	if os.Getuid() != 0 {
		return 0, fmt.Errorf("they need root, for namespaces and other users")
	}
	if _, err := exec.LookPath("ethtool"); err != nil {
		return 0, fmt.Errorf("%w: install the package ethtool", err)
	}
	if binaries, err = os.MkdirTemp("", "enasim"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(binaries)
	if err := os.Chmod(binaries, 0o755); err != nil {
		return 0, err
	}
	build := exec.Command("go", "build", "-o", filepath.Join(binaries, reader), "./testdata/reader")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the reader: %w: %s", err, out)
	}
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(binaries, self), text, 0o755); err != nil {
		return 0, err
	}
	return run(), nil
}

// scenario writes a scenario to a file and returns its name.
func scenario(t *testing.T, text string) string {
	t.Helper()
	dir, err := os.MkdirTemp(binaries, "scenario")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	file := filepath.Join(dir, "test.yaml")
	if err == nil {
		err = os.WriteFile(file, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// enasim returns a command that runs program under the scenario. {reader} in
// the arguments is the reader's path.
func enasim(t *testing.T, file string, flags []string, program ...string) *exec.Cmd {
	t.Helper()
	args := append([]string{enasimName, "--scenario", file}, flags...)
	args = append(args, "--")
	for _, p := range program {
		args = append(args, strings.ReplaceAll(p, "{reader}", filepath.Join(binaries, reader)))
	}
	cmd := &exec.Cmd{
		Path: filepath.Join(binaries, self), Args: args, Stderr: new(bytes.Buffer),
		// With the race detector on, programs sleep for a second at exit.
		Env: append(os.Environ(), "GORACE=atexit_sleep_ms=0"),
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%v\nstderr: %s", cmd.Args, cmd.Stderr)
		}
	})
	return cmd
}

// output runs the program under the scenario and returns what it printed.
func output(t *testing.T, text string, program ...string) string {
	t.Helper()
	out, err := enasim(t, scenario(t, text), nil, program...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// withLedger runs the program as output does, and returns the ledger too.
func withLedger(t *testing.T, text string, flags []string, program ...string) (string, simulate.Ledger) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ledger.json")
	out, err := enasim(t, scenario(t, text), append(flags, "--ledger", file), program...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var l simulate.Ledger
	encoded, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(encoded, &l)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(out), l
}
