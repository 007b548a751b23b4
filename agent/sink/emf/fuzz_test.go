package emf_test

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/emf"
)

// dice deals what a fuzzed batch is made of from the fuzzer's bytes; zeros when
// they are used up.
type dice struct {
	bytes   []byte
	strings [3]string
	number  float64
	// wild batches can have parts that the encoder has to refuse.
	wild bool
}

func (d *dice) roll(sides int) int {
	if len(d.bytes) == 0 {
		return 0
	}
	n := int(d.bytes[0]) % sides
	d.bytes = d.bytes[1:]
	return n
}

// property deals usual, one of the fuzzer's strings, or none.
func (d *dice) property(usual string) string {
	switch n := d.roll(8); {
	case n < 3:
		return d.strings[n]
	case n == 3:
		return ""
	}
	return usual
}

// name deals usual, and in wild batches seldom something else.
func (d *dice) name(usual string) string {
	if d.wild && d.roll(64) == 63 {
		return d.property(usual)
	}
	return usual
}

func (d *dice) samples() []float64 {
	n := 1 + d.roll(100)
	if d.wild && d.roll(64) == 63 {
		n = d.roll(2) * 101
	}
	samples := make([]float64, n)
	for i := range samples {
		switch d.roll(8) {
		case 7:
			samples[i] = d.number
		case 6:
			samples[i] = float64(d.roll(256)) / 7
		case 5:
			samples[i] = math.Ldexp(1, d.roll(256)-20)
		default:
			samples[i] = float64(d.roll(3))
		}
	}
	return samples
}

func (d *dice) series(i, interfaces int) metric.Series {
	s := metric.Series{
		Name: d.name(fmt.Sprintf("m%d", i)), Interface: -1, Samples: d.samples(),
		Kind: metric.Kind(d.roll(2)),
		Unit: []metric.Unit{metric.Count, metric.Bytes, metric.Percent, metric.Seconds, metric.None}[d.roll(5)],
	}
	if d.wild && d.roll(64) == 63 {
		s.Interface = d.roll(8) - 2
	} else if interfaces > 0 && d.roll(2) == 1 {
		s.Interface = d.roll(interfaces)
		s.Detail = d.roll(3) == 1
		if !s.Detail || d.roll(2) == 1 {
			s.Scope = metric.PerInterface
		}
	}
	return s
}

func (d *dice) batch(start, length int64) *metric.Batch {
	d.wild = d.roll(4) == 3
	b := &metric.Batch{
		Start:  time.UnixMilli(start),
		Length: time.Duration(length),
		Resource: metric.Resource{
			Host: d.name("h"), InstanceID: d.name("i-1"), Simulated: d.roll(2) == 1,
		},
	}
	for i := range d.roll(4) {
		b.Resource.Dimensions = append(b.Resource.Dimensions, metric.Dimension{Name: d.name(fmt.Sprintf("d%d", i)), Value: d.name("v")})
	}
	for i := range d.roll(6) {
		b.Interfaces = append(b.Interfaces, metric.Interface{
			Name: d.name(fmt.Sprintf("ens%d", i)), MAC: d.property("0a:00:00:00:00:01"), ENI: d.name(fmt.Sprintf("eni-%d", i)), DriverVersion: d.property("2.13.0g"),
		})
	}
	for i := range d.roll(256) {
		b.Series = append(b.Series, d.series(i, len(b.Interfaces)))
	}
	return b
}

// FuzzAppend shows that what the encoder writes is valid, within the limit, and
// publishes exactly the batch; and that what it refuses leaves no trace. Run it
// with -fuzzminimizetime=10x: its inputs are long.
func FuzzAppend(f *testing.F) {
	f.Add([]byte{}, "\x00", "\xff\"\\", "\u2028", math.NaN(), int64(-1), int64(0), uint16(0))
	// Five interfaces and 255 series with Detail or without.
	f.Add(append([]byte{0, 1, 2, 5, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 255}, bytes.Repeat([]byte{1, 0, 2, 1, 1, 1, 3, 1, 0}, 700)...),
		"ü", "\x1f\xc3(", "\u2029", 0x1p60, int64(1795421700000), int64(60e9), uint16(0))
	// The same, where events are small.
	f.Add(append([]byte{0, 1, 2, 5, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 255}, bytes.Repeat([]byte{1, 0, 2, 1, 1, 1, 3, 1, 0}, 700)...),
		"ü", "\x1f\xc3(", "\u2029", 0x1p60, int64(1795421700000), int64(60e9), uint16(4000))
	// One document for each interface.
	f.Add(append([]byte{0, 1, 2, 5, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 40}, bytes.Repeat([]byte{1, 0, 2, 1, 1, 1, 3, 1, 0, 1}, 700)...),
		"ü", "\x1f\xc3(", "\u2029", 0x1p60, int64(1795421700000), int64(60e9), uint16(8190))
	// A wild one.
	f.Add(append([]byte{3, 0, 63, 1, 0, 0, 1, 3, 63, 2}, bytes.Repeat([]byte{0, 0, 1, 7, 9}, 30)...),
		"m0_sum", "mac", "_aws", 0.1, int64(1), int64(1), uint16(900))
	f.Fuzz(func(t *testing.T, data []byte, s1, s2, s3 string, number float64, start, length int64, limit uint16) {
		d := &dice{bytes: data, strings: [3]string{s1, s2, s3}, number: number}
		b := d.batch(start, length)
		shape := []emf.Shape{emf.PerHost, emf.PerInterface}[d.roll(2)]
		e := newEncoder(t, time.Minute)
		if err := e.SetShape(shape); err != nil {
			t.Fatal(err)
		}
		most := 1<<20 - 26
		if limit > 0 {
			most = int(limit)
			e.SetMaxEvent(most)
		}
		before := []byte("kept")
		got, err := e.Append(before, b)
		if err != nil {
			if string(got) != "kept" {
				t.Errorf("after the error %v, the buffer holds %q", err, got)
			}
			return
		}
		got = got[len(before):]
		if n := longest(got); n > most {
			t.Errorf("a document of %d bytes, the limit is %d", n, most)
		}
		if shape == emf.PerHost {
			checkExtraction(t, b, got, 60)
		} else {
			checkShares(t, b, checkMetrics(t, b, got, 60))
		}
		again, err := e.Append(nil, b)
		if err != nil || !bytes.Equal(got, again) {
			t.Errorf("the same batch gave %q, then %q, %v", got, again, err)
		}
	})
}
