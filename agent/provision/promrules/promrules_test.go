package promrules

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/enawatch/enawatch/agent/ena"
)

//go:generate go test . -count=1 -run ^TestFilesAreUpToDate$ -update

var update = flag.Bool("update", false, "write the files of deploy/amp")

const root = "../../.."

func files(t *testing.T) []File {
	t.Helper()
	list, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestFilesAreUpToDate(t *testing.T) {
	known := map[string]bool{"README.md": true}
	for _, f := range files(t) {
		path := filepath.Join(root, f.Path)
		known[filepath.Base(path)] = true
		if *update {
			if err := os.WriteFile(path, f.Content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		old, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%v: run make generate", err)
			continue
		}
		if diff := cmp.Diff(string(f.Content), string(old)); diff != "" {
			t.Errorf("%s is stale, run make generate (-want +got):\n%s", f.Path, diff)
		}
	}
	entries, err := os.ReadDir(filepath.Join(root, "deploy/amp"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !known[e.Name()] {
			t.Errorf("deploy/amp/%s: nothing makes it", e.Name())
		}
	}
}

// The rules pass Debian's promtool, and so do their tests.
func TestPromtool(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		c := exec.Command("promtool", args...)
		c.Dir = filepath.Join(root, "deploy/amp")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", c, err, out)
		}
	}
}

// Every form holds the same rules, and every name is one that the agent sends.
func TestFormsAgree(t *testing.T) {
	byName := map[string][]byte{}
	for _, f := range files(t) {
		byName[filepath.Base(f.Path)] = f.Content
	}
	decode := func(text []byte) (r rules) {
		t.Helper()
		if err := yaml.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	want := decode(byName["rules.yaml"])
	var ack struct {
		Spec struct {
			Configuration string
			Groups        []group
		}
	}
	if err := yaml.Unmarshal(byName["rulegroupsnamespace.yaml"], &ack); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, decode([]byte(ack.Spec.Configuration))); diff != "" {
		t.Errorf("RuleGroupsNamespace (-want +got):\n%s", diff)
	}
	var input map[string]string
	if err := json.Unmarshal(byName["create-rule-groups-namespace.json"], &input); err != nil {
		t.Fatal(err)
	}
	text, err := base64.StdEncoding.DecodeString(input["data"])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, decode(text)); diff != "" {
		t.Errorf("AMP input (-want +got):\n%s", diff)
	}
	if err := yaml.Unmarshal(byName["prometheusrule.yaml"], &ack); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Groups, ack.Spec.Groups); diff != "" {
		t.Errorf("PrometheusRule (-want +got):\n%s", diff)
	}
	if err := yaml.Unmarshal(byName["alertmanagerdefinition.yaml"], &ack); err != nil {
		t.Fatal(err)
	}
	var wrapper struct {
		Config string `yaml:"alertmanager_config"`
	}
	var am alertmanager
	if err := yaml.Unmarshal([]byte(ack.Spec.Configuration), &wrapper); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(wrapper.Config), &am); err != nil || !cmp.Equal(am, alerting()) {
		t.Errorf("AlertManagerDefinition: %v, %v", err, am)
	}
	if len(want.Groups) != 5 || len(Metrics()) != 5 {
		t.Errorf("%d groups, %v", len(want.Groups), Metrics())
	}
	for _, name := range Metrics() {
		if _, ok := ena.Lookup(name); !ok || !strings.Contains(string(byName["rules.yaml"]), `{type="`+name+`"}`) {
			t.Errorf("%s is no stat, or in no rule", name)
		}
	}
	if slices.ContainsFunc(want.Groups, func(g group) bool { return len(g.Rules) != 2 || g.Name == "" || g.Rules[1].Alert == "" }) {
		t.Errorf("%v", want.Groups)
	}
}
