//go:build beds

// Package cloudformation checks the templates in deploy/ against AWS's published
// resource types, as the npm package @aws-cdk/aws-service-spec has them.
package cloudformation

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enawatch/enawatch/test/beds/bed"
)

// Versions of the npm packages.
const (
	specification = "@aws-cdk/aws-service-spec@0.1.216"
	yamlParser    = "yaml@2.8.1"
)

func TestTemplates(t *testing.T) {
	dir := t.TempDir()
	bed.Run(t, "npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--ignore-scripts", specification, yamlParser)
	script, err := os.ReadFile("testdata/check.mjs")
	if err != nil {
		t.Fatal(err)
	}
	check := filepath.Join(dir, "check.mjs")
	if err := os.WriteFile(check, script, 0o644); err != nil {
		t.Fatal(err)
	}
	templates, err := filepath.Glob(filepath.Join(bed.Root(), "deploy", "cloudformation", "*.yaml"))
	if err != nil || len(templates) < 6 {
		t.Fatalf("%d templates, %v", len(templates), err)
	}
	faults, looked := run(t, check, templates...)
	for _, f := range faults {
		t.Error(f)
	}
	if looked < 500 {
		t.Errorf("only %d values were looked at", looked)
	}

	// The check finds what is wrong.
	bad := filepath.Join(dir, "bad.yaml")
	text := "Resources:\n  A: {Type: AWS::CloudWatch::Alarm, Properties: {MetricNam: x, Period: sixty, Dimensions: [{Name: a}]}}\n  B: {Type: AWS::CloudWatch::Alrm}\n  C: {Type: AWS::CloudWatch::CompositeAlarm}\n"
	if err := os.WriteFile(bad, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if faults, _ := run(t, check, bad); len(faults) != 5 {
		t.Errorf("5 faults are found as:\n%s", strings.Join(faults, "\n"))
	}
}

// run returns the faults of templates, and how many values were looked at.
func run(t *testing.T, check string, templates ...string) (faults []string, looked int) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(bed.Run(t, "node", append([]string{check}, templates...)...)), "\n")
	last := len(lines) - 1
	if _, err := fmt.Sscanf(lines[last], "looked at %d", &looked); err != nil {
		t.Fatalf("%v in %s", err, lines[last])
	}
	return lines[:last], looked
}
