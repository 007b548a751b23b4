// Package docs holds what a user reads.
package docs

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// output runs a command of the go tool.
func output(t *testing.T, args ...string) []byte {
	t.Helper()
	c := exec.CommandContext(t.Context(), "go", args...)
	var complaint bytes.Buffer
	c.Stderr = &complaint
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go %s: %v: %s", strings.Join(args, " "), err, complaint.String())
	}
	return out
}

// listed returns the modules of a section of dependencies.md, in its order. Each
// has a reason.
func listed(t *testing.T, section string) []string {
	t.Helper()
	page, err := os.ReadFile("dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "\n## "+section+"\n")
	if !found {
		t.Fatalf("dependencies.md has no section %q", section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var modules []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(.+)` \\| .+\\. \\|$").FindAllStringSubmatch(text, -1) {
		modules = append(modules, m[1])
	}
	return modules
}

func TestDependencies(t *testing.T) {
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(output(t, "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	used := imported(t, "../cmd/enawatch")
	var program, others []string
	for _, r := range mod.Require {
		switch {
		case r.Indirect:
		case used[r.Path]:
			program = append(program, r.Path)
		default:
			others = append(others, r.Path)
		}
	}
	for section, want := range map[string][]string{"In the program": program, "In tests and generators": others} {
		slices.Sort(want)
		if diff := cmp.Diff(want, listed(t, section)); diff != "" {
			t.Errorf("dependencies.md, %q, is not what go.mod requires directly (-go.mod +dependencies.md):\n%s", section, diff)
		}
	}
}

// imported returns the modules from which the packages of this module import
// that a program is made of.
func imported(t *testing.T, program string) map[string]bool {
	t.Helper()
	type pkg struct {
		ImportPath string
		Imports    []string
		Module     *struct {
			Path string
			Main bool
		}
	}
	packages := map[string]pkg{}
	list := json.NewDecoder(bytes.NewReader(output(t, "list", "-deps", "-json=ImportPath,Imports,Module", program)))
	for {
		var p pkg
		err := list.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
	modules := map[string]bool{}
	for _, p := range packages {
		if p.Module == nil || !p.Module.Main {
			continue
		}
		for _, path := range p.Imports {
			if m := packages[path].Module; m != nil {
				modules[m.Path] = true
			}
		}
	}
	return modules
}
