package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// growsByReading are the stats that each reading of a device moves.
var growsByReading = regexp.MustCompile(`ena_admin_q_(submitted|completed)_cmd`)

// linesOf returns the lines that begin with prefix, or are about it.
func linesOf(text, prefix string) (lines []string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		about := strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE ")
		if strings.HasPrefix(about, prefix) && !growsByReading.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// Beside node_exporter and ethtool, on the same devices at the same moment, the
// agent says the same: whoever comes from there loses nothing.
func TestSaysWhatTheOthersSay(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"upstream-6.1", "2.8.1", "2.17.0"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			scenario := filepath.Join(t.TempDir(), "still.yaml")
			text := `
devices:
- name: ens5
  driver: ` + driver + `
  queues: 4
  initial: {bw_in_allowance_exceeded: 11072, linklocal_allowance_exceeded: 3, queue_*_tx_cnt: 51286, ena_admin_q_aborted_cmd: 2}
- {name: ens6, driver: 2.2.10, initial: {pps_allowance_exceeded: 9223372036854775800}}
`
			if err := os.WriteFile(scenario, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var r readers
			runErrand(t, errand{Do: "readers", Dir: t.TempDir()}, &r, "--scenario", scenario)

			want := linesOf(r.NodeExporter, "node_ethtool_")
			if len(want) < 100 {
				t.Fatalf("node_exporter has %d lines only:\n%s", len(want), r.NodeExporter)
			}
			if diff := cmp.Diff(want, linesOf(r.Agent, "node_ethtool_")); diff != "" {
				t.Errorf("node_exporter (-) and the agent (+)\n%s", diff)
			}
			for line := range strings.Lines(r.Ethtool) {
				name, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
				if !ok || growsByReading.MatchString(name) {
					continue
				}
				sample := `node_net_ethtool{device="ens5",type="` + name + `"} `
				if got := linesOf(r.Agent, sample); len(got) != 1 || !sameNumber(strings.TrimPrefix(got[0], sample), value) {
					t.Errorf("ethtool says %s: %s; the agent %q", name, value, got)
				}
			}
		})
	}
}

// sameNumber compares a sample, which is a float64, with an integer.
func sameNumber(sample, integer string) bool {
	var a, b float64
	return json.Unmarshal([]byte(sample), &a) == nil && json.Unmarshal([]byte(integer), &b) == nil && a == b
}
