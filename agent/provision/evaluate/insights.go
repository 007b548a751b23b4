package evaluate

import (
	"slices"
	"strings"

	"github.com/enawatch/enawatch/agent/pattern"
	"github.com/enawatch/enawatch/agent/provision"
)

// insights is a Metrics Insights query of the kind that alarms of this program
// use.
type insights struct {
	function, name, namespace string
	schema, group             []string
	where                     map[string]string
}

var (
	query = pattern.New(`^SELECT (SUM|MIN|MAX|AVG|COUNT)\(([a-z_]+)\) FROM SCHEMA\("([^"]+)"((?:, "?[A-Za-z_]+"?)*)\)` +
		`(?: WHERE (.+?))?(?: GROUP BY ([A-Za-z_", ]+?))?(?: ORDER BY [A-Z]+\(\) (?:DESC|ASC))?(?: LIMIT \d+)?$`)
	condition = pattern.New(`^"?([A-Za-z_]+)"? = '([^']*)'$`)
	functions = map[string]string{"SUM": "Sum", "MIN": "Minimum", "MAX": "Maximum", "AVG": "Average", "COUNT": "SampleCount"}
)

func isInsights(expression string) bool { return strings.HasPrefix(expression, "SELECT ") }

func parseInsights(text string) (*insights, error) {
	m := query().FindStringSubmatch(text)
	if m == nil {
		return nil, unsupported("Metrics Insights query", text)
	}
	q := &insights{function: functions[m[1]], name: m[2], namespace: m[3], schema: names(m[4]), group: names(m[6]), where: map[string]string{}}
	if m[5] != "" {
		for _, c := range strings.Split(m[5], " AND ") {
			w := condition().FindStringSubmatch(c)
			if w == nil {
				return nil, unsupported("condition", c)
			}
			q.where[w[1]] = w[2]
		}
	}
	slices.Sort(q.schema)
	return q, nil
}

func names(list string) (out []string) {
	for _, n := range strings.Split(list, ",") {
		if n = strings.Trim(n, ` "`); n != "" {
			out = append(out, n)
		}
	}
	return out
}

// selects reports whether the query reads a metric, and in which group it is.
func (q *insights) selects(id provision.Metric) (group string, ok bool) {
	if id.Namespace != q.namespace || id.MetricName != q.name || len(id.Dimensions) != len(q.schema) {
		return "", false
	}
	has := map[string]string{}
	for i, d := range id.Dimensions {
		if d.Name != q.schema[i] {
			return "", false
		}
		has[d.Name] = d.Value
	}
	for name, value := range q.where {
		if has[name] != value {
			return "", false
		}
	}
	var parts []string
	for _, name := range q.group {
		parts = append(parts, has[name])
	}
	return strings.Join(parts, " "), true
}

// run returns the points of each group that has any.
func (q *insights) run(m *Metrics, in span) (map[string]values, error) {
	groups := map[string]*series{}
	for _, k := range m.keys {
		s := m.byKey[k]
		if g, ok := q.selects(s.metric); ok {
			if groups[g] == nil {
				groups[g] = &series{}
			}
			groups[g].data = append(groups[g].data, s.data...)
		}
	}
	for _, s := range groups {
		slices.SortStableFunc(s.data, func(a, b sample) int { return a.at.Compare(b.at) })
	}
	out := map[string]values{}
	for g, s := range groups {
		v, err := s.statistic(q.function, in)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(v, func(p *float64) bool { return p != nil }) {
			out[g] = v
		}
	}
	return out, nil
}
