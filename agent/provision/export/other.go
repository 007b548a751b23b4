package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/enawatch/enawatch/agent/provision"
)

// cdk writes what a CDK app makes constructs of: the name of an L1 construct, an
// id, and its properties.
func cdk(s *provision.Set) ([]byte, error) {
	type construct struct {
		Construct string          `json:"construct"`
		ID        string          `json:"id"`
		Props     json.RawMessage `json:"props"`
	}
	out := struct {
		Comment    string                `json:"//"`
		Parameters []provision.Parameter `json:"parameters"`
		Constructs []construct           `json:"constructs"`
	}{Comment: generated, Parameters: s.Parameters}
	for _, r := range resources(s) {
		n, err := tree(r.input)
		if err != nil {
			return nil, err
		}
		if r.tagged {
			n.Content = append(n.Content, node("Tags"), node(owner(s)))
		}
		camel(n)
		var props any
		if err := n.Decode(&props); err != nil {
			return nil, err
		}
		text, err := json.Marshal(props)
		if err != nil {
			return nil, err
		}
		out.Constructs = append(out.Constructs, construct{r.construct, r.id, text})
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(out)
	return b.Bytes(), err
}

// camel spells property names as TypeScript does.
func camel(n *yaml.Node) {
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			switch c.Value {
			case "RuleDefinition":
				c.Value = "ruleBody"
			case "OKActions":
				c.Value = "okActions"
			case "PromQLCriteria":
				c.Value = "promQlCriteria"
			default:
				c.Value = strings.ToLower(c.Value[:1]) + c.Value[1:]
			}
			continue
		}
		camel(c)
	}
}

// pace is how long a script waits between calls, in seconds: the API takes three
// a second.
const pace = "0.4"

// commands writes a shell script of calls of the AWS CLI.
func commands(s *provision.Set) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "#!/bin/sh\n# %s\nset -eu\n", generated)
	for _, p := range s.Parameters {
		if p.Default != "" {
			fmt.Fprintf(&b, ": \"${%s:=%s}\" # %s\n", p.Name, p.Default, p.Description)
		} else {
			fmt.Fprintf(&b, ": \"${%s:?%s}\"\n", p.Name, strings.NewReplacer("'", "", `"`, "", "`", "").Replace(p.Description))
		}
	}
	for _, r := range resources(s) {
		n, err := tree(r.input)
		if err == nil && r.tagged {
			n.Content = append(n.Content, node("Tags"), node(owner(s)))
		}
		if r.kind == queryResource { // Logs spells its fields so
			camel(n)
		}
		var input bytes.Buffer
		if err == nil {
			err = writeJSON(&input, n, "")
		}
		if err != nil {
			panic(err) // this package makes the values
		}
		fmt.Fprintf(&b, "\n# %s\naws %s --cli-input-json \"$(cat <<JSON\n%s\nJSON\n)\"\nsleep %s\n", r.name, r.command, shell(input.String()), pace)
	}
	return b.Bytes()
}

// shell escapes what a here document would expand, but for parameters.
func shell(s string) string {
	s = strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(s)
	var b strings.Builder
	for i, p := range provision.References(s) {
		if i%2 == 1 {
			b.WriteString("${" + p + "}")
			continue
		}
		b.WriteString(strings.ReplaceAll(p, "$", `\$`))
	}
	return b.String()
}

// writeJSON writes a node as JSON, with its fields in order.
func writeJSON(b *bytes.Buffer, n *yaml.Node, indent string) error {
	inner := indent + "  "
	switch n.Kind {
	case yaml.ScalarNode:
		var v any
		if err := n.Decode(&v); err != nil {
			return err
		}
		text, err := plainJSON(v)
		b.WriteString(text)
		return err
	case yaml.MappingNode:
		b.WriteString("{")
		for i := 0; i < len(n.Content); i += 2 {
			key, err := plainJSON(n.Content[i].Value)
			if err != nil {
				return err
			}
			fmt.Fprintf(b, "%s\n%s%s: ", comma(i), inner, key)
			if err := writeJSON(b, n.Content[i+1], inner); err != nil {
				return err
			}
		}
		b.WriteString("\n" + indent + "}")
	default:
		b.WriteString("[")
		for i, c := range n.Content {
			fmt.Fprintf(b, "%s\n%s", comma(i), inner)
			if err := writeJSON(b, c, inner); err != nil {
				return err
			}
		}
		b.WriteString("\n" + indent + "]")
	}
	return nil
}

func comma(i int) string {
	if i > 0 {
		return ","
	}
	return ""
}

func plainJSON(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSpace(b.String()), err
}
