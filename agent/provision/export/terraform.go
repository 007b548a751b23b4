package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/enawatch/enawatch/agent/pattern"
	"github.com/enawatch/enawatch/agent/provision"
)

// terraform writes one file of HCL for the aws provider, as terraform fmt does.
func terraform(s *provision.Set, o Options) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\nterraform {\n  required_providers {\n    aws = {\n      source  = \"hashicorp/aws\"\n      version = \">= 5.90\"\n    }\n  }\n}\n", generated)
	t := &terraformWriter{topic: o.Topic, set: s.Name, addresses: map[string]string{}}
	for _, p := range s.Parameters {
		switch {
		case o.Topic && p.Name == TopicParameter:
			continue
		case p.Name == provision.RegionParameter:
			fmt.Fprint(&b, "\ndata \"aws_region\" \"current\" {}\n")
			continue
		}
		body := []attribute{{"description", quote(p.Description)}, {"type", "string"}}
		if p.Default != "" {
			body = append(body, attribute{"default", quote(p.Default)})
		}
		fmt.Fprintf(&b, "\nvariable %q {\n%s}\n", snake(p.Name), aligned(body, "  "))
	}
	if o.Topic {
		fmt.Fprint(&b, strings.ReplaceAll(topicHCL, "SET", s.Name))
	}
	if o.Policy != nil {
		policy, err := indented(o.Policy)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "\nresource \"aws_iam_policy\" \"agent\" {\n  description = \"What the agent may do. Attach it to the role of the hosts.\"\n  policy      = <<-JSON\n%s\n  JSON\n}\n", policy)
	}
	list := resources(s)
	for _, r := range list {
		if r.kind == metricAlarm || r.kind == compositeAlarm {
			t.addresses[r.name] = r.terraform + "." + snake(r.id)
		}
	}
	for i := range list {
		r := &list[i]
		if r.terraform == "" {
			return nil, fmt.Errorf("%s: the provider has no resource for it: use cloudformation, or leave its scope out", r.name)
		}
		if err := t.resource(&b, r); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

const topicHCL = `
variable "email" {
  description = "Address that is told of alarms; empty for none."
  type        = string
  default     = ""
}

data "aws_caller_identity" "current" {}

resource "aws_sns_topic" "alarms" {
  display_name = "Network allowances"
  tags         = { "` + provision.OwnerTag + `" = "SET" }
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Alarms"
      Effect    = "Allow"
      Principal = { Service = "cloudwatch.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alarms.arn
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })
}

resource "aws_sns_topic_subscription" "email" {
  count     = var.email == "" ? 0 : 1
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.email
}
`

// terraformWriter writes resources.
type terraformWriter struct {
	topic     bool
	set       string
	addresses map[string]string // of alarms, by name
}

type attribute struct{ name, value string }

// aligned writes attributes as terraform fmt does: signs below each other.
func aligned(list []attribute, indent string) string {
	width := 0
	for _, a := range list {
		width = max(width, len(a.name))
	}
	var b strings.Builder
	for _, a := range list {
		fmt.Fprintf(&b, "%s%-*s = %s\n", indent, width, a.name, a.value)
	}
	return b.String()
}

func (t *terraformWriter) resource(b *bytes.Buffer, r *resource) error {
	n, err := tree(r.input)
	if err != nil {
		return err
	}
	var attributes []attribute
	var blocks strings.Builder
	var failed error
	suppressor := []attribute{}
	each(n, func(key, value *yaml.Node) {
		name := snake(key.Value)
		switch key.Value {
		case "EvaluationCriteria":
			failed = fmt.Errorf("%s: the provider is not known to have PromQL alarms: use cloudformation, or leave the scope out", r.name)
		case "Metrics":
			for _, m := range value.Content {
				fmt.Fprintf(&blocks, "\n  metric_query {\n%s  }\n", t.metricQuery(m))
			}
		case "ActionsSuppressor":
			suppressor = append(suppressor, attribute{"alarm", t.value(value)})
		case "ActionsSuppressorWaitPeriod":
			suppressor = append(suppressor, attribute{"wait_period", t.value(value)})
		case "ActionsSuppressorExtensionPeriod":
			suppressor = append(suppressor, attribute{"extension_period", t.value(value)})
		default:
			attributes = append(attributes, attribute{name, t.value(value)})
		}
	})
	if failed != nil {
		return failed
	}
	if len(suppressor) > 0 {
		fmt.Fprintf(&blocks, "\n  actions_suppressor {\n%s  }\n", aligned(suppressor, "    "))
	}
	if after := t.after(r); len(after) > 0 {
		fmt.Fprintf(&blocks, "\n  depends_on = [\n    %s,\n  ]\n", strings.Join(after, ",\n    "))
	}
	if r.kind == metricAlarm || r.kind == compositeAlarm {
		attributes = append(attributes, attribute{"tags", fmt.Sprintf("{ %q = %q }", provision.OwnerTag, t.set)})
	}
	fmt.Fprintf(b, "\nresource %q %q {\n%s%s}\n", r.terraform, snake(r.id), aligned(attributes, "  "), blocks.String())
	return nil
}

// after lists the addresses of the set's alarms that a composite one names.
func (t *terraformWriter) after(r *resource) (list []string) {
	for _, name := range r.after {
		if address, ok := t.addresses[name]; ok {
			list = append(list, address)
		}
	}
	return list
}

// metricQuery writes the body of a metric_query block.
func (t *terraformWriter) metricQuery(n *yaml.Node) string {
	var attributes []attribute
	block := ""
	each(n, func(key, value *yaml.Node) {
		if key.Value != "MetricStat" {
			attributes = append(attributes, attribute{snake(key.Value), t.value(value)})
			return
		}
		var inner []attribute
		each(value, func(key, value *yaml.Node) {
			if key.Value != "Metric" {
				inner = append(inner, attribute{snake(key.Value), t.value(value)})
				return
			}
			each(value, func(key, value *yaml.Node) { inner = append(inner, attribute{snake(key.Value), t.value(value)}) })
		})
		block = "\n    metric {\n" + aligned(inner, "      ") + "    }\n"
	})
	return aligned(attributes, "    ") + block
}

// value writes a scalar, a list of strings or dimensions.
func (t *terraformWriter) value(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str" && strings.Contains(n.Value, "\n"):
		return "<<-TEXT\n" + indent(t.refer(strings.ReplaceAll(n.Value, "%{", "%%{"))) + "\n  TEXT"
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		return t.bare(n.Value)
	case n.Kind == yaml.ScalarNode:
		return n.Value
	}
	var parts []string
	mapped := false
	for _, c := range n.Content {
		if c.Kind != yaml.MappingNode {
			parts = append(parts, t.value(c))
			continue
		}
		mapped = true // a dimension: Name and Value
		name := c.Content[1].Value
		if !plainName().MatchString(name) {
			name = quote(name)
		}
		parts = append(parts, name+" = "+t.value(c.Content[3]))
	}
	if mapped {
		return "{ " + strings.Join(parts, ", ") + " }"
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

var plainName = pattern.New(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// bare writes a string, or the reference alone if it is nothing else.
func (t *terraformWriter) bare(s string) string {
	if parts := provision.References(s); len(parts) == 3 && parts[0] == "" && parts[2] == "" {
		return t.address(parts[1])
	}
	return t.refer(quote(s))
}

// refer replaces parameters by what Terraform calls them.
func (t *terraformWriter) refer(s string) string {
	var b strings.Builder
	for i, p := range provision.References(s) {
		if i%2 == 1 {
			p = "${" + t.address(p) + "}"
		}
		b.WriteString(p)
	}
	return b.String()
}

func (t *terraformWriter) address(parameter string) string {
	switch {
	case t.topic && parameter == TopicParameter:
		return "aws_sns_topic.alarms.arn"
	case parameter == provision.RegionParameter:
		return "data.aws_region.current.id"
	}
	return "var." + snake(parameter)
}

// quote writes a string in HCL; references stay.
func quote(s string) string { return strings.ReplaceAll(strconv.Quote(s), "%{", "%%{") }

func indent(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") }

func indented(policy []byte) (string, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, policy, "    ", "  "); err != nil {
		return "", err
	}
	return "    " + strings.TrimSpace(b.String()), nil
}

var word = pattern.New(`[A-Z]+(?:[a-z0-9]+|$)|[A-Z]*[a-z0-9]+|[A-Z]+`)

// snake writes a name of the API as Terraform does: OKActions is ok_actions.
func snake(name string) string {
	name = strings.Replace(name, "OKActions", "OkActions", 1)
	return strings.ToLower(strings.Join(word().FindAllString(name, -1), "_"))
}
