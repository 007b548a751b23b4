package otlp

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/wire"
)

// Fields of opentelemetry.proto.metrics.v1 (metrics.proto, version 1). An
// ExportMetricsServiceRequest has the one field of MetricsData.
const (
	dataResources       = 1 // MetricsData
	resourceOf          = 1 // ResourceMetrics
	resourceScopes      = 2
	scopeOf             = 1 // ScopeMetrics
	scopeMetrics        = 2
	metricName          = 1 // Metric
	metricUnit          = 3
	metricGauge         = 5
	metricSum           = 7
	metricHistogram     = 10
	kindPoints          = 1 // Gauge, Sum, ExponentialHistogram
	kindTemporality     = 2 // not Gauge
	kindMonotonic       = 3 // Sum
	pointStart          = 2 // NumberDataPoint, ExponentialHistogramDataPoint
	pointTime           = 3
	numberDouble        = 4 // NumberDataPoint
	numberInt           = 6
	numberAttributes    = 7
	histogramAttributes = 1 // ExponentialHistogramDataPoint
	histogramCount      = 4
	histogramSum        = 5
	histogramScale      = 6
	histogramZeros      = 7
	histogramPositive   = 8
	histogramMin        = 12
	histogramMax        = 13
	bucketsOffset       = 1 // Buckets
	bucketsCounts       = 2
)

// Fields of opentelemetry.proto.common.v1 and resource.v1.
const (
	scopeName      = 1 // InstrumentationScope
	scopeVersion   = 2
	hostAttributes = 1 // Resource
	attributeKey   = 1 // KeyValue
	attributeValue = 2
	valueString    = 1 // AnyValue
)

// request is what one POST carries: an ExportMetricsServiceRequest of one
// resource and one scope.
type request struct {
	resource, scope []byte // Resource, InstrumentationScope
	points          []point
}

// point is a data point, and the metric that it is of.
type point struct {
	identity
	body []byte // NumberDataPoint, or ExponentialHistogramDataPoint
}

// identity is what the points of one metric share.
type identity struct {
	name, unit  string
	kind        protowire.Number // metricGauge, metricSum or metricHistogram
	temporality uint64           // AggregationTemporality, 0 for a gauge
	monotonic   bool
}

// size is what a point adds to a request at most, in bytes.
func (p *point) size() int {
	const framing = 40 // tags, lengths, temporality
	return len(p.body) + len(p.name) + len(p.unit) + framing
}

// encode puts points that follow each other and have one identity into one
// metric.
func (r *request) encode() sink.Request {
	size := len(r.resource) + len(r.scope) + 40
	for i := range r.points {
		size += r.points[i].size()
	}
	data := wire.AppendMessage(make([]byte, 0, size), dataResources, func(b []byte) []byte {
		b = wire.AppendBytes(b, resourceOf, r.resource)
		return wire.AppendMessage(b, resourceScopes, func(b []byte) []byte {
			b = wire.AppendBytes(b, scopeOf, r.scope)
			for rest := r.points; len(rest) > 0; {
				n := 1
				for n < len(rest) && rest[n].identity == rest[0].identity {
					n++
				}
				b = appendMetric(b, rest[:n])
				rest = rest[n:]
			}
			return b
		})
	})
	return sink.Request{Data: data, Points: len(r.points)}
}

// appendMetric writes the metric of points with one identity.
func appendMetric(b []byte, points []point) []byte {
	id := &points[0].identity
	return wire.AppendMessage(b, scopeMetrics, func(b []byte) []byte {
		b = wire.AppendBytes(b, metricName, id.name)
		if id.unit != "" {
			b = wire.AppendBytes(b, metricUnit, id.unit)
		}
		return wire.AppendMessage(b, id.kind, func(b []byte) []byte {
			for i := range points {
				b = wire.AppendBytes(b, kindPoints, points[i].body)
			}
			b = wire.AppendVarint(b, kindTemporality, id.temporality)
			return wire.AppendVarint(b, kindMonotonic, protowire.EncodeBool(id.monotonic))
		})
	})
}

// attribute is a name and its value, both valid UTF-8.
type attribute struct{ key, value string }

// append writes the attribute as a field of that number.
func (a *attribute) append(b []byte, field protowire.Number) []byte {
	return wire.AppendMessage(b, field, func(b []byte) []byte {
		b = wire.AppendBytes(b, attributeKey, a.key)
		return wire.AppendMessage(b, attributeValue, func(b []byte) []byte { return wire.AppendBytes(b, valueString, a.value) })
	})
}

func appendAttributes(b []byte, field protowire.Number, list []attribute) []byte {
	for i := range list {
		b = list[i].append(b, field)
	}
	return b
}

// decode reads what encode wrote, and what the generated types of OTLP wrote in
// versions before. The request shares the bytes of data.
func decode(data []byte) (*request, error) {
	var d decoder
	err := wire.Fields(data, d.message)
	switch {
	case err != nil:
	case d.resources != 1 || d.scopes != 1:
		err = errors.New("it is not of one resource and one scope")
	case len(d.points) == 0:
		err = errors.New("it has no points")
	}
	if err != nil {
		return nil, fmt.Errorf("read a spooled request: %w", err)
	}
	return &d.request, nil
}

// decoder reads one request. What points, the resource and the scope have in
// them stays as it is.
type decoder struct {
	request
	resources, scopes int
}

func (d *decoder) message(field protowire.Number, _ uint64, b []byte) error {
	if field != dataResources {
		return nil
	}
	d.resources++
	return wire.Fields(b, func(field protowire.Number, _ uint64, b []byte) error {
		switch field {
		case resourceOf:
			d.resource = b
			return whole(b)
		case resourceScopes:
			d.scopes++
			return wire.Fields(b, d.ofScope)
		}
		return nil
	})
}

func (d *decoder) ofScope(field protowire.Number, _ uint64, b []byte) error {
	switch field {
	case scopeOf:
		d.scope = b
		return whole(b)
	case scopeMetrics:
		return d.metric(b)
	}
	return nil
}

func (d *decoder) metric(b []byte) error {
	var id identity
	var kind []byte
	if err := wire.Fields(b, func(field protowire.Number, _ uint64, b []byte) error {
		switch field {
		case metricName:
			id.name = string(b)
		case metricUnit:
			id.unit = string(b)
		case metricGauge, metricSum, metricHistogram:
			id.kind, kind = field, b
		}
		return nil
	}); err != nil {
		return err
	}
	if id.kind == 0 {
		return fmt.Errorf("metric %.80q is no sum, gauge or exponential histogram", id.name)
	}
	first := len(d.points)
	err := wire.Fields(kind, func(field protowire.Number, n uint64, b []byte) error {
		switch field {
		case kindPoints:
			d.points = append(d.points, point{body: b})
			return whole(b)
		case kindTemporality:
			id.temporality = n
		case kindMonotonic:
			id.monotonic = protowire.DecodeBool(n)
		}
		return nil
	})
	for i := range d.points[first:] { // what they share comes after them
		d.points[first+i].identity = id
	}
	return err
}

// whole returns an error if a message is damaged, or none.
func whole(b []byte) error {
	if b == nil {
		return errors.New("a field is a number, not a message")
	}
	return wire.Fields(b, func(protowire.Number, uint64, []byte) error { return nil })
}
