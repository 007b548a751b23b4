package otlp

import (
	"fmt"
	"math"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"github.com/enawatch/enawatch/agent/metric"
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

// number returns a point. Seconds may have fractions, counts have none.
func number(v float64, unit metric.Unit, t span, attributes []*commonpb.KeyValue) *metricspb.NumberDataPoint {
	p := &metricspb.NumberDataPoint{StartTimeUnixNano: t.start, TimeUnixNano: t.end, Attributes: attributes}
	if unit != metric.Seconds && v == math.Trunc(v) && math.Abs(v) < 1<<63 {
		p.Value = &metricspb.NumberDataPoint_AsInt{AsInt: int64(v)}
	} else {
		p.Value = &metricspb.NumberDataPoint_AsDouble{AsDouble: v}
	}
	return p
}

// sum returns a metric with one point of a counter.
func (t Temporality) sum(s *metric.Series, p *metricspb.NumberDataPoint) *metricspb.Metric {
	return &metricspb.Metric{Name: MetricName(s.Name), Unit: UnitOf(s.Unit), Data: &metricspb.Metric_Sum{Sum: &metricspb.Sum{
		IsMonotonic: true, AggregationTemporality: t.wire(), DataPoints: []*metricspb.NumberDataPoint{p},
	}}}
}

// gauge returns a metric with one level.
func gauge(s *metric.Series, suffix string, v float64, end uint64, attributes []*commonpb.KeyValue) *metricspb.Metric {
	return &metricspb.Metric{Name: MetricName(s.Name) + suffix, Unit: UnitOf(s.Unit), Data: &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{
		DataPoints: []*metricspb.NumberDataPoint{number(v, s.Unit, span{end: end}, attributes)},
	}}}
}

// distribution returns a metric with one histogram.
func (t Temporality) distribution(s *metric.Series, p *metricspb.ExponentialHistogramDataPoint) *metricspb.Metric {
	return &metricspb.Metric{Name: MetricName(s.Name) + suffixDistribution, Unit: UnitOf(s.Unit), Data: &metricspb.Metric_ExponentialHistogram{
		ExponentialHistogram: &metricspb.ExponentialHistogram{
			AggregationTemporality: t.wire(), DataPoints: []*metricspb.ExponentialHistogramDataPoint{p},
		},
	}}
}

func (t Temporality) wire() metricspb.AggregationTemporality {
	if t == Cumulative {
		return metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	}
	return metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
}

// join puts the points of metrics that follow each other and have one name into
// one metric.
func join(list []*metricspb.Metric) (joined []*metricspb.Metric) {
	for _, m := range list {
		if last := len(joined) - 1; last < 0 || !take(joined[last], m) {
			joined = append(joined, m)
		}
	}
	return joined
}

// take moves the points of b to a, if both are the same metric.
func take(a, b *metricspb.Metric) bool {
	if a.Name != b.Name {
		return false
	}
	switch to := a.Data.(type) {
	case *metricspb.Metric_Sum:
		if from, ok := b.Data.(*metricspb.Metric_Sum); ok {
			to.Sum.DataPoints = append(to.Sum.DataPoints, from.Sum.DataPoints...)
			return true
		}
	case *metricspb.Metric_Gauge:
		if from, ok := b.Data.(*metricspb.Metric_Gauge); ok {
			to.Gauge.DataPoints = append(to.Gauge.DataPoints, from.Gauge.DataPoints...)
			return true
		}
	case *metricspb.Metric_ExponentialHistogram:
		if from, ok := b.Data.(*metricspb.Metric_ExponentialHistogram); ok {
			to.ExponentialHistogram.DataPoints = append(to.ExponentialHistogram.DataPoints, from.ExponentialHistogram.DataPoints...)
			return true
		}
	}
	return false
}

// apart undoes join: it returns metrics of one point each. An error means that
// this program never wrote m.
func apart(m *metricspb.Metric) (list []*metricspb.Metric, err error) {
	one := func() *metricspb.Metric {
		c := &metricspb.Metric{Name: m.Name, Unit: m.Unit}
		list = append(list, c)
		return c
	}
	switch data := m.Data.(type) {
	case *metricspb.Metric_Sum:
		for _, p := range data.Sum.GetDataPoints() {
			one().Data = &metricspb.Metric_Sum{Sum: &metricspb.Sum{
				IsMonotonic: data.Sum.IsMonotonic, AggregationTemporality: data.Sum.AggregationTemporality, DataPoints: []*metricspb.NumberDataPoint{p},
			}}
		}
	case *metricspb.Metric_Gauge:
		for _, p := range data.Gauge.GetDataPoints() {
			one().Data = &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: []*metricspb.NumberDataPoint{p}}}
		}
	case *metricspb.Metric_ExponentialHistogram:
		for _, p := range data.ExponentialHistogram.GetDataPoints() {
			one().Data = &metricspb.Metric_ExponentialHistogram{ExponentialHistogram: &metricspb.ExponentialHistogram{
				AggregationTemporality: data.ExponentialHistogram.AggregationTemporality, DataPoints: []*metricspb.ExponentialHistogramDataPoint{p},
			}}
		}
	default:
		return nil, fmt.Errorf("metric %.80q is no sum, gauge or exponential histogram", m.Name)
	}
	return list, nil
}
