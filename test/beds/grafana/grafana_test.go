//go:build beds

// Package grafana checks the dashboards against Grafana's own types, with the
// TypeScript compiler.
package grafana

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/enawatch/enawatch/test/beds/bed"
)

// prelude imports the types. JSON has the values of enums where TypeScript wants
// their names, which Plain allows.
const prelude = `
import type { Dashboard } from "./node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen";
import type * as stat from "./node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen";
import type * as table from "./node_modules/@grafana/schema/dist/types/raw/composable/table/panelcfg/x/types.gen";
import type * as text from "./node_modules/@grafana/schema/dist/types/raw/composable/text/panelcfg/x/types.gen";
import type * as timeseries from "./node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen";
type Plain<T> = T extends string ? ` + "`${T}`" + ` : T extends (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
type Options<T> = Partial<Plain<T>>;
`

func TestSchema(t *testing.T) {
	dir := t.TempDir()
	source, err := os.ReadFile("package.json")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("package.json", string(source))
	in := func(program string, args ...string) (string, error) {
		c := exec.Command(program, args...)
		c.Dir = dir
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := in("npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	paths, err := filepath.Glob(filepath.Join(bed.Root(), "deploy", "grafana", "*.json"))
	if err != nil || len(paths) != 4 {
		t.Fatalf("%v, %v", paths, err)
	}
	compile := func(code string) (string, error) {
		write("check.ts", prelude+code)
		return in("node_modules/.bin/tsc", "--noEmit", "--strict", "--skipLibCheck", "check.ts")
	}
	var all strings.Builder
	for i, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "// %s\nexport const d%d: Plain<Dashboard> = %s;\n", filepath.Base(path), i, text)
		all.WriteString(panels(t, i, text))
	}
	if out, err := compile(all.String()); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	// What is wrong is found.
	good := all.String()
	for _, wrong := range [][2]string{{`"editable": true`, `"editable": "yes"`}, {`"gridPos"`, `"gridpos"`}, {`"colorMode":"value"`, `"colorMode":"loud"`}, {`"mode": "thresholds"`, `"mode": "steps"`}} {
		if !strings.Contains(good, wrong[0]) {
			t.Errorf("no dashboard has %s", wrong[0])
		}
		if out, err := compile(strings.Replace(good, wrong[0], wrong[1], 1)); err == nil || !strings.Contains(out, "error TS") {
			t.Errorf("%s passes: %v\n%s", wrong[1], err, out)
		}
	}
}

// panels returns the options of a dashboard's panels, each as what its plugin
// takes.
func panels(t *testing.T, n int, text []byte) string {
	t.Helper()
	var d struct {
		Panels []struct {
			ID          int
			Type        string
			Options     json.RawMessage
			FieldConfig struct {
				Defaults struct{ Custom json.RawMessage }
			}
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, p := range d.Panels {
		if !slices.Contains([]string{"stat", "table", "text", "timeseries"}, p.Type) {
			t.Errorf("a panel of type %s", p.Type)
		}
		var options strings.Builder
		e := json.NewEncoder(&options)
		if err := e.Encode(p.Options); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "export const o%d_%d: Options<%s.Options> = %s;\n", n, p.ID, p.Type, options.String())
		if p.FieldConfig.Defaults.Custom != nil {
			fmt.Fprintf(&b, "export const c%d_%d: Options<%s.FieldConfig> = %s;\n", n, p.ID, p.Type, p.FieldConfig.Defaults.Custom)
		}
	}
	return b.String()
}
