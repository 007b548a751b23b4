package main

import (
	"fmt"
	"strings"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// shown is what one name set shows of an interface at /metrics.
type shown struct {
	// names are those of the metrics of stats, by ena.Stat.
	names []string
	// types are the values of their label "type", where they have one.
	types []string
	// Labels are those of each of these metrics.
	Labels []string
	// Info is the metric that speaks of the interface itself.
	Info labelled
}

// Metric is the name of the metric of the first stat; that of all, in a name set
// that tells stats apart by a label.
func (s *shown) Metric() string { return s.names[0] }

// labelled is a metric and the names of its labels.
type labelled struct {
	Name   string
	Labels []string
}

// show learns what a name set shows from an interface that has every stat, each
// with a value of its own.
func show(nameSet string) (*shown, error) {
	const first = 1000 // the value of the first stat; that of the metric Info is 1
	i := metric.InterfaceState{Interface: metric.Interface{Name: "ens5", Link: "up"}}
	for s, e := range ena.Catalogue() {
		value := uint64(first + s)
		i.Totals = append(i.Totals, metric.Total{Name: e.Name, Help: e.Meaning, Kind: e.Kind, Unit: e.Unit, Value: value})
		i.Raw = append(i.Raw, metric.RawStat{Name: driverName(&e), Value: value})
	}
	families, err := scrape(&metric.Snapshot{Interfaces: []metric.InterfaceState{i}}, nameSet)
	if err != nil {
		return nil, err
	}
	page := &shown{names: make([]string, ena.NumStats), types: make([]string, ena.NumStats)}
	for _, f := range families {
		for _, m := range f.Metric {
			switch s := int(valueOf(m)) - first; {
			case s >= 0:
				page.names[s], page.types[s] = f.GetName(), labelValue(m, "type")
				page.Labels = labelsOf(m)
			case !strings.HasPrefix(f.GetName(), selfPrefix):
				page.Info = labelled{f.GetName(), labelsOf(m)}
			}
		}
	}
	for s, name := range page.names {
		if name == "" {
			return nil, fmt.Errorf("the name set %s does not show %s", nameSet, ena.Stat(s))
		}
	}
	return page, nil
}

// statNameLength is what ETH_GSTRING_LEN, 32, leaves for a stat's name.
const statNameLength = 31

// driverName returns what the driver calls a stat; a stat of queues, in queue 0.
func driverName(e *ena.Entry) string {
	if e.Group != ena.Queue {
		return e.Name
	}
	name := strings.Replace(e.Name, "queue_", "queue_0_", 1)
	return name[:min(len(name), statNameLength)]
}
