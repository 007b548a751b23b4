package delta

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

var (
	eth   = metric.Interface{Name: "ens5", MAC: "02:00:00:00:00:05", BusInfo: "0000:00:05.0"}
	start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

// vec is what a reading shows.
type vec struct {
	bwIn, pps uint64
	available int64 // -1: the device has no such gauge
	up        uint64
	submitted uint64
	queueStop uint64
}

var queueStop, _ = ena.Lookup("queue_0_tx_queue_stop")

func (v vec) vector() *ena.Vector {
	var out ena.Vector
	set := func(s ena.Stat, value uint64) { out.Values[s] = value; out.Present.Add(s) }
	set(ena.BWInAllowanceExceeded, v.bwIn)
	set(ena.PPSAllowanceExceeded, v.pps)
	if v.available >= 0 {
		set(ena.ConntrackAllowanceAvailable, uint64(v.available))
	}
	set(ena.InterfaceUp, v.up)
	set(ena.AdminSubmitted, v.submitted)
	set(queueStop, v.queueStop)
	return &out
}

func TestLife(t *testing.T) {
	const (
		none = math.MaxUint64 // no delta at all
	)
	type step struct {
		vec
		want      uint64 // delta of bw_in, or none
		reason    ena.Reason
		restarted bool
		undone    bool
	}
	// say builds readings one after the other: the admin queue counts on.
	say := func(steps ...step) []step {
		for i := range steps {
			if steps[i].submitted == 0 {
				steps[i].submitted = 100 + uint64(i)
			}
		}
		return steps
	}
	const n = -1
	tests := []struct {
		name     string
		attached bool
		steps    []step
	}{
		{"the first reading is a baseline", false, say(
			step{vec: vec{bwIn: 11072, available: n}, want: none},
			step{vec: vec{bwIn: 11072, available: n}, want: 0},
			step{vec: vec{bwIn: 11080, available: n}, want: 8},
		)},
		{"an attach that was seen counts from 0", true, say(
			step{vec: vec{bwIn: 7, available: n}, want: 7, restarted: false},
			step{vec: vec{bwIn: 9, available: n}, want: 2},
		)},
		{"a reset with evidence", false, say(
			step{vec: vec{bwIn: 500, pps: 4, available: n, up: 1}, want: none},
			step{vec: vec{bwIn: 30, pps: 9, available: n, up: 2}, want: 30, restarted: true},
			step{vec: vec{bwIn: 31, pps: 9, available: n, up: 2}, want: 1},
		)},
		{"evidence without a fall takes the smaller delta", false, say(
			step{vec: vec{bwIn: 500, available: n, up: 1}, want: none},
			step{vec: vec{bwIn: 510, available: n, up: 2}, want: 10},
		)},
		{"a fall is confirmed by the next reading", false, say(
			step{vec: vec{bwIn: 500, available: n}, want: none},
			step{vec: vec{bwIn: 20, available: n}, want: none, reason: Fell},
			step{vec: vec{bwIn: 25, available: n}, want: 25, restarted: true},
			step{vec: vec{bwIn: 26, available: n}, want: 1},
		)},
		{"a fall that falls again is not confirmed", false, say(
			step{vec: vec{bwIn: 500, available: n}, want: none},
			step{vec: vec{bwIn: 20, available: n}, want: none, reason: Fell},
			step{vec: vec{bwIn: 7, available: n}, want: none, reason: Fell},
			step{vec: vec{bwIn: 501, available: n}, want: 1},
		)},
		{"N, 0, N", false, say(
			step{vec: vec{bwIn: 11072, pps: 3, available: n}, want: none},
			step{vec: vec{available: n}, want: none, reason: Fell},
			step{vec: vec{bwIn: 11075, pps: 3, available: n}, want: 3},
		)},
		{"N, 0, 0, 0, N", false, say(
			step{vec: vec{bwIn: 11072, pps: 3, available: n}, want: none},
			step{vec: vec{available: n}, want: none, reason: Fell},
			step{vec: vec{available: n}, want: 0, restarted: true},
			step{vec: vec{available: n}, want: 0},
			step{vec: vec{bwIn: 11075, pps: 3, available: n}, want: 3, undone: true},
			step{vec: vec{bwIn: 11076, pps: 3, available: n}, want: 1},
		)},
		{"N, 0, 0, then it counts from 0", false, say(
			step{vec: vec{bwIn: 11072, pps: 3, available: n}, want: none},
			step{vec: vec{available: n}, want: none, reason: Fell},
			step{vec: vec{available: n}, want: 0, restarted: true},
			step{vec: vec{bwIn: 4, available: n}, want: 4},
			step{vec: vec{bwIn: 11100, pps: 3, available: n}, want: 11096},
		)},
		{"zeros of a gauge too are no answer, however often", false, say(
			step{vec: vec{bwIn: 900, available: 51286}, want: none},
			step{vec: vec{}, want: none, reason: AllZero},
			step{vec: vec{}, want: none, reason: AllZero},
			step{vec: vec{}, want: none, reason: AllZero},
			step{vec: vec{bwIn: 903, available: 51280}, want: 3},
		)},
		{"zeros beside a living gauge are a reset", false, say(
			step{vec: vec{bwIn: 900, available: 51286}, want: none},
			step{vec: vec{available: 60000}, want: 0, restarted: true},
			step{vec: vec{bwIn: 5, available: 60000}, want: 5},
		)},
		{"an exhausted table is an answer", false, say(
			step{vec: vec{bwIn: 900, available: 10}, want: none},
			step{vec: vec{bwIn: 900, available: 0}, want: 0},
		)},
		{"stack garbage", false, say(
			step{vec: vec{bwIn: 900, available: n}, want: none},
			step{vec: vec{bwIn: 0xffff888103a4c000, available: n}, want: none, reason: Impossible},
			step{vec: vec{bwIn: 902, available: n}, want: 2},
		)},
		{"garbage after a reset", false, say(
			step{vec: vec{bwIn: 900, available: n, up: 1}, want: none},
			step{vec: vec{bwIn: 1, pps: 1 << 60, available: n, up: 2}, want: none, reason: Impossible},
			step{vec: vec{bwIn: 3, pps: 2, available: n, up: 2}, want: 3, restarted: true},
		)},
		{"another network device under the same identity", false, say(
			step{vec: vec{bwIn: 5, available: n, submitted: 900}, want: none},
			step{vec: vec{bwIn: 3, available: n, submitted: 41}, want: 3, restarted: true},
		)},
		{"the same, already beyond its baseline: the smaller delta", false, say(
			step{vec: vec{bwIn: 5, available: n, submitted: 900}, want: none},
			step{vec: vec{bwIn: 8, available: n, submitted: 41}, want: 3},
		)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := NewTracker("boot", nil).Life(eth, 2, tt.attached)
			at := start
			for i, s := range tt.steps {
				r := l.Observe(s.vector(), at)
				got := uint64(none)
				if r.Counted.Has(ena.BWInAllowanceExceeded) {
					got = r.Values[ena.BWInAllowanceExceeded]
				}
				if got != s.want || r.Reason != s.reason || r.Restarted != s.restarted || r.Undone != s.undone {
					t.Errorf("reading %d: delta %d, reason %q, restarted %v, undone %v; want %d, %q, %v, %v",
						i, got, r.Reason, r.Restarted, r.Undone, s.want, s.reason, s.restarted, s.undone)
				}
				if (r.Verdict == ena.Suspect) != (s.reason != "") {
					t.Errorf("reading %d: verdict %v with reason %q", i, r.Verdict, r.Reason)
				}
				if g := ena.ConntrackAllowanceAvailable; s.reason != "" && r.Counted.Has(g) {
					t.Errorf("reading %d: the gauge of a suspect reading is published", i)
				}
				at = at.Add(time.Second)
			}
		})
	}
}

