package otlp

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/wire"
)

// crowded is a window of many interfaces with samples of every size.
func crowded() *metric.Batch {
	b := everything(0)
	for i := range 510 {
		at := len(b.Interfaces)
		b.Interfaces = append(b.Interfaces, metric.Interface{Name: fmt.Sprintf("eth%d", at), ENI: fmt.Sprintf("eni-%d", at)})
		b.Series = append(b.Series,
			counter("rx_drops", at, 0, float64(i), math.Exp2(float64(i%64))),
			metric.Series{Name: "pps_throttled_seconds", Unit: metric.Seconds, Interface: at, Scope: metric.PerInterface, Samples: []float64{float64(i) / 7}},
		)
	}
	return b
}

var sameRequest = cmp.Options{cmp.AllowUnexported(request{}, point{}, identity{}), cmpopts.EquateEmpty()}

// official returns what OTLP's generated types write for what they read in data,
// without anything that they do not know.
func official(t testing.TB, data []byte) []byte {
	t.Helper()
	var m metricspb.MetricsData
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(&m)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// The generated types of OTLP would have written the same bytes: no field is
// unknown to them, of another type, or there without need. So a spool that they
// wrote is read too.
func TestSameBytes(t *testing.T) {
	for _, distribution := range []Distribution{Extremes, Histogram, NoDistribution} {
		for _, temporality := range []Temporality{Delta, Cumulative} {
			s := newSink(t, Options{Distribution: distribution, Temporality: temporality})
			requests := append(pack(t, s, crowded()), pack(t, s, everything(1))...)
			requests = append(requests, s.Split(requests[0].Data)...)
			if len(requests) < 5 {
				t.Errorf("only %d requests", len(requests))
			}
			for i, r := range requests {
				if !bytes.Equal(official(t, r.Data), r.Data) {
					t.Errorf("%s, %s: request %d has other bytes than OTLP's own types write", distribution, temporality, i)
				}
				x, err := decode(r.Data)
				if err != nil {
					t.Fatal(err)
				}
				if len(x.points) != r.Points || r.Points > maxPoints {
					t.Errorf("request %d has %d points, %d are read, %d are the most", i, r.Points, len(x.points), maxPoints)
				}
				if again := x.encode(); !bytes.Equal(again.Data, r.Data) || again.Points != r.Points {
					t.Errorf("%s, %s: request %d is not what was read of it", distribution, temporality, i)
				}
			}
		}
	}
}

func text(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

// Every field, written by hand with OTLP's own types.
func TestMessage(t *testing.T) {
	attributes := []attribute{{"a", "1"}, {"b", ""}}
	wantAttributes := []*commonpb.KeyValue{text("a", "1"), text("b", "")}
	times := span{1_795_600_800_000_000_000, math.MaxUint64}
	numbers := []float64{0, 7, -1, 1 << 62, 1 << 63, 0.5, -1e300, math.Inf(1)}
	wantNumbers := func(unit metric.Unit) (list []*metricspb.NumberDataPoint) {
		for i, v := range numbers {
			p := &metricspb.NumberDataPoint{StartTimeUnixNano: times.start, TimeUnixNano: times.end, Attributes: wantAttributes, Value: &metricspb.NumberDataPoint_AsDouble{AsDouble: v}}
			if i < 4 && unit != metric.Seconds {
				p.Value = &metricspb.NumberDataPoint_AsInt{AsInt: int64(v)}
			}
			list = append(list, p)
		}
		return list
	}
	full := histogram{scale: -3, offset: -70000, buckets: []uint64{0, 127, 128, math.MaxUint64}, zeros: 3, count: 1 << 40, sum: 12.5, min: 0, max: math.MaxFloat64}
	sum, low, high, none := full.sum, full.min, full.max, 0.0
	wantFull := func() *metricspb.ExponentialHistogramDataPoint {
		return &metricspb.ExponentialHistogramDataPoint{
			Attributes: wantAttributes, StartTimeUnixNano: times.start, TimeUnixNano: times.end, Count: full.count, Sum: &sum, Scale: full.scale, ZeroCount: full.zeros,
			Positive: &metricspb.ExponentialHistogramDataPoint_Buckets{Offset: full.offset, BucketCounts: full.buckets},
		}
	}
	wantDelta := wantFull()
	wantDelta.Min, wantDelta.Max = &low, &high

	r := &request{resource: resource(&metric.Resource{Host: "h"}, Host{Zone: "z"}), scope: wire.AppendBytes(nil, scopeName, "s")}
	series := &metric.Series{Name: "ena_x", Unit: metric.Bytes}
	seconds := &metric.Series{Name: "y", Unit: metric.Seconds}
	for _, v := range numbers {
		r.points = append(r.points, point{Delta.sum(series), appendNumber(nil, v, metric.Bytes, times, attributes)})
	}
	for _, v := range numbers {
		r.points = append(r.points, point{Cumulative.sum(seconds), appendNumber(nil, v, metric.Seconds, times, attributes)})
	}
	r.points = append(r.points,
		point{gauge(series, suffixMin), appendNumber(nil, 1, metric.Bytes, span{end: 5}, nil)},
		point{identity{name: "bare", kind: metricGauge}, nil},
		point{Delta.distribution(series), full.appendPoint(nil, times, Delta, attributes)},
		point{Cumulative.distribution(series), full.appendPoint(nil, times, Cumulative, attributes)},
		point{Cumulative.distribution(series), new(histogram).appendPoint(nil, span{}, Delta, nil)},
	)

	const delta, cumulative = metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA, metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	distribution := func(t metricspb.AggregationTemporality, points ...*metricspb.ExponentialHistogramDataPoint) *metricspb.Metric {
		return &metricspb.Metric{Name: "system.network.ena.x.distribution", Unit: "By", Data: &metricspb.Metric_ExponentialHistogram{
			ExponentialHistogram: &metricspb.ExponentialHistogram{AggregationTemporality: t, DataPoints: points},
		}}
	}
	want := &metricspb.MetricsData{ResourceMetrics: []*metricspb.ResourceMetrics{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{
			text("service.name", "enawatch"), text("service.instance.id", "h"), text("host.name", "h"), text("cloud.availability_zone", "z"),
		}},
		ScopeMetrics: []*metricspb.ScopeMetrics{{Scope: &commonpb.InstrumentationScope{Name: "s"}, Metrics: []*metricspb.Metric{
			{Name: "system.network.ena.x", Unit: "By", Data: &metricspb.Metric_Sum{Sum: &metricspb.Sum{IsMonotonic: true, AggregationTemporality: delta, DataPoints: wantNumbers(metric.Bytes)}}},
			{Name: "system.network.ena.y", Unit: "s", Data: &metricspb.Metric_Sum{Sum: &metricspb.Sum{IsMonotonic: true, AggregationTemporality: cumulative, DataPoints: wantNumbers(metric.Seconds)}}},
			{Name: "system.network.ena.x.min", Unit: "By", Data: &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: []*metricspb.NumberDataPoint{
				{TimeUnixNano: 5, Value: &metricspb.NumberDataPoint_AsInt{AsInt: 1}},
			}}}},
			{Name: "bare", Data: &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: []*metricspb.NumberDataPoint{{}}}}},
			distribution(delta, wantDelta),
			distribution(cumulative, wantFull(), &metricspb.ExponentialHistogramDataPoint{Sum: &none}),
		}}},
	}}}
	encoded := r.encode()
	if diff := cmp.Diff(want, unmarshal(t, encoded.Data), protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !bytes.Equal(official(t, encoded.Data), encoded.Data) {
		t.Error("OTLP's own types write other bytes")
	}
	if encoded.Points != len(r.points) {
		t.Errorf("%d points of %d", encoded.Points, len(r.points))
	}
	got, err := decode(encoded.Data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got, sameRequest); diff != "" {
		t.Errorf("what was written, and what is read (-want +got):\n%s", diff)
	}
}

