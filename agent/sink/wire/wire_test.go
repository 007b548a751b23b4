package wire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// The bytes are those that the protobuf encoding gives by hand.
func TestAppend(t *testing.T) {
	b := []byte{0xff} // what is there stays
	b = AppendVarint(b, 1, 0)
	b = AppendVarint(b, 1, 300)
	b = AppendFixed64(b, 2, 0)
	b = AppendFixed64(b, 2, 1)
	b = AppendDouble(b, 3, 0)
	b = AppendDouble(b, 3, 1.5)
	b = AppendBytes(b, 4, "")
	b = AppendBytes(b, 4, "ab")
	b = AppendBytes(b, 20, []byte("c"))
	b = AppendMessage(b, 5, func(b []byte) []byte { return b })
	b = AppendMessage(b, 5, func(b []byte) []byte {
		return AppendMessage(b, 1, func(b []byte) []byte { return AppendBytes(b, 1, "d") })
	})
	want := strings.Join([]string{
		"ff", "08ac02", "110100000000000000", "190000000000000000", "19000000000000f83f",
		"2200", "22026162", "a2010163", "2a00", "2a05" + "0a03" + "0a0164",
	}, "")
	if diff := cmp.Diff(want, hex.EncodeToString(b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A message is moved by as many bytes as its length takes.
func TestAppendMessage(t *testing.T) {
	for _, size := range []int{1, 2, 127, 128, 1<<14 - 1, 1 << 14, 1 << 21} {
		text := strings.Repeat("x", size-1) + "y"
		got := AppendMessage([]byte("a"), 1, func(b []byte) []byte { return append(b, text...) })
		if want := AppendBytes([]byte("a"), 1, text); string(got) != string(want) {
			t.Errorf("%d bytes: %d are written, want %d", size, len(got), len(want))
		}
	}
}

func TestFields(t *testing.T) {
	all := AppendVarint(nil, 1, 300)
	all = protowire.AppendFixed32(protowire.AppendTag(all, 2, protowire.Fixed32Type), 7)
	all = AppendDouble(all, 3, 1.5)
	all = protowire.AppendTag(all, 4, protowire.StartGroupType)
	all = AppendBytes(all, 9, "in a group")
	all = protowire.AppendTag(all, 4, protowire.EndGroupType)
	all = AppendBytes(all, 5, "text")
	all = AppendBytes(all, 5, "")
	var got []string
	err := Fields(all, func(field protowire.Number, n uint64, b []byte) error {
		got = append(got, fmt.Sprintf("%d %d %q %t", field, n, b, b == nil))
		return nil
	})
	want := []string{`1 300 "" true`, fmt.Sprintf(`3 %d "" true`, math.Float64bits(1.5)), `5 0 "text" false`, `5 0 "" false`}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}

	first := errors.New("first")
	visits := 0
	if err := Fields(all, func(protowire.Number, uint64, []byte) error { visits++; return first }); err != first || visits != 1 {
		t.Errorf("%v after %d visits", err, visits)
	}
}

func TestDamagedFields(t *testing.T) {
	for _, text := range []string{"08", "08ff", "1100", "0a0561", "00", "0d0102", "0b0801", "0b14", "0c", "0e", "0f", "08ffffffffffffffffff7f", "f8ffffffff01"} {
		message, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := Fields(message, func(protowire.Number, uint64, []byte) error { return nil }); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

// What protobuf's own runtime takes, is taken.
func FuzzFields(f *testing.F) {
	for _, text := range []string{"", "08ac02", "110000000000000000", "0a00", "0a0161", "0d01020304", "0b08010c", "f8ffffff0f01", "08ff"} {
		b, err := hex.DecodeString(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		err := Fields(message, func(protowire.Number, uint64, []byte) error { return nil })
		if err != nil && proto.Unmarshal(message, &emptypb.Empty{}) == nil {
			t.Errorf("%x: %v", message, err)
		}
	})
}