// Queue counters start again with their rings while the card's go on.
func TestQueueCountersRestartAlone(t *testing.T) {
	l := NewTracker("boot", nil).Life(eth, 2, false)
	l.Observe(vec{bwIn: 10, available: -1, up: 1, submitted: 1, queueStop: 40}.vector(), start)
	r := l.Observe(vec{bwIn: 12, available: -1, up: 2, submitted: 2, queueStop: 3}.vector(), start.Add(time.Second))
	if r.Values[queueStop] != 3 || r.Values[ena.BWInAllowanceExceeded] != 2 || r.Restarted {
		t.Errorf("queue_stop %d, bw_in %d, restarted %v; want 3, 2, false", r.Values[queueStop], r.Values[ena.BWInAllowanceExceeded], r.Restarted)
	}
}

func TestNewStatsAreBaselines(t *testing.T) {
	l := NewTracker("boot", nil).Life(eth, 2, false)
	l.Observe(vec{bwIn: 10, available: -1, submitted: 1}.vector(), start)
	v := vec{bwIn: 11, available: -1, submitted: 2}.vector()
	v.Values[ena.LinklocalAllowanceExceeded] = 70
	v.Present.Add(ena.LinklocalAllowanceExceeded)
	r := l.Observe(v, start.Add(time.Second))
	if r.Counted.Has(ena.LinklocalAllowanceExceeded) || r.Values[ena.BWInAllowanceExceeded] != 1 {
		t.Errorf("a stat that appeared yields a delta")
	}
	v.Values[ena.LinklocalAllowanceExceeded] = 72
	if r = l.Observe(v, start.Add(2*time.Second)); r.Values[ena.LinklocalAllowanceExceeded] != 2 {
		t.Errorf("linklocal %d, want 2", r.Values[ena.LinklocalAllowanceExceeded])
	}
}

