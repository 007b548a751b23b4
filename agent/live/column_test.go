package live

import (
	"io"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/ena"
)

// FuzzColumn holds a column to a plain list of numbers: whatever came, in whatever
// order, the newest seconds read the same.
func FuzzColumn(f *testing.F) {
	for seed := range uint64(6) {
		f.Add(seed, seed%2 == 0)
	}
	f.Fuzz(func(t *testing.T, seed uint64, gauge bool) {
		const span = 90
		random := rand.New(rand.NewPCG(seed, 1))
		c := &column{gauge: gauge}
		var states []State
		var plain []uint32
		calm := random.IntN(4)
		value := func() uint32 {
			switch random.IntN(4 + 6*calm) {
			case 0:
				return none
			case 1:
				return none - 1
			case 2:
				return random.Uint32N(1 << (1 + random.Uint32N(31)))
			}
			if gauge {
				return c.level
			}
			return 0
		}
		add := func(tick uint64) {
			states, plain = append(states, []State{Valid, Valid, Valid, Suspect, First, Missed}[random.IntN(6)]), append(plain, value())
			oldest := uint64(0)
			if tick > span {
				oldest = tick - span
			}
			c.add(tick, plain[tick-1], states[tick-1], oldest)
			if random.IntN(50) == 0 {
				c.shrink(oldest)
			}
		}
		for tick := uint64(1); tick < 400; tick++ {
			add(tick)
			if random.IntN(10) == 0 { // what End does
				c.takeBack(tick)
				states, plain = states[:tick-1], plain[:tick-1]
				add(tick)
			}
			if random.IntN(5) == 0 {
				seconds := min(int(tick), span)
				newer := random.IntN(seconds)
				p := c.newest()
				for ago := newer; ago < seconds; ago++ {
					at := len(plain) - 1 - ago
					if got := p.at(tick-uint64(ago), states[at]); got != plain[at] {
						t.Fatalf("second %d of %d, %c: got %d, want %d", at, tick, states[at], got, plain[at])
					}
				}
			}
		}
	})
}

// Quiet seconds take no room, and busy ones as much as their numbers need.
func TestColumnIsSmall(t *testing.T) {
	const span = 1800
	for _, tt := range []struct {
		name  string
		gauge bool
		value func(tick uint64) uint32
		most  int // bytes that are held
	}{
		{"a counter that never grows", false, func(uint64) uint32 { return 0 }, 0},
		{"a gauge that stays", true, func(uint64) uint32 { return 136812 }, 40},
		{"a gauge that moves", true, func(n uint64) uint32 { return 136812 - uint32(n%100) }, 4000},
		{"a burst of two seconds a minute", false, func(n uint64) uint32 { return 500 * uint32(max(n%60, 58)-58) }, 300},
		{"thousands in every second", false, func(n uint64) uint32 { return 5000 + uint32(n%1000) }, 5800},
		{"as much as there can be", false, func(n uint64) uint32 { return none - 1 - uint32(n&1) }, 15000},
	} {
		c := &column{gauge: tt.gauge}
		for tick := uint64(1); tick < 3*span; tick++ {
			c.add(tick, tt.value(tick), Valid, max(tick, span)-span)
		}
		if cap(c.entries) > tt.most {
			t.Errorf("%s: %d bytes, want %d at most", tt.name, cap(c.entries), tt.most)
		}
	}
	c := &column{}
	for tick := uint64(1); tick < 2*span; tick++ {
		c.add(tick, uint32(tick), Valid, max(tick, span)-span)
	}
	if c.shrink(2*span - 3); cap(c.entries) > 64 || len(c.entries) == 0 {
		t.Errorf("the last two seconds take %d of %d bytes", len(c.entries), cap(c.entries))
	}
	if c.shrink(2 * span); len(c.entries) != 0 {
		t.Errorf("no second is left, and %d bytes are", len(c.entries))
	}
}

