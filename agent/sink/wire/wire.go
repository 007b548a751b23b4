// Package wire writes and reads protobuf messages field by field, without
// generated types and the runtime that those need.
package wire

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// AppendVarint leaves out zeros, as proto3 does.
func AppendVarint(b []byte, field protowire.Number, value uint64) []byte {
	if value == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), value)
}

// AppendFixed64 leaves out zeros, as proto3 does.
func AppendFixed64(b []byte, field protowire.Number, value uint64) []byte {
	if value == 0 {
		return b
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), value)
}

// AppendDouble writes zeros too: it is for fields of which it counts whether they
// are there (optional, and those of a oneof).
func AppendDouble(b []byte, field protowire.Number, value float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), math.Float64bits(value))
}

// AppendBytes writes a text, or a message that is there already, though it be
// empty.
func AppendBytes[T ~string | ~[]byte](b []byte, field protowire.Number, value T) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(value)))
	return append(b, value...)
}

// AppendMessage writes the message, or the packed numbers, that write appends to
// what it is given.
func AppendMessage(b []byte, field protowire.Number, write func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	start := len(b)
	b = write(b)
	// How long the length is, is known only now.
	size := uint64(len(b) - start)
	var room [10]byte
	n := protowire.SizeVarint(size)
	b = append(b, room[:n]...)
	copy(b[start+n:], b[start:])
	protowire.AppendVarint(b[:start], size)
	return b
}

// Fields calls visit for every field of a message, in order: n is the value of a
// number, b that of anything longer, which is part of the message; b is nil for
// a number only. Types that nobody writes here (of 32 bits, and groups) are
// passed over. The error is visit's first, or one of the message's.
func Fields(message []byte, visit func(field protowire.Number, n uint64, b []byte) error) error {
	for len(message) > 0 {
		field, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		var n uint64
		var b []byte
		known := true
		switch kind {
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			n, size = protowire.ConsumeFixed64(message)
		case protowire.BytesType:
			b, size = protowire.ConsumeBytes(message)
		default:
			known, size = false, protowire.ConsumeFieldValue(field, kind, message)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		if !known {
			continue
		}
		if err := visit(field, n, b); err != nil {
			return err
		}
	}
	return nil
}