func TestBaselinesSurviveARestart(t *testing.T) {
	before := vec{bwIn: 100, available: -1, up: 1, submitted: 500}
	tests := []struct {
		name   string
		boot   string
		index  int
		mac    string
		then   vec
		want   uint64
		counts bool
	}{
		{"same life", "boot", 2, "", vec{bwIn: 103, available: -1, up: 1, submitted: 600}, 3, true},
		{"nothing happened", "boot", 2, "", vec{bwIn: 100, available: -1, up: 1, submitted: 600}, 0, true},
		{"reset meanwhile", "boot", 2, "", vec{bwIn: 4, available: -1, up: 2, submitted: 600}, 4, true},
		{"another boot", "boot2", 2, "", vec{bwIn: 150, available: -1, up: 1, submitted: 600}, 150, true},
		{"attached again", "boot", 7, "", vec{bwIn: 15, available: -1, up: 1, submitted: 50}, 15, true},
		{"attached again, already beyond its baseline", "boot", 7, "", vec{bwIn: 150, available: -1, up: 1, submitted: 50}, 50, true},
		{"in another namespace meanwhile", "boot", 7, "", vec{bwIn: 150, available: -1, up: 1, submitted: 501}, 50, true},
		{"another interface", "boot", 2, "02:00:00:00:00:99", vec{bwIn: 150, available: -1, up: 1, submitted: 501}, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := NewTracker("boot", nil)
			a.Life(eth, 2, false).Observe(before.vector(), start)
			b := NewTracker(tt.boot, a.Baselines(start))
			i := eth
			if tt.mac != "" {
				i.MAC = tt.mac
			}
			l := b.Life(i, tt.index, false)
			r := l.Observe(tt.then.vector(), start.Add(time.Hour))
			if r.Values[ena.BWInAllowanceExceeded] != tt.want || r.Counted.Has(ena.BWInAllowanceExceeded) != tt.counts {
				t.Errorf("delta %d (%v), want %d (%v)", r.Values[ena.BWInAllowanceExceeded], r.Counted.Has(ena.BWInAllowanceExceeded), tt.want, tt.counts)
			}
			if total, _ := l.Total(ena.BWInAllowanceExceeded); tt.counts && total != 100+tt.want {
				t.Errorf("total %d, want %d", total, 100+tt.want)
			}
		})
	}
}

