// Command generate writes what can be known from the code: docs/metrics.md,
// docs/configuration.md and the tables of metrics in README.md and docs/otlp.md. Names, defaults
// and labels are asked of the parts that use them: no page repeats one by hand.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

//go:generate go run .

// root is the repository, seen from this folder.
const root = "../.."

func main() {
	if err := write(root); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// target is a file that is generated, or a part of which is.
type target struct {
	path string // in the repository
	// content returns what the file should hold, of what it does.
	content func(old []byte) ([]byte, error)
}

var targets = []target{
	{"docs/metrics.md", func([]byte) ([]byte, error) { return metricsPage() }},
	{"docs/configuration.md", func([]byte) ([]byte, error) { return configurationPage() }},
	{"docs/otlp.md", otlpPage},
	{"README.md", readme},
	{"deploy/ami/component.yaml", withScript},
	{"deploy/cloudformation/launch-template.yaml", withScript},
	{"deploy/cloudformation/ssm.yaml", withScript},
	{"deploy/user-data/cloud-config.yaml", withScript},
	{"deploy/helm/enawatch/README.md", func([]byte) ([]byte, error) { return chartPage() }},
}

// write brings every target up to date. One that fails does not keep the others
// from being written.
func write(root string) error {
	var failed []error
	for _, t := range targets {
		if err := t.write(filepath.Join(root, t.path)); err != nil {
			failed = append(failed, fmt.Errorf("write %s: %w", t.path, err))
		}
	}
	return errors.Join(failed...)
}

func (t target) write(path string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	content, err := t.content(old)
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}
