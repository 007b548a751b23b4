package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"go.yaml.in/yaml/v3"
)

// Every file that installs hosts holds the script as a YAML reader sees it, and
// generating it again changes nothing.
func TestScript(t *testing.T) {
	script, err := os.ReadFile(filepath.Join(root, "deploy/user-data/install.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ami/component.yaml", "cloudformation/launch-template.yaml", "cloudformation/ssm.yaml", "user-data/cloud-config.yaml"} {
		old, err := os.ReadFile(filepath.Join(root, "deploy", name))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := withScript(old); err != nil || string(again) != string(old) {
			t.Errorf("%s is stale, run make generate (%v)", name, err)
		}
		var doc yaml.Node
		if err := yaml.Unmarshal(old, &doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !holds(&doc, string(script)) {
			t.Errorf("%s does not hold the script", name)
		}
	}
	if _, err := withScript([]byte("a: |\n  b\n")); err == nil {
		t.Error("a file without the mark is written")
	}
}

// holds says whether a scalar below n, or a YAML file in one, is the text.
func holds(n *yaml.Node, text string) bool {
	if n.Value == text {
		return true
	}
	if strings.HasPrefix(n.Value, "#cloud-config\n") {
		var inner yaml.Node
		return yaml.Unmarshal([]byte(n.Value), &inner) == nil && holds(&inner, text)
	}
	for _, below := range n.Content {
		if holds(below, text) {
			return true
		}
	}
	return false
}

// What is written by hand for Terraform and Packer is HCL, formatted as they do.
func TestHCL(t *testing.T) {
	for _, name := range []string{"ami/enawatch.pkr.hcl", "terraform/launch-template/main.tf"} {
		text, err := os.ReadFile(filepath.Join(root, "deploy", name))
		if err != nil {
			t.Fatal(err)
		}
		if _, faults := hclparse.NewParser().ParseHCL(text, name); faults.HasErrors() {
			t.Error(faults)
		}
		if string(hclwrite.Format(text)) != string(text) {
			t.Errorf("%s is not formatted as terraform fmt and packer fmt do", name)
		}
	}
}
