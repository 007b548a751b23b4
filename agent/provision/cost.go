package provision

import (
	"slices"

	"github.com/enawatch/enawatch/agent/cost"
)

// Price adds to c what a set is billed for: its alarms, dashboards and rules.
func (s *Set) Price(c cost.Config) cost.Config {
	c.Alarms = slices.Clone(c.Alarms)
	add := func(a cost.Alarm) {
		a.Count = 1
		for i, o := range c.Alarms {
			if o.Count++; o.Kind == a.Kind && o.Per == a.Per && o.Metrics == a.Metrics {
				c.Alarms[i] = o
				return
			}
		}
		c.Alarms = append(c.Alarms, a)
	}
	for i := range s.MetricAlarms {
		add(s.MetricAlarms[i].price(c.Interfaces))
	}
	for range s.LogAlarms {
		add(cost.Alarm{Kind: cost.Log, Per: cost.Fleet, Metrics: 1})
	}
	for range s.CompositeAlarms {
		add(cost.Alarm{Kind: cost.Composite, Per: cost.Fleet, Metrics: 1})
	}
	c.Dashboards += len(s.Dashboards)
	c.InsightRules += len(s.InsightRules)
	return c
}

// price says what an alarm is billed for, on hosts with so many interfaces.
func (a *MetricAlarm) price(interfaces int) cost.Alarm {
	out := cost.Alarm{Kind: cost.Standard, Per: cost.Fleet, Metrics: max(1, a.Watched.Metrics)}
	switch {
	case a.EvaluationCriteria != nil:
		return cost.Alarm{Kind: cost.PromQL, Per: cost.Fleet, Metrics: 1}
	case a.queries():
		out.Kind = cost.MetricsInsights
	case a.Period > 0 && a.Period < 60:
		out.Kind = cost.HighResolution
	}
	switch w := a.Watched; {
	case w.PerHost && w.PerInterface:
		out.Per = cost.Interface
	case w.PerHost:
		out.Per = cost.Host
	case w.PerInterface:
		out.Metrics *= interfaces
	}
	return out
}
