package prometheus

import "github.com/enawatch/enawatch/agent/metric"

// Family is what a page of /metrics says under one name.
type Family struct {
	// Name is a valid metric name; a counter's ends in _total.
	Name string
	// Help may be empty. Unit is "" or what Name ends in, as OpenMetrics wants it.
	Help, Unit string
	Kind       Kind
	// Series are sorted by labels and differ in them.
	Series []Series
}

// Series is one value. Labels, which several series may share, are sorted by name.
type Series struct {
	Labels []Label
	Value  float64
}

// Label is a valid name and a value in UTF-8.
type Label struct{ Name, Value string }

// Kind is what the values of a family are.
type Kind uint8

// Kinds of families. Nothing is known of untyped ones.
const (
	Untyped Kind = iota
	Counter
	Gauge
)

func kindOf(k metric.Kind) Kind {
	if k == metric.Gauge {
		return Gauge
	}
	return Counter
}