func TestReverse(t *testing.T) {
	var b []byte
	numbers := []uint64{0, 1, 127, 128, 16383, 16384, 1 << 35, 1<<64 - 1}
	for _, v := range numbers {
		b = appendReverse(b, v)
	}
	var got []uint64
	for end := len(b); end > 0; {
		var v uint64
		v, end = reverse(b, end)
		got = append([]uint64{v}, got...)
	}
	if diff := cmp.Diff(numbers, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// The worst second is the newest of those that are as bad, and is looked for anew
// when it is too old.
func TestWorst(t *testing.T) {
	h, end := fresh()
	r := h.Add(ens5)
	n := 0
	second := func(grew, room uint64) {
		n++
		r.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{linklocal: grew, available: room}))
		end()
	}
	check := func(what string, worst uint64, at int, least uint64, leastAt int) {
		t.Helper()
		i := source(h).Document(1).Interfaces[0]
		got := []any{allowance(t, i, linklocal).Worst, allowance(t, i, linklocal).WorstAt, allowance(t, i, available).Worst, allowance(t, i, available).WorstAt}
		want := []any{worst, start.Unix() + int64(at), least, start.Unix() + int64(leastAt)}
		if at == 0 {
			want[1] = int64(0)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", what, diff)
		}
	}
	second(0, 50)
	check("nothing yet", 0, 0, 50, 1)
	second(7, 40)
	second(9, 30)
	check("it gets worse", 9, 3, 30, 3)
	second(3, 60)
	check("it gets better", 9, 3, 30, 3)
	second(9, 30)
	check("as bad again", 9, 5, 30, 5)
	second(8, 35)
	for n < 1800+4 {
		second(0, 60)
	}
	check("just in time", 9, 5, 30, 5)
	second(0, 60)
	check("the next one counts", 8, 6, 35, 6)
	second(0, 60)
	check("nothing is left", 0, 0, 60, n)
	second(2, 70)
	check("and again", 2, n, 60, n-1)
}

// What End adds to the newest second can make it no longer the worst.
func TestWorstAfterEnd(t *testing.T) {
	h, end := fresh()
	r := h.Add(ens5)
	for _, room := range []uint64{40, 30} {
		r.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{available: room}))
		end()
	}
	if a := allowance(t, source(h).Document(9).Interfaces[0], available); a.Worst != 30 {
		t.Fatalf("the least is %d", a.Worst)
	}
	r.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{available: 50}))
	h.End(start)
	if a := allowance(t, source(h).Document(9).Interfaces[0], available); a.Worst != 40 || a.WorstAt != start.Unix()+1 {
		t.Errorf("the least is %d at %d, want 40 in the first second", a.Worst, a.WorstAt)
	}
}

// A gauge at 0 is as bad as can be, from the first second on.
func TestWorstOfAGaugeAtZero(t *testing.T) {
	h, end := fresh()
	r := h.Add(ens5)
	r.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{available: 0}))
	end()
	if a := allowance(t, source(h).Document(9).Interfaces[0], available); a.Worst != 0 || a.WorstAt != start.Unix()+1 {
		t.Errorf("the least is %d at %d", a.Worst, a.WorstAt)
	}
}

// A counter that has not grown for twice the span takes nothing any more.
func TestQuietGivesUpRoom(t *testing.T) {
	h, end := fresh()
	r := h.Add(ens5)
	for n := range 3 * 1800 {
		r.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{linklocal: uint64(max(100-n, 0))}))
		end()
	}
	for n, c := range r.columns {
		if c != nil {
			t.Errorf("%s has %d bytes", kept[n], cap(c.entries))
		}
	}
}

// A counter that was not read again after the newest second keeps what that has.
func TestEndWithoutAReading(t *testing.T) {
	h, end := fresh()
	r := h.Add(ens5)
	r.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{linklocal: 7}))
	end()
	h.End(start)
	if a := allowance(t, source(h).Document(9).Interfaces[0], linklocal); a.Values[0] != 7 {
		t.Errorf("values %v", a.Values)
	}
}

// What the whole history took is not kept for the seconds that follow.
func TestWriterGivesUpRoom(t *testing.T) {
	h, end := fresh()
	r := h.Add(ens5)
	for n := range uint64(1800) {
		r.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{linklocal: n}))
		end()
	}
	w := source(h).Writer()
	if _, err := w.Write(io.Discard, 1800, Mark{}); err != nil {
		t.Fatal(err)
	}
	if cap(w.b) > keepRoom || cap(w.values) > keepRoom/4 {
		t.Errorf("it keeps %d bytes and %d values", cap(w.b), cap(w.values))
	}
}
