package awsfake_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/enawatch/enawatch/test/awsfake"
)

func attribute(name, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: name, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

func export(metrics ...*metricspb.Metric) *metricspb.MetricsData {
	return &metricspb.MetricsData{ResourceMetrics: []*metricspb.ResourceMetrics{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{attribute("host.id", "i-1")}},
		ScopeMetrics: []*metricspb.ScopeMetrics{{
			Scope: &commonpb.InstrumentationScope{Name: "enawatch"}, Metrics: metrics,
		}},
	}}}
}

func sum(points ...*metricspb.NumberDataPoint) *metricspb.Metric {
	return &metricspb.Metric{Name: "drops", Unit: "{packet}", Data: &metricspb.Metric_Sum{Sum: &metricspb.Sum{
		IsMonotonic: true, AggregationTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA, DataPoints: points,
	}}}
}

func numberPoint(v int64, labels ...*commonpb.KeyValue) *metricspb.NumberDataPoint {
	return &metricspb.NumberDataPoint{
		Attributes: labels, StartTimeUnixNano: uint64(frozen.Add(-time.Minute).UnixNano()), TimeUnixNano: uint64(frozen.UnixNano()),
		Value: &metricspb.NumberDataPoint_AsInt{AsInt: v},
	}
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func postOTLP(t *testing.T, s *awsfake.Server, media, encoding string, body []byte) reply {
	t.Helper()
	return post(t, s, "monitoring", "/v1/metrics", body, map[string]string{"Content-Type": media, "Content-Encoding": encoding})
}

const protobuf = "application/x-protobuf"

// TestOTLPStores sends every kind of point in every encoding.
func TestOTLPStores(t *testing.T) {
	low, high, total := 0.0, 9.0, 20.0
	start0, end := uint64(frozen.Add(-time.Minute).UnixNano()), uint64(frozen.UnixNano())
	cumulative := metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	odd := []*commonpb.KeyValue{
		{Key: "bool", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}},
		{Key: "int", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: -3}}},
		{Key: "double", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 0.5}}},
	}
	in := export(
		sum(numberPoint(7, odd...)),
		&metricspb.Metric{Name: "gauge", Data: &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: []*metricspb.NumberDataPoint{
			{TimeUnixNano: end, Value: &metricspb.NumberDataPoint_AsDouble{AsDouble: 1.5}},
		}}}},
		&metricspb.Metric{Name: "histogram", Data: &metricspb.Metric_Histogram{Histogram: &metricspb.Histogram{
			AggregationTemporality: cumulative,
			DataPoints:             []*metricspb.HistogramDataPoint{{StartTimeUnixNano: start0, TimeUnixNano: end, Count: 60, Sum: &total}},
		}}},
		&metricspb.Metric{Name: "exponential", Data: &metricspb.Metric_ExponentialHistogram{ExponentialHistogram: &metricspb.ExponentialHistogram{
			DataPoints: []*metricspb.ExponentialHistogramDataPoint{{StartTimeUnixNano: start0, TimeUnixNano: end, Count: 60, Sum: &total, Min: &low, Max: &high}},
		}}},
		&metricspb.Metric{Name: "summary", Data: &metricspb.Metric_Summary{Summary: &metricspb.Summary{
			DataPoints: []*metricspb.SummaryDataPoint{{TimeUnixNano: end, Count: 2, Sum: 3}},
		}}},
	)
	base := awsfake.Point{
		Resource: map[string]string{"host.id": "i-1"}, Scope: "enawatch", Attributes: map[string]string{},
		Time: frozen, Min: math.NaN(), Max: math.NaN(), Request: 1,
	}
	point := func(change func(*awsfake.Point)) awsfake.Point { p := base; change(&p); return p }
	want := []awsfake.Point{
		point(func(p *awsfake.Point) {
			p.Metric, p.Unit, p.Kind, p.Temporality, p.Monotonic, p.Value = "drops", "{packet}", "sum", "delta", true, 7
			p.Start, p.Attributes = frozen.Add(-time.Minute), map[string]string{"bool": "true", "int": "-3", "double": "0.5"}
		}),
		point(func(p *awsfake.Point) { p.Metric, p.Kind, p.Value = "gauge", "gauge", 1.5 }),
		point(func(p *awsfake.Point) {
			p.Metric, p.Kind, p.Temporality, p.Count, p.Sum, p.Start = "histogram", "histogram", "cumulative", 60, 20, frozen.Add(-time.Minute)
		}),
		point(func(p *awsfake.Point) {
			p.Metric, p.Kind, p.Temporality, p.Count, p.Sum, p.Start = "exponential", "exponential_histogram", "unspecified", 60, 20, frozen.Add(-time.Minute)
			p.Min, p.Max = 0, 9
		}),
		point(func(p *awsfake.Point) { p.Metric, p.Kind, p.Count, p.Sum = "summary", "summary", 2, 3 }),
	}
	text, err := protojson.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(marshal(t, in))
	z.Close()
	for name, send := range map[string]func(*awsfake.Server) reply{
		"protobuf": func(s *awsfake.Server) reply { return postOTLP(t, s, protobuf, "", marshal(t, in)) },
		"gzip":     func(s *awsfake.Server) reply { return postOTLP(t, s, protobuf, "gzip", zipped.Bytes()) },
		"JSON":     func(s *awsfake.Server) reply { return postOTLP(t, s, "application/json", "", text) },
	} {
		s := start(t, awsfake.Options{})
		wantBody := ""
		if name == "JSON" {
			wantBody = "{}"
		}
		if r := send(s); r.status != http.StatusOK || r.body != wantBody {
			t.Errorf("%s: %+v", name, r)
		}
		if diff := cmp.Diff(want, s.OTLP.Points(""), cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if n := len(s.OTLP.Points("gauge")); n != 1 {
			t.Errorf("%s: %d points of one metric", name, n)
		}
		if q := s.Journal.Requests("otlp", "ExportMetrics")[0]; !q.Stored || q.Items != 5 {
			t.Errorf("%s: journal: stored %v, %d items", name, q.Stored, q.Items)
		}
		send(s)
		if n := s.OTLP.DuplicatePoints(); n != 5 {
			t.Errorf("%s: %d duplicates, want all 5", name, n)
		}
	}
}

