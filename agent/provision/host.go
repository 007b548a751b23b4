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
	// An agent that is silent for as long is not one that restarts.
	silentFor = 5
	// goneFor, in minutes, is shorter, so that an instance that was terminated is
	// known to be gone before its agent is missed; agentWait is how many seconds
	// EC2 may know it later than we do.
	goneFor   = 3
	agentWait = 120
	// startFor is how many seconds after EC2 knows an instance its agent may
	// speak, and two periods more.
	startFor = 480
	// blindReadings of a period that were not believed silence the host's
	// composite alarm for quietFor periods, and for as many after: what comes
	// after them, in the next period at the latest, is the delta of a long time
	// in one second.
	blindReadings = 10
	quietFor      = 3
	// suspectWait is how many seconds later than the composite alarm they may be
	// known.
	suspectWait = 60
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
			a.AlarmDescription = describe(e.Meaning, o.whenWindow(), e.Advice)
			a = o.onLevel(a, o.secondsOfWindow())
		}
		a.Actions = o.scaling()
		any = append(any, "ALARM("+ruleName(a.AlarmName)+")")
		s.MetricAlarms = append(s.MetricAlarms, a)
	}
	if o.ConntrackLeft > 0 {
		text := describe(available.Meaning, fmt.Sprintf("fewer than %d for %s", o.ConntrackLeft, o.minutes(conntrackPeriods)), available.Advice)
		a := always(one("conntrack-low", text, available.Name, "Minimum"), conntrackPeriods, below, float64(o.ConntrackLeft), notBreaching)
		a.Actions = o.actions()
		s.MetricAlarms = append(s.MetricAlarms, a)
	}
	if o.ConntrackCapacity > 0 {
		s.MetricAlarms = append(s.MetricAlarms, o.conntrackShare(o.named(id, "conntrack-percent-low"), of))
	}
	silent := always(one("agent-silent", describe(window.Heartbeat.Meaning, "missing or 0 for "+o.minutes(silentFor), window.Heartbeat.Advice),
		window.Heartbeat.Name, "Sum"), silentFor, below, 1, breaching)
	gone := always(MetricAlarm{
		AlarmName: o.named(id, "instance-gone"), AlarmDescription: "EC2 has no status of the instance: it is stopped or terminated, and nobody is to miss its agent.",
		Namespace: "AWS/EC2", MetricName: "StatusCheckFailed", Dimensions: []Dimension{{instanceDimension, id}}, Statistic: "SampleCount", Period: 60,
		Watched: Watched{Metrics: 1},
	}, goneFor, below, 1, breaching)
	suspect := always(one("readings-suspect", describe(window.SuspectReadings.Meaning, fmt.Sprintf("%d of %s, in one of the last %d", blindReadings, o.minutes(1), quietFor), window.SuspectReadings.Advice),
		window.SuspectReadings.Name, "Sum"), quietFor, atLeast, blindReadings, notBreaching)
	suspect.DatapointsToAlarm = 1
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
			ActionsSuppressor: suppressor, ActionsSuppressorWaitPeriod: suspectWait, ActionsSuppressorExtensionPeriod: quietFor * o.period(),
		},
		CompositeAlarm{
			AlarmName:        o.named(id, "agent-missing"),
			AlarmDescription: "The agent does not say anything, or sees no ENA interface. Nobody is told while instance-gone is in ALARM, or was some minutes ago. " + window.Heartbeat.Advice,
			Actions:          o.actions(), AlarmRule: "ALARM(" + ruleName(silent.AlarmName) + ")",
			ActionsSuppressor: gone.AlarmName, ActionsSuppressorWaitPeriod: agentWait, ActionsSuppressorExtensionPeriod: startFor + 2*o.period(),
		})
}

// conntrackShare is an alarm on the share of connections that are left.
func (o *Options) conntrackShare(name string, of ...metric.Dimension) MetricAlarm {
	text := describe(available.Meaning, fmt.Sprintf("less than %d%% of %d for %s", o.ConntrackPercent, o.ConntrackCapacity, o.minutes(conntrackPeriods)), available.Advice)
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
