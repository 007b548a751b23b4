//go:build beds

package linklocal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/enawatch/enawatch/test/beds/bed"
	"github.com/enawatch/enawatch/test/linklocaltest"
)

// refuseVariable makes the test binary run its arguments where bpf(2) ends with an
// error, the variable's value.
const refuseVariable = "LINKLOCAL_BED_REFUSE"

func execWithoutBPF(errno unix.Errno) error {
	if err := linklocaltest.RefuseBPF(errno); err != nil {
		return err
	}
	return unix.Exec("/usr/bin/env", append([]string{"env", "-u", refuseVariable}, os.Args[1:]...), os.Environ())
}

// What a host may lack. Everything that does not need it works, and one line says
// what is missing and what to do. A kernel without BPF is played by a filter of system
// calls that answers as such a kernel does.
func TestWhatIsMissing(t *testing.T) {
	dir := os.Getenv(insideVariable)
	if dir == "" {
		underRig(t, "card.yaml")
		return
	}
	t.Setenv("ENAWATCH_PUBLISH_INTERVAL", "2s") // of the agents
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	refuse := func(errno unix.Errno) []string {
		return []string{"env", fmt.Sprintf("%s=%d", refuseVariable, errno), self}
	}
	const (
		all        = ",+bpf,+net_admin,+perfmon"
		notCounted = "link-local traffic is not counted; everything else works"
	)
	for _, tt := range []struct {
		name, have string
		wrap       []string
		says       []string // in one line; none: there is no complaint
		interfaces bool     // counted
		senders    bool
	}{
		{"rights", "", nil, []string{notCounted, "BPF is not permitted: give the agent CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"}, false, false},
		{"CAP_PERFMON", ",+bpf,+net_admin", nil, []string{notCounted, "give the agent CAP_PERFMON besides"}, false, false},
		{"CAP_NET_ADMIN", ",+bpf,+perfmon", nil, []string{notCounted, "BPF is not permitted"}, false, false},
		{"BPF in the kernel", all, refuse(unix.ENOSYS), []string{notCounted, "it takes Linux 5.10 or later with BPF on"}, false, false},
		{"bpf(2) in the container", all, refuse(unix.EPERM), []string{notCounted, "BPF is not permitted"}, false, false},
		{"BTF", all, []string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs tmpfs /sys/kernel/btf && exec "$0" "$@"`}, nil, true, true},
		{"cgroup v2", all, nil, []string{"senders of link-local traffic are not counted; interfaces are"}, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			work := filepath.Join(dir, strings.ReplaceAll(tt.name, " ", "-"))
			if err := os.Mkdir(work, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(dir, "enawatch"), filepath.Join(work, "enawatch")); err != nil {
				t.Fatal(err)
			}
			root := t.TempDir()
			if tt.name != "cgroup v2" {
				root = makeCgroups(t)
			}
			agent := startAgent(t, work, root, tt.have, "enawatch_windows_total 1", tt.wrap...)
			counts := `enawatch_linklocal_packets_total{interface="ens5"`
			if tt.interfaces {
				bed.Eventually(t, "the interface is counted", func() bool { return strings.Contains(agent.scrape(), counts) })
			}
			scraped := agent.scrape()
			if got := strings.Contains(scraped, counts); got != tt.interfaces {
				t.Errorf("the interface is counted: %t", got)
			}
			if got := strings.Contains(scraped, "enawatch_linklocal_sender_packets{"); got != tt.senders {
				t.Errorf("senders are counted: %t", got)
			}
			if !strings.Contains(scraped, "conntrack_allowance_available") || !strings.Contains(scraped, "enawatch_conntrack_entries ") {
				t.Errorf("/metrics has no allowance or no connections:\n%s", scraped)
			}
			complaints(t, agent.stop(t), tt.says)
			text, err := os.ReadFile(filepath.Join(work, "state", "emf.jsonl"))
			if err != nil || !strings.Contains(string(text), `"conntrack_allowance_available":50000`) || !strings.Contains(string(text), `"heartbeat":`) {
				t.Errorf("%v; published:\n%s", err, text)
			}
		})
	}
}

// complaints holds that a log has one that says all of want, or none if want is none.
func complaints(t *testing.T, log string, want []string) {
	t.Helper()
	var said []string
	for line := range strings.Lines(log) {
		busy := strings.Contains(line, "does not answer in time") // the machine
		if (strings.Contains(line, `"WARN"`) || strings.Contains(line, `"ERROR"`)) && !busy {
			said = append(said, line)
		}
	}
	if len(want) == 0 {
		if len(said) > 0 {
			t.Errorf("complaints %q", said)
		}
		return
	}
	if len(said) != 1 {
		t.Fatalf("%d complaints, want one: %q", len(said), said)
	}
	for _, w := range want {
		if !strings.Contains(said[0], w) {
			t.Errorf("the log says %q, want %q in it", said[0], w)
		}
	}
}
