package remotewrite

import (
	"encoding/hex"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/snappy"
)

func twoSeries() []*series {
	return []*series{
		{labels: []label{{"__name__", "up"}, {"a", "1"}}, value: 1.5, metadata: metadata{kind: 1, help: "h", unit: "s"}},
		{labels: []label{{"__name__", "up"}, {"a", "2"}}, value: stale, metadata: metadata{kind: 1, help: "h", unit: "s"}},
	}
}

// The bytes are those that the definitions of both messages give by hand.
func TestBytes(t *testing.T) {
	uncompressed := func(b []byte) string {
		plain, err := snappy.Decode(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(plain)
	}
	const sample15, sampleStale = "09000000000000f83f1001", "09020000000000f07f1001"
	v2 := strings.Join([]string{
		"2200", "22085f5f6e616d655f5f", "22027570", "220161", "220131", "220168", "220173", "220132", // symbols 0 to 7
		"2a1b", "0a0401020304", "120b" + sample15, "2a06080118052006",
		"2a1b", "0a0401020307", "120b" + sampleStale, "2a06080118052006",
	}, "")
	data := encode(1, twoSeries())
	if diff := cmp.Diff(v2, uncompressed(data.Data)); diff != "" || data.Points != 2 {
		t.Errorf("2.0, %d points (-want +got):\n%s", data.Points, diff)
	}
	m, err := decode(data.Data)
	if err != nil {
		t.Fatal(err)
	}
	labels := func(last string) string { return "0a0e0a085f5f6e616d655f5f12027570" + "0a060a01611201" + last }
	v1 := strings.Join([]string{
		"0a25", labels("31"), "120b" + sample15,
		"0a25", labels("32"), "120b" + sampleStale,
		"1a0c", "0801", "12027570", "220168", "2a0173",
	}, "")
	described := false
	got := uncompressed(m.v1(func(family string) bool {
		first := !described
		described = true
		return first
	}))
	if diff := cmp.Diff(v1, got); diff != "" {
		t.Errorf("1.0 (-want +got):\n%s", diff)
	}
}

func TestDamagedRequests(t *testing.T) {
	good := encode(1, twoSeries()).Data
	for name, data := range map[string][]byte{
		"empty": nil, "no snappy": []byte("x"), "cut": good[:len(good)-3], "no series": snappy.Encode(nil, nil),
		"a symbol too many": snappy.Encode(nil, []byte{0x2a, 4, 0x0a, 2, 9, 9}),
		"odd labels":        snappy.Encode(nil, []byte{0x22, 0, 0x2a, 3, 0x0a, 1, 0}),
		"a huge one":        []byte("\xff\xff\xff\xff\x0f"),
	} {
		if m, err := decode(data); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(1, twoSeries()).Data)
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decode(data)
		if err != nil {
			return
		}
		again, err := decode(encode(m.at, m.series).Data)
		if err != nil {
			t.Fatal(err)
		}
		same := cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
		if diff := cmp.Diff(m, again, cmp.AllowUnexported(message{}, series{}, label{}, metadata{}), same); diff != "" {
			t.Error(diff)
		}
		m.v1(func(string) bool { return true })
	})
}
