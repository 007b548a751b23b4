//go:build beds

package prometheus

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/enawatch/enawatch/agent/provision"
	"github.com/enawatch/enawatch/test/beds/bed"
)

// The queries of PromQL alarms hold of the points that OTLP brings when they must,
// and at no other time: Prometheus itself evaluates them. Points are a minute
// apart; of cumulative counters each is a sum.
func TestAlarmQueries(t *testing.T) {
	const name = "system.network.ena.pps_throttled_seconds"
	type input struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	}
	tests := []struct {
		level          int // of provision.Levels
		cumulative     bool
		alarm, series  string
		values         string
		holds, doesNot []int // minutes
	}{
		{0, false, "pps-exceeded", name, "0 0 1 0 0 0 0 0", []int{2, 4}, []int{1, 5, 7}},
		{0, true, "pps-exceeded", name, "0 0 1 1 1 1 1 1", []int{2, 3}, []int{1, 4, 7}}, // a difference takes two points
		{1, false, "pps-exceeded", name, "0 15 15 0 0 0 0 0 0", []int{2, 5}, []int{1, 6, 8}},
		{1, true, "pps-exceeded", name, "0 15 30 30 30 30 30 30 30", []int{2, 4}, []int{0, 5, 8}},
		{1, false, "pps-exceeded", name, "9 0 9 0 9 0 0 0 0", nil, []int{1, 4, 8}},
		{2, true, "pps-exceeded", name, "0 15 30 45 45 45 45 45 45", nil, []int{1, 5, 8}},
		{1, false, "conntrack-low", "system.network.ena.conntrack_allowance_available", "9000 4000 4000 4000 9000", []int{3}, []int{0, 1, 2, 4}},
	}
	dir := t.TempDir()
	promtool := filepath.Join(bed.Tools(t, "prometheus"), "promtool3")
	for i, tt := range tests {
		set, err := provision.Alarms(provision.Options{
			Name: "ena", Namespace: "ENA", Interval: time.Minute, Scopes: []provision.Scope{provision.PromQL},
			Level: provision.Levels[tt.level], Cumulative: tt.cumulative, ConntrackLeft: provision.DefaultConntrackLeft,
		})
		if err != nil {
			t.Fatal(err)
		}
		query := ""
		for _, a := range set.MetricAlarms {
			if strings.HasSuffix(a.AlarmName, tt.alarm) {
				query = a.EvaluationCriteria.PromQLCriteria.Query
			}
		}
		var results []any
		for minutes, want := range map[*[]int][]any{&tt.holds: {map[string]any{"exp_labels": map[string]string{"host": "a"}}}, &tt.doesNot: nil} {
			for _, m := range *minutes {
				results = append(results, map[string]any{"eval_time": fmt.Sprintf("%dm", m), "alertname": "alarm", "exp_alerts": want})
			}
		}
		rules := map[string]any{"groups": []any{map[string]any{"name": "alarms", "interval": "1m", "rules": []any{map[string]any{"alert": "alarm", "expr": query}}}}}
		script := map[string]any{"rule_files": []string{"rules.yaml"}, "evaluation_interval": "1m", "tests": []any{map[string]any{
			"interval": "1m", "input_series": []input{{fmt.Sprintf("{%q, host=\"a\"}", tt.series), tt.values}}, "alert_rule_test": results,
		}}}
		for file, content := range map[string]any{"rules.yaml": rules, "test.yaml": script} {
			text, err := yaml.Marshal(content)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("%d: %s of %s", i, query, tt.values)
		bed.Run(t, promtool, "test", "rules", filepath.Join(dir, "test.yaml"))
	}
}
