package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stdin is the standard input of commands that tests execute.
const stdin = "i-0123456789abcdef0\ni-0123456789abcdef1 # two\n"

// execute runs a command line and returns what main would exit with.
func execute(t *testing.T, args ...string) (stdout, message string, code int) {
	t.Helper()
	var out, log bytes.Buffer
	c := rootCommand()
	c.SetArgs(args)
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&out)
	c.SetErr(&log)
	err := c.ExecuteContext(t.Context())
	if err == nil {
		return out.String(), "", 0
	}
	return out.String(), err.Error(), exitCode(err)
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bad := write("bad.yaml", "zeros: sometimes\nsinks: {emf: {}}\n")
	good := write("good.yaml", "sinks: {emf: {}}\n")
	script := write("bad-scenario.yaml", "devices: 7\n")
	tests := []struct {
		args    []string
		code    int
		message string // a part of it
	}{
		{[]string{"version"}, 0, ""},
		{[]string{"config", "check", good}, 0, ""},
		{[]string{"config", "check", bad}, 2, bad + `:1: zeros: "sometimes" is not known: write sparse or dense`},
		{[]string{"config", "check"}, 0, ""},
		{[]string{"config", "check", good, good}, 2, "see enawatch config check --help"},
		{[]string{"run", "--config", bad}, 2, "zeros"},
		{[]string{"run", "--config", filepath.Join(dir, "none.yaml")}, 2, "no such file"},
		{[]string{"run", "--no-such-flag"}, 2, "see enawatch run --help"},
		{[]string{"run", "surplus"}, 2, "see enawatch run --help"},
		{[]string{"run", "--simulate=nonsense"}, 2, "no scenario"},
		{[]string{"run", "--simulate=" + script}, 2, script + ":1:"},
		{[]string{"run", "--simulate", "--sinks.cloudwatch", "--sinks.prometheus=false"}, 2, "a simulation is never published to AWS"},
		{[]string{"run", "--simulate", "--sinks.emf.output", "file:///var/log/emf.jsonl", "--sinks.prometheus=false"}, 2, "a simulation is written to stdout only"},
		{[]string{"run", "--simulate", "--sinks.emf.output", "tcp://nowhere", "--sinks.prometheus=false"}, 2, "sinks.emf.output"},
		{[]string{"nonsense"}, 2, "nonsense"},
		{[]string{"once", "--simulate"}, 0, ""},
		{[]string{"cost", "--hosts", "0"}, 2, "hosts"},
	}
	for _, tt := range tests {
		_, message, code := execute(t, tt.args...)
		if code != tt.code || !strings.Contains(message, tt.message) {
			t.Errorf("%v: exit code %d, %q; want %d, %q", tt.args, code, message, tt.code, tt.message)
		}
		if strings.Contains(message, "\n") {
			t.Errorf("%v: more than one line: %q", tt.args, message)
		}
	}
}

func TestOnce(t *testing.T) {
	table, _, _ := execute(t, "once", "--simulate")
	want := `INTERFACE  DRIVER   BW_IN  BW_OUT  PPS  CONNTRACK  LINKLOCAL  CONNTRACK_LEFT  VERDICT
ens5       2.13.3g  0      212     0    0          1893       136812          valid
Packets queued or dropped since the last device reset, and connections that can still be tracked.
`
	if diff := cmp.Diff(want, table); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var rows []onceRow
	text, _, _ := execute(t, "once", "--simulate", "--json")
	if err := json.Unmarshal([]byte(text), &rows); err != nil || len(rows) != 1 || rows[0].Stats["linklocal_allowance_exceeded"] != 1893 {
		t.Errorf("%v in %s", err, text)
	}
}

// A stat that the driver does not have is no zero.
func TestOnceShowsWhatIsMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "old.yaml")
	text := "devices: [{name: eth0, driver: upstream-6.1, version: 6.1.0, initial: {pps_allowance_exceeded: 3}}]\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	table, _, _ := execute(t, "once", "--simulate="+path)
	if !strings.Contains(table, "eth0       6.1.0   0      0       3    0          0          -               valid") {
		t.Errorf("got\n%s", table)
	}
}

func TestConfigPrintLoadsBack(t *testing.T) {
	text, _, _ := execute(t, "config", "print", "--publish-interval", "10s")
	path := filepath.Join(t.TempDir(), "printed.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	again, message, _ := execute(t, "config", "print", "--config", path)
	if diff := cmp.Diff(text, again); diff != "" || message != "" {
		t.Errorf("%s (-first +second)\n%s", message, diff)
	}
}
