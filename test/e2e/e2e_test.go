// Package e2e runs the real binary on scripted devices, as a user would run it
// on a host. Its tests need root and Debian's iproute2, ethtool and
// prometheus-node-exporter.
package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/enawatch/enawatch/agent/simulate"
)

// The programs under test, built once.
var agentPath, rigPath string

func TestMain(m *testing.M) {
	if args := os.Getenv(insideVariable); args != "" {
		inside(args)
		return
	}
	flag.Parse()
	// They wait for seconds to pass, not for a processor.
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "enawatch-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Chmod(dir, 0o755) // for unprivileged children
	agentPath, rigPath = filepath.Join(dir, "enawatch"), filepath.Join(dir, "enasim")
	for path, pkg := range map[string]string{agentPath: "../../cmd/enawatch", rigPath: "../enasim"} {
		c := exec.Command("go", "build", "-o", path, pkg)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", pkg, err, out)
			return 1
		}
	}
	return m.Run()
}

// underRig runs the agent on a scenario until that is done, and returns its
// stdout and what truly happened.
func underRig(t *testing.T, scenario string, args ...string) ([]byte, simulate.Ledger) {
	t.Helper()
	ledgerPath := filepath.Join(t.TempDir(), "ledger.json")
	rig := []string{"--ledger", ledgerPath, "--stop-when-done", "--scenario", scenario, "--", agentPath}
	var stdout, stderr bytes.Buffer
	c := exec.Command(rigPath, append(rig, args...)...)
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	l := readLedger(t, ledgerPath)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the agent's log:\n%s", stderr.String())
		}
	})
	return stdout.Bytes(), l
}

// readLedger reads what the rig says truly happened.
func readLedger(t *testing.T, path string) (l simulate.Ledger) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(content, &l)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}
