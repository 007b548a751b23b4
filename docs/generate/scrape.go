package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/prometheus"
)

// scrape serves s at /metrics on the loopback interface, under the given name
// sets, and returns the families that a Prometheus server would read there,
// sorted by name.
func scrape(s *metric.Snapshot, nameSets ...string) ([]*dto.MetricFamily, error) {
	well := func() error { return nil }
	server, err := prometheus.New(prometheus.Options{
		Listen: "127.0.0.1:0", Names: nameSets, Snapshot: func() *metric.Snapshot { return s },
		Health: well, Ready: well, Version: "devel", Revision: "unknown", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	if err := server.Listen(nil); err != nil {
		return nil, err
	}
	server.Start()
	defer server.Shutdown(context.Background())
	answer, err := http.Get("http://" + server.Addr().String() + "/metrics")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("scrape /metrics: %s", answer.Status)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("parse /metrics: %w", err)
	}
	var sorted []*dto.MetricFamily
	for _, name := range slices.Sorted(maps.Keys(families)) {
		sorted = append(sorted, families[name])
	}
	return sorted, nil
}

// valueOf returns the value of a counter, a gauge or an untyped metric.
func valueOf(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	}
	return m.Untyped.GetValue()
}

// labelsOf lists the names of a metric's labels.
func labelsOf(m *dto.Metric) (names []string) {
	for _, l := range m.Label {
		names = append(names, l.GetName())
	}
	return names
}

// labelValue returns the value of one label, or "".
func labelValue(m *dto.Metric, name string) string {
	for _, l := range m.Label {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
