package window

import (
	"slices"
	"testing"
	"time"
)

// hands is a clock that a test moves.
type hands struct {
	wall time.Time
	mono time.Duration
}

func (h *hands) clock() Clock {
	return Clock{Wall: func() time.Time { return h.wall }, Mono: func() time.Duration { return h.mono }}
}

func (h *hands) pass(d time.Duration) { h.wall, h.mono = h.wall.Add(d), h.mono+d }

type closed struct {
	start  string
	length time.Duration
	ticks  int
}

// runTicks lets n ticks pass, each late by a little, and returns the windows.
func runTicks(h *hands, s *Schedule, n int, before func(i int)) (all []closed) {
	ticks := 0
	for i := range n {
		h.pass(s.Next() + 300*time.Microsecond)
		before(i)
		t := s.Tick()
		ticks++
		if t.Close {
			all = append(all, closed{t.Start.Format("15:04:05"), t.Length, ticks})
			ticks = 0
		}
	}
	return all
}

func TestWindowsStandOnTheMinute(t *testing.T) {
	for _, within := range []time.Duration{0, 1, 3e8, 5e8, 7e8, 1e9 - 1} { // the second of the start
		h := &hands{wall: time.Date(2026, 11, 23, 12, 0, 45, int(within), time.UTC)}
		s := NewSchedule(h.clock(), time.Second, time.Minute)
		got := runTicks(h, s, 15+120, func(int) {})
		want := []closed{{"12:00:45", 15*time.Second - within, 15}, {"12:01:00", time.Minute, 60}, {"12:02:00", time.Minute, 60}}
		if !slices.Equal(got, want) {
			t.Errorf("started at 12:00:45 and %v: windows %v, want %v", within, got, want)
		}
	}
}

// A start at the very end of a minute has a window of what is left of the second.
func TestStartAtTheEndOfAWindow(t *testing.T) {
	h := &hands{wall: time.Date(2026, 11, 23, 12, 0, 59, 9e8, time.UTC)}
	s := NewSchedule(h.clock(), time.Second, time.Minute)
	got := runTicks(h, s, 61, func(int) {})
	if want := []closed{{"12:00:59", 100 * time.Millisecond, 1}, {"12:01:00", time.Minute, 60}}; !slices.Equal(got, want) {
		t.Errorf("windows %v, want %v", got, want)
	}
}

// Windows of agents that follow each other do not overlap, and stand in the order
// of their making, however late ticks come.
func TestWindowsOfAgentsFollowEachOther(t *testing.T) {
	for _, late := range []time.Duration{0, 12, 400, 600, 900} { // ms
		h := &hands{wall: time.Date(2026, 11, 23, 12, 0, 0, 3e8, time.UTC)}
		last := h.wall
		for _, life := range []time.Duration{2400, 150, 100, 3700, 200, 640, 5010, 1300, 300} { // ms
			h.pass(300 * time.Millisecond) // as long as a restart takes
			s := NewSchedule(h.clock(), time.Second, time.Second)
			first := true
			see := func(c Tick) {
				end := c.Start.Add(c.Length)
				if !first && !c.Start.Equal(last) && late < 500 {
					t.Errorf("late by %d ms, at %s: a window from %s does not touch that to %s", late, h.wall.Format(clockTime), c.Start.Format(clockTime), last.Format(clockTime))
				}
				first = false
				if overlap := last.Sub(c.Start); overlap > 0 && (late < 500 || overlap > time.Second/2) || c.Length < 0 || end.Before(last) {
					t.Errorf("late by %d ms, at %s: a window from %s to %s follows one to %s", late, h.wall.Format(clockTime), c.Start.Format(clockTime), end.Format(clockTime), last.Format(clockTime))
				}
				last = end
			}
			for end := h.mono + life*time.Millisecond; ; {
				wait := s.Next() + late*time.Millisecond
				if h.mono+wait > end {
					h.pass(end - h.mono)
					break
				}
				h.pass(wait)
				if c := s.Tick(); c.Close {
					see(c)
				}
			}
			see(s.End())
		}
	}
}

