package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/enawatch/enawatch/agent/provision"
)

// maxResources is of one template (User Guide, "CloudFormation quotas").
const maxResources = 500

// cloudFormation writes a template in YAML.
func cloudFormation(s *provision.Set, o Options) ([]byte, error) {
	var parameters, all []any
	for _, p := range s.Parameters {
		switch {
		case p.Name == provision.RegionParameter:
			continue // a pseudo parameter, see reference
		case o.Topic && p.Name == TopicParameter:
			continue
		}
		body := []any{"Type", "String", "Description", p.Description}
		if p.Default != "" {
			body = append(body, "Default", p.Default)
		}
		parameters = append(parameters, p.Name, mapping(body...))
	}
	if o.Topic {
		parameters = append(parameters, "Email", mapping("Type", "String", "Description", "Address that is told of alarms; empty for none.", "Default", ""))
		all = append(all, topicResources(s)...)
	}
	if o.Policy != nil {
		document, err := tree(json.RawMessage(o.Policy))
		if err != nil {
			return nil, err
		}
		all = append(all, "AgentPolicy", mapping("Type", "AWS::IAM::ManagedPolicy", "Properties",
			mapping("Description", "What the agent may do. Attach it to the role of the hosts.", "PolicyDocument", document)))
	}
	list := resources(s)
	ids := map[string]string{}
	for i := range list {
		ids[list[i].name] = list[i].id
	}
	for i := range list {
		r, err := formationResource(s, &list[i], ids)
		if err != nil {
			return nil, err
		}
		all = append(all, list[i].id, r)
	}
	if n := len(all) / 2; n > maxResources {
		return nil, fmt.Errorf("a template takes %d resources, and this set has %d: export fewer --instances or --groups at a time, each under its own --name, or use enawatch alarms apply", maxResources, n)
	}
	parts := []any{"AWSTemplateFormatVersion", "2010-09-09", "Description", "Network allowances of EC2 instances, by enawatch (" + s.Name + ")."}
	if len(parameters) > 0 {
		parts = append(parts, "Parameters", mapping(parameters...))
	}
	if o.Topic {
		parts = append(parts, "Conditions", mapping("HasEmail", node(map[string]any{"Fn::Not": []any{map[string]any{"Fn::Equals": []any{map[string]any{"Ref": "Email"}, ""}}}})))
	}
	parts = append(parts, "Resources", mapping(all...))
	if o.Topic {
		parts = append(parts, "Outputs", mapping("TopicArn", mapping("Description", "Topic that is told of alarms.", "Value", mapping("Ref", TopicParameter))))
	}
	root := mapping(parts...)
	plain(root)
	return encode(root)
}

// formationResource is one entry below Resources.
func formationResource(s *provision.Set, r *resource, ids map[string]string) (*yaml.Node, error) {
	n, err := tree(r.input)
	if err != nil {
		return nil, err
	}
	each(n, func(key, _ *yaml.Node) {
		if key.Value == "RuleDefinition" {
			key.Value = "RuleBody"
		}
	})
	substitute(n)
	if r.tagged {
		n.Content = append(n.Content, node("Tags"), node(owner(s)))
	}
	body := []any{"Type", r.cloudFormation}
	var after []string
	for _, name := range r.after {
		if id, ok := ids[name]; ok {
			after = append(after, id)
		}
	}
	if len(after) > 0 {
		body = append(body, "DependsOn", node(after))
	}
	return mapping(append(body, "Properties", n)...), nil
}

// topicResources are an SNS topic that CloudWatch of this account may publish to.
func topicResources(s *provision.Set) []any {
	statement := map[string]any{
		"Sid": "Alarms", "Effect": "Allow", "Principal": map[string]any{"Service": "cloudwatch.amazonaws.com"}, "Action": "sns:Publish",
		"Resource": map[string]any{"Ref": TopicParameter}, "Condition": map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": map[string]any{"Ref": "AWS::AccountId"}}},
	}
	return []any{
		TopicParameter, mapping("Type", "AWS::SNS::Topic", "Properties", mapping("DisplayName", "Network allowances", "Tags", node(owner(s)))),
		"AlarmTopicPolicy", mapping("Type", "AWS::SNS::TopicPolicy", "Properties", mapping(
			"Topics", node([]any{map[string]any{"Ref": TopicParameter}}),
			"PolicyDocument", node(map[string]any{"Version": "2012-10-17", "Statement": []any{statement}}))),
		"AlarmEmail", mapping("Type", "AWS::SNS::Subscription", "Condition", "HasEmail", "Properties", mapping(
			"TopicArn", mapping("Ref", TopicParameter), "Protocol", "email", "Endpoint", mapping("Ref", "Email"))),
	}
}

// substitute makes strings that refer to parameters functions of them.
func substitute(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		parts := provision.References(n.Value)
		if n.Tag != "!!str" || len(parts) == 1 {
			return
		}
		if len(parts) == 3 && parts[0] == "" && parts[2] == "" {
			*n = *mapping("Ref", pseudo(parts[1]))
			return
		}
		var b strings.Builder
		for i, p := range parts {
			if i%2 == 0 {
				b.WriteString(p)
			} else {
				b.WriteString("${" + pseudo(p) + "}")
			}
		}
		*n = *mapping("Fn::Sub", b.String())
		return
	}
	for i, c := range n.Content {
		if n.Kind == yaml.SequenceNode || i%2 == 1 {
			substitute(c)
		}
	}
}

// pseudo returns what CloudFormation calls a parameter.
func pseudo(parameter string) string {
	if parameter == provision.RegionParameter {
		return "AWS::Region"
	}
	return parameter
}

// node turns a value into a node; one that is a node already stays.
func node(v any) *yaml.Node {
	if n, ok := v.(*yaml.Node); ok {
		return n
	}
	n := &yaml.Node{}
	if err := n.Encode(v); err != nil {
		panic(err) // this package makes the values
	}
	return n
}

// mapping returns a mapping of keys and values, which take turns.
func mapping(pairs ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, p := range pairs {
		n.Content = append(n.Content, node(p))
	}
	return n
}

// plain takes the style of JSON away; texts of several lines stand as such.
func plain(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && strings.Contains(n.Value, "\n") {
		n.Style = yaml.LiteralStyle
	}
	for _, c := range n.Content {
		plain(c)
	}
}

func encode(root *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n", generated)
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}
