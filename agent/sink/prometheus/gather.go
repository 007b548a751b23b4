package prometheus

import (
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"github.com/enawatch/enawatch/agent/metric"
)

// gatherer turns snapshots into the families that promhttp encodes. It is a
// prometheus.Gatherer of client_golang, not a Collector under a Registry: a
// registry hashes and copies the labels of every series and answers status 500
// to all if two of them clash. Here the series of one interface share their
// labels, and of two series that clash the first stays.
type gatherer struct {
	sets     []func(*page, *metric.InterfaceState)
	snapshot func() *metric.Snapshot
	version  string
	revision string
}

var nameSets = map[string]func(*page, *metric.InterfaceState){
	"native":        (*page).native,
	"node_exporter": (*page).nodeExporter,
	"showmax":       (*page).showmax,
}

func newGatherer(o *Options) (*gatherer, error) {
	sets, err := setsOf(o.Names)
	if err != nil {
		return nil, fmt.Errorf("sinks.prometheus.names: %w", err)
	}
	return &gatherer{sets: sets, snapshot: o.Snapshot, version: o.Version, revision: o.Revision}, nil
}

func setsOf(names []string) (sets []func(*page, *metric.InterfaceState), err error) {
	for _, name := range names {
		set, ok := nameSets[name]
		if !ok {
			return nil, fmt.Errorf("there is no name set %q; use any of %s", name, strings.Join(slices.Sorted(maps.Keys(nameSets)), ", "))
		}
		sets = append(sets, set)
	}
	return sets, nil
}

// Families returns a function from snapshots to what /metrics would show of
// them under the named sets, for whoever pushes that: sorted families of sorted
// series. Two calls share no memory.
func Families(names []string, version, revision string) (func(*metric.Snapshot) []*dto.MetricFamily, error) {
	sets, err := setsOf(names)
	if err != nil {
		return nil, err
	}
	g := &gatherer{sets: sets, version: version, revision: revision}
	return g.families, nil
}

// Gather returns the families of one scrape, sorted by name, their series
// sorted by labels. The error is always nil.
func (g *gatherer) Gather() ([]*dto.MetricFamily, error) { return g.families(g.snapshot()), nil }

func (g *gatherer) families(s *metric.Snapshot) []*dto.MetricFamily {
	p := &page{families: make(map[string]*dto.MetricFamily), simulated: s.Resource.Simulated}

	p.add(family{name: "enawatch_build_info", kind: gauge, help: "Version of the agent."},
		p.labels("version", g.version, "revision", g.revision, "goversion", runtime.Version()), 1)
	p.host(&s.Resource)
	for i := range s.Interfaces {
		p.verdict(&s.Interfaces[i])
		for _, set := range g.sets {
			set(p, &s.Interfaces[i])
		}
	}
	for i := range s.Self {
		p.self(&s.Self[i])
	}
	return p.sorted()
}

// page is the answer to one scrape while it grows.
type page struct {
	// families holds each family under every name that it takes up in one of
	// the formats: OpenMetrics calls the counter x_total "x".
	families  map[string]*dto.MetricFamily
	simulated bool
}

// family says what the series of one name have in common.
type family struct {
	name, help, unit string
	kind             dto.MetricType
}

const (
	counter = dto.MetricType_COUNTER
	gauge   = dto.MetricType_GAUGE
	untyped = dto.MetricType_UNTYPED
)

// add adds one series. It is dropped if its family clashes with an earlier
// one. The page keeps labels, which several series may share.
func (p *page) add(d family, labels []*dto.LabelPair, value float64) {
	f := p.family(d)
	if f == nil {
		return
	}
	m := &dto.Metric{Label: labels}
	switch d.kind {
	case counter:
		m.Counter = &dto.Counter{Value: &value}
	case gauge:
		m.Gauge = &dto.Gauge{Value: &value}
	case untyped:
		m.Untyped = &dto.Untyped{Value: &value}
	}
	f.Metric = append(f.Metric, m)
}

// family returns the page's family for d, or nil if another has the name.
func (p *page) family(d family) *dto.MetricFamily {
	if f, ok := p.families[d.name]; ok {
		if f.GetName() != d.name || f.GetType() != d.kind {
			return nil
		}
		return f
	}
	return p.newFamily(d)
}

func (p *page) newFamily(d family) *dto.MetricFamily {
	base := d.name
	if d.kind == counter {
		base = strings.TrimSuffix(d.name, "_total")
		if _, ok := p.families[base]; ok || base == "" {
			return nil
		}
	}
	f := &dto.MetricFamily{Name: &d.name, Help: new(strings.ToValidUTF8(d.help, "\ufffd")), Type: &d.kind}
	if d.unit != "" {
		f.Unit = &d.unit
	}
	p.families[d.name], p.families[base] = f, f
	return f
}

// labels makes labels of names and values in turn, sorted by name. Names and
// values may be anything; of two equal names the first counts.
func (p *page) labels(namesAndValues ...string) []*dto.LabelPair {
	labels := make([]*dto.LabelPair, 0, len(namesAndValues)/2+1)
	if p.simulated {
		labels = append(labels, label("simulated", "true"))
	}
	for i := 0; i < len(namesAndValues); i += 2 {
		labels = append(labels, label(LabelName(namesAndValues[i]), namesAndValues[i+1]))
	}
	slices.SortStableFunc(labels, func(a, b *dto.LabelPair) int { return cmp.Compare(*a.Name, *b.Name) })
	return slices.CompactFunc(labels, func(a, b *dto.LabelPair) bool { return *a.Name == *b.Name })
}

func label(name, value string) *dto.LabelPair {
	value = strings.ToValidUTF8(value, "\ufffd")
	return &dto.LabelPair{Name: &name, Value: &value}
}

// sorted returns the page as the encoders want it: families by name, series by
// labels, each of them once.
func (p *page) sorted() []*dto.MetricFamily {
	families := make([]*dto.MetricFamily, 0, len(p.families))
	for name, f := range p.families {
		if name == f.GetName() {
			slices.SortStableFunc(f.Metric, compareLabels)
			f.Metric = slices.CompactFunc(f.Metric, func(a, b *dto.Metric) bool { return compareLabels(a, b) == 0 })
			families = append(families, f)
		}
	}
	slices.SortFunc(families, func(a, b *dto.MetricFamily) int { return cmp.Compare(*a.Name, *b.Name) })
	return families
}

func compareLabels(a, b *dto.Metric) int {
	return slices.CompareFunc(a.Label, b.Label, func(a, b *dto.LabelPair) int {
		if a == b {
			return 0
		}
		return cmp.Or(cmp.Compare(*a.Name, *b.Name), cmp.Compare(*a.Value, *b.Value))
	})
}