const clockTime = "05.000"

// A tick may come a little early by the wall clock, and the end right behind it.
func TestEndBehindAnEarlyTick(t *testing.T) {
	h := &hands{wall: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	s := NewSchedule(h.clock(), time.Second, time.Second)
	h.pass(s.Next() - 2*time.Millisecond)
	tick := s.Tick()
	h.pass(time.Millisecond)
	if end := s.End(); !tick.Close || end.Length != 0 || !end.Start.Equal(tick.Start.Add(tick.Length)) {
		t.Errorf("%+v, then %+v", tick, end)
	}
}

// A tick that is missed at the end of a window does not make it longer by another:
// the next tick ends it.
func TestMissedEndOfAWindow(t *testing.T) {
	h := &hands{wall: time.Date(2026, 11, 23, 12, 0, 45, 0, time.UTC)}
	s := NewSchedule(h.clock(), time.Second, time.Minute)
	runTicks(h, s, 14, func(int) {})
	h.pass(1700 * time.Millisecond)
	if c := s.Tick(); !c.Close || c.Length != 16*time.Second || !c.At.Equal(h.wall.Truncate(time.Minute).Add(time.Second)) {
		t.Errorf("%+v, want a window of 16 s", c)
	}
	if got, want := runTicks(h, s, 59, func(int) {}), []closed{{"12:01:01", 59 * time.Second, 59}}; !slices.Equal(got, want) {
		t.Errorf("then windows %v, want %v", got, want)
	}
}

// The first readings may take longer than what is left of their second.
func TestSlowStartMissesASecond(t *testing.T) {
	h := &hands{wall: time.Date(2026, 11, 23, 12, 0, 45, 9e8, time.UTC)}
	s := NewSchedule(h.clock(), time.Second, time.Minute)
	h.pass(300 * time.Millisecond)
	h.pass(s.Next())
	if c := s.Tick(); c.Missed != 1 || c.At.Second() != 47 {
		t.Errorf("%+v, want one missed, at :47", c)
	}
}

func TestClockStepEndsTheWindow(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour, 3 * time.Second, -800 * time.Millisecond} {
		t.Run(step.String(), func(t *testing.T) {
			h := &hands{wall: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
			s := NewSchedule(h.clock(), time.Second, time.Minute)
			ticks, total := 0, time.Duration(0)
			for _, c := range runTicks(h, s, 200, func(i int) {
				if i == 20 {
					h.wall = h.wall.Add(step)
				}
			}) {
				ticks += c.ticks
				total += c.length
				if c.length > time.Minute || c.ticks > 60 {
					t.Errorf("a window of %v with %d ticks", c.length, c.ticks)
				}
			}
			if off := (total - time.Duration(ticks)*time.Second).Abs(); off > time.Second {
				t.Errorf("%d ticks in windows of %v together", ticks, total)
			}
		})
	}
}

func TestMissedTicksAreCounted(t *testing.T) {
	h := &hands{wall: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	s := NewSchedule(h.clock(), time.Second, time.Minute)
	runTicks(h, s, 3, func(int) {})
	h.pass(4 * time.Second)
	if got := s.Tick(); got.Missed != 3 || got.Step != 0 {
		t.Errorf("after 4 s: missed %d, step %v; want 3, 0", got.Missed, got.Step)
	}
	h.pass(s.Next())
	if got := s.Tick(); got.Missed != 0 {
		t.Errorf("the next tick: missed %d", got.Missed)
	}
}

// However late ticks come and however the clock drifts, they keep their seconds.
func TestDriftMovesNoTick(t *testing.T) {
	h := &hands{wall: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	s := NewSchedule(h.clock(), time.Second, time.Minute)
	for _, c := range runTicks(h, s, 3600, func(i int) {
		h.wall = h.wall.Add(time.Duration(i%3-1) * 40 * time.Millisecond)
	}) {
		if c.ticks != 60 || c.length != time.Minute {
			t.Fatalf("a window of %d ticks, %v", c.ticks, c.length)
		}
	}
}