// Damage is seen before anything is sent.
func TestDamage(t *testing.T) {
	nested := func(fields ...protowire.Number) func(string) string {
		return func(text string) string {
			for i := range fields {
				text = string(wire.AppendBytes(nil, fields[len(fields)-1-i], text))
			}
			return text
		}
	}
	in := nested(dataResources, resourceScopes, scopeMetrics)
	const name = "\x0a\x01n" // of a metric
	for what, tt := range map[string]struct{ message, want string }{
		"nothing":         {"", "not of one resource"},
		"a number":        {"\x08\x01", "not of one resource"},
		"two resources":   {in(name+"\x2a\x02\x0a\x00") + in(name+"\x2a\x02\x0a\x00"), "not of one resource"},
		"an empty one":    {nested(dataResources)("") + in(name+"\x2a\x02\x0a\x00"), "not of one resource"},
		"no scope":        {nested(dataResources)(""), "not of one resource and one scope"},
		"no metric":       {nested(dataResources, resourceScopes)(""), "has no points"},
		"no point":        {in(name + "\x2a\x00"), "has no points"},
		"another kind":    {in(name + "\x4a\x00"), `metric "n" is no sum`},
		"no kind":         {in(name), `metric "n" is no sum`},
		"point: number":   {in(name + "\x2a\x02\x08\x01"), "a number, not a message"},
		"damaged point":   {in(name + "\x2a\x03\x0a\x01\x09"), "read a spooled request"},
		"damaged name":    {in("\x0a\x05n"), "read a spooled request"},
		"damaged host":    {nested(dataResources, resourceOf)("\x0a"), "read a spooled request"},
		"damaged scope":   {nested(dataResources, resourceScopes, scopeOf)("\x0a"), "read a spooled request"},
		"resource number": {nested(dataResources)("\x08\x01"), "a number, not a message"},
	} {
		r, err := decode([]byte(tt.message))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, %v", what, r, err)
		}
	}
	good := pack(t, newSink(t, Options{Distribution: Histogram}), everything(0))[0].Data
	for n := range good {
		if r, err := decode(good[:n]); err == nil {
			t.Errorf("the first %d bytes of %d: %v", n, len(good), r)
		}
	}
}

// Fields of a later version are no reason to give up what it left behind: those
// of a point are kept.
func TestLaterFields(t *testing.T) {
	r, err := decode(pack(t, newSink(t, Options{}), batch(0, counter("tx_timeout", -1, 1)))[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	const later = 99
	body := &r.points[0].body
	*body = wire.AppendVarint(slices.Clip(*body), later, 1)
	data := r.encode().Data
	got, err := decode(wire.AppendDouble(wire.AppendBytes(data, later, "x"), later, 1))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got, sameRequest); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
