package awsfake

import (
	"fmt"
	"maps"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// maxOTLPLabels is how many labels a point may have: those of the resource, of
// the scope and of the point itself together.
const maxOTLPLabels = 150

// maxOTLPRequest bounds a request. AWS documents a limit that is not known
// here; this one only protects the test.
const maxOTLPRequest = 16 << 20

// OTLP is CloudWatch's endpoint for OpenTelemetry metrics.
type OTLP struct {
	mu     sync.Mutex
	points []Point
}

// Point is one data point that was accepted.
type Point struct {
	Resource map[string]string `json:"resource,omitempty"`
	Scope    string            `json:"scope,omitempty"`
	Metric   string            `json:"metric"`
	Unit     string            `json:"unit,omitempty"`
	// Kind is "sum", "gauge", "histogram", "exponential_histogram" or "summary".
	Kind string `json:"kind"`
	// Temporality is "delta" or "cumulative"; "" for a gauge and a summary.
	Temporality string            `json:"temporality,omitempty"`
	Monotonic   bool              `json:"monotonic,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	Start       time.Time         `json:"start,omitzero"`
	Time        time.Time         `json:"time"`
	// Value is that of a sum or gauge.
	Value float64 `json:"value"`
	// Count, Sum, Min and Max are those of a distribution. Min and Max are NaN
	// in Go, and absent in JSON, if they were not sent.
	Count uint64  `json:"count,omitempty"`
	Sum   float64 `json:"sum,omitempty"`
	Min   float64 `json:"-"`
	Max   float64 `json:"-"`
	// Request is Request.Seq of the request that brought the point.
	Request int `json:"request"`
}

func (o *OTLP) name() string { return "otlp" }

func (o *OTLP) operation(r *http.Request, _ []byte) (string, bool) {
	return "ExportMetrics", r.URL.Path == "/v1/metrics"
}

func (o *OTLP) scope(string) string { return "monitoring" }

func (o *OTLP) refusal(e *apiError) answer { return gatewayRefusal(e) }

func (o *OTLP) serve(c *call) answer {
	if c.r.Method != http.MethodPost {
		return o.refusal(&apiError{status: http.StatusMethodNotAllowed, shape: "MethodNotAllowedException", message: "Method Not Allowed"})
	}
	media, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if media != "application/x-protobuf" && media != "application/json" {
		return o.refusal(&apiError{status: http.StatusUnsupportedMediaType, shape: "UnsupportedMediaTypeException", message: "unsupported content type " + strconv.Quote(media)})
	}
	plain, decoded, err := plainBody(c.r, c.body, maxOTLPRequest)
	if err != nil {
		return otlpStatus(media, err.Error())
	}
	if len(plain) > maxOTLPRequest {
		return o.refusal(errTooLarge(len(plain), maxOTLPRequest))
	}
	// ExportMetricsServiceRequest has the one field of MetricsData.
	var in metricspb.MetricsData
	if media == "application/json" {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(plain, &in)
	} else {
		err = proto.Unmarshal(plain, &in)
	}
	if err != nil {
		a := otlpStatus(media, err.Error())
		a.decoded = decoded
		return a
	}
	points := pointsOf(&in, c.record.Seq)
	good := slices.DeleteFunc(slices.Clone(points), func(p Point) bool { return p.labels() > maxOTLPLabels || p.Time.IsZero() })
	o.mu.Lock()
	o.points = append(o.points, good...)
	o.mu.Unlock()
	a := otlpSuccess(media, len(points)-len(good))
	a.decoded, a.stored, a.items = decoded, len(good) > 0, len(points)
	return a
}

// DecodeOTLP takes a request in protobuf apart, as of a receiver that is not
// CloudWatch: an ExportMetricsServiceRequest, not compressed.
func DecodeOTLP(body []byte, request int) ([]Point, error) {
	var in metricspb.MetricsData
	if err := proto.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	return pointsOf(&in, request), nil
}

// otlpSuccess is ExportMetricsServiceResponse.
func otlpSuccess(media string, rejected int) answer {
	a := answer{status: http.StatusOK, header: http.Header{"Content-Type": {media}}}
	const message = "points need a time and at most 150 labels"
	switch {
	case media == "application/json" && rejected == 0:
		a.body = []byte("{}")
	case media == "application/json":
		a.body = encodeJSON(map[string]any{"partialSuccess": map[string]string{
			"rejectedDataPoints": strconv.Itoa(rejected), "errorMessage": message,
		}})
	case rejected > 0:
		var partial []byte
		partial = protowire.AppendTag(partial, 1, protowire.VarintType)
		partial = protowire.AppendVarint(partial, uint64(rejected))
		partial = protowire.AppendTag(partial, 2, protowire.BytesType)
		partial = protowire.AppendString(partial, message)
		a.body = protowire.AppendTag(a.body, 1, protowire.BytesType)
		a.body = protowire.AppendBytes(a.body, partial)
	}
	return a
}

// otlpStatus is a google.rpc.Status with code INVALID_ARGUMENT, which the
// OTLP specification wants in the encoding of the request.
func otlpStatus(media, message string) answer {
	const invalidArgument = 3
	a := answer{status: http.StatusBadRequest, header: http.Header{"Content-Type": {media}}, code: "INVALID_ARGUMENT"}
	if media == "application/json" {
		a.body = encodeJSON(map[string]any{"code": invalidArgument, "message": message})
		return a
	}
	a.body = protowire.AppendTag(a.body, 1, protowire.VarintType)
	a.body = protowire.AppendVarint(a.body, invalidArgument)
	a.body = protowire.AppendTag(a.body, 2, protowire.BytesType)
	a.body = protowire.AppendString(a.body, message)
	return a
}

// pointsOf takes a request apart.
func pointsOf(in *metricspb.MetricsData, request int) []Point {
	var out []Point
	for _, rm := range in.ResourceMetrics {
		resource := attributes(rm.GetResource().GetAttributes())
		for _, sm := range rm.ScopeMetrics {
			for _, m := range sm.Metrics {
				base := Point{Resource: resource, Scope: sm.GetScope().GetName(), Metric: m.Name, Unit: m.Unit, Min: math.NaN(), Max: math.NaN(), Request: request}
				out = append(out, pointsOfMetric(m, base)...)
			}
		}
	}
	return out
}

func pointsOfMetric(m *metricspb.Metric, base Point) []Point {
	var out []Point
	numbers := func(points []*metricspb.NumberDataPoint) {
		for _, n := range points {
			p := base.at(n.Attributes, n.StartTimeUnixNano, n.TimeUnixNano)
			p.Value = n.GetAsDouble()
			if v, ok := n.Value.(*metricspb.NumberDataPoint_AsInt); ok {
				p.Value = float64(v.AsInt)
			}
			out = append(out, p)
		}
	}
	switch data := m.Data.(type) {
	case *metricspb.Metric_Gauge:
		base.Kind = "gauge"
		numbers(data.Gauge.DataPoints)
	case *metricspb.Metric_Sum:
		base.Kind, base.Monotonic = "sum", data.Sum.IsMonotonic
		base.Temporality = temporality(data.Sum.AggregationTemporality)
		numbers(data.Sum.DataPoints)
	case *metricspb.Metric_Histogram:
		base.Kind, base.Temporality = "histogram", temporality(data.Histogram.AggregationTemporality)
		for _, h := range data.Histogram.DataPoints {
			out = append(out, base.at(h.Attributes, h.StartTimeUnixNano, h.TimeUnixNano).distribution(h.Count, h.Sum, h.Min, h.Max))
		}
	case *metricspb.Metric_ExponentialHistogram:
		base.Kind, base.Temporality = "exponential_histogram", temporality(data.ExponentialHistogram.AggregationTemporality)
		for _, h := range data.ExponentialHistogram.DataPoints {
			out = append(out, base.at(h.Attributes, h.StartTimeUnixNano, h.TimeUnixNano).distribution(h.Count, h.Sum, h.Min, h.Max))
		}
	case *metricspb.Metric_Summary:
		base.Kind = "summary"
		for _, h := range data.Summary.DataPoints {
			out = append(out, base.at(h.Attributes, h.StartTimeUnixNano, h.TimeUnixNano).distribution(h.Count, &h.Sum, nil, nil))
		}
	}
	return out
}

// at returns the point with labels and times.
func (p Point) at(labels []*commonpb.KeyValue, start, end uint64) Point {
	p.Attributes = attributes(labels)
	if start > 0 {
		p.Start = time.Unix(0, int64(start)).UTC()
	}
	if end > 0 {
		p.Time = time.Unix(0, int64(end)).UTC()
	}
	return p
}

func (p Point) distribution(count uint64, sum, low, high *float64) Point {
	p.Count = count
	if sum != nil {
		p.Sum = *sum
	}
	if low != nil {
		p.Min = *low
	}
	if high != nil {
		p.Max = *high
	}
	return p
}

func (p *Point) labels() int { return len(p.Resource) + len(p.Attributes) }

func temporality(t metricspb.AggregationTemporality) string {
	switch t {
	case metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA:
		return "delta"
	case metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE:
		return "cumulative"
	}
	return "unspecified"
}

// attributes flattens key-values; what is not a scalar is shown as text.
func attributes(in []*commonpb.KeyValue) map[string]string {
	out := map[string]string{}
	for _, kv := range in {
		switch v := kv.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			out[kv.Key] = v.StringValue
		case *commonpb.AnyValue_BoolValue:
			out[kv.Key] = strconv.FormatBool(v.BoolValue)
		case *commonpb.AnyValue_IntValue:
			out[kv.Key] = strconv.FormatInt(v.IntValue, 10)
		case *commonpb.AnyValue_DoubleValue:
			out[kv.Key] = strconv.FormatFloat(v.DoubleValue, 'g', -1, 64)
		default:
			out[kv.Key] = kv.GetValue().String()
		}
	}
	return out
}

// Points returns the points of a metric ("" means all), in order of arrival.
func (o *OTLP) Points(metric string) []Point {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []Point
	for _, p := range o.points {
		if metric == "" || p.Metric == metric {
			out = append(out, p)
		}
	}
	return out
}

// DuplicatePoints counts points of a series and time that another point has
// already.
func (o *OTLP) DuplicatePoints() int {
	seen := map[string]bool{}
	n := 0
	for _, p := range o.Points("") {
		id := p.series() + p.Time.String()
		if seen[id] {
			n++
		}
		seen[id] = true
	}
	return n
}

func (p *Point) series() string {
	var b strings.Builder
	b.WriteString(p.Metric)
	for _, labels := range []map[string]string{p.Resource, p.Attributes} {
		b.WriteByte(';')
		for _, name := range slices.Sorted(maps.Keys(labels)) {
			fmt.Fprintf(&b, " %q=%q", name, labels[name])
		}
	}
	return b.String()
}

func (o *OTLP) reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.points = nil
}
