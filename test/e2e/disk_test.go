package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/enawatch/enawatch/test/awsfake"
)

// Whatever the disk does, every delta arrives, and the log says what is wrong.
func TestBadDisks(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		script string // what happens to $1, the state directory, before the agent starts
		log    string // what the log says
	}{
		"full":      {`mount -t tmpfs -o size=96k tmpfs "$1"; dd if=/dev/zero of="$1/fill" bs=1k 2>/dev/null || true`, "the state file can't be written"},
		"read-only": {`mount -t tmpfs -o ro tmpfs "$1"`, "the state file can't be written"},
		"corrupt":   {`head -c 100000 /dev/urandom >"$1/enawatch.db"`, "the state file was set aside"},
		"torn":      {`printf 'half a page' >"$1/enawatch.db"`, "the state file was set aside"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			state, ledgerPath := filepath.Join(dir, "state"), filepath.Join(dir, "ledger.json")
			if err := os.Mkdir(state, 0o755); err != nil {
				t.Fatal(err)
			}
			var r diskResult
			runErrand(t, errand{Do: "disk", Dir: state, Script: tt.script}, &r,
				"--scenario", "../enasim/testdata/scenarios/steady-growth.yaml", "--ledger", ledgerPath, "--stop-when-done")
			ledger := readLedger(t, ledgerPath)
			var added uint64
			for _, d := range ledger.Devices {
				added += d.Stats["bw_in_allowance_exceeded"].Added
			}
			if r.Sum != float64(added) || added == 0 {
				t.Errorf("CloudWatch has %v, %d happened", r.Sum, added)
			}
			if !strings.Contains(r.Log, tt.log) || strings.Contains(r.Log, "panic") {
				t.Errorf("the log does not say %q:\n%s", tt.log, r.Log)
			}
		})
	}
}

type diskResult struct {
	Sum float64
	Log string
}

// onBadDisk runs an agent on a state directory that a script has spoilt, until
// the rig asks it to stop.
func onBadDisk(e errand) {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	must(privateMounts())
	must(shell(e.Script, e.Dir))
	aws, err := awsfake.Start(awsfake.Options{})
	must(err)
	var log bytes.Buffer
	c := startAgent(e, aws, &log)
	<-stop.Done()
	must(c.Process.Signal(syscall.SIGTERM))
	must(c.Wait())
	must(json.NewEncoder(os.Stdout).Encode(diskResult{
		Sum: aws.CloudWatch.Summarize(awsfake.MetricQuery{Name: "bw_in_allowance_exceeded"}).Sum, Log: log.String(),
	}))
}

// privateMounts keeps what is mounted from now on to this process and those
// that it starts.
func privateMounts() error {
	return syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
}

// shell runs a script whose $1 is dir.
func shell(script, dir string) error {
	c := exec.Command("sh", "-c", script, "sh", dir)
	c.Stderr = os.Stderr
	return c.Run()
}
