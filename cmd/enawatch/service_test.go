package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/systemd"
)

// The unit that service install writes is the packages', but for where the
// program is.
func TestServiceUnit(t *testing.T) {
	unit := unitTemplate()
	if diff := cmp.Diff(systemd.Unit, strings.ReplaceAll(unit, "{{Path | cmdEscape}}", "/usr/bin/enawatch")); diff != "" {
		t.Errorf("it differs from systemd/enawatch.service (-want +got):\n%s", diff)
	}
	if strings.Contains(unit, "/usr/bin/enawatch") || !strings.Contains(unit, "\nExecStart={{Path | cmdEscape}} run\n") {
		t.Errorf("a program elsewhere would not be run by it:\n%s", unit)
	}
}

// What a service begins with is a configuration without a fault, and never takes
// the place of one that is there.
func TestServiceBegins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "enawatch.yaml")
	for range 2 {
		if err := begin(path, systemd.Config, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if text, message, code := execute(t, "config", "check", path); code != 0 {
		t.Errorf("exit code %d: %s%s", code, text, message)
	}
	if err := begin(path, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != string(systemd.Config) {
		t.Errorf("the configuration became %q", got)
	}
}
