package grafana

// page is a dashboard as it is put together.
type page struct {
	uid, title string
	variables  []variable
	panels     []panel
	x, y       int // where the next half panel goes
}

// panel shows the answers of its queries.
type panel struct {
	title, help, unit string
	kind              string // "timeseries" if empty
	text              string // of a text panel, as Markdown
	warn              float64
	queries           []query
	x, y, w, h        int
}

type query struct {
	expr, legend string
	instant      bool
}

// variable is one of a dashboard's that is asked of the data source.
type variable struct{ name, label, query string }

var (
	clusterVariable = variable{"cluster", "Cluster", `label_values(node_net_ethtool, cluster)`}
	nodeVariable    = variable{"node", "Node", `label_values(node_net_ethtool{cluster=~"$cluster"}, instance)`}
	eniVariable     = variable{"eni", "ENI", `label_values(node_net_ethtool{cluster=~"$cluster",instance=~"$node"}, eni)`}
)

// width is that of a dashboard, in Grafana's units.
const width = 24

// row puts panels beside each other.
func (p *page) row(height int, panels ...panel) {
	if p.x > 0 {
		p.x, p.y = 0, p.y+halfHeight
	}
	for i, one := range panels {
		one.w, one.h = width/len(panels), height
		one.x, one.y = i*one.w, p.y
		p.panels = append(p.panels, one)
	}
	p.y += height
}

const halfHeight = 8

// half puts a panel of half the width beside or below the last one.
func (p *page) half(one panel) {
	one.x, one.y, one.w, one.h = p.x, p.y, width/2, halfHeight
	p.panels = append(p.panels, one)
	if p.x += width / 2; p.x == width {
		p.x, p.y = 0, p.y+halfHeight
	}
}

type object = map[string]any

// source is the data source that the dashboard's variable names.
var source = object{"type": "prometheus", "uid": "${datasource}"}

// model returns the page as Grafana's dashboard model.
func (p *page) model() object {
	panels := make([]object, len(p.panels))
	for i, one := range p.panels {
		panels[i] = one.model(i + 1)
	}
	variables := []object{{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1}}
	for _, v := range p.variables {
		variables = append(variables, object{
			"name": v.name, "label": v.label, "type": "query", "datasource": source, "refresh": 2, "sort": 1,
			"query": object{"qryType": 1, "query": v.query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
			"multi": true, "includeAll": true, "allValue": ".*",
			"current": object{"text": "All", "value": "$__all"}, "options": []object{},
		})
	}
	return object{
		"uid": p.uid, "title": p.title, "tags": []string{tag}, "schemaVersion": schemaVersion, "editable": true, "graphTooltip": 1,
		"description": "Generated from the catalogue by agent/provision/grafana.",
		"time":        object{"from": "now-1h", "to": "now"}, "refresh": "30s", "timezone": "browser",
		"links": []object{{
			"title": "ENA allowances", "type": "dashboards", "tags": []string{tag}, "asDropdown": true, "includeVars": true, "keepTime": true,
			"icon": "external link", "targetBlank": false, "tooltip": "", "url": "",
		}},
		"annotations": object{"list": []object{}},
		"templating":  object{"list": variables},
		"panels":      panels,
	}
}

func (p *panel) model(id int) object {
	m := object{"id": id, "title": p.title, "type": p.kind, "gridPos": object{"x": p.x, "y": p.y, "w": p.w, "h": p.h}}
	if p.help != "" {
		m["description"] = p.help
	}
	if p.kind == "text" {
		m["options"] = object{"mode": "markdown", "content": p.text}
		return m
	}
	targets := make([]object, len(p.queries))
	for i, q := range p.queries {
		targets[i] = object{"refId": string(rune('A' + i)), "datasource": source, "expr": q.expr, "editorMode": "code", "range": !q.instant, "instant": q.instant}
		if q.legend != "" {
			targets[i]["legendFormat"] = q.legend
		}
		if q.instant {
			targets[i]["format"] = "table"
		}
	}
	m["datasource"], m["targets"] = source, targets
	unit := p.unit
	if unit == "" {
		unit = "short"
	}
	defaults := object{"unit": unit, "min": 0}
	switch p.kind {
	case "":
		m["type"] = "timeseries"
		defaults["custom"] = object{"fillOpacity": 15, "lineWidth": 1, "showPoints": "never", "spanNulls": false}
		m["options"] = object{"legend": object{"showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": []string{}}, "tooltip": object{"mode": "multi", "sort": "desc"}}
	case "stat":
		steps := []object{{"color": "green", "value": nil}}
		if p.warn > 0 {
			steps = append(steps, object{"color": "red", "value": p.warn})
		}
		defaults["color"], defaults["thresholds"] = object{"mode": "thresholds"}, object{"mode": "absolute", "steps": steps}
		m["options"] = object{"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}, "colorMode": "value", "graphMode": "none", "textMode": "auto", "justifyMode": "auto", "orientation": "auto"}
	case "table":
		m["options"] = object{"showHeader": true, "cellHeight": "sm"}
		m["transformations"] = []object{{"id": "organize", "options": object{"excludeByName": object{"Time": true, "__name__": true}}}}
	}
	m["fieldConfig"] = object{"defaults": defaults, "overrides": []object{}}
	return m
}