// A baseline that nobody read in this boot keeps the boot that it is from.
func TestUnseenBaselineKeepsItsBoot(t *testing.T) {
	a := NewTracker("boot", nil)
	a.Life(eth, 2, false).Observe(vec{bwIn: 100, available: -1, submitted: 500}.vector(), start)
	b := NewTracker("boot2", a.Baselines(start))
	c := NewTracker("boot2", b.Baselines(start))
	r := c.Life(eth, 2, false).Observe(vec{bwIn: 130, available: -1, submitted: 600}.vector(), start)
	if got := r.Values[ena.BWInAllowanceExceeded]; got != 130 {
		t.Errorf("delta %d, want 130", got)
	}
	if c.Baselines(start); len(c.Baselines(start)) != 1 {
		t.Error("a life was forgotten")
	}
	if c.Forget(start.Add(time.Hour), func(Key) bool { return false }, func(Key) {}); len(c.Baselines(start)) != 0 {
		t.Error("an old life was not forgotten")
	}
}

// Zeros that nothing explains are no baseline for the next process either.
func TestZerosThenRestart(t *testing.T) {
	a := NewTracker("boot", nil)
	l := a.Life(eth, 2, false)
	for i, bwIn := range []uint64{50000, 0, 0} {
		l.Observe(vec{bwIn: bwIn, available: -1, submitted: 100 + uint64(i)}.vector(), start.Add(time.Duration(i)*time.Second))
	}
	b := NewTracker("boot", a.Baselines(start)).Life(eth, 2, false)
	r := b.Observe(vec{bwIn: 50003, available: -1, submitted: 200}.vector(), start)
	if got := r.Values[ena.BWInAllowanceExceeded]; got != 3 {
		t.Errorf("delta %d, want 3", got)
	}
}

// ENA Express counts on through a reload of the driver.
func TestSRDAcrossADriverReload(t *testing.T) {
	for _, attached := range []bool{false, true} {
		tr := NewTracker("boot", nil)
		srd := func(l *Life, v vec, pkts uint64) *Result {
			vector := v.vector()
			vector.Values[ena.SRDTxPkts] = pkts
			vector.Present.Add(ena.SRDTxPkts)
			return l.Observe(vector, start)
		}
		srd(tr.Life(eth, 2, false), vec{bwIn: 9, available: -1, up: 3, submitted: 900}, 400_000_000)
		r := srd(tr.Life(eth, 7, attached), vec{bwIn: 2, available: -1, up: 1, submitted: 40}, 400_000_010)
		if got := r.Values[ena.SRDTxPkts]; got != 10 {
			t.Errorf("attached %v: delta %d, want 10", attached, got)
		}
		if got := r.Values[ena.BWInAllowanceExceeded]; got != 2 {
			t.Errorf("attached %v: bw_in delta %d, want 2", attached, got)
		}
	}
}

// A device that came from another namespace brings old counters along.
func TestMovedHereIsNotNewborn(t *testing.T) {
	l := NewTracker("boot", nil).Life(eth, 10, true)
	v := vec{bwIn: 5_000_000, available: -1, up: 2, submitted: 70}.vector()
	v.Values[ena.InterfaceDown] = 1
	v.Present.Add(ena.InterfaceDown)
	if r := l.Observe(v, start); r.Counted.Has(ena.BWInAllowanceExceeded) {
		t.Errorf("delta %d, want a baseline", r.Values[ena.BWInAllowanceExceeded])
	}
}

