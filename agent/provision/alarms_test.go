package provision

import (
	"strings"
	"testing"
	"time"
)

func options(scopes ...Scope) Options {
	return Options{
		Name: "enawatch", Namespace: "ENA", Interval: time.Minute, Scopes: scopes, Level: Levels[1],
		ConntrackLeft: DefaultConntrackLeft, ConntrackPercent: DefaultConntrackPercent,
	}
}

func TestOptionsAreChecked(t *testing.T) {
	tests := []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Name = "a b" }, `name "a b"`},
		{func(o *Options) { o.Scopes = nil }, "no scope"},
		{func(o *Options) { o.Scopes = []Scope{"galaxy"} }, `scope "galaxy" is not known`},
		{func(o *Options) { o.Instances = []string{"eni-1"} }, `instance "eni-1"`},
		{func(o *Options) { o.AlarmActions = []string{"me@example.com"} }, `action "me@example.com"`},
		{func(o *Options) { o.AlarmActions = make([]string, 6) }, "6 actions"},
		{func(o *Options) { o.ConntrackCapacity, o.ConntrackPercent = 1000, 100 }, "conntrack percent 100"},
		{func(o *Options) { o.QueryRole = "role" }, `query role "role"`},
		{func(o *Options) { o.LogGroup = "a group" }, `log group "a group"`},
		{func(o *Options) { o.Interval = 0 }, "publish interval 0s"},
	}
	for _, tt := range tests {
		o := options(PerHost, Logs)
		tt.change(&o)
		if _, err := Alarms(o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("want %q, got %v", tt.want, err)
		}
	}
}

// What CloudWatch takes of any alarm (API_PutMetricAlarm, API_PutCompositeAlarm).
func TestAlarmsAreWithinLimits(t *testing.T) {
	o := options(Scopes...)
	o.ConntrackCapacity = 130_000
	o.AlarmActions = []string{"arn:aws:sns:us-east-1:123456789012:pages", "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:x:autoScalingGroupName/web:policyName/out"}
	set, err := Alarms(o)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	check := func(name, description string) {
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
		if len(name) > 255 || description == "" || len(description) > 1024 || !strings.HasPrefix(name, "enawatch-") {
			t.Errorf("%s: %d bytes of name, %d of description", name, len(name), len(description))
		}
	}
	for _, a := range set.MetricAlarms {
		check(a.AlarmName, a.AlarmDescription)
		if a.EvaluationCriteria == nil && (a.Threshold == nil || a.DatapointsToAlarm > a.EvaluationPeriods || a.DatapointsToAlarm < 1) {
			t.Errorf("%s has %d of %d", a.AlarmName, a.DatapointsToAlarm, a.EvaluationPeriods)
		}
		grouped := len(a.Metrics) == 1 && strings.Contains(a.Metrics[0].Expression, "GROUP BY")
		for _, arn := range a.AlarmActions {
			if grouped && scales(arn) {
				t.Errorf("%s: contributors take no action of Auto Scaling", a.AlarmName)
			}
		}
	}
	for _, a := range set.LogAlarms {
		check(a.AlarmName, a.AlarmDescription)
	}
	for _, a := range set.CompositeAlarms {
		check(a.AlarmName, a.AlarmDescription)
		if len(a.AlarmRule) > 10_240 || len(a.AlarmActions) != 1 {
			t.Errorf("%s: a rule of %d bytes, actions %q", a.AlarmName, len(a.AlarmRule), a.AlarmActions)
		}
	}
	for _, e := range allowances() {
		for _, whom := range []string{"${InstanceId}", "fleet", "${AutoScalingGroupName}", "logs", "promql"} {
			if name := o.named(whom, e.short()+"-exceeded"); !seen[name] {
				t.Errorf("there is no alarm %s", name)
			}
		}
	}
}

// Fixed dimensions are part of every metric's name, so every alarm has them.
func TestFixedDimensions(t *testing.T) {
	o := options(PerHost, Fleet, Group)
	o.Dimensions = append(o.Dimensions, struct{ Name, Value string }{"env-name", "it's"})
	set, err := Alarms(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range set.MetricAlarms {
		switch {
		case a.Namespace == "ENA" && a.Dimensions[len(a.Dimensions)-1] != Dimension{"env-name", "it's"}:
			t.Errorf("%s: dimensions %v", a.AlarmName, a.Dimensions)
		case len(a.Metrics) == 1 && !strings.Contains(a.Metrics[0].Expression, `, "env-name") WHERE `):
			t.Errorf("%s: %s", a.AlarmName, a.Metrics[0].Expression)
		case len(a.Metrics) == 1 && !strings.Contains(a.Metrics[0].Expression, `"env-name" = 'it\'s'`):
			t.Errorf("%s: %s", a.AlarmName, a.Metrics[0].Expression)
		}
	}
}

func TestReferences(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "${A}": "|A|", "a ${B}-${C} d": "a |B|-|C| d", "$X ${} ${1}": "$X ${} ${1}",
	} {
		if got := strings.Join(References(text), "|"); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
