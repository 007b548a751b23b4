//go:build beds

package install

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	"go.yaml.in/yaml/v3"

	"github.com/enawatch/enawatch/test/beds/bed"
)

func readFile(t *testing.T, name string) string {
	text, err := os.ReadFile(filepath.Join(bed.Root(), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// launchTemplate is the user data of the instances of deploy/cloudformation/launch-template.yaml.
func launchTemplate(t *testing.T) string {
	var template struct {
		Resources map[string]struct {
			Properties struct {
				LaunchTemplateData struct {
					UserData struct {
						Base64 struct {
							Join []yaml.Node `yaml:"Fn::Join"`
						} `yaml:"Fn::Base64"`
					} `yaml:"UserData"`
				} `yaml:"LaunchTemplateData"`
			} `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal([]byte(readFile(t, "deploy/cloudformation/launch-template.yaml")), &template); err != nil {
		t.Fatal(err)
	}
	join := template.Resources["Template"].Properties.LaunchTemplateData.UserData.Base64.Join
	if len(join) != 2 {
		t.Fatalf("UserData is no Fn::Join of two arguments: %v", join)
	}
	var parts []string
	for _, part := range join[1].Content {
		text := part.Value
		if part.Tag == "!Sub" {
			text = strings.NewReplacer("${Url}", "https://example.com/release", "${Sha256}", strings.Repeat("0", 64)).Replace(text)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, join[0].Value)
}

// terraform is the user data of the instances of deploy/terraform/launch-template,
// before it is encoded. JSON stands for YAML, of which it is a part.
func terraform(t *testing.T) string {
	folder := filepath.Join(bed.Root(), "deploy/terraform/launch-template")
	parsed, faults := hclparse.NewParser().ParseHCLFile(filepath.Join(folder, "main.tf"))
	if faults.HasErrors() {
		t.Fatal(faults)
	}
	text := func(params []function.Parameter, f func(args []cty.Value) (cty.Value, error)) function.Function {
		return function.New(&function.Spec{Params: params, Type: function.StaticReturnType(cty.String),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f(args) }})
	}
	one := []function.Parameter{{Name: "text", Type: cty.String}}
	scope := &hcl.EvalContext{
		Variables: map[string]cty.Value{
			"path": cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal(folder)}),
			"var":  cty.ObjectVal(map[string]cty.Value{"url": cty.StringVal("https://example.com/release"), "sha256": cty.StringVal(strings.Repeat("0", 64))}),
		},
		Functions: map[string]function.Function{
			"yamlencode": stdlib.JSONEncodeFunc,
			"file": text(one, func(args []cty.Value) (cty.Value, error) {
				content, err := os.ReadFile(args[0].AsString())
				return cty.StringVal(string(content)), err
			}),
			"base64encode": text(one, func(args []cty.Value) (cty.Value, error) { return args[0], nil }),
		},
	}
	for _, block := range parsed.Body.(*hclsyntax.Body).Blocks {
		if fmt.Sprint(block.Labels) == "[aws_launch_template enawatch]" {
			value, faults := block.Body.Attributes["user_data"].Expr.Value(scope)
			if faults.HasErrors() {
				t.Fatal(faults)
			}
			return value.AsString()
		}
	}
	t.Fatal("there is no aws_launch_template.enawatch")
	return ""
}
