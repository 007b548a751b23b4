package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestShipped builds the program as make build does and looks into it.
func TestShipped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "enawatch")
	c := exec.Command("go", "build", "-tags", "nethttpomithttp2", "-trimpath", "-ldflags", "-s -w", "-o", path, ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Run("NoMethodByName", func(t *testing.T) { testNoMethodByName(t, path) })
	t.Run("NoTables", func(t *testing.T) { testNoTables(t, path) })
	t.Run("Init", func(t *testing.T) { testInit(t, path) })
}

// testNoMethodByName: the program must not hold what makes a call to any method
// by its name, since then the linker keeps every method of every type, and the
// program is half as large again.
func testNoMethodByName(t *testing.T, path string) {
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(program, []byte("text/template.(*state).evalField")) {
		t.Error("text/template is reachable: see what imports it with go list -deps, and go without")
	}
}

// testNoTables: the SDK's client of CloudWatch Logs, a service of more than a
// hundred operations, is for tests. Package logs calls the few that are used.
func testNoTables(t *testing.T, path string) {
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(program, []byte("aws-sdk-go-v2/service/cloudwatchlogs")) {
		t.Error("the SDK's client of CloudWatch Logs is reachable: see what imports it with go list -deps, and use agent/sink/awsclient/logs")
	}
}

// testInit runs the program with a trace of its packages' initialisation: what is
// made there is made for every command and, in the agent, stays for years. Those
// of this module make little; regular expressions wait until they are used.
func testInit(t *testing.T, path string) {
	const most = 64 << 10 // bytes, of one package
	c := exec.Command(path, "version")
	c.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	trace, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, trace)
	}
	seen := 0
	for line := range strings.Lines(string(trace)) {
		// init PACKAGE @0.1 ms, 0.01 ms clock, 1234 bytes, 5 allocs
		f := strings.Fields(line)
		if len(f) < 10 || !strings.HasPrefix(f[1], "github.com/enawatch/enawatch/") {
			continue
		}
		seen++
		if bytes, err := strconv.Atoi(f[7]); err != nil || bytes > most {
			t.Errorf("%s allocates %s bytes, more than %d, before the program begins (%v)", f[1], f[7], most, err)
		}
	}
	if seen < 5 {
		t.Errorf("only %d packages of this module in the trace:\n%s", seen, trace)
	}
}
