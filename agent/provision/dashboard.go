package provision

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/window"
)

// What the dashboard's variables stand for until somebody chooses: CloudWatch
// replaces these words everywhere in the body.
const (
	anyInstance = "i-00000000000000000"
	anyGroup    = "auto-scaling-group"
	anyCluster  = "eks-cluster"
)

// top is how many instances or interfaces a widget shows.
const top = 10

// Dashboards returns the dashboard, the saved queries and, if they are asked for,
// the Contributor Insights rules. The error names the option that makes no sense.
func Dashboards(o Options) (*Set, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Set{Name: o.Name}
	if o.Region == "" {
		o.Region = s.parameter(Parameter{Name: RegionParameter, Description: "Region of the metrics."})
	}
	body, err := o.dashboard()
	if err != nil {
		return nil, err
	}
	s.Dashboards = []Dashboard{{DashboardName: o.Name, DashboardBody: body}}
	if o.LogGroup == "" {
		o.LogGroup = s.parameter(Parameter{Name: "LogGroup", Description: logGroupText, Default: DefaultLogGroup})
	}
	s.declare(o.LogGroup, logGroupText)
	s.Queries = o.queries()
	if o.Insights {
		if s.InsightRules, err = o.rules(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// RegionParameter is the parameter that names the region. CloudFormation knows it
// by itself.
const RegionParameter = "Region"

// page lays widgets out, in rows of 24 columns.
type page struct {
	o       *Options
	widgets []widget
	x, y    int
	row     int // height of the row
}

type widget struct {
	Type       string         `json:"type"`
	X          int            `json:"x"`
	Y          int            `json:"y"`
	Width      int            `json:"width"`
	Height     int            `json:"height"`
	Properties map[string]any `json:"properties"`
}

const columns = 24

func (p *page) add(kind string, width, height int, properties map[string]any) {
	if p.x+width > columns {
		p.x, p.y, p.row = 0, p.y+p.row, 0
	}
	p.widgets = append(p.widgets, widget{kind, p.x, p.y, width, height, properties})
	p.x, p.row = p.x+width, max(p.row, height)
}

// text begins a new row with words in Markdown.
func (p *page) text(height int, markdown string) {
	p.x, p.y, p.row = 0, p.y+p.row, 0
	p.add("text", columns, height, map[string]any{"markdown": markdown, "background": "transparent"})
}

// graph adds a graph of metrics, as the API writes them.
func (p *page) graph(width int, title string, metrics []any, more ...map[string]any) {
	properties := map[string]any{
		"title": title, "region": p.o.Region, "view": "timeSeries", "stacked": false, "period": p.o.period(), "metrics": metrics,
		"yAxis": map[string]any{"left": map[string]any{"min": 0, "showUnits": false}},
	}
	for _, m := range more {
		for k, v := range m {
			properties[k] = v
		}
	}
	p.add("metric", width, 6, properties)
}

// query is a row of metrics that is a Metrics Insights query or an expression.
func query(id, expression, label string) []any {
	return []any{map[string]any{"expression": expression, "id": id, "label": label}}
}

// filled are two rows: a metric that is published only when it is not zero, and
// the line without holes that is shown.
func (p *page) filled(n int, name, stat, label string, of ...metric.Dimension) []any {
	row := []any{p.o.Namespace, name}
	for _, d := range slices.Concat(of, p.o.Dimensions) {
		row = append(row, d.Name, d.Value)
	}
	id := "m" + strconv.Itoa(n)
	row = append(row, map[string]any{"id": id, "stat": stat, "visible": false})
	return []any{row, query("e"+strconv.Itoa(n), "FILL("+id+", 0)", label)}
}

// shown is a row that is shown as it is.
func (p *page) shown(name, stat, label string, of ...metric.Dimension) []any {
	row := []any{p.o.Namespace, name}
	for _, d := range slices.Concat(of, p.o.Dimensions) {
		row = append(row, d.Name, d.Value)
	}
	return append(row, map[string]any{"stat": stat, "label": label})
}

// search is a search for the metrics of one name under exactly these dimensions.
func (o *Options) search(schema []string, name, more string) string {
	names := slices.Clone(schema)
	for _, d := range o.Dimensions {
		names = append(names, d.Name)
		more += fmt.Sprintf(` %s="%s"`, quoted(d.Name), d.Value)
	}
	for i, n := range names {
		names[i] = quoted(n)
	}
	return fmt.Sprintf(`{%s,%s} MetricName="%s"%s`, quoted(o.Namespace), strings.Join(names, ","), name, more)
}

// quoted puts quotes around a name in a search if it is more than one word.
func quoted(name string) string {
	if identifier(name) == name {
		return name
	}
	return `"` + name + `"`
}

func (o *Options) variable(id, label, pattern string, schema ...string) map[string]any {
	return map[string]any{
		"type": "pattern", "pattern": pattern, "inputType": "select", "id": id, "label": label, "visible": true, "defaultValue": "__FIRST",
		"search": o.search(schema, window.Heartbeat.Name, ""), "populateFrom": schema[len(schema)-1],
	}
}

// dashboard returns the body.
func (o *Options) dashboard() (string, error) {
	p := &page{o: o}
	p.text(2, "# Network allowances\nWhat EC2 queued or dropped because instances exceeded an allowance. Generated by enawatch: change its options, not this page.")
	p.fleet()
	p.instance()
	p.groups()
	p.agents()
	body, err := json.MarshalIndent(map[string]any{
		"start": "-PT3H", "periodOverride": "inherit",
		"variables": []any{
			o.variable("instance", "Instance", anyInstance, instanceDimension),
			o.variable("group", "Auto Scaling group", anyGroup, groupDimension),
			o.variable("cluster", "Cluster", anyCluster, clusterDimension),
		},
		"widgets": p.widgets,
	}, "", "  ")
	return string(body), err
}

const clusterDimension = "ClusterName"

// fleet shows where it is hot, and the instances that it is worst for.
func (p *page) fleet() {
	p.text(1, "## Fleet: seconds in which packets were queued or dropped, by instance")
	stacked := map[string]any{"stacked": true}
	for _, e := range allowances() {
		schema := []string{instanceDimension}
		if e.Scope == metric.PerInterface {
			schema = append(schema, interfaceDimension)
		}
		p.graph(8, title(&e), []any{query("q1", p.o.selects("SUM", e.seconds.Name, schema, nil, groupBy("SUM", "DESC", schema...)+" LIMIT "+strconv.Itoa(top)), "")}, stacked)
	}
	p.graph(8, "Connections left: the fewest", []any{query("q1", p.o.selects("MIN", available.Name, []string{instanceDimension}, nil, groupBy("MIN", "ASC", instanceDimension)+" LIMIT "+strconv.Itoa(top)), "")})
	p.text(1, "## Worst instances: packets in the time shown")
	bars := map[string]any{"view": "bar", "setPeriodToTimeRange": true}
	for _, e := range allowances() {
		schema := []string{instanceDimension}
		if e.Scope == metric.PerInterface {
			schema = append(schema, interfaceDimension)
		}
		p.graph(8, title(&e), []any{query("q1", p.o.selects("SUM", e.Name, schema, nil, groupBy("SUM", "DESC", schema...)+" LIMIT "+strconv.Itoa(top)), "")}, bars)
	}
}

// title names an allowance for people.
func title(e *exceeded) string {
	if t, ok := map[ena.Stat]string{
		ena.BWInAllowanceExceeded: "Bandwidth in", ena.BWOutAllowanceExceeded: "Bandwidth out", ena.PPSAllowanceExceeded: "Packets per second",
		ena.ConntrackAllowanceExceeded: "Tracked connections", ena.LinklocalAllowanceExceeded: "Link-local (DNS, IMDS, NTP)",
	}[e.stat]; ok {
		return t
	}
	return e.Allowance
}

// instance shows one instance and its interfaces.
func (p *page) instance() {
	of := metric.Dimension{Name: instanceDimension, Value: anyInstance}
	p.text(1, "## Instance "+anyInstance)
	var seconds, packets []any
	for _, e := range allowances() {
		if e.Scope != metric.PerInterface {
			seconds = append(seconds, p.filled(len(seconds), e.seconds.Name, "Sum", e.Allowance, of)...)
			packets = append(packets, p.filled(len(packets), e.Name, "Sum", e.Allowance, of)...)
		}
	}
	p.graph(8, "Seconds throttled", seconds)
	p.graph(8, "Packets queued or dropped", packets)
	p.graph(8, "Connections left", []any{p.shown(available.Name, "Minimum", "fewest", of)})
	for _, e := range allowances() {
		if e.Scope != metric.PerInterface {
			continue
		}
		for _, name := range []string{e.Name, e.seconds.Name} {
			search := p.o.search([]string{instanceDimension, interfaceDimension}, name, ` InstanceId="`+anyInstance+`"`)
			p.graph(12, title(&e)+", by interface: "+name, []any{query("s1", fmt.Sprintf("FILL(SEARCH('%s', 'Sum', %d), 0)", search, p.o.period()), "")})
		}
	}
}

// groups shows the roll-ups, where agents publish them: a group's value is that
// of its worst host.
func (p *page) groups() {
	p.text(1, "## Groups: seconds throttled on the worst host (with sinks.cloudwatch.rollups)")
	for _, of := range []metric.Dimension{{Name: groupDimension, Value: anyGroup}, {Name: clusterDimension, Value: anyCluster}} {
		var rows []any
		for _, e := range allowances() {
			rows = append(rows, p.filled(len(rows), e.seconds.Name, "Maximum", e.Allowance, of)...)
		}
		p.graph(8, of.Name+" "+of.Value, rows)
		p.graph(4, "Connections left", []any{p.shown(available.Name, "Minimum", "fewest", of)})
	}
}

// agents shows how the agents do.
func (p *page) agents() {
	p.text(1, "## Agents")
	of := []string{instanceDimension}
	limit := " LIMIT " + strconv.Itoa(top)
	p.graph(6, "Windows published", []any{query("q1", p.o.selects("COUNT", window.Heartbeat.Name, of, nil, ""), "agents")})
	p.graph(6, "Seconds of each window that were believed: the fewest", []any{query("q1", p.o.selects("MIN", window.Heartbeat.Name, of, nil, groupBy("MIN", "ASC", of...)+limit), "")})
	for _, d := range []window.Derived{window.SuspectReadings, window.MissedSeconds} {
		p.graph(6, d.Name, []any{query("q1", p.o.selects("SUM", d.Name, of, nil, groupBy("SUM", "DESC", of...)+limit), "")})
	}
}
