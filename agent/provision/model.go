// Package provision turns the catalogue of stats into what watches them at AWS:
// alarms, dashboards, Contributor Insights rules and saved queries.
//
// A [Set] is all that one command makes. Its types have the field names of the
// CloudWatch API, so that JSON of them is what the API and its tools take. A
// string may hold parameters as ${Name}, which [Set.Parameters] lists: exports
// make them inputs of their template, and an account takes none of them.
package provision

import (
	"slices"
	"strings"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/pattern"
)

// Set is everything that is wanted in one account and region under one name.
type Set struct {
	// Name is the prefix of all names, and the value of the tag that marks what
	// the set owns.
	Name            string
	Parameters      []Parameter
	MetricAlarms    []MetricAlarm
	LogAlarms       []LogAlarm
	CompositeAlarms []CompositeAlarm
	Dashboards      []Dashboard
	InsightRules    []InsightRule
	Queries         []Query
}

// Parameter is an input of an exported template.
type Parameter struct {
	Name, Description string
	// Default is the value if none is given; "" makes it a required one.
	Default string
}

// OwnerTag is the key of the tag on everything that a set owns; the value is the
// set's name.
const OwnerTag = "enawatch:set"

// Dimension is a dimension as the API spells it.
type Dimension struct {
	Name, Value string
}

// Actions are the ARNs of what an alarm does when its state changes, at most
// five for each state.
type Actions struct {
	AlarmActions []string `json:",omitempty"`
	OKActions    []string `json:",omitempty"`
}

// MetricAlarm is an alarm on one metric (MetricName), on several or a query
// (Metrics), or on PromQL (EvaluationCriteria): PutMetricAlarm.
type MetricAlarm struct {
	AlarmName        string
	AlarmDescription string
	Actions
	Namespace  string      `json:",omitempty"`
	MetricName string      `json:",omitempty"`
	Dimensions []Dimension `json:",omitempty"`
	Statistic  string      `json:",omitempty"`
	// Period is in seconds.
	Period             int32               `json:",omitempty"`
	Metrics            []MetricDataQuery   `json:",omitempty"`
	EvaluationCriteria *EvaluationCriteria `json:",omitempty"`
	// EvaluationInterval is in seconds, of PromQL only.
	EvaluationInterval int32    `json:",omitempty"`
	EvaluationPeriods  int32    `json:",omitempty"`
	DatapointsToAlarm  int32    `json:",omitempty"`
	Threshold          *float64 `json:",omitempty"`
	ComparisonOperator string   `json:",omitempty"`
	TreatMissingData   string   `json:",omitempty"`

	// Watched is what the alarm reads, and so what AWS bills.
	Watched Watched `json:"-"`
}

// Watched says how many metrics an alarm reads: so many, times the hosts of the
// fleet if PerHost, times the interfaces of a host if PerInterface.
type Watched struct {
	Metrics               int
	PerHost, PerInterface bool
}

// MetricDataQuery is one metric or expression of an alarm.
type MetricDataQuery struct {
	Id         string
	Expression string      `json:",omitempty"`
	Label      string      `json:",omitempty"`
	MetricStat *MetricStat `json:",omitempty"`
	Period     int32       `json:",omitempty"`
	ReturnData bool
}

// MetricStat is a statistic of a metric over a period in seconds.
type MetricStat struct {
	Metric Metric
	Period int32
	Stat   string
}

// Metric names one metric.
type Metric struct {
	Namespace  string
	MetricName string
	Dimensions []Dimension `json:",omitempty"`
}

// EvaluationCriteria hold a PromQL query.
type EvaluationCriteria struct {
	PromQLCriteria PromQLCriteria
}

// PromQLCriteria says of which results an alarm is made. Periods are in seconds.
type PromQLCriteria struct {
	Query          string
	PendingPeriod  int32
	RecoveryPeriod int32
}

// LogAlarm is an alarm on the results of a scheduled Logs Insights query:
// PutLogAlarm.
type LogAlarm struct {
	AlarmName        string
	AlarmDescription string
	Actions
	ScheduledQueryConfiguration ScheduledQueryConfiguration
	QueryResultsToEvaluate      int32
	QueryResultsToAlarm         int32
	Threshold                   *float64
	ComparisonOperator          string
	TreatMissingData            string
}

