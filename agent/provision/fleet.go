package provision

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/otlp"
	"github.com/enawatch/enawatch/agent/window"
)

// fleet returns one Metrics Insights alarm for each counter, in which each
// instance or interface is a contributor.
func (o *Options) fleet() *Set {
	s := &Set{}
	add := func(what, text, function, name, order string, scope metric.Scope) *MetricAlarm {
		schema, watched := []string{instanceDimension}, Watched{Metrics: 1, PerHost: true}
		if scope == metric.PerInterface {
			schema, watched = append(schema, interfaceDimension), Watched{Metrics: 1, PerHost: true, PerInterface: true}
		}
		a := o.onQuery(MetricAlarm{AlarmName: o.named("fleet", what), AlarmDescription: text, Actions: o.actions(), Watched: watched}, name,
			o.selects(function, name, schema, nil, groupBy(function, order, schema...)))
		s.MetricAlarms = append(s.MetricAlarms, a)
		return &s.MetricAlarms[len(s.MetricAlarms)-1]
	}
	for _, e := range allowances() {
		a := add(e.short()+"-exceeded", describe(e.Meaning, o.when(), e.Advice), "SUM", e.seconds.Name, "DESC", e.Scope)
		*a = o.onLevel(*a, o.seconds())
	}
	if o.ConntrackLeft > 0 {
		a := add("conntrack-low", describe(available.Meaning, fmt.Sprintf("fewer than %d for %s", o.ConntrackLeft, o.minutes(conntrackPeriods)), available.Advice),
			"MIN", available.Name, "ASC", available.Scope)
		*a = always(*a, conntrackPeriods, below, float64(o.ConntrackLeft), notBreaching)
	}
	a := add("agent-blind", describe("The agent runs and sees no ENA interface, or none that answers.", "heartbeat 0 for "+o.minutes(silentFor), window.Heartbeat.Advice),
		"MAX", window.Heartbeat.Name, "ASC", window.Heartbeat.Scope)
	*a = always(*a, silentFor, below, 1, notBreaching)
	return s
}

// missingFor is how many periods an instance may take until its agent speaks.
const missingFor = 10

// groups returns alarms on the roll-ups of each group, or of a parameter.
func (o *Options) groups() *Set {
	s := &Set{}
	groups := o.Groups
	if len(groups) == 0 {
		name := s.parameter(Parameter{Name: groupDimension, Description: "Name of the Auto Scaling group; its agents publish the roll-up AutoScalingGroupName."})
		groups = []GroupOf{{{Name: groupDimension, Value: name}}}
	}
	for _, g := range groups {
		o.group(s, g)
	}
	return s
}

// group adds the alarms of one group. The largest value of a group is that of
// its worst host.
func (o *Options) group(s *Set, g GroupOf) {
	whom := g[len(g)-1].Value
	if len(g) > 1 {
		whom = g[0].Value + "-" + whom
	}
	one := func(what, description, name, statistic string) MetricAlarm {
		return MetricAlarm{
			AlarmName: o.named(whom, what), AlarmDescription: description, Actions: o.actions(),
			Namespace: o.Namespace, MetricName: name, Dimensions: o.with(g...), Statistic: statistic, Period: o.period(),
			Watched: Watched{Metrics: 1},
		}
	}
	for _, e := range allowances() {
		a := one(e.short()+"-exceeded", describe(e.Meaning, "on the worst host of the group, "+o.whenWindow(), e.Advice), e.seconds.Name, "Maximum")
		a.Actions = Actions{AlarmActions: o.AlarmActions, OKActions: o.OKActions}
		s.MetricAlarms = append(s.MetricAlarms, o.onLevel(a, o.secondsOfWindow()))
	}
	if o.ConntrackLeft > 0 {
		text := describe(available.Meaning, fmt.Sprintf("fewer than %d on some host of the group for %s", o.ConntrackLeft, o.minutes(conntrackPeriods)), available.Advice)
		s.MetricAlarms = append(s.MetricAlarms, always(one("conntrack-low", text, available.Name, "Minimum"), conntrackPeriods, below, float64(o.ConntrackLeft), notBreaching))
	}
	if o.ConntrackCapacity > 0 {
		s.MetricAlarms = append(s.MetricAlarms, o.conntrackShare(o.named(whom, "conntrack-percent-low"), g...))
	}
	if len(g) == 1 && g[0].Name == groupDimension {
		s.MetricAlarms = append(s.MetricAlarms, o.agentsMissing(o.named(whom, "agents-missing"), g))
	}
}

