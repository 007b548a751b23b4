package otlp

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/enawatch/enawatch/agent/sink"
)

// requestVersion stands before each request in the spool; behind it, the body as
// it is sent. That is ExportMetricsServiceRequest in gzip; MetricsData has the
// same one field, and its package needs no gRPC.
const requestVersion = 1

// maxPlain bounds what is unpacked of a spooled request, far above maxBytes.
const maxPlain = 8 << 20

// scope names the program that made the metrics.
const scope = "github.com/enawatch/enawatch"

// request is one call of the destination.
type request struct {
	resource *resourcepb.Resource
	metrics  []*metricspb.Metric
}

func (r *request) encode() sink.Request {
	points := 0
	for _, m := range r.metrics {
		points += count(m)
	}
	// All that protobuf could refuse is strings that are not UTF-8: MetricName
	// and attributes have none.
	plain, _ := proto.Marshal(&metricspb.MetricsData{ResourceMetrics: []*metricspb.ResourceMetrics{{
		Resource:     r.resource,
		ScopeMetrics: []*metricspb.ScopeMetrics{{Scope: &commonpb.InstrumentationScope{Name: scope}, Metrics: r.metrics}},
	}}})
	var b bytes.Buffer
	b.WriteByte(requestVersion)
	z := gzip.NewWriter(&b)
	z.Write(plain) // a buffer takes everything
	z.Close()
	return sink.Request{Data: b.Bytes(), Points: points}
}

// compressed returns the body of a spooled request.
func compressed(data []byte) ([]byte, error) {
	if len(data) == 0 || data[0] != requestVersion {
		return nil, errors.New("read a spooled request: another version of this program wrote it")
	}
	return data[1:], nil
}

// decode reads what encode wrote.
func decode(data []byte) (*request, error) {
	body, err := compressed(data)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("read a spooled request: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(z, maxPlain))
	if err != nil {
		return nil, fmt.Errorf("read a spooled request: %w", err)
	}
	var m metricspb.MetricsData
	if err := proto.Unmarshal(plain, &m); err != nil {
		return nil, fmt.Errorf("read a spooled request: %w", err)
	}
	if len(m.ResourceMetrics) != 1 || len(m.ResourceMetrics[0].ScopeMetrics) != 1 {
		return nil, errors.New("read a spooled request: it has not one resource and one scope")
	}
	r := &request{resource: m.ResourceMetrics[0].Resource, metrics: m.ResourceMetrics[0].ScopeMetrics[0].Metrics}
	if len(r.metrics) == 0 {
		return nil, errors.New("read a spooled request: it has no metrics")
	}
	return r, nil
}

// count returns how many points a metric has.
func count(m *metricspb.Metric) int {
	return len(m.GetSum().GetDataPoints()) + len(m.GetGauge().GetDataPoints()) + len(m.GetExponentialHistogram().GetDataPoints())
}

// halves returns the first and the second half of the metrics or, if there is
// but one, of its points; nil if there is but one of these.
func halves(r *request) []sink.Request {
	first, second := *r, *r
	if half := len(r.metrics) / 2; half > 0 {
		first.metrics, second.metrics = r.metrics[:half], r.metrics[half:]
		return []sink.Request{first.encode(), second.encode()}
	}
	half := count(r.metrics[0]) / 2
	if half == 0 {
		return nil
	}
	first.metrics = []*metricspb.Metric{part(r.metrics[0], 0, half)}
	second.metrics = []*metricspb.Metric{part(r.metrics[0], half, count(r.metrics[0]))}
	return []sink.Request{first.encode(), second.encode()}
}

// part returns a metric with its points from index i to j.
func part(m *metricspb.Metric, i, j int) *metricspb.Metric {
	m = proto.CloneOf(m)
	switch d := m.Data.(type) {
	case *metricspb.Metric_Sum:
		d.Sum.DataPoints = d.Sum.DataPoints[i:j]
	case *metricspb.Metric_Gauge:
		d.Gauge.DataPoints = d.Gauge.DataPoints[i:j]
	case *metricspb.Metric_ExponentialHistogram:
		d.ExponentialHistogram.DataPoints = d.ExponentialHistogram.DataPoints[i:j]
	}
	return m
}

// describe names the first few metrics.
func describe(r *request) string {
	const most = 3
	names := make([]string, 0, most+1)
	for i, m := range r.metrics[:min(most, len(r.metrics))] {
		names = append(names, fmt.Sprintf("%.80q", m.GetName()))
		if rest := len(r.metrics) - i - 1; i == most-1 && rest > 0 {
			names = append(names, fmt.Sprintf("%d more", rest))
		}
	}
	return strings.Join(names, ", ")
}
