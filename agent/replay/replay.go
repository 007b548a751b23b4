// Package replay has a recorded incident happen again: through the windows of any
// configuration, and before any alarms. It does no I/O.
package replay

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/event"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/window"
)

// Options say through what an incident goes: those of the agent's configuration.
type Options struct {
	Sample, Publish time.Duration
	Sparse          bool
	Want            func(metric.Interface) bool
	Dimensions      []metric.Dimension
}

// Windows returns what the windows of the incident would have been. An error says
// that its seconds can't be made into readings of that interval.
func Windows(d *live.Document, o Options) ([]*metric.Batch, error) {
	step := time.Duration(math.Round(d.Step)) * time.Second
	switch {
	case step < time.Second || d.Step != step.Seconds():
		return nil, fmt.Errorf("the incident's step is %v s: it must be whole seconds", d.Step)
	case o.Sample%step != 0:
		return nil, fmt.Errorf("sample_interval %s: the incident was read every %s, so give a multiple of that", o.Sample, step)
	}
	r := &run{d: d, o: o, step: int64(step / time.Second)}
	r.plan()
	r.begin()
	for n, t := range r.ticks {
		if n > 0 && t.starts {
			r.end()
			r.begin()
		}
		r.tick(t)
	}
	r.end()
	return r.out, nil
}

// tick is one reading of the incident.
type tick struct {
	at, gap int64 // Unix seconds; seconds since the reading before, by the monotonic clock
	second  int   // index in Document.Times, or -1 in a quiet span
	starts  bool  // an agent started
}

// run is an incident on its way through windows.
type run struct {
	d     *live.Document
	o     Options
	step  int64
	ticks []tick

	wall     time.Time
	mono     time.Duration
	schedule *window.Schedule
	window   *window.Window
	rows     map[int]*window.Row // by index in Document.Interfaces
	late     time.Duration       // since the last reading that was due
	ended    bool                // the window has nothing in it
	last     int                 // the newest second that was told of
	out      []*metric.Batch
}

// plan lists the readings: those that are told of, and those of quiet spans, each
// of which follows the second that it begins after.
func (r *run) plan() {
	jumps := map[int64]int64{} // how far the clock jumped, by the second that it jumped to
	for _, e := range r.d.Events {
		if e.Kind == event.Clock {
			jumps[int64(math.Round(e.At/float64(r.step)))*r.step] = int64(math.Round(e.By))
		}
	}
	quiet := r.d.Quiet
	fill := func(from, to int64) {
		for t := from + r.step; t <= to; t += r.step {
			r.ticks = append(r.ticks, tick{at: t, gap: r.step, second: -1})
		}
	}
	if len(r.d.Times) > 0 {
		for len(quiet) > 0 && quiet[0][0] < r.d.Times[0] { // the export began in it
			fill(quiet[0][0], min(quiet[0][1], r.d.Times[0]-r.step))
			quiet = quiet[1:]
		}
	}
	for n, t := range r.d.Times {
		k := tick{at: t, gap: r.step, second: n, starts: slices.Contains(r.d.Started, t)}
		if len(r.ticks) > 0 && !k.starts {
			k.gap = max(r.step, t-r.ticks[len(r.ticks)-1].at-jumps[t])
		}
		r.ticks = append(r.ticks, k)
		for len(quiet) > 0 && quiet[0][0] == t {
			fill(quiet[0][0], quiet[0][1])
			quiet = quiet[1:]
		}
	}
	for _, q := range quiet {
		if len(r.d.Times) == 0 {
			fill(q[0], q[1])
		}
	}
}

// begin opens the first window of an agent.
func (r *run) begin() {
	r.window = window.New(int(r.o.Publish/r.o.Sample), r.o.Sparse)
	r.window.Every = r.o.Sample
	r.rows, r.schedule, r.late, r.ended, r.last = map[int]*window.Row{}, nil, 0, true, -1
}

func (r *run) clock() window.Clock {
	return window.Clock{Wall: func() time.Time { return r.wall }, Mono: func() time.Duration { return r.mono }}
}

