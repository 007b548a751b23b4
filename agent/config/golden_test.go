package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// parseFlags returns a set of all flags, set as args say.
func parseFlags(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("enawatch", pflag.ContinueOnError)
	Flags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

func inputs(t testing.TB, kind string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", kind, "*.yaml"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no files in testdata/%s: %v", kind, err)
	}
	files := make(map[string][]byte)
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimSuffix(filepath.Base(name), ".yaml")] = content
	}
	return files
}

// roundTrip checks that what Print writes loads back to c, but for secrets.
func roundTrip(t *testing.T, c *Config) {
	t.Helper()
	if c.Sinks.OTLP != nil {
		for name := range c.Sinks.OTLP.Headers {
			c.Sinks.OTLP.Headers[name] = Hidden
		}
	}
	printed := Print(c)
	again, err := merge("printed.yaml", printed, nil, nil)
	if err != nil {
		t.Fatalf("what Print wrote does not load: %v\n%s", err, printed)
	}
	if diff := cmp.Diff(c, again); diff != "" {
		t.Errorf("what Print wrote loads differently (-want +got):\n%s", diff)
	}
}
