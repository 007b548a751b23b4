package otlp

import (
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/wire"
)

// Parts of metrics' names.
const (
	prefix             = "system.network.ena."
	suffixMax          = ".max"
	suffixMin          = ".min"
	suffixDistribution = ".distribution"
)

// MetricName returns what OpenTelemetry is to call a series: in the namespace of
// the semantic conventions' network metrics, without the driver's own prefix.
func MetricName(series string) string { return prefix + strings.TrimPrefix(series, "ena_") }

// UnitOf returns a unit in UCUM, as the semantic conventions write it.
func UnitOf(u metric.Unit) string {
	switch u {
	case metric.Count:
		return "{count}"
	case metric.Bytes:
		return "By"
	case metric.Percent:
		return "%"
	case metric.Seconds:
		return "s"
	}
	return ""
}

// span is when a point begins and ends, in ns since 1970.
type span struct{ start, end uint64 }

// appendNumber writes a point. Seconds may have fractions, counts have none.
func appendNumber(b []byte, v float64, unit metric.Unit, t span, attributes []attribute) []byte {
	b = wire.AppendFixed64(b, pointStart, t.start)
	b = wire.AppendFixed64(b, pointTime, t.end)
	b = appendAttributes(b, numberAttributes, attributes)
	if unit == metric.Seconds || v != math.Trunc(v) || math.Abs(v) >= 1<<63 {
		return wire.AppendDouble(b, numberDouble, v)
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, numberInt, protowire.Fixed64Type), uint64(int64(v)))
}

// sum returns what identifies the metric of a counter.
func (t Temporality) sum(s *metric.Series) identity {
	return identity{name: MetricName(s.Name), unit: UnitOf(s.Unit), kind: metricSum, temporality: t.wire(), monotonic: true}
}

// gauge returns what identifies the metric of a level.
func gauge(s *metric.Series, suffix string) identity {
	return identity{name: MetricName(s.Name) + suffix, unit: UnitOf(s.Unit), kind: metricGauge}
}

// distribution returns what identifies the metric of a histogram.
func (t Temporality) distribution(s *metric.Series) identity {
	return identity{name: MetricName(s.Name) + suffixDistribution, unit: UnitOf(s.Unit), kind: metricHistogram, temporality: t.wire()}
}

// wire returns the AggregationTemporality of OTLP.
func (t Temporality) wire() uint64 {
	if t == Cumulative {
		return 2
	}
	return 1
}
