package emf_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
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

// batch deals a window. The host's name, which each document has as a property,
// is longer by pad bytes, or fewer: documents become as large as events may be.
func (d *dice) batch(start, length int64, pad uint32) *metric.Batch {
	d.wild = d.roll(4) == 3
	b := &metric.Batch{
		Start:  time.UnixMilli(start),
		Length: time.Duration(length),
		Resource: metric.Resource{
			Host: d.name("h"), InstanceID: d.name("i-1"), Simulated: d.roll(2) == 1,
		},
	}
	pad %= 1<<20 + 1<<12
	b.Resource.Host += strings.Repeat("x", int(pad))
	for i := range d.roll(29) { // 28 are too many
		b.Resource.Dimensions = append(b.Resource.Dimensions, metric.Dimension{Name: d.name(fmt.Sprintf("d%d", i)), Value: d.name("v")})
	}
	for i := range d.roll(6) {
		b.Interfaces = append(b.Interfaces, metric.Interface{
			Name: d.name(fmt.Sprintf("ens%d", i)), MAC: d.property("0a:00:00:00:00:01"), ENI: d.name(fmt.Sprintf("eni-%d", i)), DriverVersion: d.property("2.13.0g"),
		})
	}
	series := d.roll(256)
	if pad > 1<<17 {
		series %= 24 // each may have a document
	}
	for i := range series {
		b.Series = append(b.Series, d.series(i, len(b.Interfaces)))
	}
	return b
}

// seed is one input of FuzzAppend.
type seed struct {
	name          string
	data          []byte
	s1, s2, s3    string
	number        float64
	start, length int64
	limit         uint16 // bytes of an event, 0 for what CloudWatch Logs takes
	pad           uint32
}

// dealt are the bytes of a series of n numbers: the host's if its interface is
// below 0, or one of the interface's own, or its share of one of the host's.
func dealt(n, of int, share bool) []byte {
	s := slices.Concat([]byte{byte(n - 1)}, bytes.Repeat([]byte{7}, n), []byte{0, 0})
	switch {
	case of < 0:
		return append(s, 0)
	case share:
		return append(s, 1, byte(of), 1, 0)
	}
	return append(s, 1, byte(of), 0)
}

// three are three interfaces and so many series of the host, the interfaces' own
// and their shares, in turn.
func three(simulated bool, dimensions, series, samples int) []byte {
	b := []byte{0, 0, byte(dimensions), 3, 4, 4, 4, 4, 4, 4, byte(series)}
	if simulated {
		b[1] = 1
	}
	for i := range series {
		b = append(b, dealt(samples, []int{-1, i % 3, i % 3}[i%3], i%3 == 2)...)
	}
	return b
}

