package window

import (
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// Derived is a metric that no driver counts: it is made here.
type Derived struct {
	Name            string
	Kind            metric.Kind
	Unit            metric.Unit
	Scope           metric.Scope
	Meaning, Advice string
}

// Metrics about the readings themselves.
var (
	Heartbeat = Derived{
		Name: "heartbeat", Kind: metric.Gauge, Unit: metric.Seconds,
		Meaning: "Seconds of the window in which every ENA interface of the host was read and believed. Published always: its absence means that the agent is not running, 0 that it sees no interface.",
		Advice:  "Missing: look at the agent's log. Low: see suspect_readings and missed_seconds.",
	}
	SuspectReadings = Derived{
		Name: "suspect_readings", Unit: metric.Count,
		Meaning: "Readings that were not believed, because the device did not answer or the counters made no sense.",
		Advice:  "Nothing is lost while it lasts a little; if it stays, look at dmesg for \"ena\" and at ena_admin_q_no_completion.",
	}
	MissedSeconds = Derived{
		Name: "missed_seconds", Unit: metric.Seconds,
		Meaning: "Seconds of the window in which some interface was not read in time. What its counters grew by is in a later second, none of it is lost.",
		Advice:  "A host that is starved of CPU, or a device that answers slowly: look at the agent's log.",
	}
)

// throttledSeconds holds, for each counter of an allowance, the metric that
// says for how many seconds of the window it grew; others have no name.
var throttledSeconds = func() (all [ena.NumStats]Derived) {
	for i, e := range ena.Catalogue() {
		if e.Allowance != "" && e.Kind == metric.Counter {
			all[i] = Derived{
				Name: e.Allowance + "_throttled_seconds", Unit: metric.Seconds, Scope: e.Scope,
				Meaning: "Seconds of the window in which " + e.Name + " grew.",
				Advice:  "As for " + e.Name + ".",
			}
		}
	}
	return all
}()

// AllDerived lists every derived metric.
func AllDerived() []Derived {
	all := []Derived{Heartbeat, SuspectReadings, MissedSeconds}
	for _, d := range throttledSeconds {
		if d.Name != "" {
			all = append(all, d)
		}
	}
	return all
}

// ThrottledSeconds returns the metric that says for how many seconds of a window
// s grew, if it has one.
func ThrottledSeconds(s ena.Stat) (Derived, bool) {
	d := throttledSeconds[s]
	return d, d.Name != ""
}
