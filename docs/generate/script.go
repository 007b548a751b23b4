package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// scriptMark is the line above a YAML block that holds deploy/user-data/install.sh.
const scriptMark = "# deploy/user-data/install.sh, by make generate:"

// withScript returns a YAML file with the script in its block: the lines below
// the mark from the one that ends in |, as long as they are indented deeper.
func withScript(old []byte) ([]byte, error) {
	script, err := os.ReadFile(filepath.Join(root, "deploy/user-data/install.sh"))
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	marked, filled, depth := false, false, -1
	for line := range strings.Lines(string(old)) {
		text := strings.TrimSpace(line)
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if depth >= 0 {
			if text == "" || indent > depth {
				continue // what was in the block
			}
			depth = -1
		}
		page.WriteString(line)
		switch {
		case text == scriptMark:
			marked = true
		case marked && strings.HasSuffix(text, "|"):
			marked, filled, depth = false, true, indent
			for s := range strings.Lines(string(script)) {
				if strings.TrimSpace(s) != "" {
					page.WriteString(strings.Repeat(" ", indent+2))
				}
				page.WriteString(s)
			}
		}
	}
	if !filled {
		return nil, errors.New("the script has no place in it: write " + scriptMark + " above a block")
	}
	return page.Bytes(), nil
}
