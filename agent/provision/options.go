package provision

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/pattern"
)

// Scope says whom alarms are about, and from what they are made.
type Scope string

const (
	// PerHost makes alarms for each instance.
	PerHost Scope = "host"
	// Fleet makes one Metrics Insights alarm for each counter, over all instances.
	Fleet Scope = "fleet"
	// Group makes alarms on the roll-up metrics of groups of hosts.
	Group Scope = "group"
	// Logs makes alarms on EMF in CloudWatch Logs, for those who publish no
	// metrics.
	Logs Scope = "logs"
	// PromQL makes alarms on what CloudWatch's OTLP endpoint took.
	PromQL Scope = "promql"
)

// Scopes lists every scope.
var Scopes = []Scope{PerHost, Fleet, Group, Logs, PromQL}

// Level says from when on exceeding an allowance is an alarm: Seconds of a minute
// in which packets were queued or dropped, in Minutes of the last Of.
type Level struct {
	Name                 string
	Seconds, Minutes, Of int
	Meaning              string
}

// Levels are the levels to choose from, the most sensitive first.
var Levels = []Level{
	// An alarm that is over after a minute would be so before a composite alarm
	// has waited for its suppressor, and nobody would be told.
	{"any", 1, 1, 3, "a single second"},
	{"sustained", 10, 3, 5, "it goes on, and somebody notices"},
	{"severe", 30, 3, 5, "the allowance is too low for the load"},
}

// DefaultName is that of the set.
const DefaultName = "enawatch"

// Defaults of thresholds.
const (
	DefaultLevel = "sustained"
	// DefaultConntrackLeft is below how many connections left an alarm is raised.
	DefaultConntrackLeft = 5000
	// DefaultConntrackPercent is the same as a share of the capacity.
	DefaultConntrackPercent = 10
)

// GroupOf is a group of hosts: the dimensions of its roll-up.
type GroupOf []metric.Dimension

// Options say what is wanted.
type Options struct {
	// Name is that of the set: letters, digits, - and _.
	Name string
	// Namespace, Dimensions (the fixed ones) and Interval are those of the
	// agents' configuration.
	Namespace  string
	Dimensions []metric.Dimension
	Interval   time.Duration
	// Cumulative says that OTLP's counters count since the agent started, not each
	// window alone.
	Cumulative bool
	Scopes     []Scope
	Level      Level
	// Instances are those of scope PerHost; if there are none, the set has a
	// parameter for one.
	Instances []string
	// Groups are those of scope Group; if there are none, the set has a parameter
	// for the Auto Scaling group.
	Groups []GroupOf
	// ConntrackLeft is a number of connections. ConntrackCapacity is how many an
	// idle instance can track, 0 if that is not known; of it, ConntrackPercent is
	// the share below which an alarm is raised.
	ConntrackLeft, ConntrackCapacity, ConntrackPercent int
	// AlarmActions and OKActions are ARNs. If AlarmActions has a reference to a
	// parameter, the set declares it.
	AlarmActions, OKActions []string
	// Suppressor is the name of an alarm that silences the composite alarm of a
	// host, besides the set's own.
	Suppressor string
	// LogGroup is where EMF goes; QueryRole is the ARN of the role that queries it.
	LogGroup, QueryRole string
	// Insights adds Contributor Insights rules to a dashboard.
	Insights bool
	// Region is that of the dashboard's widgets; "" makes it a parameter.
	Region string
}

var (
	setName    = pattern.New(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)
	instanceID = pattern.New(`^i-[0-9a-f]{8,17}$`)
	roleARN    = pattern.New(`^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$`)
	logGroup   = pattern.New(`^[.\-_/#A-Za-z0-9]{1,512}$`)
	actionARN  = pattern.New(`^arn:aws[a-z-]*:(sns|lambda|ssm|ssm-incidents|autoscaling|automate|ec2|swf|aiops)[^\s"]*:[^\s"]+$`)
)

// maxActions is for each state (API_PutMetricAlarm).
const maxActions = 5

// check says what can't be provisioned, and what to do about it.
func (o *Options) check() error {
	switch {
	case !setName().MatchString(o.Name):
		return fmt.Errorf("name %q: give up to 64 letters, digits, - and _", o.Name)
	case o.Interval < time.Second || o.Interval > time.Hour:
		return fmt.Errorf("publish interval %s: give 1s to 1h", o.Interval)
	case o.ConntrackLeft < 0 || o.ConntrackCapacity < 0:
		return errors.New("connections left and capacity can't be negative")
	case o.ConntrackCapacity > 0 && (o.ConntrackPercent < 1 || o.ConntrackPercent > 99):
		return fmt.Errorf("conntrack percent %d: give 1 to 99", o.ConntrackPercent)
	case o.LogGroup != "" && !logGroup().MatchString(o.LogGroup) && !isReference(o.LogGroup):
		return fmt.Errorf("log group %q: CloudWatch Logs takes letters, digits and . - _ / #", o.LogGroup)
	case o.QueryRole != "" && !roleARN().MatchString(o.QueryRole) && !isReference(o.QueryRole):
		return fmt.Errorf("query role %q: give the ARN of an IAM role, as arn:aws:iam::123456789012:role/NAME", o.QueryRole)
	}
	for _, i := range o.Instances {
		if !instanceID().MatchString(i) {
			return fmt.Errorf("instance %q: give the id of an EC2 instance, as i-0123456789abcdef0", i)
		}
	}
	for _, list := range [][]string{o.AlarmActions, o.OKActions} {
		if len(list) > maxActions {
			return fmt.Errorf("%d actions: CloudWatch takes %d for each state", len(list), maxActions)
		}
		for _, a := range list {
			if !actionARN().MatchString(a) && !isReference(a) {
				return fmt.Errorf("action %q: give the ARN of an SNS topic, a Lambda function, an OpsItem (arn:aws:ssm:REGION:ACCOUNT:opsitem:SEVERITY) or a scaling policy", a)
			}
		}
	}
	return nil
}

func isReference(s string) bool { return len(References(s)) > 1 }

// scales reports whether an action is one of Auto Scaling, which composite
// alarms and contributors do not take.
func scales(arn string) bool {
	return strings.Contains(arn, ":autoscaling:")
}

// actions are those that any alarm takes.
func (o *Options) actions() Actions {
	return Actions{AlarmActions: without(o.AlarmActions, scales), OKActions: without(o.OKActions, scales)}
}

// scaling are those that only metric alarms take.
func (o *Options) scaling() Actions {
	not := func(arn string) bool { return !scales(arn) }
	return Actions{AlarmActions: without(o.AlarmActions, not), OKActions: without(o.OKActions, not)}
}

func without(list []string, drop func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(list), drop)
}

// period is that of alarms in seconds: the shortest of whole minutes that is one
// of whole windows too, so that each has as many.
func (o *Options) period() int32 {
	p := max(o.Interval, time.Second)
	for p%time.Minute != 0 {
		p += o.Interval
	}
	return int32(p / time.Second)
}

// minutes says how long so many periods are.
func (o *Options) minutes(periods int32) string {
	if n := periods * o.period() / 60; n > 1 {
		return fmt.Sprintf("%d minutes", n)
	}
	return "a minute"
}

// seconds scales the seconds of a minute to those of a period, for sums.
func (o *Options) seconds() float64 {
	return float64(o.Level.Seconds) * float64(o.period()) / 60
}

// secondsOfWindow scales them to a window, for the maximum over windows. It is
// never below one second.
func (o *Options) secondsOfWindow() float64 {
	return max(1, float64(o.Level.Seconds)*o.Interval.Seconds()/60)
}