var seeds = []seed{
	{name: "nothing", s1: "\x00", s2: "\xff\"\\", s3: "\u2028", number: math.NaN(), start: -1},
	{
		name: "five interfaces, 255 series",
		data: slices.Concat([]byte{0, 1, 2, 5, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 255}, bytes.Repeat([]byte{1, 0, 2, 1, 1, 1, 3, 1, 0}, 700)),
		s1:   "ü", s2: "\x1f\xc3(", s3: "\u2029", number: 0x1p60, start: 1795421700000, length: 60e9,
	},
	{
		name: "small events",
		data: slices.Concat([]byte{0, 1, 2, 5, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 255}, bytes.Repeat([]byte{1, 0, 2, 1, 1, 1, 3, 1, 0}, 700)),
		s1:   "ü", s2: "\x1f\xc3(", s3: "\u2029", number: 0x1p60, start: 1795421700000, length: 60e9, limit: 4000,
	},
	{
		name: "a document for each interface",
		data: slices.Concat([]byte{0, 1, 2, 5, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 40}, bytes.Repeat([]byte{1, 0, 2, 1, 1, 1, 3, 1, 0, 1}, 700)),
		s1:   "ü", s2: "\x1f\xc3(", s3: "\u2029", number: 0x1p60, start: 1795421700000, length: 60e9, limit: 8190,
	},
	{
		name: "wild",
		data: slices.Concat([]byte{3, 0, 63, 1, 0, 0, 1, 3, 63, 2}, bytes.Repeat([]byte{0, 0, 1, 7, 9}, 30)),
		s1:   "m0_sum", s2: "mac", s3: "_aws", number: 0.1, start: 1, length: 1, limit: 900,
	},
	{
		name:  "30 keys",
		data:  three(true, 27, 30, 2),
		start: 1795421700000, length: 60e9,
	},
	{
		name:  "31 keys",
		data:  three(true, 28, 3, 2),
		start: 1795421700000, length: 60e9,
	},
	// Events of 1 MiB less 26 bytes, in which one series has room, or none.
	{
		name: "1 MB, split",
		data: three(false, 2, 9, 60),
		s1:   "ü", number: -1.2345678901234567e-100, start: 1795421700000, length: 60e9, pad: 1<<20 - 26 - 3000,
	},
	{
		name: "1 MB, split, a document for each interface",
		data: append(three(false, 2, 9, 60), 1),
		s1:   "ü", number: -1.2345678901234567e-100, start: 1795421700000, length: 60e9, pad: 1<<20 - 26 - 3000,
	},
	{
		name:  "more than 1 MB",
		data:  []byte{0, 0, 0, 1, 4, 4, 1},
		start: 1795421700000, length: 60e9, pad: 1<<20 - 26,
	},
}

// Seeds lead the fuzzer to where documents are split or refused: there are
// documents with as many keys, and as large, as may be.
func TestSeedsReachTheBounds(t *testing.T) {
	keys, refused := 0, map[string]string{}
	nearly := map[string]int{} // documents within 4 KiB of the most, by seed
	for _, s := range seeds {
		d := &dice{bytes: s.data, strings: [3]string{s.s1, s.s2, s.s3}, number: s.number}
		b := d.batch(s.start, s.length, s.pad)
		e := newEncoder(t, time.Minute)
		if d.roll(2) == 1 {
			e = perInterface(t)
		}
		text, err := e.Append(nil, b)
		if err != nil {
			refused[s.name] = err.Error()
			continue
		}
		for line := range bytes.Lines(text) {
			if len(line) > 1<<20-26-4096 {
				nearly[s.name]++
				continue // FuzzAppend looks into it
			}
			for _, doc := range validate(t, line) {
				for _, m := range doc.Metrics {
					keys = max(keys, len(m.Dimensions))
				}
			}
		}
	}
	if keys != 30 {
		t.Errorf("%d keys at most, want 30", keys)
	}
	for name, least := range map[string]int{"1 MB, split": 5, "1 MB, split, a document for each interface": 5} {
		if nearly[name] < least {
			t.Errorf("%s: %d documents of nearly 1 MB, want %d or more", name, nearly[name], least)
		}
	}
	for name, why := range map[string]string{"31 keys": "28 fixed dimensions", "more than 1 MB": "too large for a log event"} {
		if !strings.Contains(refused[name], why) {
			t.Errorf("%s: refused as %q, want %q", name, refused[name], why)
		}
	}
}

// FuzzAppend shows that what the encoder writes is valid, within the limit, and
// publishes exactly the batch; and that what it refuses leaves no trace. Run it
// with -fuzzminimizetime=10x: its inputs are long.
func FuzzAppend(f *testing.F) {
	for _, s := range seeds {
		f.Add(s.data, s.s1, s.s2, s.s3, s.number, s.start, s.length, s.limit, s.pad)
	}
	f.Fuzz(func(t *testing.T, data []byte, s1, s2, s3 string, number float64, start, length int64, limit uint16, pad uint32) {
		d := &dice{bytes: data, strings: [3]string{s1, s2, s3}, number: number}
		b := d.batch(start, length, pad)
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
