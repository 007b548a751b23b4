package provision

import (
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Slack and PagerDuty are told of the alarms that tell anybody, and of no other.
func TestEventBridgePatterns(t *testing.T) {
	text, err := os.ReadFile("../../deploy/cloudformation/eventbridge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Resources map[string]struct {
			Properties struct {
				EventPattern map[string]any `yaml:"EventPattern"`
			} `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	text = []byte(strings.NewReplacer("${Prefix}", "enawatch-", "${AWS::Partition}", "aws", "${AWS::Region}", "eu-west-1", "${AWS::AccountId}", "123456789012").Replace(string(text)))
	if err := yaml.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	rules := map[string]string{"ToSlack": "ALARM OK", "ToPagerDuty": "ALARM", "ToPagerDutyResolved": "OK"}
	told := 0
	for name, values := range rules {
		pattern := template.Resources[name].Properties.EventPattern
		if len(pattern) == 0 {
			t.Fatalf("%s has no pattern", name)
		}
		for alarm, acts := range everyAlarm(t) {
			for _, value := range []string{"ALARM", "OK", "INSUFFICIENT_DATA"} {
				for _, by := range []string{"", "WaitPeriod", "Alarm", "ExtensionPeriod"} {
					want := acts && strings.Contains(values, value) && (by == "" || by == "WaitPeriod")
					if got := matches(t, pattern, event(alarm, value, by)); got != want {
						t.Errorf("%s, %s is %s, suppressed by %q: got %v, want %v", name, alarm, value, by, got, want)
					} else if got {
						told++
					}
				}
			}
		}
		for _, stranger := range []string{"payments", "enawatchful-network-allowance"} {
			if matches(t, pattern, event(stranger, strings.Fields(values)[0], "")) {
				t.Errorf("%s: %s is sent", name, stranger)
			}
		}
		other := event("enawatch-fleet-pps-exceeded", strings.Fields(values)[0], "")
		other["source"] = "aws.ec2"
		if matches(t, pattern, other) {
			t.Errorf("%s: an event of another service is sent", name)
		}
	}
	if told < 100 {
		t.Errorf("only %d events are sent", told)
	}
}

// everyAlarm lists the names of alarms of all kinds, and whether they tell anyone.
func everyAlarm(t *testing.T) map[string]bool {
	t.Helper()
	o := options(Scopes...)
	o.Instances = []string{"i-0123456789abcdef0", "i-12345678"}
	o.ConntrackCapacity = 130_000
	o.Groups = []GroupOf{{{Name: groupDimension, Value: "web"}}, {{Name: clusterDimension, Value: "prod"}}, {{Name: clusterDimension, Value: "prod"}, {Name: "NodegroupName", Value: "spot"}}}
	o.AlarmActions = []string{"arn:aws:sns:us-east-1:123456789012:pages", "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:x:autoScalingGroupName/web:policyName/out"}
	set, err := Alarms(o)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	add := func(name string, a Actions) { out[name] = len(without(a.AlarmActions, scales)) > 0 }
	for _, a := range set.MetricAlarms {
		add(a.AlarmName, a.Actions)
	}
	for _, a := range set.LogAlarms {
		add(a.AlarmName, a.Actions)
	}
	for _, a := range set.CompositeAlarms {
		add(a.AlarmName, a.Actions)
	}
	return out
}

// event is one of CloudWatch, as far as a pattern may look at it (User Guide,
// "Alarm events and EventBridge").
func event(alarm, value, by string) map[string]any {
	state := map[string]any{"value": value}
	if by != "" {
		state["actionsSuppressedBy"] = by
	}
	return map[string]any{
		"source": "aws.cloudwatch", "detail-type": "CloudWatch Alarm State Change",
		"resources": []any{"arn:aws:cloudwatch:eu-west-1:123456789012:alarm:" + alarm},
		"detail":    map[string]any{"alarmName": alarm, "state": state},
	}
}

// matches reports whether a pattern of EventBridge matches an event: every field
// of it, by one of the values that it lists (EventBridge User Guide, "Comparison
// operators for use in event patterns").
func matches(t *testing.T, pattern, event map[string]any) bool {
	t.Helper()
	for field, want := range pattern {
		if inner, ok := want.(map[string]any); ok {
			has, _ := event[field].(map[string]any)
			if !matches(t, inner, has) {
				return false
			}
			continue
		}
		values, ok := event[field].([]any)
		if v, some := event[field].(string); some {
			values = []any{v}
		}
		one := false
		for _, w := range want.([]any) {
			if o, is := w.(map[string]any); is && o["exists"] == false {
				one = one || !ok && len(values) == 0
				continue
			}
			for _, v := range values {
				one = one || fits(t, w, v.(string))
			}
		}
		if !one {
			return false
		}
	}
	return true
}

func fits(t *testing.T, want any, value string) bool {
	t.Helper()
	if text, ok := want.(string); ok {
		return text == value
	}
	for operator, operand := range want.(map[string]any) {
		if sub, ok := operand.(map[string]any); ok && sub["Fn::Sub"] != nil {
			operand = sub["Fn::Sub"]
		}
		switch operator {
		case "prefix":
			return strings.HasPrefix(value, operand.(string))
		case "suffix":
			return strings.HasSuffix(value, operand.(string))
		case "anything-but":
			return !fits(t, operand, value)
		}
		t.Fatalf("the test knows no operator %s", operator)
	}
	return false
}
