package window

import "time"

// Clock tells the time twice: as people do, which can jump, and as a count
// that only ever runs forward at the same pace.
type Clock struct {
	Wall func() time.Time
	Mono func() time.Duration
}

// SystemClock returns the clock of this machine.
func SystemClock() Clock {
	start := time.Now()
	return Clock{
		Wall: func() time.Time { return time.Now().Round(0) },
		Mono: func() time.Duration { return time.Since(start) },
	}
}

// Tick is one moment of reading.
type Tick struct {
	// At is the wall-clock time that the tick stands for: a multiple of the
	// sample interval.
	At time.Time
	// Missed is how many ticks there should have been since the last one,
	// besides this one.
	Missed int
	// Step is by how much the wall clock jumped since the last tick, or 0.
	Step time.Duration
	// Close is true if the window ends with this tick. Start and Length are
	// then the window's, by the clock as it is now.
	Close  bool
	Start  time.Time
	Length time.Duration
}

// Schedule says when to read and where windows begin and end: readings on
// multiples of the sample interval, windows on multiples of the publish
// interval, both by the wall clock, while lengths are measured by the
// monotonic one. A clock step ends the window at once. A window is longer than
// the publish interval only if no tick came at its end.
type Schedule struct {
	clock           Clock
	sample, publish time.Duration

	opened   time.Duration // start of the window's first sample, by the monotonic clock
	late     time.Duration // by how much the window itself began later
	lastAt   time.Time
	lastWall time.Time
	lastMono time.Duration
	cut      bool
}

// NewSchedule opens the first window now. Its first sample is what is left of the
// sample interval that has begun.
func NewSchedule(c Clock, sample, publish time.Duration) *Schedule {
	wall := c.Wall()
	began := wall.Truncate(sample)
	s := &Schedule{clock: c, sample: sample, publish: publish, late: wall.Sub(began), lastAt: began, lastWall: began}
	s.lastMono = c.Mono() - s.late
	s.opened = s.lastMono
	return s
}

// Next returns how long to wait for the next tick.
func (s *Schedule) Next() time.Duration {
	wall := s.clock.Wall()
	wait := wall.Truncate(s.sample).Add(s.sample).Sub(wall)
	if wait < s.sample/2 && s.clock.Mono()-s.lastMono < s.sample/2 {
		wait += s.sample // the last tick came early by this clock
	}
	return wait
}

// Cut has the window end with the next tick.
func (s *Schedule) Cut() { s.cut = true }

// Tick takes note that a tick is due now.
func (s *Schedule) Tick() Tick {
	wall, mono := s.clock.Wall(), s.clock.Mono()
	elapsed := mono - s.lastMono
	t := Tick{At: wall.Round(s.sample)}
	if step := wall.Sub(s.lastWall) - elapsed; step.Abs() >= s.sample/2 {
		t.Step = step
	}
	t.Missed = max(0, int((elapsed+s.sample/2)/s.sample)-1)
	s.lastAt, s.lastWall, s.lastMono = t.At, wall, mono

	t.Length = (mono - s.opened).Round(s.sample)
	over := t.At.Truncate(s.publish).After(t.At.Add(-t.Length).Truncate(s.publish))
	if t.Length > 0 && (t.Step != 0 || over || s.cut) {
		s.close(&t, mono-wall.Sub(t.At))
	}
	return t
}

// End closes the window before its time.
func (s *Schedule) End() Tick {
	wall, mono := s.clock.Wall(), s.clock.Mono()
	t := Tick{At: wall, Length: mono - s.opened}
	if early := s.lastAt.Sub(wall); early > 0 && early < s.sample {
		t.At = s.lastAt // a tick that came late stood for the next one
	}
	s.lastAt, s.lastWall, s.lastMono = t.At, wall, mono
	s.close(&t, mono)
	return t
}

// close closes the window at the tick, which was due at a monotonic time.
func (s *Schedule) close(t *Tick, due time.Duration) {
	t.Close = true
	t.Length = max(0, t.Length-s.late) // below 0 behind a tick that came early
	t.Start = t.At.Add(-t.Length).UTC()
	s.opened, s.late, s.cut = due, 0, false
}
