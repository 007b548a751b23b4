package emf_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
)

// fleet returns a window of n interfaces, each with an interface-scope series
// and a detail of the series that the host has.
func fleet(n int) *metric.Batch {
	b := batch(n, heartbeat, counter("bw_in_allowance_exceeded", burst(float64(n))...))
	for i := range n {
		b.Series = append(b.Series,
			detail(i, counter("bw_in_allowance_exceeded", burst(1)...)),
			of(i, counter("linklocal_allowance_exceeded", burst(7)...)))
	}
	return b
}

// longest returns the length of the longest of lines, without its newline.
func longest(lines []byte) int {
	n := 0
	for line := range bytes.Lines(lines) {
		n = max(n, len(line)-1)
	}
	return n
}

// Whatever a log event holds, no document is larger, no metric is lost, and the
// list loses entries, and says how many, before metrics go to another line.
func TestEventLimit(t *testing.T) {
	b := fleet(6)
	for i := range 9 {
		b.Series = append(b.Series, counter(fmt.Sprintf("m%d", i), burst(1)...))
	}
	whole, err := newEncoder(t, time.Minute).Append(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	most, lines := longest(whole), bytes.Count(whole, []byte("\n"))
	cut, split, listed := 0, 0, 0
	for limit := most; ; limit-- {
		e := newEncoder(t, time.Minute)
		e.SetMaxEvent(limit)
		got, err := e.Append(nil, b)
		if err != nil {
			if !strings.Contains(err.Error(), "too large for a log event") || cut == 0 || split == 0 {
				t.Errorf("limit %d: error %v after %d cut lists and %d splits", limit, err, cut, split)
			}
			break
		}
		if n := longest(got); n > limit {
			t.Fatalf("limit %d: a document has %d bytes", limit, n)
		}
		if limit%25 == 0 {
			checkExtraction(t, b, got, 60)
		}
		if n := bytes.Count(got, []byte(`,"interfaces":`)); n != 1 {
			t.Fatalf("limit %d: %d documents have the list", limit, n)
		}
		var host struct {
			Interfaces []any `json:"interfaces"`
			Omitted    int   `json:"interfaces_omitted"`
		}
		first, _, _ := bytes.Cut(got, []byte("\n"))
		if err := json.Unmarshal(first, &host); err != nil {
			t.Fatal(err)
		}
		if n := len(host.Interfaces) + host.Omitted; n != len(b.Interfaces) {
			t.Fatalf("limit %d: %d interfaces listed, %d omitted, of %d", limit, len(host.Interfaces), host.Omitted, len(b.Interfaces))
		}
		switch n := bytes.Count(got, []byte("\n")); {
		case n > lines:
			split++
			if split == 1 && listed > 0 {
				t.Errorf("limit %d: metrics were split while the list had %d entries", limit, listed)
			}
		case host.Omitted > 0:
			cut++
		}
		listed = len(host.Interfaces)
	}
}

// The largest series that are allowed, all at once, still fit log events.
func TestLargestSeries(t *testing.T) {
	samples := make([]float64, 100)
	for i := range samples {
		samples[i] = -1.2345678901234567e-100 * float64(i+1)
	}
	b := batch(2)
	for i := range 200 {
		name := fmt.Sprintf("%03d%s", i, strings.Repeat("\x00", 252))
		b.Series = append(b.Series, gauge(name, samples...), detail(i%2, gauge(name, samples...)))
	}
	got, err := newEncoder(t, time.Minute).Append(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	if n := longest(got); n > 1<<20-26 || n < 1<<19 {
		t.Errorf("the longest document has %d bytes", n)
	}
	checkExtraction(t, b, got, 60)
}

// An event may be as large as PutLogEvents takes, and no larger.
func TestEventSize(t *testing.T) {
	host := func(n int) *metric.Batch {
		return with(batch(1, heartbeat), func(b *metric.Batch) { b.Resource.Host = strings.Repeat("x", n) })
	}
	short, err := newEncoder(t, time.Minute).Append(nil, host(1))
	if err != nil {
		t.Fatal(err)
	}
	room := 1<<20 - 26 - longest(short) + 1
	got, err := newEncoder(t, time.Minute).Append(nil, host(room))
	if err != nil {
		t.Fatal(err)
	}
	checkExtraction(t, host(room), got, 60)
	if _, err := newEncoder(t, time.Minute).Append(nil, host(room+1)); err == nil {
		t.Error("no error for one byte more")
	}
}

// A window costs no allocation once the caller's buffer is large enough.
func TestAppendAllocations(t *testing.T) {
	for name, b := range map[string]*metric.Batch{"one interface": dnsBurst(), "fleet": fleet(15)} {
		e := newEncoder(t, time.Minute)
		buf, err := e.Append(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		allocs := testing.AllocsPerRun(100, func() {
			if buf, err = e.Append(buf[:0], b); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations for a window, want none", name, allocs)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 2, 15} {
		b.Run(fmt.Sprintf("interfaces=%d", n), func(b *testing.B) {
			window := fleet(n)
			e := newEncoder(b, time.Minute)
			buf, err := e.Append(nil, window)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				if buf, err = e.Append(buf[:0], window); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
