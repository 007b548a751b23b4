package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/window"
)

// metricRow is one metric of a window, whether a driver counts it or it is made
// in the agent.
type metricRow struct {
	Name, Kind, Unit, Scope string
	Since                   string // "" if no driver counts it
	Meaning, Advice         string
	Internal                bool
	Native, NodeExporter    string // names at /metrics
}

// metricGroup is a table of metrics.
type metricGroup struct {
	Title, About string
	PerQueue     bool
	Rows         []metricRow
}

// groups are the titles of the catalogue's groups, and what stands below them.
var groups = [ena.NumGroups]metricGroup{
	ena.Device:     {Title: "Allowances", About: "The Nitro card counts these."},
	ena.SRD:        {Title: "ENA Express (SRD)", About: "The Nitro card counts these, where the instance type has ENA Express and the ENI has it on."},
	ena.Driver:     {Title: "Health of the device", About: "The driver counts these. Most say why the device was reset."},
	ena.AdminQueue: {Title: "Admin queue", About: "The driver counts its commands to the device. These say whether a reading can be believed."},
	ena.Clock:      {Title: "PTP hardware clock", About: "The driver counts its reads of the card's clock."},
	ena.Queue:      {Title: "Queues", PerQueue: true, About: "Published only where `queue_stats` asks for them. Each is the sum over all queues of the interface."},
}

// uniform returns a property that all rows share, or "" if they differ.
func (g metricGroup) uniform(property func(metricRow) string) string {
	for _, r := range g.Rows {
		if property(r) != property(g.Rows[0]) {
			return ""
		}
	}
	return property(g.Rows[0])
}

// Type, Scope and Since return what is said once, above the table; where rows
// differ they are "", and the table has a column.
func (g metricGroup) Type() string  { return g.uniform(metricRow.Type) }
func (g metricGroup) Scope() string { return g.uniform(func(r metricRow) string { return r.Scope }) }
func (g metricGroup) Since() string { return g.uniform(func(r metricRow) string { return r.Since }) }

// Shared says what all rows share.
func (g metricGroup) Shared() string {
	var said []string
	for _, s := range []struct{ what, text string }{{"Type", g.Type()}, {"Scope", g.Scope()}, {"Driver", g.Since()}} {
		if s.text != "" {
			said = append(said, s.what+": "+s.text+".")
		}
	}
	return strings.Join(said, " ")
}

// HasInternal reports whether a metric of the table is left out of windows.
func (g metricGroup) HasInternal() bool {
	return slices.ContainsFunc(g.Rows, func(r metricRow) bool { return r.Internal })
}

// Type is the kind and the unit.
func (r metricRow) Type() string { return r.Kind + ", " + r.Unit }

// advice is what to do about some metrics of a table.
type advice struct {
	Metrics []string // empty: all others
	Text    string
}

// Advice lists what to do, each once. What most rows want comes last.
func (g metricGroup) Advice() []advice {
	var list []advice
	for _, r := range g.Rows {
		at := slices.IndexFunc(list, func(a advice) bool { return a.Text == r.Advice })
		if at < 0 {
			at = len(list)
			list = append(list, advice{Text: r.Advice})
		}
		list[at].Metrics = append(list[at].Metrics, r.Name)
	}
	slices.SortStableFunc(list, func(a, b advice) int { return len(a.Metrics) - len(b.Metrics) })
	list[len(list)-1].Metrics = nil
	return list
}

// metricsData is what the template of docs/metrics.md is filled in with.
type metricsData struct {
	Allowances metricGroup
	Groups     []metricGroup // the others
	Throttled  metricGroup
	Readings   metricGroup // metrics about the readings themselves
	LinkLocal  metricGroup // metrics about link-local traffic
	Conntrack  metricGroup // metrics about tracked connections
	Dimensions []dimensionSet
	NameSets   map[string]*shown
	Self       []selfMetric
}

func metricsPage() ([]byte, error) {
	sets := map[string]*shown{}
	for _, name := range []string{"native", "node_exporter", "showmax"} {
		var err error
		if sets[name], err = show(name); err != nil {
			return nil, err
		}
	}
	data := metricsData{NameSets: sets}
	all := catalogueGroups(sets["native"].names, sets["node_exporter"].names)
	data.Allowances = all[ena.Device]
	data.Groups = slices.Delete(all, int(ena.Device), int(ena.Device)+1)
	data.Throttled, data.Readings = derivedGroups()
	data.LinkLocal, data.Conntrack = linkLocalGroup(), conntrackGroup()
	var err error
	if data.Dimensions, err = dimensionSets(); err != nil {
		return nil, fmt.Errorf("find the dimensions: %w", err)
	}
	if data.Self, err = selfMetrics(); err != nil {
		return nil, fmt.Errorf("find the agent's own metrics: %w", err)
	}
	return render("metrics.tmpl", data)
}

// queueSum is what the catalogue says of each stat of queues, and the page once.
const queueSum = " Summed over all queues."

// catalogueGroups sorts the catalogue into its groups.
func catalogueGroups(native, nodeExporter []string) []metricGroup {
	all := slices.Clone(groups[:])
	for s, e := range ena.Catalogue() {
		g := &all[e.Group]
		g.Rows = append(g.Rows, metricRow{
			Name: e.Name, Kind: e.Kind.String(), Unit: string(e.Unit), Scope: e.Scope.String(), Since: e.Since,
			Meaning: strings.TrimSuffix(e.Meaning, queueSum), Advice: e.Advice, Internal: e.Internal, Native: native[s], NodeExporter: nodeExporter[s],
		})
	}
	return all
}

// throttledSuffix ends the names of the metrics that count seconds in which an
// allowance was exceeded.
const throttledSuffix = "_throttled_seconds"

// linkLocalGroup lists the metrics that are published where link-local traffic is
// counted.
func linkLocalGroup() (g metricGroup) {
	for _, d := range window.LinkLocal() {
		g.Rows = append(g.Rows, derivedRow(d))
	}
	return g
}

// conntrackGroup lists the metrics that are published where tables of tracked
// connections are watched.
func conntrackGroup() (g metricGroup) {
	for _, d := range window.Conntrack() {
		g.Rows = append(g.Rows, derivedRow(d))
	}
	return g
}

func derivedRow(d window.Derived) metricRow {
	return metricRow{Name: d.Name, Kind: d.Kind.String(), Unit: string(d.Unit), Scope: d.Scope.String(), Meaning: d.Meaning, Advice: d.Advice}
}

// derivedGroups lists the metrics that no driver counts.
func derivedGroups() (throttled, readings metricGroup) {
	for _, d := range window.AllDerived() {
		g := &readings
		if strings.HasSuffix(d.Name, throttledSuffix) {
			g = &throttled
		}
		g.Rows = append(g.Rows, derivedRow(d))
	}
	return throttled, readings
}