// TestOTLPLabels: 150 labels pass, 151 cost the point, and the answer counts it.
func TestOTLPLabels(t *testing.T) {
	labels := func(n int) []*commonpb.KeyValue {
		var out []*commonpb.KeyValue
		for i := range n {
			out = append(out, attribute(fmt.Sprint("l", i), "v"))
		}
		return out
	}
	s := start(t, awsfake.Options{})
	// One more label is the resource's.
	if r := postOTLP(t, s, protobuf, "", marshal(t, export(sum(numberPoint(1, labels(149)...))))); r.status != http.StatusOK || r.body != "" {
		t.Errorf("150 labels: %+v", r)
	}
	bad := export(sum(numberPoint(1, labels(150)...), numberPoint(2), &metricspb.NumberDataPoint{}))
	r := postOTLP(t, s, protobuf, "", marshal(t, bad))
	partial, n := protowire.ConsumeBytes([]byte(r.body)[1:])
	if r.status != http.StatusOK || n < 0 || !bytes.HasPrefix(partial, []byte{0x08, 2, 0x12}) {
		t.Errorf("151 labels and no time: %+v", r)
	}
	text, err := protojson.Marshal(bad)
	if err != nil {
		t.Fatal(err)
	}
	if r := postOTLP(t, s, "application/json", "", text); !strings.Contains(r.body, `"rejectedDataPoints":"2"`) {
		t.Errorf("in JSON: %+v", r)
	}
	if n := len(s.OTLP.Points("")); n != 3 {
		t.Errorf("%d points stored, want 3", n)
	}
}

func TestOTLPProtocol(t *testing.T) {
	s := start(t, awsfake.Options{})
	good := marshal(t, export(sum(numberPoint(1))))
	bad := []byte{0x0a, 0xff}
	for _, tt := range []struct {
		name   string
		reply  reply
		status int
		part   string
	}{
		{"media", postOTLP(t, s, "text/plain", "", good), 415, "unsupported content type"},
		{"encoding", postOTLP(t, s, protobuf, "snappy", good), 400, "snappy"},
		{"no gzip", postOTLP(t, s, protobuf, "gzip", good), 400, "gzip"},
		{"no protobuf", postOTLP(t, s, protobuf, "", bad), 400, "\x08\x03\x12"},
		{"no JSON", postOTLP(t, s, "application/json", "", bad), 400, `"code":3`},
		{"unsigned", post(t, s, "", "/v1/metrics", good, nil), 403, "Missing Authentication Token"},
		{"signed for another service", post(t, s, "logs", "/v1/metrics", good, nil), 403, "scoped to correct service: 'monitoring'"},
	} {
		if tt.reply.status != tt.status || !strings.Contains(tt.reply.body, tt.part) {
			t.Errorf("%s: %+v", tt.name, tt.reply)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/v1/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	sign(t, r, nil, awsfake.DefaultCredential, "monitoring", "us-east-1", frozen)
	if got := sendRequest(t, s, r); got.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %+v", got)
	}
	if n := len(s.OTLP.Points("")); n != 0 {
		t.Errorf("%d points stored", n)
	}
}