func TestObservingAllocatesNothing(t *testing.T) {
	l := NewTracker("boot", nil).Life(eth, 2, false)
	v := vec{bwIn: 1, available: 7, submitted: 1}.vector()
	at := start
	if n := testing.AllocsPerRun(100, func() {
		v.Values[ena.BWInAllowanceExceeded]++
		v.Values[ena.AdminSubmitted]++
		at = at.Add(time.Second)
		l.Observe(v, at)
	}); n != 0 {
		t.Errorf("%v allocations a reading, want 0", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	l := NewTracker("boot", nil).Life(eth, 2, false)
	v := vec{bwIn: 1, available: 7, submitted: 1}.vector()
	at := start
	b.ReportAllocs()
	for b.Loop() {
		v.Values[ena.BWInAllowanceExceeded]++
		v.Values[ena.AdminSubmitted]++
		at = at.Add(time.Second)
		l.Observe(v, at)
	}
}

// FuzzConservation lets a device count, reset and fail to answer in any order
// and asks for the one equation that matters: what was counted is what
// happened, once the device has answered for a while.
func FuzzConservation(f *testing.F) {
	f.Add(uint64(1), []byte{0, 1, 2, 3, 4, 5})
	f.Add(uint64(7), []byte{3, 3, 3, 0, 2, 0, 1, 0, 4, 5, 5})
	f.Fuzz(func(t *testing.T, seed uint64, script []byte) {
		rng := rand.New(rand.NewPCG(seed, 0))
		dev := vec{bwIn: rng.Uint64N(1000) + 100, pps: rng.Uint64N(1000) + 100, available: -1, up: 1, submitted: 60}
		if seed%2 == 0 {
			dev.available = 5000
		}
		l := NewTracker("boot", nil).Life(eth, 2, false)
		at := start
		var counted, happened uint64
		read := func(v vec) {
			at = at.Add(time.Second)
			dev.submitted++
			v.submitted = dev.submitted
			r := l.Observe(v.vector(), at)
			if r.Counted.Has(ena.BWInAllowanceExceeded) {
				counted += r.Values[ena.BWInAllowanceExceeded]
			}
		}
		read(dev)
		grow := func() {
			d := rng.Uint64N(90)
			dev.bwIn += d
			happened += d
		}
		for _, b := range script {
			switch b % 6 {
			case 0, 1:
				grow()
				read(dev)
			case 2: // a reset, with all evidence; what was not read before it is lost to anybody
				read(dev)
				dev.bwIn, dev.pps = 0, 0
				dev.up++
				if dev.available >= 0 {
					dev.available = 6000
				}
				read(dev)
				grow()
				read(dev)
			case 3: // no answer, not even from the admin queue's counters
				grow()
				read(vec{up: dev.up, available: min(dev.available, 0)})
			case 4: // garbage
				grow()
				v := dev
				v.bwIn, v.pps = rng.Uint64()|1<<62, rng.Uint64()
				read(v)
			case 5: // nothing
				read(dev)
			}
			if counted > happened {
				t.Fatalf("counted %d, but only %d happened", counted, happened)
			}
		}
		dev.pps++ // the card is alive again
		for range 3 {
			read(dev)
		}
		if counted != happened {
			t.Fatalf("counted %d, but %d happened", counted, happened)
		}
	})
}

// An arrival that was seen is not forgotten until there was a reading.
func TestAttachedUntilRead(t *testing.T) {
	tracker := NewTracker("boot", nil)
	tracker.Life(eth, 5, true)
	l := tracker.Life(eth, 5, false)
	if r := l.Observe(vec{bwIn: 12, submitted: 1}.vector(), start); r.Values[ena.BWInAllowanceExceeded] != 12 {
		t.Errorf("the first reading counts %d, want 12", r.Values[ena.BWInAllowanceExceeded])
	}
	tracker = NewTracker("boot", nil)
	tracker.Life(eth, 5, true)
	l = tracker.Life(eth, 6, false)
	if r := l.Observe(vec{bwIn: 12, submitted: 1}.vector(), start); r.Counted.Has(ena.BWInAllowanceExceeded) {
		t.Error("another network device was not seen to arrive")
	}
}