// agentsMissing compares how many agents of an Auto Scaling group speak with how
// many instances are in service. Each window of an agent is one sample of the
// heartbeat.
func (o *Options) agentsMissing(name string, g GroupOf) MetricAlarm {
	windows := time.Duration(o.period()) * time.Second / o.Interval
	a := MetricAlarm{
		AlarmName: name,
		AlarmDescription: describe("Instances of the group are in service and their agents do not say anything. Needs the group's own metrics: aws autoscaling enable-metrics-collection --metrics GroupInServiceInstances.",
			"for "+o.minutes(missingFor), window.Heartbeat.Advice),
		Actions: o.actions(), Watched: Watched{Metrics: 2},
		Metrics: []MetricDataQuery{
			{Id: "e1", Expression: fmt.Sprintf("instances - FILL(windows, 0) / %d", windows), Label: "instances without an agent", ReturnData: true},
			{Id: "instances", MetricStat: &MetricStat{
				Metric: Metric{Namespace: "AWS/AutoScaling", MetricName: "GroupInServiceInstances", Dimensions: dimensions(g)}, Period: o.period(), Stat: "Minimum",
			}},
			{Id: "windows", MetricStat: &MetricStat{
				Metric: Metric{Namespace: o.Namespace, MetricName: window.Heartbeat.Name, Dimensions: o.with(g...)}, Period: o.period(), Stat: "SampleCount",
			}},
		},
	}
	return always(a, missingFor, atLeast, 1, notBreaching)
}

const logGroupText = "Log group that EMF goes to."

// logMinutes is how often a log alarm's query runs, and over how long, unless
// windows are longer. Events need logLag seconds until they can be found.
const (
	logMinutes = 5
	logLag     = 120
)

// logSpan returns what a log alarm adds up: so many minutes, which end lag
// seconds ago. An event has the time at which its window began, so that it comes
// a window later.
func (o *Options) logSpan() (minutes int, lag int64) {
	const span = logMinutes * time.Minute
	return int((o.Interval + span - 1) / span * logMinutes), int64((o.Interval+time.Second-1)/time.Second) + logLag
}

// logs returns alarms on EMF documents. The level's minutes are added up.
func (o *Options) logs() (*Set, error) {
	if strings.Contains(o.LogGroup, "{") && !isReference(o.LogGroup) {
		return nil, errors.New("the log group has {instance_id} or {host} in its name: give --log-group, one that all hosts share")
	}
	s := &Set{}
	group, role := o.LogGroup, o.QueryRole
	if group == "" {
		group = s.parameter(Parameter{Name: "LogGroup", Description: logGroupText})
	}
	if role == "" {
		role = s.parameter(Parameter{Name: "QueryRoleArn", Description: "ARN of the role with which CloudWatch queries the log group."})
	}
	minutes, lag := o.logSpan()
	threshold := float64(o.Level.Seconds * o.Level.Minutes * minutes / logMinutes)
	for _, e := range allowances() {
		by := instanceDimension
		if e.Scope == metric.PerInterface {
			by += ", " + interfaceDimension
		}
		s.LogAlarms = append(s.LogAlarms, LogAlarm{
			AlarmName:        o.named("logs", e.short()+"-exceeded"),
			AlarmDescription: describe(e.Meaning, fmt.Sprintf("%g seconds or more of %d minutes", threshold, minutes), e.Advice),
			Actions:          o.actions(),
			ScheduledQueryConfiguration: ScheduledQueryConfiguration{
				QueryString:           fmt.Sprintf("fields @timestamp, %s | filter %s > 0", by, e.seconds.Name),
				AggregationExpression: fmt.Sprintf("sum(%s) by %s", e.seconds.Name, by),
				LogGroupIdentifiers:   []string{group}, ScheduledQueryRoleARN: role,
				ScheduleConfiguration: ScheduleConfiguration{
					ScheduleExpression: fmt.Sprintf("rate(%d minutes)", minutes), StartTimeOffset: int64(minutes)*60 + lag, EndTimeOffset: lag,
				},
			},
			QueryResultsToEvaluate: 1, QueryResultsToAlarm: 1, Threshold: &threshold, ComparisonOperator: atLeast, TreatMissingData: notBreaching,
		})
	}
	return s, nil
}

// promQL returns alarms on the metrics that OTLP brings. Each series of a result
// is a contributor.
func (o *Options) promQL() *Set {
	s := &Set{}
	add := func(what, text, query string) {
		s.MetricAlarms = append(s.MetricAlarms, MetricAlarm{
			AlarmName: o.named("promql", what), AlarmDescription: text, Actions: o.actions(),
			EvaluationCriteria: &EvaluationCriteria{PromQLCriteria{Query: query, PendingPeriod: 0, RecoveryPeriod: 300}},
			EvaluationInterval: o.period(),
		})
	}
	over := func(periods int32) string { return fmt.Sprintf("[%dm]", periods*o.period()/60) }
	of, grown := int32(o.Level.Of), "sum_over_time"
	if o.Cumulative {
		grown = "increase"
	}
	threshold := o.seconds() * float64(o.Level.Minutes)
	for _, e := range allowances() {
		add(e.short()+"-exceeded",
			describe(e.Meaning, fmt.Sprintf("%g seconds or more of %s", threshold, o.minutes(of)), e.Advice),
			fmt.Sprintf("%s(%s%s) >= %g", grown, promName(e.seconds.Name), over(of), threshold))
	}
	if o.ConntrackLeft > 0 {
		add("conntrack-low", describe(available.Meaning, fmt.Sprintf("fewer than %d for %s", o.ConntrackLeft, o.minutes(conntrackPeriods)), available.Advice),
			fmt.Sprintf("max_over_time(%s%s) < %d", promName(available.Name), over(conntrackPeriods), o.ConntrackLeft))
	}
	return s
}

// promName selects a metric by its name at OTLP, which has dots.
func promName(name string) string { return `{"` + otlp.MetricName(name) + `"}` }
