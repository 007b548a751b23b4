package prometheus

import (
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/enawatch/enawatch/agent/metric"
)

// gatherer turns snapshots into families. The series of one interface share
// their labels, and of two series that clash the first stays.
type gatherer struct {
	sets     []func(*page, *metric.InterfaceState)
	snapshot func() *metric.Snapshot
	version  string
	revision string
	scrapes  chan struct{} // those that are answered now
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
	return &gatherer{sets: sets, snapshot: o.Snapshot, version: o.Version, revision: o.Revision, scrapes: make(chan struct{}, maxScrapes)}, nil
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
func Families(names []string, version, revision string) (func(*metric.Snapshot) []*Family, error) {
	sets, err := setsOf(names)
	if err != nil {
		return nil, err
	}
	g := &gatherer{sets: sets, version: version, revision: revision}
	return g.families, nil
}

func (g *gatherer) families(s *metric.Snapshot) []*Family {
	p := &page{families: make(map[string]*Family), nodeExporterFamilies: make(map[string]family), interfaces: len(s.Interfaces), simulated: s.Resource.Simulated}

	p.add(family{name: "enawatch_build_info", kind: Gauge, help: "Version of the agent."},
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
	families             map[string]*Family
	nodeExporterFamilies map[string]family // by stat
	interfaces           int
	simulated            bool
}

// family says what the series of one name have in common.
type family struct {
	name, help, unit string
	kind             Kind
}

// add adds one series. It is dropped if its family clashes with an earlier
// one. The page keeps labels, which several series may share.
func (p *page) add(d family, labels []Label, value float64) {
	f := p.family(d)
	if f == nil {
		return
	}
	f.Series = append(f.Series, Series{labels, value})
}

// family returns the page's family for d, or nil if another has the name.
func (p *page) family(d family) *Family {
	if f, ok := p.families[d.name]; ok {
		if f.Name != d.name || f.Kind != d.kind {
			return nil
		}
		return f
	}
	return p.newFamily(d)
}

func (p *page) newFamily(d family) *Family {
	base := d.name
	if d.kind == Counter {
		base = strings.TrimSuffix(d.name, "_total")
		if _, ok := p.families[base]; ok || base == "" {
			return nil
		}
	}
	f := &Family{Name: d.name, Help: strings.ToValidUTF8(d.help, "\ufffd"), Unit: d.unit, Kind: d.kind, Series: make([]Series, 0, p.interfaces)}
	p.families[d.name], p.families[base] = f, f
	return f
}

// labels makes labels of names and values in turn, sorted by name. Names and
// values may be anything; of two equal names the first counts.
func (p *page) labels(namesAndValues ...string) []Label {
	labels := make([]Label, 0, len(namesAndValues)/2+1)
	if p.simulated {
		labels = append(labels, label("simulated", "true"))
	}
	for i := 0; i < len(namesAndValues); i += 2 {
		labels = append(labels, label(LabelName(namesAndValues[i]), namesAndValues[i+1]))
	}
	slices.SortStableFunc(labels, func(a, b Label) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(labels, func(a, b Label) bool { return a.Name == b.Name })
}

func label(name, value string) Label {
	return Label{name, strings.ToValidUTF8(value, "\ufffd")}
}

// sorted returns the page as the encoders want it: families by name, series by
// labels, each of them once.
func (p *page) sorted() []*Family {
	families := make([]*Family, 0, len(p.families))
	for name, f := range p.families {
		if name == f.Name {
			slices.SortStableFunc(f.Series, compareLabels)
			f.Series = slices.CompactFunc(f.Series, func(a, b Series) bool { return compareLabels(a, b) == 0 })
			families = append(families, f)
		}
	}
	slices.SortFunc(families, func(a, b *Family) int { return cmp.Compare(a.Name, b.Name) })
	return families
}

func compareLabels(a, b Series) int {
	return slices.CompareFunc(a.Labels, b.Labels, func(a, b Label) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
	})
}
