package live

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/event"
	"github.com/enawatch/enawatch/agent/metric"
)

// What makes a second worth to be kept, and what does not.
func TestCutTellsOfWhatHappened(t *testing.T) {
	quiet := map[ena.Stat]uint64{linklocal: 0, available: 1000, ena.WdExpired: 0}
	with := func(s ena.Stat, v uint64) map[ena.Stat]uint64 {
		return map[ena.Stat]uint64{linklocal: 0, available: 1000, ena.WdExpired: 0, s: v}
	}
	tests := []struct {
		name string
		do   func(h *History, r *Row, end func())
		want bool
	}{
		{"nothing grew", func(_ *History, r *Row, end func()) { r.Observe(ens5, ena.Valid, "", counted(quiet)); end() }, false},
		{"an allowance was exceeded", func(_ *History, r *Row, end func()) {
			r.Observe(ens5, ena.Valid, "", counted(with(linklocal, 7)))
			end()
		}, true},
		{"the driver is unwell", func(_ *History, r *Row, end func()) {
			r.Observe(ens5, ena.Valid, "", counted(with(ena.WdExpired, 1)))
			end()
		}, true},
		{"ENA Express sends", func(_ *History, r *Row, end func()) {
			r.Observe(ens5, ena.Valid, "", counted(with(ena.SRDTxPkts, 1)))
			end()
		}, false},
		{"some connections more", func(_ *History, r *Row, end func()) {
			r.Observe(ens5, ena.Valid, "", counted(with(available, 1125)))
			end()
		}, false},
		{"many connections more", func(_ *History, r *Row, end func()) {
			r.Observe(ens5, ena.Valid, "", counted(with(available, 1126)))
			end()
		}, true},
		{"many connections fewer", func(_ *History, r *Row, end func()) {
			r.Observe(ens5, ena.Valid, "", counted(with(available, 874)))
			end()
		}, true},
		{"a reading that is not believed", func(_ *History, r *Row, end func()) { r.Observe(ens5, ena.Suspect, "x", nil); end() }, true},
		{"a reading that did not come", func(_ *History, _ *Row, end func()) { end() }, true},
		{"a second that did not come", func(h *History, r *Row, _ func()) {
			r.Observe(ens5, ena.Valid, "", counted(quiet))
			h.EndSecond(start.Add(3 * time.Second))
		}, true},
		{"another name", func(_ *History, r *Row, end func()) {
			renamed := ens5
			renamed.Name = "eth0"
			r.Observe(renamed, ena.Valid, "", counted(quiet))
			end()
		}, true},
		{"another interface", func(h *History, r *Row, end func()) {
			h.Add(metric.Interface{Name: "ens6", MAC: "06:00:00:00:00:06"})
			r.Observe(ens5, ena.Valid, "", counted(quiet))
			end()
		}, true},
		{"no interface any more", func(_ *History, r *Row, end func()) { r.Leave(); end() }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, end := fresh()
			r := h.Add(ens5)
			r.Observe(ens5, ena.Valid, "", counted(quiet))
			end()
			if d, from := h.Cut(true); d == nil || len(d.Times) != 1 || from != 0 {
				t.Fatalf("the first cut: %+v from %d", d, from)
			}
			tt.do(h, r, end)
			d, from := h.Cut(false)
			if (d != nil) != tt.want {
				t.Errorf("got %+v, want one: %v", d, tt.want)
			}
			if from != start.Unix()+1 {
				t.Errorf("from %d, want %d", from, start.Unix()+1)
			}
			if d, _ := h.Cut(false); d != nil {
				t.Errorf("what was told is told again: %+v", d)
			}
		})
	}
}

