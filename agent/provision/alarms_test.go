package provision

import (
	"strconv"
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

// A level means the same whatever a window lasts, and the words say what is
// compared.
func TestIntervals(t *testing.T) {
	sustained := map[time.Duration]struct {
		period                   int32
		sum, window              float64
		host, linklocal, suspect string
		promQL, left             string
	}{
		10 * time.Second: {
			60, 10, 10. / 6, "10 seconds or more of a minute, in 3 of the last 5 minutes", "1.67 seconds or more of a window of 10 seconds, in 3 of the last 5 minutes",
			"10 of a minute, in one of the last 3", "[5m]) >= 30", "[3m]) < 5000",
		},
		time.Minute: {
			60, 10, 10, "10 seconds or more of a minute, in 3 of the last 5 minutes", "10 seconds or more of a minute, in 3 of the last 5 minutes",
			"10 of a minute, in one of the last 3", "[5m]) >= 30", "[3m]) < 5000",
		},
		90 * time.Second: {
			180, 30, 15, "30 seconds or more of 3 minutes, in 3 of the last 5 periods of 3 minutes", "15 seconds or more of a window of 90 seconds, in 3 of the last 5 periods of 3 minutes",
			"10 of 3 minutes, in one of the last 3", "[15m]) >= 90", "[9m]) < 5000",
		},
		5 * time.Minute: {
			300, 50, 50, "50 seconds or more of 5 minutes, in 3 of the last 5 periods of 5 minutes", "50 seconds or more of 5 minutes, in 3 of the last 5 periods of 5 minutes",
			"10 of 5 minutes, in one of the last 3", "[25m]) >= 150", "[15m]) < 5000",
		},
	}
	for interval, want := range sustained {
		o := options(Scopes...)
		o.Interval = interval
		set, err := Alarms(o)
		if err != nil {
			t.Fatal(err)
		}
		check := func(what, description string, threshold *float64, text string, number float64) {
			if !strings.Contains(description, " Alarm: "+text+".") || number > 0 && *threshold != number {
				t.Errorf("%s, %s: %q, threshold %v; want %q, %g", interval, what, description, threshold, text, number)
			}
		}
		for _, a := range set.MetricAlarms {
			short := a.AlarmName[strings.LastIndex(a.AlarmName, "}")+1:]
			switch {
			case strings.Contains(a.AlarmName, "promql"):
				of := a.EvaluationCriteria.PromQLCriteria.Query
				if want := map[bool]string{true: want.left, false: want.promQL}[strings.Contains(short, "low")]; !strings.HasSuffix(of, want) {
					t.Errorf("%s: %s, want %s", interval, of, want)
				}
			case strings.Contains(short, "instance-gone"):
				if a.Period != 60 {
					t.Errorf("%s: EC2 has a status each minute, not every %d s", interval, a.Period)
				}
			case a.Period != 0 && a.Period != want.period || len(a.Metrics) == 1 && a.Metrics[0].Period != want.period:
				t.Errorf("%s, %s: period %d, want %d", interval, a.AlarmName, a.Period, want.period)
			case strings.HasPrefix(a.AlarmName, "enawatch-${InstanceId}") && short == "-linklocal-exceeded":
				check(a.AlarmName, a.AlarmDescription, a.Threshold, want.linklocal, want.window)
			case strings.HasPrefix(a.AlarmName, "enawatch-${AutoScalingGroupName}") && strings.HasSuffix(short, "-exceeded"):
				check(a.AlarmName, a.AlarmDescription, a.Threshold, "on the worst host of the group, "+want.linklocal, want.window)
			case strings.HasSuffix(short, "-exceeded"):
				check(a.AlarmName, a.AlarmDescription, a.Threshold, want.host, want.sum)
			case short == "-readings-suspect":
				check(a.AlarmName, a.AlarmDescription, a.Threshold, want.suspect, blindReadings)
			}
		}
	}
}

// What counts since the agent started is not added up.
func TestTemporality(t *testing.T) {
	for cumulative, want := range map[bool]string{false: "sum_over_time(", true: "increase("} {
		o := options(PromQL)
		o.Cumulative = cumulative
		set, err := Alarms(o)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, a := range set.MetricAlarms {
			if strings.HasPrefix(a.EvaluationCriteria.PromQLCriteria.Query, want) {
				n++
			}
		}
		if n != len(allowances()) {
			t.Errorf("cumulative %v: %d queries begin with %s", cumulative, n, want)
		}
	}
}

// Each event is in just one run of a log alarm's query that comes after it, and in
// none before: its time is the begin of a window, which is sent at its end.
func TestLogAlarmsSeeEachEventOnce(t *testing.T) {
	const late = 110 * time.Second
	for _, interval := range []time.Duration{time.Second, 10 * time.Second, time.Minute, 90 * time.Second, 5 * time.Minute, 10 * time.Minute, time.Hour} {
		o := options(Logs)
		o.Interval = interval
		set, err := Alarms(o)
		if err != nil {
			t.Fatal(err)
		}
		a := set.LogAlarms[0]
		s := a.ScheduledQueryConfiguration.ScheduleConfiguration
		minutes, err := strconv.Atoi(strings.Fields(strings.TrimPrefix(s.ScheduleExpression, "rate("))[0])
		if err != nil {
			t.Fatal(err)
		}
		every := time.Duration(minutes) * time.Minute
		if per := float64(o.Level.Seconds*o.Level.Minutes) * every.Minutes() / 5; *a.Threshold != per || every < interval {
			t.Errorf("%s: %g seconds of %s, want %g", interval, *a.Threshold, every, per)
		}
		for begin := time.Duration(0); begin < 3*time.Hour; begin += interval {
			seen := 0
			for run := time.Duration(0); run < 8*time.Hour; run += every {
				from, to := run-time.Duration(s.StartTimeOffset)*time.Second, run-time.Duration(s.EndTimeOffset)*time.Second
				if begin >= from && begin < to {
					if seen++; run < begin+interval+late {
						t.Fatalf("%s: the run at %s misses the event of %s", interval, run, begin)
					}
				}
			}
			if seen != 1 {
				t.Fatalf("%s: the event of %s is in %d runs", interval, begin, seen)
			}
		}
	}
}
