package provision

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/window"
)

// Comparisons and treatments of missing data (API_PutMetricAlarm).
const (
	atLeast      = "GreaterThanOrEqualToThreshold"
	below        = "LessThanThreshold"
	breaching    = "breaching"
	notBreaching = "notBreaching"
)

// Dimensions that tell hosts and interfaces apart.
const (
	instanceDimension  = "InstanceId"
	interfaceDimension = "NetworkInterfaceId"
	groupDimension     = "AutoScalingGroupName"
)

// Alarms returns the alarms of every scope that is asked for. The error names
// the option that makes no sense.
func Alarms(o Options) (*Set, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Set{Name: o.Name}
	for _, scope := range o.Scopes {
		switch scope {
		case PerHost:
			s.Add(o.hosts())
		case Fleet:
			s.Add(o.fleet())
		case Group:
			s.Add(o.groups())
		case Logs:
			part, err := o.logs()
			if err != nil {
				return nil, err
			}
			s.Add(part)
		case PromQL:
			s.Add(o.promQL())
		default:
			return nil, fmt.Errorf("scope %q is not known: use host, fleet, group, logs or promql", scope)
		}
	}
	if s.Len() == 0 {
		return nil, fmt.Errorf("no scope: use one or more of host, fleet, group, logs or promql")
	}
	for _, text := range slices.Concat(o.AlarmActions, o.OKActions) {
		s.declare(text, "ARN of what is told of alarms, such as an SNS topic.")
	}
	s.declare(o.LogGroup, logGroupText)
	s.declare(o.QueryRole, "ARN of the role with which CloudWatch queries the log group.")
	return s, nil
}

// exceeded is a counter of an allowance and how long it grew.
type exceeded struct {
	ena.Entry
	stat    ena.Stat
	seconds window.Derived
}

// short names the allowance in the names of alarms.
func (e *exceeded) short() string { return strings.ReplaceAll(e.Allowance, "_", "-") }

// allowances lists the counters that alarms are about, in catalogue order.
func allowances() (list []exceeded) {
	for i, e := range ena.Catalogue() {
		if d, ok := window.ThrottledSeconds(ena.Stat(i)); ok {
			list = append(list, exceeded{e, ena.Stat(i), d})
		}
	}
	return list
}

var available = ena.ConntrackAllowanceAvailable.Entry()

// named returns the name of an alarm: that of the set, of whom it is about, and
// what it says.
func (o *Options) named(whom, what string) string { return o.Name + "-" + whom + "-" + what }

// maxDescription is in characters (API_PutMetricAlarm).
const maxDescription = 1024

// describe says what an alarm means, why it was raised, and what to do.
func describe(meaning, when, advice string) string {
	text := meaning + " Alarm: " + when + "."
	if advice != "" {
		text += " What to do: " + advice
	}
	return text[:min(len(text), maxDescription)]
}

// when says in words from when on there is an alarm on a period's sum.
func (o *Options) when() string { return o.often(o.seconds(), o.minutes(1)) }

// whenWindow says so of an alarm on the worst window.
func (o *Options) whenWindow() string {
	if o.Interval%time.Minute == 0 {
		return o.when()
	}
	return o.often(o.secondsOfWindow(), fmt.Sprintf("a window of %g seconds", o.Interval.Seconds()))
}

// often says how many seconds of a span of time are too many, and how often.
func (o *Options) often(seconds float64, span string) string {
	amount := "one second"
	if seconds != 1 {
		amount = strconv.FormatFloat(math.Round(seconds*100)/100, 'f', -1, 64) + " seconds"
	}
	last := fmt.Sprintf("%d minutes", o.Level.Of)
	if o.period() != 60 {
		last = fmt.Sprintf("%d periods of %s", o.Level.Of, o.minutes(1))
	}
	return fmt.Sprintf("%s or more of %s, in %d of the last %s", amount, span, o.Level.Minutes, last)
}

// onLevel fills in what the level asks of an alarm.
func (o *Options) onLevel(a MetricAlarm, threshold float64) MetricAlarm {
	a.EvaluationPeriods, a.DatapointsToAlarm = int32(o.Level.Of), int32(o.Level.Minutes)
	a.Threshold, a.ComparisonOperator, a.TreatMissingData = &threshold, atLeast, notBreaching
	return a
}

// always fills in an alarm that is raised when all of the last n points breach.
func always(a MetricAlarm, n int32, comparison string, threshold float64, missing string) MetricAlarm {
	a.EvaluationPeriods, a.DatapointsToAlarm = n, n
	a.Threshold, a.ComparisonOperator, a.TreatMissingData = &threshold, comparison, missing
	return a
}

// with appends the fixed dimensions.
func (o *Options) with(list ...metric.Dimension) []Dimension {
	return dimensions(slices.Concat(list, o.Dimensions))
}

// selects returns a Metrics Insights query: a function of a metric under exactly
// these dimensions and the fixed ones.
func (o *Options) selects(function, name string, schema []string, where []metric.Dimension, rest string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "SELECT %s(%s) FROM SCHEMA(%s", function, name, quote(o.Namespace))
	for _, d := range schema {
		b.WriteString(", " + identifier(d))
	}
	for _, d := range o.Dimensions {
		b.WriteString(", " + identifier(d.Name))
	}
	b.WriteString(")")
	for i, d := range slices.Concat(where, o.Dimensions) {
		word := " AND "
		if i == 0 {
			word = " WHERE "
		}
		fmt.Fprintf(&b, "%s%s = '%s'", word, identifier(d.Name), strings.ReplaceAll(d.Value, "'", `\'`))
	}
	return b.String() + rest
}

// groupBy returns the end of a query that has a result for each value of the
// dimensions, the largest first, as CloudWatch wants of alarms with contributors.
func groupBy(function, order string, schema ...string) string {
	return " GROUP BY " + strings.Join(schema, ", ") + " ORDER BY " + function + "() " + order
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

// identifier quotes the name of a dimension if it has other characters than a
// plain one.
func identifier(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_')
	}) {
		return quote(name)
	}
	return name
}

// onQuery makes an alarm read a Metrics Insights query.
func (o *Options) onQuery(a MetricAlarm, label, query string) MetricAlarm {
	a.Metrics = []MetricDataQuery{{Id: "q1", Expression: query, Label: label, Period: o.period(), ReturnData: true}}
	return a
}
