// Package grafana makes Grafana dashboards of the catalogue: of a fleet, an
// instance, an interface, and of DNS and the other link-local services. They
// read the series that remote write sends under Showmax's names.
package grafana

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// Dashboard is one, in the order in which they link to each other.
type Dashboard struct {
	// Path is that of its file, in the repository.
	Path string
	// Content is the dashboard as JSON.
	Content []byte
	// Exprs are the queries of its panels, by panel, as PromQL with Grafana's
	// variables.
	Exprs map[string][]string
}

// tag is on every dashboard: links between them go by it.
const tag = "enawatch"

// schemaVersion is that of Grafana 12 and 13's dashboard model.
const schemaVersion = 42

// selector narrows every query to what the variables say.
const selector = `cluster=~"$cluster",instance=~"$node"`

// perENI narrows a query to interfaces too.
const perENI = selector + `,eni=~"$eni"`

// Dashboards returns every dashboard.
func Dashboards() ([]Dashboard, error) {
	var list []Dashboard
	for _, p := range []*page{fleet(), instance(), networkInterface(), dns()} {
		b, err := json.MarshalIndent(p.model(), "", "  ")
		if err != nil {
			return nil, fmt.Errorf("encode the dashboard %s: %w", p.title, err)
		}
		d := Dashboard{Path: "deploy/grafana/" + p.uid + ".json", Content: append(b, '\n'), Exprs: map[string][]string{}}
		for _, panel := range p.panels {
			for _, q := range panel.queries {
				d.Exprs[panel.title] = append(d.Exprs[panel.title], q.expr)
			}
		}
		list = append(list, d)
	}
	return list, nil
}

// stats lists those of the catalogue that are wanted.
func stats(wanted func(*ena.Entry) bool) (list []ena.Entry) {
	for _, e := range ena.Catalogue()[:ena.FirstQueue] {
		if wanted(&e) {
			list = append(list, e)
		}
	}
	return list
}

func exceeded(e *ena.Entry) bool { return e.Allowance != "" && e.Kind == metric.Counter }

// anyExceeded matches the counters of all allowances.
func anyExceeded() string {
	var names []string
	for _, e := range stats(exceeded) {
		names = append(names, e.Name)
	}
	return `type=~"` + strings.Join(names, "|") + `"`
}

// resets matches the counters that tell of a reset.
func resets() string {
	var names []string
	for _, e := range stats(func(e *ena.Entry) bool { return e.Reset }) {
		names = append(names, e.Name)
	}
	return `type=~"` + strings.Join(names, "|") + `"`
}

// rate is the packets per second of a counter.
func rate(by, matchers string) string {
	return fmt.Sprintf("sum by (%s) (rate(node_net_ethtool{%s}[$__rate_interval]))", by, matchers)
}

// grown is what a counter grew by in the time that is shown.
func grown(by, matchers string) string {
	return fmt.Sprintf("sum by (%s) (increase(node_net_ethtool{%s}[$__range]))", by, matchers)
}

func fleet() *page {
	p := &page{uid: "enawatch-fleet", title: "ENA allowances: fleet", variables: []variable{clusterVariable, nodeVariable}}
	hosts := fmt.Sprintf(`count(count by (instance) (enawatch_build_info{%s}))`, selector)
	over := fmt.Sprintf(`count(sum by (instance) (rate(node_net_ethtool{%s,%s}[$__rate_interval])) > 0) or vector(0)`, anyExceeded(), selector)
	p.row(4,
		panel{title: "Hosts", kind: "stat", help: "Hosts that send samples.", queries: []query{{expr: hosts}}},
		panel{title: "Hosts over an allowance now", kind: "stat", warn: 1, help: "Hosts of which a counter grew within the last samples.", queries: []query{{expr: over}}},
		panel{title: "Packets over an allowance, in this time", kind: "stat", warn: 1, queries: []query{{expr: fmt.Sprintf(`sum(increase(node_net_ethtool{%s,%s}[$__range]))`, anyExceeded(), selector)}}},
		panel{title: "Interfaces by the verdict on their newest reading", kind: "stat", help: "valid is as it should be; of the others, counters are held.",
			queries: []query{{expr: fmt.Sprintf(`count by (verdict) (enawatch_interface_verdict{%s})`, selector), legend: "{{verdict}}"}}})
	p.row(9,
		panel{title: "Packets over each allowance", unit: "pps", help: "Of all hosts together.", queries: []query{{expr: rate("type", anyExceeded()+","+selector), legend: "{{type}}"}}},
		panel{title: "Tracked connections left: the ten hosts with the fewest", unit: "short", queries: []query{{
			expr: fmt.Sprintf(`bottomk(10, min by (instance) (node_net_ethtool{type="conntrack_allowance_available",%s}))`, selector), legend: "{{instance}}"}}})
	p.row(10,
		panel{title: "The ten hosts with the most, in this time", kind: "table", queries: []query{{
			expr: fmt.Sprintf("topk(10, %s)", grown("cluster, instance, type", anyExceeded()+","+selector)), instant: true}}},
		panel{title: "Agents by version", kind: "table", queries: []query{{expr: fmt.Sprintf(`count by (version) (enawatch_build_info{%s})`, selector), instant: true}}})
	return p
}

