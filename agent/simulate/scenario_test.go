package simulate

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/ena"
)

var update = flag.Bool("update", false, "write the golden files")

// everything returns a device with all that its driver can list.
func everything(release string, queues int) *deviceScript {
	d := drivers[release]
	return &deviceScript{name: "ens5", driver: d, queues: queues, maxQueues: queues,
		customerMetrics: d.customerMetrics, srd: d.srd, phc: d.phc != nil}
}

// TestNames holds each driver's names, in its order, against a file that can be
// compared with the driver's source.
func TestNames(t *testing.T) {
	for release := range drivers {
		t.Run(release, func(t *testing.T) {
			d := everything(release, 1)
			names := d.layout(1).names
			if d.customerMetrics {
				d.customerMetrics = false
				old := d.layout(1).names
				if i := slices.Index(names, available); !slices.Equal(old, slices.Delete(slices.Clone(names), i, i+1)) {
					t.Errorf("without customer metrics: %s", old)
				}
			}
			got := strings.Join(names, "\n") + "\n"
			golden := filepath.Join("testdata", "names", release+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNamesOfManyQueues: the kernel's cut makes no two names the same, and the
// catalogue knows each.
func TestNamesOfManyQueues(t *testing.T) {
	for release := range drivers {
		l := everything(release, maxQueues).layout(maxQueues)
		if len(l.at) != len(l.names) {
			t.Errorf("driver %s: %d names, %d different ones", release, len(l.names), len(l.at))
		}
		if len(l.names) > ena.MaxStats {
			t.Errorf("driver %s: %d names are more than a buffer holds", release, len(l.names))
		}
		for _, name := range l.names {
			if len(name) >= ethGStringLen {
				t.Errorf("driver %s: %q is longer than the kernel's names", release, name)
			}
			if _, ok := ena.Lookup(name); !ok && name != activeQueues {
				t.Errorf("driver %s: the catalogue does not know %q", release, name)
			}
		}
	}
}

func TestGauges(t *testing.T) {
	for name, want := range map[string]bool{
		available: true, "ena_srd_mode": true, activeQueues: true, "queue_*_tx_pending_timedout_pkts": true,
		bwIn: false, "queue_*_tx_cnt": false, "queue_3_tx_cnt": false, "phc_cnt": false,
	} {
		if isGauge(name) != want {
			t.Errorf("isGauge(%q) = %t", name, !want)
		}
	}
}

// TestScenarios plays each built-in scenario for two minutes at one reading a
// second: something must happen within the first 20 s, and go on for ever.
func TestScenarios(t *testing.T) {
	list := Scenarios()
	var names []string
	for _, l := range list {
		names = append(names, l.Name)
		if l.Description == "" || strings.Contains(l.Description, "\n") {
			t.Errorf("scenario %s: description %q is not one line", l.Name, l.Description)
		}
	}
	want := []string{"admin-queue-failure", "conntrack-exhaustion", "device-reset", "dns-burst", "hot-attach"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("scenarios (-want +got):\n%s", diff)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := Load(name)
				if err != nil {
					t.Fatal(err)
				}
				m := New(s, SystemClock{})
				dropped := []uint64{play(t, m, 20*time.Second), play(t, m, 60*time.Second), play(t, m, 60*time.Second)}
				for i, d := range dropped {
					if d == 0 {
						t.Errorf("period %d: no packet was dropped", i)
					}
				}
			})
		})
	}
}

// play reads every device once a second for d and returns what the allowance
// counters grew by.
func play(t *testing.T, m *Machine, d time.Duration) uint64 {
	r := newReader(t, m)
	sum := func() (sum uint64) {
		for _, d := range m.Ledger().Devices {
			for _, name := range allowances {
				sum += d.Stats[name].Added
			}
		}
		return sum
	}
	before := sum()
	for range int(d / time.Second) {
		links, err := m.Links()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			if _, err := m.Stats(l.Name, 0, r.buf); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
	}
	return sum() - before
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(path, []byte("devices: [{name: ens5, driver: 2.2.10}]"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Load(path)
	if err != nil || s.Name != "mine" {
		t.Errorf("Load(%q) = %+v, %v", path, s, err)
	}
	if s, err := Load("hot-attach"); err != nil || s.Name != "hot-attach" {
		t.Errorf("Load(hot-attach) = %+v, %v", s, err)
	}
	for name, want := range map[string]string{
		"dns":            `no scenario "dns": take the path of a file or one of admin-queue-failure, conntrack-exhaustion, device-reset, dns-burst, hot-attach`,
		"../nowhere":     "load a scenario: open ../nowhere: no such file or directory",
		"../parse":       "load a scenario: open ../parse: no such file or directory",
		"scenarios/none": "load a scenario: open scenarios/none: no such file or directory",
	} {
		if _, err := Load(name); err == nil || err.Error() != want {
			t.Errorf("Load(%q): %v, want %s", name, err, want)
		}
	}
}
