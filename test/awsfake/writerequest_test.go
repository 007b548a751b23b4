package awsfake

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// FuzzParseWriteRequest: whatever comes, it is read or refused.
func FuzzParseWriteRequest(f *testing.F) {
	field := func(b []byte, num protowire.Number, v []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
	}
	label := field(field(nil, 1, []byte("__name__")), 2, []byte("m"))
	sample := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), 1)
	sample = protowire.AppendVarint(protowire.AppendTag(sample, 2, protowire.VarintType), 2)
	series := field(field(field(field(nil, 1, label), 2, sample), 3, nil), 4, nil)
	meta := field(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1), 2, []byte("m"))
	f.Add(field(field(nil, 1, series), 3, meta))
	f.Add([]byte{})
	f.Add(protowire.AppendTag(nil, 1, protowire.VarintType))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := parseWriteRequest(b)
		if err != nil {
			return
		}
		// Messages one after the other are one message with the fields of both.
		twice, err := parseWriteRequest(append(slices.Clone(b), b...))
		if err != nil {
			t.Fatalf("twice the message: %v", err)
		}
		if len(twice.series) != 2*len(w.series) || len(twice.metadata) != 2*len(w.metadata) {
			t.Errorf("%d series and %d metadata, twice the message %d and %d", len(w.series), len(w.metadata), len(twice.series), len(twice.metadata))
		}
		for _, s := range w.series {
			checkSeries(s)
		}
	})
}

// TestParseWriteRequestTypes: a field of another wire type is refused, one of
// an unknown number is not.
func TestParseWriteRequestTypes(t *testing.T) {
	bytes := func(num protowire.Number, v []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), v)
	}
	number := func(num protowire.Number) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), 5)
	}
	for name, b := range map[string][]byte{
		"series":             number(1),
		"metadata":           number(3),
		"label":              bytes(1, number(1)),
		"sample":             bytes(1, number(2)),
		"label name":         bytes(1, bytes(1, number(1))),
		"label value":        bytes(1, bytes(1, number(2))),
		"sample value":       bytes(1, bytes(2, number(1))),
		"sample time":        bytes(1, bytes(2, bytes(2, nil))),
		"metadata type":      bytes(3, bytes(1, nil)),
		"metadata name":      bytes(3, number(2)),
		"truncated":          bytes(1, []byte("abc"))[:3],
		"truncated in depth": bytes(1, bytes(1, []byte{0x0a, 5})),
	} {
		if _, err := parseWriteRequest(b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, b := range map[string][]byte{
		"request":  number(9),
		"series":   bytes(1, number(9)),
		"label":    bytes(1, bytes(1, number(9))),
		"sample":   bytes(1, bytes(2, number(9))),
		"metadata": bytes(3, number(9)),
		"fixed32":  protowire.AppendFixed32(protowire.AppendTag(nil, 9, protowire.Fixed32Type), 1),
	} {
		if _, err := parseWriteRequest(b); err != nil {
			t.Errorf("an unknown field in %s: %v", name, err)
		}
	}
}