func instance() *page {
	p := &page{uid: "enawatch-instance", title: "ENA allowances: instance", variables: []variable{clusterVariable, nodeVariable}}
	for _, e := range stats(exceeded) {
		p.half(panel{title: e.Name, unit: "pps", help: e.Meaning + " " + e.Advice,
			queries: []query{{expr: rate("instance, device", fmt.Sprintf("type=%q,%s", e.Name, selector)), legend: "{{instance}} {{device}}"}}})
	}
	p.half(panel{title: "conntrack_allowance_available", unit: "short", help: ena.ConntrackAllowanceAvailable.Entry().Meaning + " " + ena.ConntrackAllowanceAvailable.Entry().Advice,
		queries: []query{{expr: fmt.Sprintf(`min by (instance) (node_net_ethtool{type="conntrack_allowance_available",%s})`, selector), legend: "{{instance}}"}}})
	p.row(8,
		panel{title: "Device resets, and what they were for", unit: "short", help: "Growth of the driver's counters of resets.",
			queries: []query{{expr: fmt.Sprintf("sum by (instance, device, type) (increase(node_net_ethtool{%s,%s}[$__rate_interval]))", resets(), selector), legend: "{{instance}} {{device}} {{type}}"}}},
		panel{title: "Interfaces", kind: "table", queries: []query{{expr: fmt.Sprintf(`node_net_ethtool_info{%s}`, selector), instant: true}}})
	return p
}

func networkInterface() *page {
	p := &page{uid: "enawatch-interface", title: "ENA allowances: interface", variables: []variable{clusterVariable, nodeVariable, eniVariable}}
	p.row(9,
		panel{title: "Packets over each allowance, by interface", unit: "pps",
			queries: []query{{expr: rate("instance, device, eni, type", anyExceeded()+","+perENI), legend: "{{instance}} {{device}} {{eni}} {{type}}"}}},
		panel{title: "In this time, by interface", kind: "table", queries: []query{{expr: grown("instance, device, eni, type", anyExceeded()+","+perENI), instant: true}}})
	for _, e := range stats(func(e *ena.Entry) bool { return e.Group == ena.SRD }) {
		panel := panel{title: e.Name, help: e.Meaning + " " + e.Advice, unit: "short"}
		q := query{expr: fmt.Sprintf("node_net_ethtool{type=%q,%s}", e.Name, perENI), legend: "{{instance}} {{device}} {{eni}}"}
		if e.Kind == metric.Counter {
			panel.unit, q.expr = "pps", rate("instance, device, eni", fmt.Sprintf("type=%q,%s", e.Name, perENI))
		}
		if e.Unit == metric.Percent {
			panel.unit = "percent"
		}
		panel.queries = []query{q}
		p.half(panel)
	}
	return p
}

func dns() *page {
	e := ena.LinklocalAllowanceExceeded.Entry()
	own := fmt.Sprintf("type=%q,%s", e.Name, perENI)
	p := &page{uid: "enawatch-dns", title: "ENA allowances: DNS and link-local", variables: []variable{clusterVariable, nodeVariable, eniVariable}}
	p.row(4,
		panel{title: "Interfaces that drop link-local packets now", kind: "stat", warn: 1, help: e.Meaning,
			queries: []query{{expr: fmt.Sprintf("count(rate(node_net_ethtool{%s}[$__rate_interval]) > 0) or vector(0)", own)}}},
		panel{title: "Link-local packets dropped, in this time", kind: "stat", warn: 1, queries: []query{{expr: fmt.Sprintf("sum(increase(node_net_ethtool{%s}[$__range]))", own)}}},
		panel{title: "What to do", kind: "text", text: e.Meaning + "\n\n" + e.Advice + "\n\nA pod that asks for a name waits for its resolver's timeout, five seconds by default, for each packet that is dropped."})
	p.row(9,
		panel{title: "Link-local packets dropped", unit: "pps", queries: []query{{expr: rate("instance, device, eni", own), legend: "{{instance}} {{device}} {{eni}}"}}},
		panel{title: "The ten interfaces with the most, in this time", kind: "table", queries: []query{{expr: fmt.Sprintf("topk(10, %s)", grown("cluster, instance, device, eni", own)), instant: true}}})
	conntrack := ena.ConntrackAllowanceExceeded.Entry()
	p.row(8,
		panel{title: "Names that fail for another reason: " + conntrack.Name, unit: "pps", help: conntrack.Meaning + " " + conntrack.Advice,
			queries: []query{{expr: rate("instance", fmt.Sprintf("type=%q,%s", conntrack.Name, selector)), legend: "{{instance}}"}}},
		panel{title: "Share of the last five minutes in which link-local packets were dropped", unit: "percentunit", help: "Of their samples.",
			queries: []query{{expr: fmt.Sprintf("avg_over_time((sum by (instance, device) (rate(node_net_ethtool{%s}[1m])) > bool 0)[5m:15s])", own), legend: "{{instance}} {{device}}"}}})
	return p
}
