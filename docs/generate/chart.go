package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed chart.md
var chartText string

// chartPage is the README of the Helm chart: its text, and a row for each value
// that values.yaml has, with the comment above it.
func chartPage() ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, "deploy", "helm", "enawatch", "values.yaml"))
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	var rows strings.Builder
	if err := appendValues(&rows, "", document.Content[0]); err != nil {
		return nil, err
	}
	return []byte(strings.Replace(chartText, "VALUES\n", rows.String(), 1)), nil
}

// appendValues appends the values of a map. One whose members have comments is
// described by them.
func appendValues(rows *strings.Builder, prefix string, m *yaml.Node) error {
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := m.Content[i], m.Content[i+1]
		path := prefix + key.Value
		if value.Kind == yaml.MappingNode && len(value.Content) > 0 && value.Content[0].HeadComment != "" {
			if err := appendValues(rows, path+".", value); err != nil {
				return err
			}
			continue
		}
		meaning := strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(key.HeadComment, "\n# ", " "), "#", ""))
		if at := strings.LastIndex(meaning, "\n\n"); at >= 0 { // the head of the file
			meaning = strings.TrimSpace(meaning[at:])
		}
		if meaning == "" {
			return fmt.Errorf("%s has no comment above it in values.yaml", path)
		}
		what := "`" + value.Value + "`"
		switch {
		case value.Kind != yaml.ScalarNode && len(value.Content) == 0:
			what = "none"
		case value.Kind != yaml.ScalarNode:
			what = "see [values.yaml](values.yaml)"
		case value.Value == "":
			what = "empty"
		}
		fmt.Fprintf(rows, "| `%s` | %s | %s |\n", path, what, strings.Join(strings.Fields(meaning), " "))
	}
	return nil
}
