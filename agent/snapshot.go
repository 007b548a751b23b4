package agent

import (
	"slices"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// Snapshot returns what the agent knows now.
func (a *Agent) Snapshot() *metric.Snapshot {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.snapshot()
}

// sample hands out a snapshot of what was read at an instant, if one is due
// then. The caller holds the lock.
func (a *Agent) sample(at time.Time, last bool) {
	if a.Samples.Take == nil {
		return
	}
	due := at.Add(-a.Samples.Offset).Truncate(a.Samples.Every)
	if due.Equal(a.sampled) && !last {
		return
	}
	a.sampled = due
	s := a.snapshot()
	s.At = at
	a.Samples.Take(s)
}

func (a *Agent) snapshot() *metric.Snapshot {
	s := &metric.Snapshot{At: a.Clock.Wall(), Resource: a.Resource, Self: a.self(), LinkLocal: a.linkLocal(), Conntrack: a.conntrack(), Records: slices.Clone(a.recorder.kept)}
	s.Interfaces = make([]metric.InterfaceState, 0, len(a.interfaces))
	if s.LinkLocal != nil {
		s.Self = append(s.Self, LinkLocalSelf(s.LinkLocal)...)
	}
	if s.Conntrack != nil {
		s.Self = append(s.Self, ConntrackSelf(s.Conntrack)...)
	}
	for _, i := range a.interfaces {
		s.Interfaces = append(s.Interfaces, i.state(a.Queues))
		s.Self = append(s.Self, metric.SelfMetric{
			Name: "enawatch_reading_duration_seconds", Help: "How long the newest reading took.", Kind: metric.Gauge,
			Labels: []metric.Dimension{{Name: "interface", Value: i.name()}, {Name: "mac", Value: i.row.Interface.MAC}},
			Value:  i.took.Seconds(),
		})
	}
	return s
}

// Describe returns who the host is and what the agent counts of itself.
func (a *Agent) Describe() (metric.Resource, []metric.SelfMetric) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.Resource, a.self()
}

// LinkLocalNow returns what is known of link-local traffic, nil if it is not
// counted.
func (a *Agent) LinkLocalNow() *metric.LinkLocal {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.linkLocal()
}

// self lists what the agent counts of itself. The caller holds the lock.
func (a *Agent) self() []metric.SelfMetric { return append(a.counts.self(), a.commits.Self()...) }

// state is what a snapshot says of an interface, of its queues the stats that
// are asked for.
func (i *iface) state(queues func(ena.Stat) bool) metric.InterfaceState {
	st := metric.InterfaceState{
		Interface: i.row.Interface,
		Driver: metric.Driver{
			Name: i.driver.Driver, Version: i.driver.Version, FirmwareVersion: i.driver.FirmwareVersion,
			ExpansionROMVersion: i.driver.ExpansionROMVersion, BusInfo: i.driver.BusInfo,
		},
		Verdict: "unread",
		Reason:  string(i.reason),
	}
	if i.judged {
		st.Verdict = i.verdict.String()
	}
	i.reader.Raw(func(name string, value uint64) {
		st.Raw = append(st.Raw, metric.RawStat{Name: name, Value: value})
	})
	for s := range ena.Stat(ena.NumStats) {
		if v, ok := i.life.Total(s); ok && (s < ena.FirstQueue || queues(s)) {
			e := s.Entry()
			st.Totals = append(st.Totals, metric.Total{Name: e.Name, Help: e.Meaning, Kind: e.Kind, Unit: e.Unit, Value: v})
		}
	}
	return st
}

// self lists what the agent counts of itself.
func (c *counts) self() []metric.SelfMetric {
	counter := func(name, help string, value uint64, labels ...metric.Dimension) metric.SelfMetric {
		return metric.SelfMetric{Name: name, Help: help, Labels: labels, Value: float64(value)}
	}
	list := []metric.SelfMetric{
		counter("enawatch_windows_total", "Windows that were closed.", c.windows),
		counter("enawatch_missed_ticks_total", "Ticks that did not happen in time.", c.missed),
		counter("enawatch_blocked_reads_total", "Times the kernel held up a reading for longer than "+readLimit.Round(time.Millisecond).String()+".", c.blocked),
		counter("enawatch_counter_restarts_total", "Times the counters of a card were found to have started again.", c.restarted),
		counter("enawatch_counter_restarts_undone_total", "Times that turned out to be a failed reading.", c.undone),
		counter("enawatch_clock_steps_total", "Times the wall clock jumped.", c.steps),
		counter("enawatch_discovery_errors_total", "Times interfaces could not be looked for.", c.pollErrors),
	}
	for v, n := range c.readings {
		list = append(list, counter("enawatch_readings_total", "Readings by verdict.", n,
			metric.Dimension{Name: "verdict", Value: ena.Verdict(v).String()}))
	}
	return list
}
