package evaluate

import (
	"strconv"
	"strings"
	"testing"

	"github.com/enawatch/enawatch/agent/provision"
)

// points reads a row as the User Guide writes it: 0 is good, X breaches, - is
// missing, the newest last.
func points(row string) (out values) {
	for _, c := range strings.Fields(row) {
		switch c {
		case "0":
			out = append(out, new(0.0))
		case "X":
			out = append(out, new(1.0))
		default:
			out = append(out, nil)
		}
	}
	return out
}

// The tables of the User Guide, "Configuring how CloudWatch alarms treat missing
// data", and the sentences below them.
func TestMissingData(t *testing.T) {
	const retain State = "retain"
	tests := []struct {
		m, n                                     int
		row                                      string
		missing, ignore, breaching, notBreaching State
	}{
		{3, 3, "0 - X - X", OK, OK, OK, OK},
		{3, 3, "0 - - - -", OK, OK, OK, OK},
		{3, 3, "- - - - -", Insufficient, retain, Alarm, OK},
		{3, 3, "0 X X - X", Alarm, Alarm, Alarm, Alarm},
		{3, 3, "- - X - -", Alarm, retain, Alarm, OK},
		{2, 3, "0 - X - X", Alarm, Alarm, Alarm, Alarm},
		{2, 3, "0 0 X 0 X", Alarm, Alarm, Alarm, Alarm},
		{2, 3, "0 - X - -", OK, OK, Alarm, OK},
		{2, 3, "- - - - 0", OK, OK, Alarm, OK},
		{2, 3, "- - - X -", Alarm, retain, Alarm, OK},
		// "the alarm does not go immediately into ALARM state"
		{3, 3, "- - - - X", OK, OK, Alarm, OK},
		{3, 3, "- - - X -", OK, OK, Alarm, OK},
		{3, 3, "- - X - 0", OK, OK, OK, OK},
		// "CloudWatch evaluates the alarm based on the most recent data points"
		{3, 3, "X X 0 0 0", OK, OK, OK, OK},
		{1, 1, "0 0 X", Alarm, Alarm, Alarm, Alarm},
		{1, 1, "X X -", Alarm, Alarm, Alarm, Alarm},
	}
	for _, tt := range tests {
		for missing, want := range map[string]State{
			"missing": tt.missing, "ignore": tt.ignore, "breaching": tt.breaching, "notBreaching": tt.notBreaching,
		} {
			for _, now := range []State{OK, Alarm, Insufficient} {
				r := rule{n: tt.n, m: tt.m, missing: missing, breaches: func(v float64) bool { return v > 0 }}
				w := want
				if w == retain {
					w = now
				}
				if got := r.state(points(tt.row), now); got != w {
					t.Errorf("%s, %d of %d, %s, from %s: got %s, want %s", tt.row, tt.m, tt.n, missing, now, got, w)
				}
			}
		}
	}
}

