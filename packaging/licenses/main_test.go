package main

import (
	"bytes"
	"debug/buildinfo"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// Every module of the program has its licence, and so has what is not a module.
func TestEveryModule(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "enawatch")
	build := exec.Command("go", "build", "-o", binary, "./cmd/enawatch")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := write(&out, binary, root); err != nil {
		t.Fatal(err)
	}
	// Names are above each text, one a line.
	text := out.String()
	names := []string{"Go " + info.GoVersion + ", its runtime and standard library", "uPlot"}
	for _, m := range info.Deps {
		names = append(names, m.Path+" "+m.Version)
	}
	for _, name := range names {
		if !strings.Contains(text, "\n"+name+"\n") {
			t.Errorf("%s has no licence", name)
		}
	}
	for _, want := range []string{
		"Copyright 2015 Amazon.com, Inc. or its affiliates", // the notice of AWS's SDK
		"Copyright 2009 The Go Authors",
		"Copyright (c) 2022 Leon Sorokin",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in it", want)
		}
	}
}

func TestNoLicence(t *testing.T) {
	err := addFolder(func(name, _ string) { t.Errorf("%s has one", name) }, "example.com/m v1.0.0", t.TempDir())
	if err == nil || !strings.HasPrefix(err.Error(), "example.com/m v1.0.0 has no licence in ") {
		t.Errorf("a module without a licence: %v", err)
	}
}
