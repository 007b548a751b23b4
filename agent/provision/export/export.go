// Package export writes a set of alarms, dashboards and rules for the tools that
// make them: CloudFormation, Terraform, the CDK and the AWS CLI.
package export

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/enawatch/enawatch/agent/pattern"
	"github.com/enawatch/enawatch/agent/provision"
)

// Formats are those that Write knows.
var Formats = []string{"cloudformation", "terraform", "cdk-json", "cli"}

// Options say what is written besides the set, in CloudFormation and Terraform.
type Options struct {
	// Topic makes an SNS topic, and every reference to TopicParameter one to it.
	Topic bool
	// Policy is an IAM policy that is made too: JSON, or nil.
	Policy []byte
}

// TopicParameter names the topic of alarms in a set.
const TopicParameter = "AlarmTopic"

// Write writes s in a format. The error says what the format or its tool can't
// express.
func Write(w io.Writer, format string, s *provision.Set, o Options) error {
	var text []byte
	var err error
	switch format {
	case "cloudformation":
		text, err = cloudFormation(s, o)
	case "terraform":
		text, err = terraform(s, o)
	case "cdk-json", "cli":
		if o.Topic || o.Policy != nil {
			return fmt.Errorf("format %s has no topics and policies: use cloudformation or terraform, or give the ARN of a topic", format)
		}
		if text, err = commands(s), nil; format == "cdk-json" {
			text, err = cdk(s)
		}
	default:
		return fmt.Errorf("format %q is not known: use %s", format, strings.Join(Formats, ", "))
	}
	if err != nil {
		return fmt.Errorf("export as %s: %w", format, err)
	}
	_, err = w.Write(text)
	return err
}

// generated heads every file.
const generated = "Written by enawatch export: change its options, not this file."

// kind says what a resource is called in each format.
type kind struct {
	cloudFormation, construct, terraform string
	// command is that of the CLI.
	command string
	// tagged is true if the tools can put tags on it.
	tagged bool
}

var (
	metricAlarm    = kind{"AWS::CloudWatch::Alarm", "aws_cloudwatch.CfnAlarm", "aws_cloudwatch_metric_alarm", "cloudwatch put-metric-alarm", true}
	logAlarm       = kind{"AWS::CloudWatch::LogAlarm", "aws_cloudwatch.CfnLogAlarm", "", "cloudwatch put-log-alarm", true}
	compositeAlarm = kind{"AWS::CloudWatch::CompositeAlarm", "aws_cloudwatch.CfnCompositeAlarm", "aws_cloudwatch_composite_alarm", "cloudwatch put-composite-alarm", true}
	dashboard      = kind{"AWS::CloudWatch::Dashboard", "aws_cloudwatch.CfnDashboard", "aws_cloudwatch_dashboard", "cloudwatch put-dashboard", true}
	insightRule    = kind{"AWS::CloudWatch::InsightRule", "aws_cloudwatch.CfnInsightRule", "aws_cloudwatch_contributor_insight_rule", "cloudwatch put-insight-rule", true}
	queryResource  = kind{"AWS::Logs::QueryDefinition", "aws_logs.CfnQueryDefinition", "aws_cloudwatch_query_definition", "logs put-query-definition", false}
)

// resource is one resource of a set.
type resource struct {
	kind
	name  string
	input any // with the field names of the API
	// id names the resource in a template: letters and digits.
	id string
	// after are the names of alarms that must be there before, if the set has them.
	after []string
}

// identify gives each resource an id. Names that make the same one, such as those
// of the groups web-1 and web1, are told apart by a checksum.
func identify(list []resource, set string) {
	taken := map[string]int{}
	for i := range list {
		list[i].id = list[i].plainID(set)
		taken[strings.ToLower(list[i].id)]++
	}
	for i := range list {
		if r := &list[i]; taken[strings.ToLower(r.id)] > 1 {
			r.id += fmt.Sprintf("X%08x", crc32.ChecksumIEEE([]byte(r.name)))
		}
	}
}

// plainID is a name without what is no letter or digit.
func (r *resource) plainID(set string) string {
	name := strings.TrimPrefix(strings.TrimPrefix(r.name, set), "-")
	var b strings.Builder
	up := true
	for _, c := range strings.NewReplacer("${", " ", "}", " ").Replace(name) {
		switch {
		case c >= 'a' && c <= 'z' && up:
			c -= 'a' - 'A'
			fallthrough
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			b.WriteRune(c)
			up = false
		default:
			up = true
		}
	}
	if b.Len() == 0 {
		return "Main"
	}
	return b.String()
}

// resources lists what s has, what others depend on first.
func resources(s *provision.Set) (list []resource) {
	for i := range s.MetricAlarms {
		list = append(list, resource{kind: metricAlarm, name: s.MetricAlarms[i].AlarmName, input: &s.MetricAlarms[i]})
	}
	for i := range s.LogAlarms {
		list = append(list, resource{kind: logAlarm, name: s.LogAlarms[i].AlarmName, input: &s.LogAlarms[i]})
	}
	for i := range s.CompositeAlarms {
		a := &s.CompositeAlarms[i]
		r := resource{kind: compositeAlarm, name: a.AlarmName, input: a}
		for _, m := range inRule().FindAllStringSubmatch(a.AlarmRule, -1) {
			r.after = append(r.after, m[1])
		}
		if a.ActionsSuppressor != "" {
			r.after = append(r.after, a.ActionsSuppressor)
		}
		list = append(list, r)
	}
	for i := range s.Dashboards {
		d := &s.Dashboards[i]
		list = append(list, resource{kind: dashboard, name: d.DashboardName + "-Dashboard", input: d})
	}
	for i := range s.InsightRules {
		list = append(list, resource{kind: insightRule, name: s.InsightRules[i].RuleName, input: &s.InsightRules[i]})
	}
	for i := range s.Queries {
		list = append(list, resource{kind: queryResource, name: strings.Replace(s.Queries[i].Name, "/", "-query ", 1), input: &s.Queries[i]})
	}
	identify(list, s.Name)
	return list
}

// inRule finds the alarms in the rule of a composite one.
var inRule = pattern.New(`\("([^"]+)"\)`)

// tree turns an input into nodes, with fields in the order of its type.
func tree(input any) (*yaml.Node, error) {
	text, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	var n yaml.Node
	if err := yaml.Unmarshal(text, &n); err != nil {
		return nil, err
	}
	return n.Content[0], nil
}

// owner is the tag of everything that a set owns.
func owner(s *provision.Set) []map[string]string {
	return []map[string]string{{"Key": provision.OwnerTag, "Value": s.Name}}
}

// each calls f for the values of a mapping, which f may change.
func each(n *yaml.Node, f func(key, value *yaml.Node)) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		f(n.Content[i], n.Content[i+1])
	}
}