func TestMath(t *testing.T) {
	ids := map[string]values{"m1": points("0 X - X"), "m2": points("X X - -")}
	tests := []struct{ expression, want string }{
		{"m1", "0 1 - 1"},
		{"FILL(m1, 7)", "0 1 7 1"},
		{"m1 + m2", "1 2 - -"},
		{"FILL(m1, 0) - FILL(m2, 2) * 3", "-3 -2 -6 -5"},
		{"100 * m1 / 50", "0 2 - 2"},
		{"m2 / m1", "- 1 - -"},
		{"(m1 + 1) * 2.5", "2.5 5 - 5"},
	}
	for _, tt := range tests {
		got, err := calculate(tt.expression, ids, 4)
		if text := show(got); err != nil || text != tt.want {
			t.Errorf("%s: got %s, %v; want %s", tt.expression, text, err, tt.want)
		}
	}
	for _, bad := range []string{"", "m3", "m1 +", "(m1", "FILL(m1)", "SEARCH('x')", "m1 m2", "1..2"} {
		if _, err := calculate(bad, ids, 4); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestCompositeRule(t *testing.T) {
	states := map[string]State{"a": Alarm, "b": OK, "e": Insufficient}
	tests := []struct {
		rule string
		want bool
	}{
		{`ALARM("a")`, true},
		{`ALARM(a) AND NOT ALARM("b")`, true},
		{`ALARM("b") OR OK("a") OR INSUFFICIENT_DATA("e")`, true},
		{`NOT (ALARM("a") OR OK("b"))`, false},
		{`ALARM("b") AND OK("b") OR TRUE`, true},
		{`FALSE`, false},
	}
	for _, tt := range tests {
		got, err := holds(tt.rule, func(n string) (State, bool) { s, ok := states[n]; return s, ok })
		if got != tt.want || err != nil {
			t.Errorf("%s: got %v, %v; want %v", tt.rule, got, err, tt.want)
		}
	}
	for _, bad := range []string{"", `ALARM("nobody")`, `ALARM("a"`, `ALARM("a") ALARM("b")`, `(ALARM("a")`, "MAYBE"} {
		if _, err := holds(bad, func(n string) (State, bool) { s, ok := states[n]; return s, ok }); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestInsightsQuery(t *testing.T) {
	id := func(dimensions ...string) provision.Metric {
		m := provision.Metric{Namespace: "ENA", MetricName: "heartbeat"}
		for i := 0; i < len(dimensions); i += 2 {
			m.Dimensions = append(m.Dimensions, provision.Dimension{Name: dimensions[i], Value: dimensions[i+1]})
		}
		return m
	}
	tests := []struct {
		query string
		of    provision.Metric
		group string
		ok    bool
	}{
		{`SELECT SUM(heartbeat) FROM SCHEMA("ENA", InstanceId) GROUP BY InstanceId ORDER BY SUM() DESC LIMIT 10`, id("InstanceId", "i-1"), "i-1", true},
		{`SELECT SUM(heartbeat) FROM SCHEMA("ENA", InstanceId)`, id("InstanceId", "i-1"), "", true},
		{`SELECT SUM(heartbeat) FROM SCHEMA("ENA", InstanceId)`, id("InstanceId", "i-1", "NetworkInterfaceId", "eni-1"), "", false},
		{`SELECT SUM(heartbeat) FROM SCHEMA("ENA", NetworkInterfaceId, InstanceId) WHERE InstanceId = 'i-1'`, id("InstanceId", "i-1", "NetworkInterfaceId", "eni-1"), "", true},
		{`SELECT SUM(heartbeat) FROM SCHEMA("ENA", InstanceId) WHERE InstanceId = 'i-2'`, id("InstanceId", "i-1"), "", false},
		{`SELECT SUM(heartbeat) FROM SCHEMA("Other", InstanceId)`, id("InstanceId", "i-1"), "", false},
	}
	for _, tt := range tests {
		q, err := parseInsights(tt.query)
		if err != nil {
			t.Errorf("%s: %v", tt.query, err)
			continue
		}
		if group, ok := q.selects(tt.of); ok != tt.ok || ok && group != tt.group {
			t.Errorf("%s of %v: got %q, %v; want %q, %v", tt.query, tt.of, group, ok, tt.group, tt.ok)
		}
	}
	if _, err := parseInsights(`SELECT MEDIAN(heartbeat) FROM "ENA"`); err == nil {
		t.Error("a query that is not known has no error")
	}
}

func show(v values) string {
	var parts []string
	for _, p := range v {
		if p == nil {
			parts = append(parts, "-")
		} else {
			parts = append(parts, strconv.FormatFloat(*p, 'g', -1, 64))
		}
	}
	return strings.Join(parts, " ")
}

// Whatever is written, it is evaluated or refused.
func FuzzExpressions(f *testing.F) {
	for _, s := range []string{"m1 - FILL(m2, 0) / 1", "100 * m1 / 130000", `ALARM("a") AND NOT OK(b)`, "FILL((", "NOT NOT (", `SELECT SUM(x) FROM SCHEMA("ENA", InstanceId)`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := calculate(s, map[string]values{"m1": points("0 X - X"), "m2": points("- X X -")}, 4); err == nil && len(v) != 4 {
			t.Errorf("%q: %d points", s, len(v))
		}
		if _, err := holds(s, func(string) (State, bool) { return OK, true }); err == nil && !strings.ContainsAny(s, "(TF") {
			t.Errorf("%q is taken for a rule", s)
		}
		if q, err := parseInsights(s); err == nil && q.name == "" {
			t.Errorf("%q is taken for a query", s)
		}
	})
}
