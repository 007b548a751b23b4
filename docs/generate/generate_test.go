package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/ena"
)

func TestGeneratedIsUpToDate(t *testing.T) {
	for _, target := range targets {
		old, err := os.ReadFile(filepath.Join(root, target.path))
		if err != nil {
			t.Errorf("%v: run make generate", err)
			continue
		}
		want, err := target.content(old)
		if err != nil {
			t.Errorf("%s: %v", target.path, err)
			continue
		}
		if diff := cmp.Diff(string(want), string(old)); diff != "" {
			t.Errorf("%s is stale, run make generate (-want +got):\n%s", target.path, diff)
		}
	}
}

func TestWriteReportsWhatFailed(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "docs"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := write(dir)
	if err == nil || !strings.Contains(err.Error(), "write README.md: ") {
		t.Errorf("without README.md: %v", err)
	}
	for _, path := range []string{"docs/metrics.md", "docs/configuration.md"} {
		if _, err := os.Stat(filepath.Join(dir, path)); err != nil {
			t.Errorf("the others are not written: %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "README.md")); err == nil {
		t.Error("README.md was made of nothing")
	}
}

func TestReadme(t *testing.T) {
	const before, after = "# A title\n\n", "\nThe end.\n"
	first, err := readme([]byte(before + beginMark + "a stale row\n" + endMark + after))
	if err != nil {
		t.Fatal(err)
	}
	again, err := readme(first)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(first), string(again)); diff != "" {
		t.Errorf("the second time it changes again (-first +second):\n%s", diff)
	}
	table, ok := strings.CutPrefix(string(first), before+beginMark)
	table, ok2 := strings.CutSuffix(table, endMark+after)
	if !ok || !ok2 || strings.Contains(table, "stale") {
		t.Errorf("more or less than the table changed:\n%s", first)
	}
	if rows := strings.Count(table, "\n"); rows != 2+8 {
		t.Errorf("%d lines, want a heading and 8 metrics:\n%s", rows, table)
	}
	for _, bad := range []string{"", beginMark, endMark, endMark + beginMark} {
		if got, err := readme([]byte(bad)); err == nil {
			t.Errorf("readme(%q) = %q, want an error", bad, got)
		}
	}
}

// page returns a generated page.
func page(t *testing.T, content func() ([]byte, error)) string {
	t.Helper()
	text, err := content()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every row of a table has as many cells as its heading.
func TestTables(t *testing.T) {
	bars := regexp.MustCompile(`(^|[^\\])\|`)
	for name, text := range map[string]string{"metrics": page(t, metricsPage), "configuration": page(t, configurationPage)} {
		cells, rows := 0, 0
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "|") {
				cells = 0
				continue
			}
			rows++
			n := len(bars.FindAllString(line, -1))
			if cells > 0 && n != cells {
				t.Errorf("%s: %d bars, the row above has %d:\n%s", name, n, cells, line)
			}
			cells = n
		}
		if name == "metrics" && rows < ena.NumStats {
			t.Errorf("%s: %d rows in all, and %d stats", name, rows, ena.NumStats)
		}
	}
}

// Whatever the agent's code calls a metric of its own stands in the table.
func TestEverySelfMetricIsDocumented(t *testing.T) {
	text := page(t, metricsPage)
	name := regexp.MustCompile(`"(` + selfPrefix + `[a-z_]*[a-z])"`)
	found := 0
	err := filepath.WalkDir(filepath.Join(root, "agent"), func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range name.FindAllSubmatch(source, -1) {
			found++
			if !strings.Contains(text, "\n| `"+string(m[1])+"` |") {
				t.Errorf("%s: %s is not in docs/metrics.md: let selfMetrics see it", path, m[1])
			}
		}
		return err
	})
	if err != nil || found < 10 {
		t.Errorf("%d names found, %v", found, err)
	}
}

// The page says by a rule what showmax calls a stat.
func TestShowmaxRule(t *testing.T) {
	set, err := show("showmax")
	if err != nil {
		t.Fatal(err)
	}
	for s, e := range ena.Catalogue() {
		if set.names[s] != set.Metric() || set.types[s] != driverName(&e) {
			t.Errorf("%s is %s{type=%q}", e.Name, set.names[s], set.types[s])
		}
	}
}

func TestEveryKeyIsDocumentedOnce(t *testing.T) {
	text := page(t, configurationPage)
	for _, k := range config.Keys() {
		for _, word := range append([]string{k.Env}, k.Flags...) {
			if n := strings.Count(text, code(word)); n != 1 {
				t.Errorf("%s: %s stands there %d times", k.Name, word, n)
			}
		}
		if !strings.Contains(text, "# "+k.Name+"\n") {
			t.Errorf("%s has no heading", k.Name)
		}
		if !strings.Contains(text, wrap(prose(k.Meaning))) {
			t.Errorf("%s: its meaning is not there", k.Name)
		}
		for _, v := range k.Values {
			if !strings.Contains(text, code(v)) {
				t.Errorf("%s: its value %s is not there", k.Name, v)
			}
		}
	}
}