// tick has the readings of one instant happen.
func (r *run) tick(t tick) {
	gap := time.Duration(t.gap) * time.Second
	if r.schedule == nil {
		r.wall = time.Unix(t.at, 0).UTC().Add(-gap)
		r.schedule = window.NewSchedule(r.clock(), r.o.Sample, r.o.Publish)
	}
	r.wall, r.mono = time.Unix(t.at, 0).UTC(), r.mono+gap
	if t.second >= 0 {
		r.last = t.second
	}
	r.late += gap
	if r.late < r.o.Sample && !r.wall.Equal(r.wall.Truncate(r.o.Sample)) {
		r.observe(t, false)
		return // a reading that only the recording made
	}
	r.late = 0
	due := r.schedule.Tick()
	r.window.Miss(due.Missed)
	r.observe(t, true)
	r.window.EndSecond()
	r.ended = false
	if due.Close {
		r.close(due)
	}
}

// observe hands on what the reading of each interface came to. One that was not
// believed counts only where it is due.
func (r *run) observe(t tick, due bool) {
	for n := range r.d.Interfaces {
		i := &r.d.Interfaces[n]
		state := r.state(i, t)
		row := r.rows[n]
		mi := metric.Interface{Name: i.Name, MAC: i.MAC, BusInfo: i.BusInfo, ENI: i.ENI, DriverVersion: i.Driver, Link: i.Link}
		switch {
		case state == live.Absent && row != nil:
			r.window.Leave(row)
			delete(r.rows, n)
			continue
		case state == live.Absent || !r.o.Want(mi):
			continue
		case row == nil:
			row = r.window.Add(mi)
			r.rows[n] = row
		}
		if state == live.Gone || state == live.Missed || state == live.Suspect && !due {
			continue
		}
		result := r.result(i, t)
		if state == live.Suspect {
			result.Verdict = ena.Suspect
		}
		r.window.Observe(row, result)
	}
}

// state is that of an interface at a tick. In a quiet span, all are there that
// were in the second before it, or in the first after it.
func (r *run) state(i *live.Interface, t tick) live.State {
	at := t.second
	if at < 0 {
		at = max(r.last, 0)
		if at >= len(i.States) || live.State(i.States[at]) == live.Absent {
			return live.Absent
		}
		return live.Valid
	}
	return live.State(i.States[at])
}

// result is what a reading came to.
func (r *run) result(i *live.Interface, t tick) *delta.Result {
	out := &delta.Result{Verdict: ena.Valid}
	put := func(name string, v live.Values) {
		s, ok := ena.Lookup(name)
		if !ok || v == nil {
			return
		}
		value := live.NoValue
		switch {
		case t.second >= 0:
			value = v[t.second]
		case s.Entry().Kind == metric.Gauge:
			value = levelAt(v, r.last)
		case known(v):
			value = 0
		}
		if value != live.NoValue {
			out.Values[s] = uint64(value)
			out.Counted.Add(s)
		}
	}
	for _, a := range i.Allowances {
		put(a.Name, a.Values)
	}
	for _, c := range i.Counters {
		put(c.Name, c.Values)
	}
	return out
}

// levelAt is what a gauge showed last at an index, or first after it.
func levelAt(v live.Values, at int) uint32 {
	for n := min(at, len(v)-1); n >= 0; n-- {
		if v[n] != live.NoValue {
			return v[n]
		}
	}
	for n := max(0, at); n < len(v); n++ {
		if v[n] != live.NoValue {
			return v[n]
		}
	}
	return live.NoValue
}

// known reports whether there is any value.
func known(v live.Values) bool {
	return slices.ContainsFunc(v, func(x uint32) bool { return x != live.NoValue })
}

// close hands the window on that t ends.
func (r *run) close(t window.Tick) {
	b := r.window.Close()
	b.Start, b.Length = t.Start, t.Length
	b.Resource = metric.Resource{Host: r.d.Host, InstanceID: r.d.InstanceID, Dimensions: r.o.Dimensions, Simulated: r.d.Simulated}
	r.ended = true
	r.out = append(r.out, b)
}

// end closes the window of an agent that stops, or of a recording.
func (r *run) end() {
	if r.late > 0 { // since the last reading that was due
		r.window.EndSecond()
		r.late, r.ended = 0, false
	}
	if r.schedule != nil && !r.ended {
		r.close(r.schedule.End())
	}
}
