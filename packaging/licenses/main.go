// Command licenses prints the licences of what a program was built from: Go's
// own, those of every module in it and of what is copied into the repository,
// with the notices that they want to be passed on. Modules with one and the same
// text share it.
//
//	licenses BINARY
//
// It is run in the repository, and reads the modules where go keeps them.
package main

import (
	"bufio"
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// vendored are files that were copied, with the licence of each.
var vendored = map[string]string{"uPlot": "agent/page/assets/vendor/uplot-LICENSE.txt"}

func main() {
	out := bufio.NewWriter(os.Stdout)
	err := fmt.Errorf("usage: licenses BINARY")
	if len(os.Args) == 2 {
		err = write(out, os.Args[1], ".")
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

// write goes through the modules of a binary; root is the folder of the repository.
func write(w io.Writer, binary, root string) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	var order []string // of texts, as they are first met
	users := map[string][]string{}
	add := func(name, text string) {
		if users[text] == nil {
			order = append(order, text)
		}
		users[text] = append(users[text], name)
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	if err := addFolder(add, "Go "+info.GoVersion+", its runtime and standard library", strings.TrimSpace(string(goroot))); err != nil {
		return err
	}
	dirs, err := folders(root, info)
	if err != nil {
		return err
	}
	for _, m := range info.Deps {
		if err := addFolder(add, m.Path+" "+m.Version, dirs[m.Path+"@"+m.Version]); err != nil {
			return err
		}
	}
	for name, path := range vendored {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			return err
		}
		add(name, string(text))
	}
	fmt.Fprintln(w, "What enawatch is built from, under which licences.")
	for _, text := range order {
		fmt.Fprintf(w, "\n%s\n\n%s\n\n%s\n", strings.Repeat("=", 78), strings.Join(users[text], "\n"), strings.TrimRight(text, "\n"))
	}
	return nil
}

// folders says where the sources of a binary's modules are, fetching what is not there.
func folders(root string, info *buildinfo.BuildInfo) (map[string]string, error) {
	args := []string{"mod", "download", "-json"}
	for _, m := range info.Deps {
		args = append(args, m.Path+"@"+m.Version)
	}
	c := exec.Command("go", args...)
	c.Dir = root
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("go mod download: %w", err)
	}
	dirs := map[string]string{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var m struct{ Path, Version, Dir string }
		if err := decoder.Decode(&m); err == io.EOF {
			return dirs, nil
		} else if err != nil {
			return nil, fmt.Errorf("go mod download: %w", err)
		}
		dirs[m.Path+"@"+m.Version] = m.Dir
	}
}

// legal are the files to pass on: licences first, then notices.
var legal = []*regexp.Regexp{
	regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([-.].*)?$`),
	regexp.MustCompile(`(?i)^(notice|patents)([-.].*)?$`),
}

// addFolder adds the texts of a module; it is an error if it has no licence.
func addFolder(add func(name, text string), name, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for i, pattern := range legal {
		found := slices.DeleteFunc(slices.Clone(entries), func(e os.DirEntry) bool {
			return !e.Type().IsRegular() || strings.HasSuffix(e.Name(), ".go") || !pattern.MatchString(e.Name())
		})
		if i == 0 && len(found) == 0 {
			return fmt.Errorf("%s has no licence in %s", name, dir)
		}
		for _, e := range found {
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return err
			}
			add(name, string(text))
		}
	}
	return nil
}