// ScheduledQueryConfiguration is a query, and when it is run.
type ScheduledQueryConfiguration struct {
	QueryString           string
	AggregationExpression string
	LogGroupIdentifiers   []string
	ScheduledQueryRoleARN string
	ScheduleConfiguration ScheduleConfiguration
}

// ScheduleConfiguration has offsets in seconds before the time of a run.
type ScheduleConfiguration struct {
	ScheduleExpression string
	StartTimeOffset    int64
	EndTimeOffset      int64
}

// CompositeAlarm is an alarm on the states of others: PutCompositeAlarm.
type CompositeAlarm struct {
	AlarmName        string
	AlarmDescription string
	Actions
	AlarmRule         string
	ActionsSuppressor string `json:",omitempty"`
	// Periods are in seconds.
	ActionsSuppressorWaitPeriod      int32 `json:",omitempty"`
	ActionsSuppressorExtensionPeriod int32 `json:",omitempty"`
}

// Dashboard is a dashboard and its body, JSON: PutDashboard.
type Dashboard struct {
	DashboardName string
	DashboardBody string
}

// InsightRule is a Contributor Insights rule and its body, JSON: PutInsightRule.
type InsightRule struct {
	RuleName       string
	RuleState      string
	RuleDefinition string
}

// Query is a saved Logs Insights query: PutQueryDefinition.
type Query struct {
	Name          string
	QueryString   string
	LogGroupNames []string
}

// queries reports whether an alarm is on a Metrics Insights query.
func (a *MetricAlarm) queries() bool { return len(a.Metrics) == 1 }

// MaxInsights is how many alarms on Metrics Insights queries a region takes,
// unless more are asked for (User Guide, "CloudWatch quotas").
const MaxInsights = 200

// Insights returns how many alarms are on Metrics Insights queries.
func (s *Set) Insights() (n int) {
	for i := range s.MetricAlarms {
		if s.MetricAlarms[i].queries() {
			n++
		}
	}
	return n
}

// Len returns how many resources the set has.
func (s *Set) Len() int {
	return len(s.MetricAlarms) + len(s.LogAlarms) + len(s.CompositeAlarms) + len(s.Dashboards) + len(s.InsightRules) + len(s.Queries)
}

// Add appends what another set has. Parameters of one name are one.
func (s *Set) Add(o *Set) {
	for _, p := range o.Parameters {
		s.parameter(p)
	}
	s.MetricAlarms = append(s.MetricAlarms, o.MetricAlarms...)
	s.LogAlarms = append(s.LogAlarms, o.LogAlarms...)
	s.CompositeAlarms = append(s.CompositeAlarms, o.CompositeAlarms...)
	s.Dashboards = append(s.Dashboards, o.Dashboards...)
	s.InsightRules = append(s.InsightRules, o.InsightRules...)
	s.Queries = append(s.Queries, o.Queries...)
}

// parameter declares a parameter once and returns the reference to it.
func (s *Set) parameter(p Parameter) string {
	if !slices.ContainsFunc(s.Parameters, func(o Parameter) bool { return o.Name == p.Name }) {
		s.Parameters = append(s.Parameters, p)
	}
	return "${" + p.Name + "}"
}

// declare makes parameters of the references in a text.
func (s *Set) declare(text, description string) {
	for i, part := range References(text) {
		if i%2 == 1 {
			s.parameter(Parameter{Name: part, Description: description})
		}
	}
}

var reference = pattern.New(`\$\{([A-Za-z][A-Za-z0-9]*)\}`)

// References splits a string into literals and the names of parameters, which
// take turns: the first is a literal, perhaps "".
func References(s string) (parts []string) {
	at := 0
	for _, m := range reference().FindAllStringSubmatchIndex(s, -1) {
		parts = append(parts, s[at:m[0]], s[m[2]:m[3]])
		at = m[1]
	}
	return append(parts, s[at:])
}

// ruleName quotes the name of an alarm for the rule of a composite one.
func ruleName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `\"`) + `"` }

func dimensions(list []metric.Dimension) (out []Dimension) {
	for _, d := range list {
		out = append(out, Dimension(d))
	}
	return out
}
