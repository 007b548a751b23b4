package conntrack

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What a table of 1000 entries does, one reading a second, and in which seconds
// a warning of ten minutes begins (+) and ends (-).
func TestForecast(t *testing.T) {
	tests := []struct {
		name    string
		entries func(second int) int // below 0: not known
		seconds int
		want    string
	}{
		{"a tenth, flat", func(int) int { return 100 }, 300, ""},
		{"below half it may grow as it likes", func(s int) int { return min(100+20*s, 490) }, 300, ""},
		{"slow growth, ten minutes before the end", func(s int) int { return min(500+s/4, 1000) }, 2100, "+1402"},
		{"fast growth, at half", func(s int) int { return min(10*s, 990) }, 90, "+52"},
		{"full but for a little, and flat", func(int) int { return 900 }, 100, "+2"},
		{"just not that full", func(int) int { return 899 }, 300, ""},
		{"over when there is room for a minute", func(s int) int {
			if s < 100 {
				return 950
			}
			return 700
		}, 400, "+2 -159"},
		{"back and forth is one warning", func(s int) int { return 780 + 150*(s/30%2) }, 1000, "+32"},
		{"growth that is half as fast is still the same warning", func(s int) int {
			if s < 110 {
				return 300 + 2*s
			}
			return 520 + (s-110)/2
		}, 400, "+102"},
		{"what is not known changes nothing", func(s int) int {
			if s >= 50 && s < 300 {
				return -1
			}
			return 950
		}, 400, "+2"},
		{"an alarm must last three readings", func(s int) int {
			if s%5 < 2 {
				return 950
			}
			return 400
		}, 300, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := forecast{warn: 10 * time.Minute}
			var got []string
			for s := range tt.seconds {
				n := tt.entries(s)
				switch f.add(time.Duration(s)*time.Second, uint64(max(n, 0)), 1000, n >= 0) {
				case begins:
					got = append(got, fmt.Sprintf("+%d", s))
				case ends:
					got = append(got, fmt.Sprintf("-%d", s))
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %q, want %q", strings.Join(got, " "), tt.want)
			}
		})
	}
}

func TestGrowth(t *testing.T) {
	f := forecast{warn: time.Minute}
	var at time.Duration
	for s := range 100 { // two entries more each half second
		at = time.Duration(s) * 500 * time.Millisecond
		f.add(at, uint64(600+2*s), 1000, true)
	}
	if u := f.use; u.PerSecond < 3.999 || u.PerSecond > 4.001 || u.Free != 202 || u.Full.Round(time.Second) != 51*time.Second {
		t.Errorf("%+v, want 4 a second and full in 50.5 s", u)
	}
	for s := range 100 { // a gap, and less and less
		f.add(at+time.Hour+time.Duration(s)*time.Second, uint64(700-3*s), 1000, true)
	}
	if u := f.use; u.PerSecond < -3.001 || u.PerSecond > -2.999 || u.Full != 0 {
		t.Errorf("%+v, want 3 less a second, and no end in sight", u)
	}
	f = forecast{}
	for s := range 9 {
		f.add(time.Duration(s)*time.Second, uint64(600+10*s), 1000, true)
	}
	if f.use.PerSecond != 0 || f.use.Full != 0 {
		t.Errorf("after nine readings: %+v, want no word on growth", f.use)
	}
	if n := testing.AllocsPerRun(100, func() { at += time.Second; f.add(at, 5, 10, true) }); n != 0 {
		t.Errorf("%v allocations a reading", n)
	}
}
