package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"go.yaml.in/yaml/v3"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/provision"
)

// set has everything that a format can express.
func set(t *testing.T, scopes ...provision.Scope) *provision.Set {
	t.Helper()
	o := provision.Options{
		Name: "net", Namespace: `Our "ENA"`, Interval: time.Minute, Scopes: scopes, Level: provision.Levels[1],
		Dimensions:    []metric.Dimension{{Name: "env-name", Value: `it's $1 \ "x" %{y}`}},
		ConntrackLeft: 5000, ConntrackCapacity: 100_000, ConntrackPercent: 10,
		AlarmActions: []string{"${" + TopicParameter + "}"}, Insights: true,
	}
	s, err := provision.Alarms(o)
	if err != nil {
		t.Fatal(err)
	}
	d, err := provision.Dashboards(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Add(d)
	return s
}

func write(t *testing.T, format string, s *provision.Set, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, format, s, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var everything = Options{Topic: true, Policy: provision.PutMetrics("ENA").JSON()}

// What is written is HCL, as terraform fmt writes it, and every argument of an
// alarm is a field of the API's own type.
func TestTerraform(t *testing.T) {
	text := write(t, "terraform", set(t, provision.PerHost, provision.Fleet, provision.Group), everything)
	file, diagnostics := hclsyntax.ParseConfig([]byte(text), "main.tf", hcl.InitialPos)
	if diagnostics.HasErrors() {
		t.Fatal(diagnostics)
	}
	if diff := cmp.Diff(string(hclwrite.Format([]byte(text))), text); diff != "" {
		t.Errorf("terraform fmt would change it (-want +got):\n%s", diff)
	}
	apis := map[string]reflect.Type{
		"aws_cloudwatch_metric_alarm":             reflect.TypeFor[cloudwatch.PutMetricAlarmInput](),
		"aws_cloudwatch_composite_alarm":          reflect.TypeFor[cloudwatch.PutCompositeAlarmInput](),
		"aws_cloudwatch_dashboard":                reflect.TypeFor[cloudwatch.PutDashboardInput](),
		"aws_cloudwatch_contributor_insight_rule": reflect.TypeFor[cloudwatch.PutInsightRuleInput](),
		"aws_cloudwatch_query_definition":         reflect.TypeFor[cloudwatchlogs.PutQueryDefinitionInput](),
		"metric_query":                            reflect.TypeFor[types.MetricDataQuery](),
	}
	seen := map[string]int{}
	var check func(kind string, body *hclsyntax.Body)
	check = func(kind string, body *hclsyntax.Body) {
		seen[kind]++
		for name := range body.Attributes {
			if api := apis[kind]; api != nil && name != "depends_on" && !hasField(api, name) {
				t.Errorf("%s: the API has no field for %s", kind, name)
			}
		}
		for _, b := range body.Blocks {
			check(b.Type, b.Body)
		}
	}
	for _, b := range file.Body.(*hclsyntax.Body).Blocks {
		if b.Type == "resource" {
			check(b.Labels[0], b.Body)
		}
	}
	for kind := range apis {
		if seen[kind] == 0 {
			t.Errorf("there is no %s", kind)
		}
	}
}

// hasField reports whether an API type has a field of this name, in Terraform's
// spelling.
func hasField(api reflect.Type, name string) bool {
	for f := range api.Fields() {
		if snake(f.Name) == name {
			return true
		}
	}
	return false
}

// What goes to the API, to CloudFormation and to the CDK has the API's fields.
func TestFieldsAreTheAPIs(t *testing.T) {
	for _, r := range resources(set(t, provision.Scopes...)) {
		var input any
		switch r.kind {
		case metricAlarm:
			input = &cloudwatch.PutMetricAlarmInput{}
		case logAlarm:
			input = &cloudwatch.PutLogAlarmInput{}
		case compositeAlarm:
			input = &cloudwatch.PutCompositeAlarmInput{}
		case dashboard:
			input = &cloudwatch.PutDashboardInput{}
		case insightRule:
			input = &cloudwatch.PutInsightRuleInput{}
		case queryResource:
			input = &cloudwatchlogs.PutQueryDefinitionInput{}
		}
		text, err := json.Marshal(r.input)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), `"EvaluationCriteria"`) {
			continue // a union, which JSON can't fill
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(input); err != nil {
			t.Errorf("%s: %v", r.name, err)
		}
	}
}

// A template refers to nothing that it does not have, and no two resources have
// one id.
func TestCloudFormationIsWhole(t *testing.T) {
	text := write(t, "cloudformation", set(t, provision.Scopes...), everything)
	var template struct {
		Parameters map[string]any `yaml:"Parameters"`
		Resources  map[string]struct {
			DependsOn []string `yaml:"DependsOn"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal([]byte(text), &template); err != nil {
		t.Fatal(err) // also if a key is there twice
	}
	known := map[string]bool{"AWS::Region": true, "AWS::AccountId": true}
	for name := range template.Parameters {
		known[name] = true
	}
	for id, r := range template.Resources {
		known[id] = true
		for _, on := range r.DependsOn {
			if _, ok := template.Resources[on]; !ok {
				t.Errorf("%s depends on %s, which is not there", id, on)
			}
		}
	}
	references := regexp.MustCompile(`\$\{([A-Za-z:]+)\}|Ref: "?([A-Za-z:]+)`).FindAllStringSubmatch(text, -1)
	for _, m := range references {
		if name := m[1] + m[2]; !known[name] {
			t.Errorf("%s is no parameter and no resource", name)
		}
	}
	if len(references) < 20 || len(template.Resources) < 50 {
		t.Errorf("%d references, %d resources", len(references), len(template.Resources))
	}
}

// Names that are alike have ids of their own, in each format.
func TestIDs(t *testing.T) {
	o := provision.Options{Name: "net", Namespace: "ENA", Interval: time.Minute, Scopes: []provision.Scope{provision.Group}, Level: provision.Levels[1]}
	for _, name := range []string{"web-1", "web1", "wEb1", "web.1", "api"} {
		o.Groups = append(o.Groups, provision.GroupOf{{Name: "AutoScalingGroupName", Value: name}})
	}
	s, err := provision.Alarms(o)
	if err != nil {
		t.Fatal(err)
	}
	for format, id := range map[string]string{
		"cloudformation": `(?m)^  (\w+):\n    Type: AWS::CloudWatch`, "terraform": `resource ("\w+" "\w+")`, "cdk-json": `"construct": "[^"]+",\s+"id": "(\w+)"`,
	} {
		seen := map[string]bool{}
		for _, m := range regexp.MustCompile(id).FindAllStringSubmatch(write(t, format, s, Options{}), -1) {
			seen[m[1]] = true
		}
		if len(seen) != s.Len() {
			t.Errorf("%s: %d ids for %d alarms: %v", format, len(seen), s.Len(), slices.Sorted(maps.Keys(seen)))
		}
	}
	if text := write(t, "cloudformation", s, Options{}); !strings.Contains(text, "\n  ApiPpsExceeded:\n") {
		t.Error("a name like no other has no plain id")
	}
}

// CloudFormation takes 500 resources; what is left out is not left out silently.
func TestTooManyResources(t *testing.T) {
	o := provision.Options{Name: "net", Namespace: "ENA", Interval: time.Minute, Scopes: []provision.Scope{provision.PerHost}, Level: provision.Levels[1]}
	for i := range 51 { // of ten alarms each
		o.Instances = append(o.Instances, fmt.Sprintf("i-%017x", i))
	}
	for n, want := range map[int]string{50: "", 51: "500 resources, and this set has 510"} {
		part := o
		part.Instances = o.Instances[:n]
		s, err := provision.Alarms(part)
		if err != nil {
			t.Fatal(err)
		}
		if err = Write(io.Discard, "cloudformation", s, Options{}); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d alarms: %v, want %q", s.Len(), err, want)
		}
		if err = Write(io.Discard, "terraform", s, Options{}); err != nil {
			t.Errorf("%d alarms in Terraform: %v", s.Len(), err)
		}
	}
	s := set(t, provision.PerHost)
	for n := len(resources(s)); n < 499; n++ {
		s.Queries = append(s.Queries, provision.Query{Name: fmt.Sprintf("net/q%d", n), QueryString: "limit 1"})
	}
	if err := Write(io.Discard, "cloudformation", s, everything); err == nil || !strings.Contains(err.Error(), "has 503") {
		t.Errorf("with topic, policies and subscription: %v", err)
	}
}

// A suppressor that the set does not have is none of the template's.
func TestForeignSuppressor(t *testing.T) {
	o := provision.Options{
		Name: "net", Namespace: "ENA", Interval: time.Minute, Scopes: []provision.Scope{provision.PerHost}, Level: provision.Levels[1],
		Suppressor: "net-maintenance",
	}
	s, err := provision.Alarms(o)
	if err != nil {
		t.Fatal(err)
	}
	text := write(t, "terraform", s, Options{})
	file, diagnostics := hclsyntax.ParseConfig([]byte(text), "main.tf", hcl.InitialPos)
	if diagnostics.HasErrors() {
		t.Fatal(diagnostics)
	}
	declared, depends := map[string]bool{}, 0
	for _, b := range file.Body.(*hclsyntax.Body).Blocks {
		if b.Type == "resource" {
			declared[b.Labels[0]+"."+b.Labels[1]] = true
		}
	}
	for _, b := range file.Body.(*hclsyntax.Body).Blocks {
		if on, ok := b.Body.Attributes["depends_on"]; ok {
			for _, v := range on.Expr.Variables() {
				depends++
				if address := v.RootName() + "." + v[1].(hcl.TraverseAttr).Name; !declared[address] {
					t.Errorf("%s depends on %s, which is not there", b.Labels[1], address)
				}
			}
		}
	}
	if depends < 6 || !strings.Contains(text, `"net-maintenance"`) {
		t.Errorf("%d dependencies in\n%s", depends, text)
	}
	if template := write(t, "cloudformation", s, Options{}); strings.Contains(template, "- Maintenance") || !strings.Contains(template, "ActionsSuppressor: net-maintenance") {
		t.Errorf("CloudFormation:\n%s", template)
	}
}

// The script says to the CLI what the set says: a stand-in for aws notes it.
func TestCommands(t *testing.T) {
	s := set(t, provision.PerHost, provision.Fleet, provision.Logs)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"aws":   "#!/bin/sh\nprintf '%s\\n' \"$4\" >> \"$NOTES\"\nprintf '\\0' >> \"$NOTES\"\n",
		"sleep": "#!/bin/sh\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	notes := filepath.Join(dir, "notes")
	c := exec.Command("sh", "-s")
	c.Stdin = strings.NewReader(write(t, "cli", s, Options{}))
	values := map[string]string{"InstanceId": "i-0123456789abcdef0", "AlarmTopic": "arn:aws:sns:us-east-1:123456789012:pages", "QueryRoleArn": "arn:aws:iam::123456789012:role/q", "LogGroup": "/g", "Region": "us-east-1"}
	c.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "NOTES="+notes)
	for name, value := range values {
		c.Env = append(c.Env, name+"="+value)
	}
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(notes)
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
	list := resources(s)
	if len(said) != len(list) {
		t.Fatalf("%d calls for %d resources", len(said), len(list))
	}
	for i, r := range list {
		var got, want map[string]any
		if err := json.Unmarshal([]byte(said[i]), &got); err != nil {
			t.Fatalf("%s: %v in %s", r.name, err, said[i])
		}
		input, _ := json.Marshal(r.input)
		expected := string(input)
		for name, value := range values {
			expected = strings.ReplaceAll(expected, "${"+name+"}", value)
		}
		if err := json.Unmarshal([]byte(expected), &want); err != nil {
			t.Fatal(err)
		}
		if r.kind == queryResource {
			lower := map[string]any{}
			for k, v := range want {
				lower[strings.ToLower(k[:1])+k[1:]] = v
			}
			want = lower
		}
		delete(got, "Tags")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", r.name, diff)
		}
	}
}

func TestSnake(t *testing.T) {
	for name, want := range map[string]string{
		"AlarmName": "alarm_name", "OKActions": "ok_actions", "MetricName": "metric_name", "Id": "id", "DatapointsToAlarm": "datapoints_to_alarm",
		"BwInExceeded": "bw_in_exceeded", "InstanceId": "instance_id", "TreatMissingData": "treat_missing_data", "QueryRoleArn": "query_role_arn",
	} {
		if got := snake(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
