package incident

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/store"
)

// Read returns what the ring of a state file holds between two times, both
// included, as one document. Windows that began before from or end after to are
// in it as a whole.
func Read(r *store.Reader, from, to time.Time) (*live.Document, error) {
	j := joiner{doc: &live.Document{
		Times: []int64{}, Events: []live.Event{}, Sinks: []live.Sink{}, Interfaces: []live.Interface{},
	}, from: from.Unix(), to: to.Unix(), index: map[string]int{}}
	all := time.Unix(0, math.MaxInt64)
	err := r.Range(store.Seconds, time.Time{}, all, func(n store.Record) error {
		w, err := Decode(n.Data)
		if err != nil {
			return err
		}
		j.add(w)
		return nil
	})
	if err != nil {
		return nil, err
	}
	baselines, err := r.Baselines()
	if err != nil {
		return nil, err
	}
	for _, b := range baselines {
		j.alive(b.At.Unix())
	}
	j.finish()
	err = r.Range(store.Events, from, to, func(n store.Record) error {
		var e live.Event
		if err := json.Unmarshal(n.Data, &e); err != nil {
			return fmt.Errorf("an event in the state file: %w", err)
		}
		e.Seq = uint64(len(j.doc.Events) + 1)
		j.doc.Events = append(j.doc.Events, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	j.doc.LastEvent = uint64(len(j.doc.Events))
	err = r.Range(store.Flights, from, to, func(n store.Record) error {
		if !json.Valid(n.Data) {
			return errors.New("a flight record in the state file is no JSON")
		}
		j.doc.Records = append(j.doc.Records, slices.Clone(n.Data))
		return nil
	})
	return j.doc, err
}

// joiner puts windows behind each other.
type joiner struct {
	doc      *live.Document
	from, to int64
	last     int64          // until when the agent is known to have run
	index    map[string]int // of interfaces, by MAC and bus
	states   [][]byte       // of the document's interfaces
}

// alive says that the agent, whose newest window is the one added last, ran until
// t.
func (j *joiner) alive(t int64) {
	a, b := max(j.last, j.from), min(t, j.to)
	if j.last != 0 && a < b {
		j.doc.Quiet = append(j.doc.Quiet, [2]int64{a, b})
	}
	if t > j.last && j.last != 0 {
		j.last = t
	}
}

// add takes the next window, in the order in which they were written.
func (j *joiner) add(w *Window) {
	if w.From == 0 {
		j.alive(w.Alive) // the agent before
	} else {
		j.alive(w.From)
	}
	if len(w.Times) == 0 {
		return
	}
	j.last = w.Times[len(w.Times)-1]
	if j.last < j.from || w.Times[0] > j.to {
		return
	}
	d := j.doc
	d.Host, d.InstanceID, d.Step = w.Host, w.InstanceID, w.Step
	if len(d.Times) > 0 && w.From == w.Times[0] && d.Times[len(d.Times)-1] == w.From {
		j.rest(w) // of a second that is there
		return
	}
	before := len(d.Times)
	d.Times = append(d.Times, w.Times...)
	if w.From == 0 {
		d.Started = append(d.Started, w.Times[0])
	}
	for n := range d.Interfaces {
		d.Interfaces[n].Left = true // unless the window has it
	}
	for _, i := range w.Interfaces {
		key := i.MAC + " " + i.BusInfo
		at, ok := j.index[key]
		if !ok {
			at = len(d.Interfaces)
			j.index[key] = at
			d.Interfaces = append(d.Interfaces, live.Interface{})
			j.states = append(j.states, nil)
		}
		j.join(at, i, before)
	}
}

// rest adds what the last readings of an agent found in a second that the window
// before has.
func (j *joiner) rest(w *Window) {
	for _, i := range w.Interfaces {
		at, ok := j.index[i.MAC+" "+i.BusInfo]
		if !ok {
			continue
		}
		to := &j.doc.Interfaces[at]
		for _, a := range i.Allowances {
			if n := slices.IndexFunc(to.Allowances, func(o live.Allowance) bool { return o.Name == a.Name }); n >= 0 {
				addLast(to.Allowances[n].Values, a.Name, a.Values[0])
			}
		}
		for _, c := range i.Counters {
			if n := slices.IndexFunc(to.Counters, func(o live.Counter) bool { return o.Name == c.Name }); n >= 0 {
				addLast(to.Counters[n].Values, c.Name, c.Values[0])
			}
		}
	}
}

// addLast adds to the newest value of a stat: of a gauge, the newer level counts.
func addLast(v live.Values, name string, more uint32) {
	if len(v) == 0 || more == live.NoValue {
		return
	}
	last := &v[len(v)-1]
	s, ok := ena.Lookup(name)
	if ok && s.Entry().Kind == metric.Gauge || *last == live.NoValue {
		*last = more
		return
	}
	*last = uint32(min(uint64(*last)+uint64(more), uint64(live.NoValue-1)))
}

// join adds the seconds of next to those of the interface, of which there are
// before. Those in which it was not there are absent.
func (j *joiner) join(at int, next live.Interface, before int) {
	i := &j.doc.Interfaces[at]
	for len(j.states[at]) < before {
		j.states[at] = append(j.states[at], byte(live.Absent))
	}
	j.states[at] = append(j.states[at], next.States...)
	old := *i
	*i = next
	i.States, i.Allowances, i.Counters = "", old.Allowances, old.Counters
	if len(old.Pods) > len(i.Pods) {
		i.Pods = old.Pods
	}
	for _, a := range next.Allowances {
		n := slices.IndexFunc(i.Allowances, func(o live.Allowance) bool { return o.Name == a.Name })
		if n < 0 {
			n = len(i.Allowances)
			i.Allowances = append(i.Allowances, live.Allowance{Name: a.Name})
		}
		i.Allowances[n].Values = append(fill(i.Allowances[n].Values, before, nil), a.Values...)
	}
	for _, c := range next.Counters {
		n := slices.IndexFunc(i.Counters, func(o live.Counter) bool { return o.Name == c.Name })
		if n < 0 {
			n = len(i.Counters)
			i.Counters = append(i.Counters, live.Counter{Name: c.Name})
		}
		i.Counters[n].Values = append(fill(i.Counters[n].Values, before, j.states[at]), c.Values...)
	}
}

// fill adds the seconds that are missing: without a value, or 0 where the reading
// was valid.
func fill(v live.Values, to int, states []byte) live.Values {
	for len(v) < to {
		next := live.NoValue
		if states != nil && live.State(states[len(v)]) == live.Valid {
			next = 0
		}
		v = append(v, next)
	}
	return v
}

// finish completes what the last windows did not have, and counts.
func (j *joiner) finish() {
	d := j.doc
	for n := range d.Interfaces {
		i := &d.Interfaces[n]
		for len(j.states[n]) < len(d.Times) {
			j.states[n] = append(j.states[n], byte(live.Absent))
		}
		i.States = string(j.states[n])
		i.Verdict = verdictOf(j.states[n])
		for k := range i.Allowances {
			a := &i.Allowances[k]
			a.Values = fill(a.Values, len(d.Times), nil)
			count(a, d.Times)
		}
		for k := range i.Counters {
			c := &i.Counters[k]
			c.Values = fill(c.Values, len(d.Times), j.states[n])
			s, _ := ena.Lookup(c.Name)
			c.Sum = sum(c.Values, s.Entry().Kind)
		}
		if i.Counters == nil {
			i.Counters = []live.Counter{}
		}
	}
}

// verdictOf is that of the newest reading.
func verdictOf(states []byte) string {
	for _, s := range slices.Backward(states) {
		switch live.State(s) {
		case live.Valid, live.First:
			return ena.Valid.String()
		case live.Suspect:
			return ena.Suspect.String()
		case live.Gone:
			return ena.Gone.String()
		}
	}
	return "unread"
}

func sum(v live.Values, kind metric.Kind) (total uint64) {
	for _, x := range v {
		switch {
		case x == live.NoValue:
		case kind == metric.Gauge:
			total = uint64(x)
		default:
			total += uint64(x)
		}
	}
	return total
}

// count sets what an allowance says of its values.
func count(a *live.Allowance, times []int64) {
	s, _ := ena.Lookup(a.Name)
	kind := s.Entry().Kind
	a.Sum = sum(a.Values, kind)
	for n, x := range a.Values {
		if x == live.NoValue || kind == metric.Counter && x == 0 {
			continue
		}
		v := uint64(x)
		if a.WorstAt == 0 || kind == metric.Counter && v > a.Worst || kind == metric.Gauge && v < a.Worst {
			a.Worst, a.WorstAt = v, times[n]
		}
	}
}
