package window

import (
	"fmt"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/google/go-cmp/cmp"
)

// counted returns a believed reading with these values.
func counted(values map[ena.Stat]uint64) *delta.Result {
	r := &delta.Result{}
	for s, v := range values {
		r.Values[s] = v
		r.Counted.Add(s)
	}
	return r
}

func show(b *metric.Batch) (lines []string) {
	for _, s := range b.Series {
		at := "host"
		if s.Interface >= 0 {
			at = b.Interfaces[s.Interface].Name
		}
		if s.Detail {
			at += " (detail)"
		}
		lines = append(lines, fmt.Sprintf("%s %s %v", at, s.Name, s.Samples))
	}
	return lines
}

var (
	ens5 = metric.Interface{Name: "ens5", MAC: "02:00:00:00:00:05"}
	ens6 = metric.Interface{Name: "ens6", MAC: "02:00:00:00:00:06"}
)

const (
	bwIn      = ena.BWInAllowanceExceeded
	linklocal = ena.LinklocalAllowanceExceeded
	available = ena.ConntrackAllowanceAvailable
)

// What is in seconds is so whatever a sample lasts.
func TestLongSamples(t *testing.T) {
	w := New(60, true)
	w.Every = 5 * time.Second
	r := w.Add(ens5)
	for _, v := range []uint64{0, 3, 0, 4} {
		w.Observe(r, counted(map[ena.Stat]uint64{bwIn: v}))
		w.EndSecond()
	}
	w.Miss(2)
	want := []string{"host bw_in_allowance_exceeded [0 3 0 4]", "host bw_in_throttled_seconds [10]", "host heartbeat [20]", "host missed_seconds [10]", "ens5 (detail) bw_in_allowance_exceeded [0 3 0 4]"}
	if diff := cmp.Diff(want, show(w.Close())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWindowBySecond(t *testing.T) {
	w := New(60, true)
	a, b := w.Add(ens5), w.Add(ens6)
	second := func(va, vb map[ena.Stat]uint64) {
		w.Observe(a, counted(va))
		if vb != nil {
			w.Observe(b, counted(vb))
		}
		w.EndSecond()
	}
	second(map[ena.Stat]uint64{bwIn: 0, linklocal: 0, available: 50}, map[ena.Stat]uint64{bwIn: 0, linklocal: 0, available: 70})
	second(map[ena.Stat]uint64{bwIn: 3, linklocal: 0, available: 40}, map[ena.Stat]uint64{bwIn: 4, linklocal: 9, available: 30})
	second(map[ena.Stat]uint64{bwIn: 5, linklocal: 0, available: 45}, nil) // ens6 was not read
	w.Suspect()
	batch := w.Close()
	want := []string{
		"host bw_in_allowance_exceeded [0 7 5]",
		"host bw_in_throttled_seconds [2]",
		"host conntrack_allowance_available [50 30 45]",
		"host heartbeat [2]",
		"host suspect_readings [1]",
		"host missed_seconds [1]",
		"ens5 (detail) bw_in_allowance_exceeded [0 3 5]",
		"ens5 (detail) conntrack_allowance_available [50 40 45]",
		"ens6 (detail) bw_in_allowance_exceeded [0 4]",
		"ens6 linklocal_allowance_exceeded [0 9]",
		"ens6 linklocal_throttled_seconds [1]",
		"ens6 (detail) conntrack_allowance_available [70 30]",
	}
	if diff := cmp.Diff(want, show(batch)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	// The first zeros after something are published, the next are not.
	second(map[ena.Stat]uint64{bwIn: 0, linklocal: 0}, map[ena.Stat]uint64{bwIn: 0, linklocal: 0})
	want = []string{
		"host bw_in_allowance_exceeded [0]", "host bw_in_throttled_seconds [0]", "host heartbeat [1]",
		"host suspect_readings [0]", "host missed_seconds [0]",
		"ens5 (detail) bw_in_allowance_exceeded [0]",
		"ens6 (detail) bw_in_allowance_exceeded [0]",
		"ens6 linklocal_allowance_exceeded [0]", "ens6 linklocal_throttled_seconds [0]",
	}
	if diff := cmp.Diff(want, show(w.Close())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	second(map[ena.Stat]uint64{bwIn: 0, linklocal: 0}, map[ena.Stat]uint64{bwIn: 0})
	if diff := cmp.Diff([]string{"host heartbeat [1]"}, show(w.Close())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDensePublishesZeros(t *testing.T) {
	w := New(60, false)
	w.Observe(w.Add(ens5), counted(map[ena.Stat]uint64{linklocal: 0}))
	w.EndSecond()
	want := []string{
		"host heartbeat [1]", "host suspect_readings [0]", "host missed_seconds [0]",
		"ens5 linklocal_allowance_exceeded [0]", "ens5 linklocal_throttled_seconds [0]",
	}
	if diff := cmp.Diff(want, show(w.Close())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// An empty table of connections is the one zero that must never be left out.
func TestExhaustedTableIsPublished(t *testing.T) {
	w := New(60, true)
	w.Observe(w.Add(ens5), counted(map[ena.Stat]uint64{available: 0}))
	w.EndSecond()
	want := []string{"host conntrack_allowance_available [0]", "host heartbeat [1]", "ens5 (detail) conntrack_allowance_available [0]"}
	if diff := cmp.Diff(want, show(w.Close())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWithoutInterfacesTheHeartIsZero(t *testing.T) {
	w := New(60, true)
	w.EndSecond()
	if diff := cmp.Diff([]string{"host heartbeat [0]"}, show(w.Close())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestInterfaceThatLeftIsInTheWindowOnceMore(t *testing.T) {
	w := New(60, true)
	r := w.Add(ens5)
	w.Observe(r, counted(map[ena.Stat]uint64{linklocal: 2}))
	w.EndSecond()
	w.Leave(r)
	w.EndSecond()
	if b := w.Close(); len(b.Interfaces) != 1 || len(b.Series) != 3 {
		t.Errorf("%d interfaces, series %v", len(b.Interfaces), show(b))
	}
	if b := w.Close(); len(b.Interfaces) != 0 {
		t.Error("it is still there in the next window")
	}
}

// A second too many joins the last one: nothing is lost, no array is too long.
func TestTooManySeconds(t *testing.T) {
	w := New(3, true)
	r := w.Add(ens5)
	for i := range 5 {
		w.Observe(r, counted(map[ena.Stat]uint64{bwIn: uint64(i), available: uint64(10 - i)}))
		w.EndSecond()
	}
	b := w.Close()
	if got := b.Series[0]; got.Sum() != 10 || len(got.Samples) != 3 {
		t.Errorf("samples %v, want 3 that add up to 10", got.Samples)
	}
	if got := b.Series[2]; got.Last() != 6 || len(got.Samples) != 3 {
		t.Errorf("gauge %v, want 3 that end with 6", got.Samples)
	}
}

// Two readings in one second, as after a late one, are one sample.
func TestLateReadingJoinsTheSecond(t *testing.T) {
	w := New(60, true)
	r := w.Add(ens5)
	w.Observe(r, counted(map[ena.Stat]uint64{bwIn: 2, available: 9}))
	w.Observe(r, counted(map[ena.Stat]uint64{bwIn: 3, available: 4}))
	w.EndSecond()
	want := []string{"host bw_in_allowance_exceeded [5]", "host bw_in_throttled_seconds [1]", "host conntrack_allowance_available [4]", "host heartbeat [1]",
		"ens5 (detail) bw_in_allowance_exceeded [5]", "ens5 (detail) conntrack_allowance_available [4]"}
	if diff := cmp.Diff(want, show(w.Close())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestSecondsAllocateNothing(t *testing.T) {
	w := New(60, true)
	r := w.Add(ens5)
	result := counted(map[ena.Stat]uint64{bwIn: 2, linklocal: 1, available: 9})
	fill := func() {
		for range 60 {
			w.Observe(r, result)
			w.EndSecond()
		}
	}
	fill()
	w.Close()
	w.Observe(r, result) // takes its storage from the window before
	w.EndSecond()
	if n := testing.AllocsPerRun(50, func() {
		w.Observe(r, result)
		w.EndSecond()
	}); n != 0 {
		t.Errorf("%v allocations a second, want 0", n)
	}
}

// What is not published costs nothing: a counter that stays at zero, as most do,
// has no samples at a window's end.
func TestSilenceAllocatesNothing(t *testing.T) {
	close := func(counters ...ena.Stat) float64 {
		w := New(60, true)
		r := w.Add(ens5)
		values := map[ena.Stat]uint64{available: 9}
		for _, s := range counters {
			values[s] = 0
		}
		result := counted(values)
		return testing.AllocsPerRun(50, func() {
			w.Observe(r, result)
			w.EndSecond()
			w.Close()
		})
	}
	if with, without := close(bwIn, linklocal), close(); with != without {
		t.Errorf("%v allocations with two silent counters, %v without", with, without)
	}
}

// BenchmarkSecond is one second of a host with four interfaces that are throttled.
func BenchmarkSecond(b *testing.B) {
	w := New(60, true)
	var rows []*Row
	for range 4 {
		rows = append(rows, w.Add(ens5))
	}
	result := counted(map[ena.Stat]uint64{bwIn: 2, linklocal: 1, available: 9})
	b.ReportAllocs()
	for b.Loop() {
		for _, r := range rows {
			w.Observe(r, result)
		}
		w.EndSecond()
	}
}
