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

// BusyBox's setpriv, as its help of 1.35 says, can't do what util-linux's does.
func TestSetpriv(t *testing.T) {
	for help, want := range map[string]string{
		"": "setpriv is missing",
		"--nnp,--no-new-privs\tIgnore setuid/setgid bits\n--inh-caps CAP,CAP\n--ambient-caps CAP,CAP": "can't take capabilities away",
		" --inh-caps <caps,...>\n --ambient-caps <caps,...>\n --bounding-set <caps>":                  "",
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "setpriv")
		if help != "" {
			if err := os.WriteFile(path, []byte("#!/bin/sh\nprintf '%s' '"+help+"' >&2\n"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv("PATH", dir)
		switch got, err := setpriv(); {
		case want == "" && (err != nil || got != path):
			t.Errorf("%s, %v; want %s", got, err, path)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), "install util-linux")):
			t.Errorf("%v; want that it %s", err, want)
		}
	}
}
