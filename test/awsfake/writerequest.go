package awsfake

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// The messages of remote write 1.0, read field by field from its definition
// (prompb/remote.proto and types.proto of Prometheus), so that the bytes that
// a sink writes are checked by something that shares nothing with it.

// Label is one label of a series.
type Label struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// staleBits are those of the NaN that ends a series (model/value of
// Prometheus, StaleNaN).
const staleBits = 0x7ff0000000000002

// Sample is one value of a series.
type Sample struct {
	Value float64
	// Timestamp counts milliseconds since 1970.
	Timestamp int64
}

// Stale reports whether the sample is a staleness marker.
func (s Sample) Stale() bool { return math.Float64bits(s.Value) == staleBits }

// jsonSample has the value as text, since JSON has no NaN.
type jsonSample struct {
	Value     string `json:"value"`
	Timestamp int64  `json:"timestamp"`
}

// MarshalJSON writes a staleness marker as "stale".
func (s Sample) MarshalJSON() ([]byte, error) {
	text := strconv.FormatFloat(s.Value, 'g', -1, 64)
	if s.Stale() {
		text = "stale"
	}
	return json.Marshal(jsonSample{text, s.Timestamp})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Sample) UnmarshalJSON(b []byte) error {
	var j jsonSample
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	s.Timestamp = j.Timestamp
	if j.Value == "stale" {
		s.Value = math.Float64frombits(staleBits)
		return nil
	}
	v, err := strconv.ParseFloat(j.Value, 64)
	s.Value = v
	return err
}

// Metadata describes a metric family.
type Metadata struct {
	Family string `json:"family"`
	// Type is MetricMetadata.MetricType: 1 is a counter, 2 a gauge.
	Type int32  `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit,omitempty"`
}

type writeRequest struct {
	series   []timeSeries
	metadata []Metadata
}

type timeSeries struct {
	labels  []Label
	samples []Sample
	// others counts exemplars and native histograms.
	others int
}

// fields calls visit for every field of a message. A length-delimited value is
// in b; varint and fixed64 values are in n.
func fields(message []byte, visit func(num protowire.Number, typ protowire.Type, n uint64, b []byte) error) error {
	for len(message) > 0 {
		num, typ, size := protowire.ConsumeTag(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		var n uint64
		var b []byte
		switch typ {
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			n, size = protowire.ConsumeFixed64(message)
		case protowire.BytesType:
			b, size = protowire.ConsumeBytes(message)
		default:
			size = protowire.ConsumeFieldValue(num, typ, message)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		if err := visit(num, typ, n, b); err != nil {
			return err
		}
	}
	return nil
}

// want refuses a field of another wire type than it is defined with.
func want(num protowire.Number, got, wanted protowire.Type) error {
	if got != wanted {
		return fmt.Errorf("field %d has wire type %d, not %d", num, got, wanted)
	}
	return nil
}

// parseWriteRequest reads WriteRequest. It fails on what is not protobuf and on
// fields of a wrong type; fields that it does not know are skipped.
func parseWriteRequest(message []byte) (*writeRequest, error) {
	var w writeRequest
	err := fields(message, func(num protowire.Number, typ protowire.Type, _ uint64, b []byte) error {
		switch num {
		case 1:
			if err := want(num, typ, protowire.BytesType); err != nil {
				return err
			}
			s, err := parseTimeSeries(b)
			if err != nil {
				return fmt.Errorf("time series %d: %w", len(w.series), err)
			}
			w.series = append(w.series, s)
		case 3:
			if err := want(num, typ, protowire.BytesType); err != nil {
				return err
			}
			m, err := parseMetadata(b)
			if err != nil {
				return fmt.Errorf("metadata %d: %w", len(w.metadata), err)
			}
			w.metadata = append(w.metadata, m)
		}
		return nil
	})
	return &w, err
}

func parseTimeSeries(message []byte) (timeSeries, error) {
	var s timeSeries
	err := fields(message, func(num protowire.Number, typ protowire.Type, _ uint64, b []byte) error {
		if num < 1 || num > 4 {
			return nil
		}
		if err := want(num, typ, protowire.BytesType); err != nil {
			return err
		}
		switch num {
		case 1:
			l, err := parseLabel(b)
			s.labels = append(s.labels, l)
			return err
		case 2:
			v, err := parseSample(b)
			s.samples = append(s.samples, v)
			return err
		}
		s.others++
		return nil
	})
	return s, err
}

func parseLabel(message []byte) (Label, error) {
	var l Label
	err := fields(message, func(num protowire.Number, typ protowire.Type, _ uint64, b []byte) error {
		switch num {
		case 1:
			l.Name = string(b)
		case 2:
			l.Value = string(b)
		default:
			return nil
		}
		return want(num, typ, protowire.BytesType)
	})
	return l, err
}

func parseSample(message []byte) (Sample, error) {
	var s Sample
	err := fields(message, func(num protowire.Number, typ protowire.Type, n uint64, _ []byte) error {
		switch num {
		case 1:
			s.Value = math.Float64frombits(n)
			return want(num, typ, protowire.Fixed64Type)
		case 2:
			s.Timestamp = int64(n)
			return want(num, typ, protowire.VarintType)
		}
		return nil
	})
	return s, err
}

func parseMetadata(message []byte) (Metadata, error) {
	var m Metadata
	err := fields(message, func(num protowire.Number, typ protowire.Type, n uint64, b []byte) error {
		switch num {
		case 1:
			m.Type = int32(n)
			return want(num, typ, protowire.VarintType)
		case 2:
			m.Family = string(b)
		case 4:
			m.Help = string(b)
		case 5:
			m.Unit = string(b)
		default:
			return nil
		}
		return want(num, typ, protowire.BytesType)
	})
	return m, err
}
