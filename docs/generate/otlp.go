package main

import (
	"slices"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/otlp"
	"github.com/enawatch/enawatch/agent/window"
)

// otlpRow is one metric by OTLP.
type otlpRow struct {
	Name, Instrument, Unit string
	Interface              bool // whether its points speak of one
	Series                 string
}

// otlpNames is what the template of docs/otlp.md is filled in with.
type otlpNames struct {
	Rows     []otlpRow
	Resource []otlp.ResourceAttribute
}

// otlpPage returns docs/otlp.md with its tables brought up to date.
func otlpPage(old []byte) ([]byte, error) {
	names := otlpNames{Resource: otlp.ResourceAttributes()}
	add := func(name string, kind metric.Kind, unit metric.Unit, scope metric.Scope) {
		instrument := "sum"
		if kind == metric.Gauge {
			instrument = "gauge"
		}
		names.Rows = append(names.Rows, otlpRow{otlp.MetricName(name), instrument, otlp.UnitOf(unit), scope == metric.PerInterface, name})
	}
	for _, d := range slices.Concat(window.AllDerived(), window.LinkLocal(), window.Conntrack()) {
		add(d.Name, d.Kind, d.Unit, d.Scope)
	}
	for _, e := range ena.Catalogue()[:ena.FirstQueue] {
		if !e.Internal {
			add(e.Name, e.Kind, e.Unit, e.Scope)
		}
	}
	return between(old, "otlp.tmpl", names)
}
