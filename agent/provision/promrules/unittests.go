package promrules

import (
	"fmt"
	"strings"
)

// The form of promtool's unit tests.
type (
	unitTest struct {
		Interval string        `yaml:"interval"`
		Series   []inputSeries `yaml:"input_series"`
		Alerts   []alertTest   `yaml:"alert_rule_test,omitempty"`
		Exprs    []exprTest    `yaml:"promql_expr_test,omitempty"`
	}
	inputSeries struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	}
	alertTest struct {
		EvalTime string          `yaml:"eval_time"`
		Name     string          `yaml:"alertname"`
		Expected []expectedAlert `yaml:"exp_alerts"`
	}
	expectedAlert struct {
		Labels      map[string]string `yaml:"exp_labels"`
		Annotations annotations       `yaml:"exp_annotations"`
	}
	exprTest struct {
		Expr     string   `yaml:"expr"`
		EvalTime string   `yaml:"eval_time"`
		Expected []sample `yaml:"exp_samples"`
	}
	sample struct {
		Labels string  `yaml:"labels"`
		Value  float64 `yaml:"value"`
	}
	suite struct {
		Files    []string   `yaml:"rule_files"`
		Interval string     `yaml:"evaluation_interval"`
		Tests    []unitTest `yaml:"tests"`
	}
)

// unitTests returns promtool's tests of every alert. They hold with Prometheus 2
// and with 3, whose ranges no longer hold their left end.
func unitTests() suite {
	u := suite{Files: []string{"rules.yaml"}, Interval: "15s"}
	for _, g := range all().Groups {
		u.Tests = append(u.Tests, g.tests()...)
	}
	return u
}

func (g group) tests() []unitTest {
	record, alert := g.Rules[0], g.Rules[1]
	stat := record.Record[len("metric:"):]
	series := fmt.Sprintf(`node_net_ethtool{instance="node-1",device="ens5",eni="eni-1",type=%q}`, stat)
	quiet := inputSeries{fmt.Sprintf(`node_net_ethtool{instance="node-2",device="ens5",eni="eni-2",type=%q}`, stat), "11072x40"}
	firing := func(at string, n ...float64) exprTest {
		e := exprTest{Expr: fmt.Sprintf(`count(ALERTS{alertname=%q,alertstate="firing"})`, alert.Alert), EvalTime: at, Expected: []sample{}}
		for _, v := range n {
			e.Expected = append(e.Expected, sample{"{}", v})
		}
		return e
	}
	labels := map[string]string{"instance": "node-1", "device": "ens5", "eni": "eni-1", "type": stat}
	for name, value := range alert.Labels {
		labels[name] = value
	}
	return []unitTest{
		{ // Two packets a second for three minutes: it fires, and resolves when the last leaves the window.
			Interval: "15s", Series: []inputSeries{{series, "11072x12 11102+30x11 11432x16"}, quiet},
			Alerts: []alertTest{
				{"3m", alert.Alert, nil},
				{"5m", alert.Alert, []expectedAlert{{labels, g.said("2")}}},
				{"7m45s", alert.Alert, nil},
			},
			Exprs: []exprTest{
				{fmt.Sprintf(`round(%s{instance="node-1"}, 0.001)`, record.Record), "5m", []sample{{fmt.Sprintf(`{instance="node-1",device="ens5",eni="eni-1",type=%q}`, stat), 2}}},
				{fmt.Sprintf(`%s{instance="node-2"} > 0`, record.Record), "5m", []sample{}},
				firing("5m", 1), firing("7m45s"),
			},
		},
		{ // A device that is reset starts again from 0: that is no drop, the five after it are.
			Interval: "15s", Series: []inputSeries{{series, "500x8 0x8 5x20"}},
			Exprs: []exprTest{firing("2m30s"), firing("4m15s"), firing("4m45s", 1), firing("7m")},
		},
		{ // One sample is lost: the drops beside it are seen all the same.
			Interval: "15s", Series: []inputSeries{{series, "0x8 _ 60x20"}},
			Exprs: []exprTest{firing("2m"), firing("2m45s", 1), firing("5m")},
		},
		{ // No data, and the end of a series: nothing fires.
			Interval: "15s", Series: []inputSeries{{series, "0x4 _x8 60 stale _x20"}},
			Exprs: []exprTest{firing("2m"), firing("3m15s"), firing("5m")},
		},
	}
}

// said returns what the alert says of that many packets a second.
func (g group) said(value string) annotations {
	a := *g.Rules[1].Annotations
	return annotations{Summary: filled(a.Summary, value), Description: filled(a.Description, value)}
}

// filled returns a template as Prometheus fills it in for the tests' series.
func filled(template, value string) string {
	return strings.NewReplacer(
		"{{ $labels.device }}", "ens5", "{{ $labels.instance }}", "node-1", "{{ $labels.eni }}", "eni-1", `{{ $value | printf "%.3g" }}`, value,
	).Replace(template)
}
