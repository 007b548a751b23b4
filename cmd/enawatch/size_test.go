package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestNoMethodByName builds the program as make build does. It must not hold what makes a
// call to any method by its name: then the linker keeps every method of every
// type, and the program is half as large again.
func TestNoMethodByName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "enawatch")
	c := exec.Command("go", "build", "-tags", "nethttpomithttp2", "-trimpath", "-ldflags", "-s -w", "-o", path, ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(program, []byte("text/template.(*state).evalField")) {
		t.Error("text/template is reachable: see what imports it with go list -deps, and go without")
	}
}
