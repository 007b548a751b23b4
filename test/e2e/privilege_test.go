package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The agent runs as nobody, without any capability, with no-new-privileges, on
// a root file system that is read-only.
func TestNeedsNoPrivilege(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ledger := filepath.Join(dir, "ledger")
	if err := os.Mkdir(ledger, 0o777); err != nil {
		t.Fatal(err)
	}
	// In a mount namespace of its own: everything read-only but the ledger's folder.
	script := `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
findmnt -rno TARGET | while read -r m; do mount -o remount,bind,ro "$m" 2>/dev/null || true; done
mount -o remount,rw "$1"
! touch "$2/probe" 2>/dev/null
set +e
"$3" --uid 65534 --ledger "$1/ledger.json" --stop-when-done --scenario "$4" -- "$5" run --sinks.emf --sinks.prometheus=false --publish-interval 2s --identity.mode static
code=$?
cat "$1/ledger.json" >&3
exit $code`
	scenario, err := filepath.Abs("../enasim/testdata/scenarios/one-second-bursts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	c := exec.Command("unshare", "--mount", "sh", "-c", script, "sh", ledger, dir, rigPath, scenario, agentPath)
	c.Stdout, c.Stderr, c.ExtraFiles = &stdout, &stderr, []*os.File{writer}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	var truth bytes.Buffer
	truth.ReadFrom(reader)
	if err := c.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if !strings.Contains(truth.String(), `"done": true`) {
		t.Errorf("the script did not end: %s", truth.String())
	}
	p := publishedBy(t, stdout.Bytes())
	if p.sum["bw_in_allowance_exceeded"] != 70000 {
		t.Errorf("bw_in_allowance_exceeded: published %v, happened 70000", p.sum["bw_in_allowance_exceeded"])
	}
}
