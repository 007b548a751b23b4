package provision

import (
	"fmt"
	"strings"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/window"
)

// How long something must last, in periods.
const (
	conntrackPeriods = 3
	// An agent that is silent for as long is not one that restarts. goneFor is
	// shorter, so that an instance that was terminated is known to be gone before
	// its agent is missed.
	silentFor = 5
	goneFor   = 3
	// blindReadings of a minute that were not believed silence the host's
	// composite alarm, and for quietFor seconds after: what comes after them is
	// the delta of a long time in one second.
	blindReadings = 10
	quietFor      = 120
)

// hosts returns the alarms of each instance, or of a parameter.
func (o *Options) hosts() *Set {
	s := &Set{}
	instances := o.Instances
	if len(instances) == 0 {
		instances = []string{s.parameter(Parameter{Name: "InstanceId", Description: "Id of the EC2 instance."})}
	}
	for _, id := range instances {
		o.host(s, id)
	}
	return s
}

// host adds the alarms of one instance. Those who are told are told by the
// composite alarms, once.
func (o *Options) host(s *Set, id string) {
	of := metric.Dimension{Name: instanceDimension, Value: id}
	one := func(what, description, name, statistic string) MetricAlarm {
		return MetricAlarm{
			AlarmName: o.named(id, what), AlarmDescription: description,
			Namespace: o.Namespace, MetricName: name, Dimensions: o.with(of), Statistic: statistic, Period: o.period(),
			Watched: Watched{Metrics: 1},
		}
	}
	var any []string
	for _, e := range allowances() {
		what, text := e.short()+"-exceeded", describe(e.Meaning, o.when(), e.Advice)
		a := one(what, text, e.seconds.Name, "Sum")
		a = o.onLevel(a, o.seconds())
		if e.Scope == metric.PerInterface {
			a = o.onQuery(MetricAlarm{AlarmName: a.AlarmName, AlarmDescription: text, Watched: Watched{Metrics: 1, PerInterface: true}}, e.seconds.Name,
				o.selects("MAX", e.seconds.Name, []string{instanceDimension, interfaceDimension}, []metric.Dimension{of}, ""))
			a = o.onLevel(a, o.secondsOfWindow())
		}
		a.Actions = o.scaling()
		any = append(any, "ALARM("+ruleName(a.AlarmName)+")")
		s.MetricAlarms = append(s.MetricAlarms, a)
	}
	if o.ConntrackLeft > 0 {
		text := describe(available.Meaning, fmt.Sprintf("fewer than %d for %d minutes", o.ConntrackLeft, conntrackPeriods*o.period()/60), available.Advice)
		a := always(one("conntrack-low", text, available.Name, "Minimum"), conntrackPeriods, below, float64(o.ConntrackLeft), notBreaching)
		a.Actions = o.actions()
		s.MetricAlarms = append(s.MetricAlarms, a)
	}
	if o.ConntrackCapacity > 0 {
		s.MetricAlarms = append(s.MetricAlarms, o.conntrackShare(o.named(id, "conntrack-percent-low"), of))
	}
	silent := always(one("agent-silent", describe(window.Heartbeat.Meaning, fmt.Sprintf("missing or 0 for %d minutes", silentFor*o.period()/60), window.Heartbeat.Advice),
		window.Heartbeat.Name, "Sum"), silentFor, below, 1, breaching)
	gone := always(MetricAlarm{
		AlarmName: o.named(id, "instance-gone"), AlarmDescription: "EC2 has no status of the instance: it is stopped or terminated, and nobody is to miss its agent.",
		Namespace: "AWS/EC2", MetricName: "StatusCheckFailed", Dimensions: []Dimension{{instanceDimension, id}}, Statistic: "SampleCount", Period: o.period(),
		Watched: Watched{Metrics: 1},
	}, goneFor, below, 1, breaching)
	suspect := always(one("readings-suspect", describe(window.SuspectReadings.Meaning, fmt.Sprintf("%d in a minute", blindReadings), window.SuspectReadings.Advice),
		window.SuspectReadings.Name, "Sum"), 1, atLeast, blindReadings, notBreaching)
	s.MetricAlarms = append(s.MetricAlarms, silent, gone, suspect)

	suppressor := suspect.AlarmName
	if o.Suppressor != "" {
		suppressor = o.Suppressor
	}
	s.CompositeAlarms = append(s.CompositeAlarms,
		CompositeAlarm{
			AlarmName:        o.named(id, "network-allowance"),
			AlarmDescription: "The instance exceeds a network allowance, and packets are queued or dropped: the alarms in the rule say which, and what to do.",
			Actions:          o.actions(), AlarmRule: strings.Join(any, " OR "),
			ActionsSuppressor: suppressor, ActionsSuppressorWaitPeriod: 60, ActionsSuppressorExtensionPeriod: quietFor,
		},
		CompositeAlarm{
			AlarmName:        o.named(id, "agent-missing"),
			AlarmDescription: "The instance runs and its agent does not say anything, or sees no ENA interface. " + window.Heartbeat.Advice,
			Actions:          o.actions(),
			AlarmRule:        "ALARM(" + ruleName(silent.AlarmName) + ") AND NOT ALARM(" + ruleName(gone.AlarmName) + ")",
		})
}

// conntrackShare is an alarm on the share of connections that are left.
func (o *Options) conntrackShare(name string, of ...metric.Dimension) MetricAlarm {
	text := describe(available.Meaning, fmt.Sprintf("less than %d%% of %d for %d minutes", o.ConntrackPercent, o.ConntrackCapacity, conntrackPeriods*o.period()/60), available.Advice)
	a := MetricAlarm{
		AlarmName: name, AlarmDescription: text, Actions: o.actions(), Watched: Watched{Metrics: 1},
		Metrics: []MetricDataQuery{
			{Id: "e1", Expression: fmt.Sprintf("100 * m1 / %d", o.ConntrackCapacity), Label: "percent left", ReturnData: true},
			{Id: "m1", MetricStat: &MetricStat{
				Metric: Metric{Namespace: o.Namespace, MetricName: available.Name, Dimensions: o.with(of...)}, Period: o.period(), Stat: "Minimum",
			}},
		},
	}
	return always(a, conntrackPeriods, below, float64(o.ConntrackPercent), notBreaching)
}
