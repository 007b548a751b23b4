//go:build beds

// Package prometheus runs the binary, on scripted devices, against what takes
// remote write: Debian's Prometheus 2.42 with Alertmanager, Prometheus 3.16, and
// Cortex 1.21, from which Amazon Managed Prometheus descends.
package prometheus

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/enawatch/enawatch/test/beds/bed"
)

// insideVariable makes the test binary a child of the rig, in a network
// namespace of its own, where every port is free.
const insideVariable = "BED_INSIDE"

// errand is what the child works with.
type errand struct {
	Agent, Tools, Dir, Root string
	Cortex                  bool
}

// checks are what the child found wrong, by what it looked at.
type checks map[string][]string

func TestMain(m *testing.M) {
	if text := os.Getenv(insideVariable); text != "" {
		var e errand
		must(json.Unmarshal([]byte(text), &e))
		found := checks{}
		if e.Cortex {
			cortex(e, found)
		} else {
			burst(e, found)
		}
		must(json.NewEncoder(os.Stdout).Encode(found))
		return
	}
	os.Exit(m.Run())
}

// run runs the child in a rig and reports what it found.
func run(t *testing.T, e errand, want ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	e.Agent, e.Dir, e.Root = bed.Build(t, "./cmd/enawatch"), t.TempDir(), bed.Root()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	rig := bed.Build(t, "./test/enasim")
	var stdout, stderr bytes.Buffer
	c := exec.Command(rig, "--scenario", "testdata/burst.yaml", "--", self)
	c.Env = append(os.Environ(), insideVariable+"="+string(text), "AWS_EC2_METADATA_DISABLED=true")
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	found := checks{}
	if err := json.Unmarshal(stdout.Bytes(), &found); err != nil {
		t.Fatalf("%v in %s", err, stdout.String())
	}
	for _, name := range want {
		if _, ok := found[name]; !ok {
			t.Errorf("nobody looked at %s", name)
		}
	}
	for name, faults := range found {
		t.Run(name, func(t *testing.T) {
			if !slices.Contains(want, name) {
				t.Error("this check is not listed")
			}
			for _, f := range faults {
				t.Error(f)
			}
		})
	}
	if t.Failed() {
		t.Log(stderr.String())
	}
}

// A minute of drops goes through two versions of Prometheus, its rule engine and
// Alertmanager.
func TestBurst(t *testing.T) {
	t.Parallel() // each has a network namespace of its own
	run(t, errand{Tools: bed.Tools(t, "prometheus")},
		"rates of the guide's queries", "alerts fire", "alerts resolve", "pushed equals scraped", "dashboards",
		"protocol with 2.42", "protocol with 3.16", "conservation with 2.42", "conservation with 3.16, which is down for a while",
		"refusals of 2.42", "refusals of 3.16", "end of series")
}

func TestCortex(t *testing.T) {
	t.Parallel()
	run(t, errand{Tools: bed.Tools(t, "cortex"), Cortex: true},
		"protocol", "conservation", "metadata", "no tenant", "refusals", "too old")
}

// Rules and their tests hold in the rule engine of Prometheus 3 too.
func TestPromtool3(t *testing.T) {
	promtool := filepath.Join(bed.Tools(t, "prometheus"), "promtool3")
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		c := exec.Command(promtool, args...)
		c.Dir = filepath.Join(bed.Root(), "deploy", "amp")
		if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "SUCCESS") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

// Alertmanager takes the configuration that AMP is given.
func TestAmtool(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(bed.Root(), "deploy", "amp", "alertmanager.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var wrapped struct {
		Config string `yaml:"alertmanager_config"`
	}
	if err := yaml.Unmarshal(text, &wrapped); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "alertmanager.yml")
	if err := os.WriteFile(path, []byte(wrapped.Config), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := bed.Run(t, "amtool", "check-config", path); !strings.Contains(out, "SUCCESS") {
		t.Errorf("%s", out)
	}
}