func TestCutHasTheSeconds(t *testing.T) {
	h, end := fresh()
	log := slog.New(h.Log(slog.DiscardHandler))
	r := h.Add(ens5)
	for n := range uint64(3) {
		r.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{linklocal: 0, available: 1000, ena.RxDrops: 0, ena.SRDTxPkts: 5}))
		end()
		if n == 0 {
			h.Cut(true)
		}
	}
	r.Observe(ens5, ena.Suspect, "x", nil)
	end()
	r.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{linklocal: 9, available: 999, ena.RxDrops: 0, ena.SRDTxPkts: 0}))
	end()
	log.Warn("the wall clock jumped", event.Key, event.Clock, "by", time.Minute)
	got, from := h.Cut(false)
	at := func(n int64) int64 { return start.Unix() + n }
	want := &Document{
		Step: 1, Times: []int64{at(2), at(3), at(4), at(5)},
		Events: []Event{{Seq: 1, At: got.Events[0].At, Kind: event.Clock, Text: "the wall clock jumped by 1m0s", By: 60}},
		Interfaces: []Interface{{
			Name: "ens5", MAC: ens5.MAC, BusInfo: ens5.BusInfo, Verdict: "valid", States: "vvsv",
			Allowances: []Allowance{
				{Name: "linklocal_allowance_exceeded", Values: Values{0, 0, NoValue, 9}},
				{Name: "conntrack_allowance_available", Values: Values{1000, 1000, NoValue, 999}},
			},
			Counters: []Counter{{Name: "ena_srd_tx_pkts", Values: Values{5, 5, NoValue, 0}}},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" || from != at(1) {
		t.Errorf("from %d (-want +got)\n%s", from, diff)
	}
}

func TestAQuietWindowAllocatesNothing(t *testing.T) {
	h, end := fresh()
	r := h.Add(ens5)
	result := counted(map[ena.Stat]uint64{linklocal: 0, available: 1000})
	second := func() { r.Observe(ens5, ena.Valid, "", result); end(); h.Cut(false) }
	second()
	if n := testing.AllocsPerRun(100, second); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What is read after the newest second belongs to it when the agent ends, and is
// told once.
func TestEnd(t *testing.T) {
	values := func(n uint64) *delta.Result {
		return counted(map[ena.Stat]uint64{linklocal: n, available: 1000 + n})
	}
	told := func(h *History) (times []int64, got []Values) {
		d, _ := h.Cut(true)
		for _, a := range d.Interfaces[0].Allowances {
			got = append(got, a.Values)
		}
		return d.Times, got
	}
	h, end := fresh()
	r := h.Add(ens5)
	r.Observe(ens5, ena.Valid, "", values(3))
	end()
	r.Observe(ens5, ena.Valid, "", values(4))
	h.End(start.Add(2 * time.Second))
	times, got := told(h)
	if diff := cmp.Diff([]Values{{7}, {1004}}, got); diff != "" || len(times) != 1 || times[0] != start.Unix()+1 {
		t.Errorf("at %v (-want +got)\n%s", times, diff)
	}
	r.Observe(ens5, ena.Valid, "", values(5))
	h.End(start.Add(2 * time.Second)) // when the second was told of already
	times, got = told(h)
	if diff := cmp.Diff([]Values{{5}, {1005}}, got); diff != "" || len(times) != 1 || times[0] != start.Unix()+1 {
		t.Errorf("told again, at %v (-want +got)\n%s", times, diff)
	}
	if a := allowance(t, source(h).Document(9).Interfaces[0], linklocal); a.Sum != 12 || a.Values[0] != 12 {
		t.Errorf("who looks sees %d, %v", a.Sum, a.Values)
	}
	r.Observe(ens5, ena.Valid, "", values(1))
	end()
	if times, got = told(h); len(times) != 1 || got[0][0] != 1 {
		t.Errorf("after it: %v at %v", got, times)
	}

	h, _ = fresh()
	h.Add(ens5).Observe(ens5, ena.Valid, "", values(3))
	h.End(start.Add(time.Second))
	if times, got := told(h); len(times) != 1 || times[0] != start.Unix()+1 || got[0][0] != 3 {
		t.Errorf("an agent of no second: %v at %v", got, times)
	}
}
