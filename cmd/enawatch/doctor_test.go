package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enawatch/enawatch/agent/doctor"
)

// configured returns the flag that names a file with this configuration.
func configured(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "enawatch.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--config=" + path
}

func TestDoctor(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	args := []string{"doctor", "--simulate=dns-burst", "--url", s.URL, configured(t, "state_dir: "+t.TempDir()+"\nsinks: {emf: {}}\n")}
	text, message, code := execute(t, args...)
	if code != exitFailed || message != errUnwell.Error() {
		t.Errorf("exit code %d, %s", code, message)
	}
	for _, want := range []string{"ok       configuration: counters go to EMF on stdout", "ok       interface ens5", "failed   agent: ask the agent at", "warning  spool: ", "1 failed, "} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	text, _, code = execute(t, append(args, "--json")...)
	var checks []doctor.Check
	if err := json.Unmarshal([]byte(text), &checks); err != nil || code != exitFailed || doctor.Worst(checks) != doctor.Failed || checks[0].Name != "configuration" {
		t.Errorf("exit code %d, %v in\n%s", code, err, text)
	}
}

// A configuration that the agent would refuse is a finding, not the end.
func TestDoctorOnFaults(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	text, _, code := execute(t, "doctor", "--simulate", "--url", s.URL, configured(t, "zeros: sometimes\nsinks: {cloudwatch: {regoin: x}}\n"))
	for _, want := range []string{`:1: zeros: "sometimes" is not known`, `:2: sinks.cloudwatch.regoin: unknown key`, "ok       interface ens5"} {
		if code != exitFailed || !strings.Contains(text, want) {
			t.Errorf("exit code %d, %q is not in\n%s", code, want, text)
		}
	}
	if _, _, code := execute(t, "doctor", "--no-such-flag"); code != exitUsage {
		t.Errorf("a bad flag: exit code %d", code)
	}
}
