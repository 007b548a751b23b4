//go:build beds

// Package image runs the container image with a real runtime: as whom, with what,
// and what it reads.
package image

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/simulate"
	"github.com/enawatch/enawatch/test/beds/bed"
)

// confined is how the documentation says to run the image.
var confined = []string{
	"--network", "host", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
	"--memory", "64m", "--pids-limit", "64", "--volume", "state:/var/lib/enawatch",
}

func TestImage(t *testing.T) {
	archive, name := bed.Image(t)
	podman := bed.Podman(t)
	bed.RunIn(t, podman, "podman", "load", "--quiet", "--input", archive)

	t.Run("reads and conserves", func(t *testing.T) { conserves(t, podman, name) })
	t.Run("is confined", func(t *testing.T) { isConfined(t, podman, name) })
	t.Run("is reproducible", func(t *testing.T) {
		again, _ := bed.Image(t)
		if a, b := digest(t, archive), digest(t, again); a != b {
			t.Errorf("two builds of the same commit are %s and %s", a, b)
		}
	})
}

// conserves runs the image on scripted devices: what it publishes is what
// happened.
func conserves(t *testing.T, podman []string, name string) {
	ledgerPath := filepath.Join(t.TempDir(), "ledger.json")
	args := []string{"--scenario", filepath.Join(bed.Root(), "test/enasim/testdata/scenarios/steady-growth.yaml"),
		"--stop-when-done", "--ledger", ledgerPath, "--", "podman", "run", "--rm"}
	args = append(append(args, confined...), name, "run", "--identity.mode", "static", "--publish-interval", "5s")
	lines := bed.RunIn(t, podman, bed.Build(t, "./test/enasim"), args...)

	var ledger simulate.Ledger
	text, err := os.ReadFile(ledgerPath)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &ledger); err != nil {
		t.Fatal(err)
	}
	const stat = "linklocal_allowance_exceeded"
	want, got := map[string]uint64{}, map[string]uint64{}
	for _, d := range ledger.Devices {
		want[d.Name] = d.Stats[stat].Added
	}
	for line := range strings.Lines(lines) {
		var document map[string]any
		if err := json.Unmarshal([]byte(line), &document); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if name, ok := document["interface"].(string); ok {
			sum, _ := document[stat+"_sum"].(float64)
			got[name] += uint64(sum)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || want["ens5"] == 0 {
		t.Errorf("%s (-happened +published):\n%s\n%s", stat, diff, lines)
	}
}

// isConfined looks at the process from outside.
func isConfined(t *testing.T, podman []string, name string) {
	args := append([]string{"run", "--detach"}, confined...)
	args[3] = "ns:/run/netns/" + bed.Namespace(t)
	args = append(args, name, "run", "--identity.mode", "static")
	id := strings.TrimSpace(bed.RunIn(t, podman, "podman", args...))
	t.Cleanup(func() { bed.RunIn(t, podman, "podman", "rm", "--force", id) })
	pid := strings.TrimSpace(bed.RunIn(t, podman, "podman", "inspect", "--format", "{{.State.Pid}}", id))

	got := map[string]string{}
	text, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
		got[key] = value
	}
	for key, want := range map[string]string{
		"Uid": "65532\t65532\t65532\t65532", "Gid": "65532\t65532\t65532\t65532", "NoNewPrivs": "1", "Seccomp": "2",
		"CapEff": "0000000000000000", "CapBnd": "0000000000000000", "CapPrm": "0000000000000000",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	if root := mountOf(t, pid, "/"); !strings.HasPrefix(root, "ro,") {
		t.Errorf("the root is mounted %s, want read-only", root)
	}
	root := filepath.Join("/proc", pid, "root")
	if !exists(root + "/etc/ssl/certs/ca-certificates.crt") {
		t.Error("the image has no certificate authorities")
	}
	if !exists(root + "/usr/share/licenses/enawatch/THIRD-PARTY-LICENSES") {
		t.Error("the image has no licences of what the program holds")
	}
	bed.Eventually(t, "the state file is in the volume", func() bool { return exists(root + "/var/lib/enawatch/enawatch.db") })
}

func mountOf(t *testing.T, pid, at string) string {
	f, err := os.Open(filepath.Join("/proc", pid, "mounts"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); fields[1] == at {
			return fields[3]
		}
	}
	return "nowhere"
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func digest(t *testing.T, path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}
