package live

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// Document is everything that is known of some seconds: what /api/v1/live
// answers, what its stream sends, and what an exported incident is.
type Document struct {
	Host       string `json:"host"`
	InstanceID string `json:"instance_id,omitempty"`
	Simulated  bool   `json:"simulated"`
	Version    string `json:"version"`
	// Step is the time between readings, in seconds.
	Step float64 `json:"step"`
	// Tick and LastEvent are the numbers of the newest second and event since the
	// agent started; 0 in what comes from a state file.
	Tick      uint64 `json:"tick"`
	LastEvent uint64 `json:"last_event"`
	// Times are the Unix seconds that Interfaces speak of, oldest first. A second
	// that is missing and not in Quiet was not read.
	Times []int64 `json:"times"`
	// Quiet are spans of Unix seconds in which every interface was read and
	// believed and no counter grew, the first second of a span left out and the
	// last one in it. Only what comes from a state file has any.
	Quiet [][2]int64 `json:"quiet,omitempty"`
	// Started are those of Times in which an agent began to read: what is missing
	// before was not missed, but nobody read. Only what comes from a state file has
	// any.
	Started []int64 `json:"started,omitempty"`
	Events  []Event `json:"events"`
	// Records are what was known around seconds in which an allowance was exceeded.
	// Only what comes from a state file has any.
	Records []json.RawMessage `json:"records,omitempty"`
	// Headroom speaks of the host's connections, or is nil where no driver does.
	Headroom *Headroom `json:"conntrack,omitempty"`
	// LinkLocal is nil unless link-local traffic is counted.
	LinkLocal *LinkLocal `json:"linklocal,omitempty"`
	Sinks     []Sink     `json:"sinks"`
	// Interfaces are in the order of arrival.
	Interfaces []Interface `json:"interfaces"`
}

// Interface is one interface in a Document.
type Interface struct {
	Name    string   `json:"name"`
	MAC     string   `json:"mac"`
	BusInfo string   `json:"bus_info"`
	ENI     string   `json:"eni,omitempty"`
	Driver  string   `json:"driver_version"`
	Link    string   `json:"link,omitempty"`
	Pods    []string `json:"pods,omitempty"`
	Left    bool     `json:"left,omitempty"`
	// Verdict is that of the newest reading, and Reason says why it is not valid.
	Verdict string `json:"verdict"`
	Reason  string `json:"reason,omitempty"`
	// States has a letter for each of the document's times: see State.
	States     string      `json:"states"`
	Allowances []Allowance `json:"allowances"`
	// Counters are the other counters that grew since the agent started; in what
	// comes from a state file, all that are known of its seconds.
	Counters []Counter `json:"counters"`
}

// Allowance is one stat of an interface, second by second.
type Allowance struct {
	Name string `json:"name"`
	// Sum is what a counter grew by since the agent started, or in the seconds of
	// what comes from a state file; of a gauge, the newest level.
	Sum uint64 `json:"sum"`
	// Worst is the largest value of a second in the last half hour, of a gauge
	// the smallest, and WorstAt when that was, in Unix seconds; 0 for never.
	Worst   uint64 `json:"worst"`
	WorstAt int64  `json:"worst_at,omitempty"`
	// Values has one for each of the document's times.
	Values Values `json:"values"`
}

// Counter is one counter as Allowance has them.
type Counter struct {
	Name string `json:"name"`
	Sum  uint64 `json:"sum"`
	// Values has one for each of the document's times, or is nil.
	Values Values `json:"values,omitempty"`
}

// Values are one a second: deltas of a counter, levels of a gauge. NoValue
// stands for none, which is null in JSON.
type Values []uint32

// NoValue is the value of a second that has none.
const NoValue = none

// MarshalJSON writes numbers and nulls.
func (v Values) MarshalJSON() ([]byte, error) { return v.append(make([]byte, 0, 2+3*len(v))), nil }

// UnmarshalJSON reads numbers and nulls.
func (v *Values) UnmarshalJSON(b []byte) error {
	var list []*uint32
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*v = make(Values, len(list))
	for n, x := range list {
		(*v)[n] = none
		if x != nil {
			(*v)[n] = *x
		}
	}
	return nil
}

// Source is what documents are made of.
type Source struct {
	History *History
	Version string
	// Describe returns who the host is and what the agent counts of itself.
	Describe func() (metric.Resource, []metric.SelfMetric)
	// LinkLocal returns what is known of link-local traffic, or nil; it may be nil.
	LinkLocal func() *metric.LinkLocal
}

// Document returns the newest seconds, as many as asked for at most, and all
// events.
func (s *Source) Document(seconds int) *Document {
	var text bytes.Buffer
	d := &Document{}
	if _, err := s.Writer().Write(&text, seconds, Mark{}); err != nil {
		panic(err) // a buffer takes everything
	}
	if err := json.Unmarshal(text.Bytes(), d); err != nil {
		panic(err) // it was written as JSON
	}
	return d
}

// last appends the times of the newest seconds, oldest first. The caller holds
// the lock.
func (h *History) last(times []int64, seconds int) []int64 {
	for ago := max(0, min(seconds, h.seconds)) - 1; ago >= 0; ago-- {
		times = append(times, h.times[h.slot(ago)])
	}
	return times
}

// newer returns how many seconds ended since times were listed, which are some of
// the newest. The caller holds the lock.
func (h *History) newer(times []int64) (n int) {
	for len(times) > 0 && n < h.seconds && h.times[h.slot(n)] != times[len(times)-1] {
		n++
	}
	return n
}

// slot returns the slot of the second that was so many before the newest.
func (h *History) slot(ago int) int {
	return (h.newest - ago + len(h.times)) % len(h.times)
}

func (h *History) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.rows)
}

// describe returns an interface without its values, in the newest seconds; there
// is false if it was in none of them.
func (r *Row) describe(seconds int) (i Interface, there bool) {
	i = Interface{
		Name: r.iface.Name, MAC: r.iface.MAC, BusInfo: r.iface.BusInfo, ENI: r.iface.ENI, Driver: r.iface.DriverVersion,
		Link: r.iface.Link, Pods: podsOf(r.iface), Left: r.left, Verdict: r.judgement(), Reason: string(r.reason),
	}
	states := make([]byte, seconds)
	for at := range states {
		states[at] = byte(r.states[r.history.slot(seconds-1-at)])
	}
	i.States = string(states)
	return i, r.there(0, seconds)
}

// judgement returns the verdict of the newest reading.
func (r *Row) judgement() string {
	if r.judged {
		return r.verdict.String()
	}
	return "unread"
}

// there reports whether the interface was in any of the seconds that end newer
// ago, or is.
func (r *Row) there(newer, seconds int) bool {
	there := !r.left
	for ago := newer; ago < newer+seconds && !there; ago++ {
		there = r.stateAt(ago) != Absent
	}
	return there
}

// stateAt is the state so many seconds before the newest: Absent in one that was
// overwritten while a document was being written.
func (r *Row) stateAt(ago int) State {
	if ago >= len(r.history.times) {
		return Absent
	}
	return r.states[r.history.slot(ago)]
}

// podsOf lists the pods of an interface that are known by name, says which of them
// answer the cluster's DNS, and how many others there are.
func podsOf(i metric.Interface) (names []string) {
	if i.Pods == nil {
		return nil
	}
	for n, name := range i.Pods.Names {
		if n < len(i.Pods.DNS) {
			name += " (cluster DNS)"
		}
		names = append(names, name)
	}
	if i.Pods.Omitted > 0 {
		names = append(names, fmt.Sprintf("and %d more", i.Pods.Omitted))
	}
	return names
}

// fill lists what the stat kept[at] came to in the seconds that end newer ago, as
// many as there is room for.
func (r *Row) fill(v Values, at, newer int) {
	h := r.history
	var p place
	c := r.columns[at]
	if c != nil {
		p = c.newest()
	}
	for n := len(v) - 1; n >= 0; n-- {
		ago := newer + len(v) - 1 - n
		switch state := r.stateAt(ago); {
		case c != nil:
			v[n] = p.at(h.tick-uint64(ago), state)
		case r.known[at] && state == Valid:
			v[n] = 0
		default:
			v[n] = none
		}
	}
}

// worst returns the largest value of the stat kept[at] that the history has, of a
// gauge the smallest, and when that was last; 0 for never.
func (r *Row) worst(at int) (value uint64, when int64) {
	h, c := r.history, r.columns[at]
	if c == nil {
		return 0, 0
	}
	if !c.ranked || c.worstTick != 0 && c.worstTick <= h.oldest() {
		c.worst, c.worstTick, c.ranked = 0, 0, true
		p := c.newest()
		for ago := range h.seconds {
			tick := h.tick - uint64(ago)
			if v := p.at(tick, r.states[h.slot(ago)]); c.worstTick == 0 || v != c.worst {
				c.rank(tick, v)
			}
		}
	}
	if c.worstTick == 0 {
		return 0, 0
	}
	return uint64(c.worst), h.times[h.slot(int(h.tick-c.worstTick))]
}

// Headroom says how long the host's connections last.
type Headroom struct {
	// Available is how many connections can still be tracked.
	Available uint64 `json:"available"`
	// Slope is how that changed lately, in connections per second, and
	// SecondsLeft how long it lasts at that pace, 0 if it does not fall.
	Slope       float64 `json:"slope"`
	SecondsLeft float64 `json:"seconds_left,omitempty"`
}

// slopeSpan is how many seconds the slope is taken over, and slopeLeast how many
// of them there must be.
const (
	slopeSpan  = 60
	slopeLeast = 10
)

// headroom fits a line to the last minute of what is available: the smallest
// value of all interfaces counts. The caller holds the lock.
func (h *History) headroom() (room Headroom, known bool) {
	at := slices.Index(Tracked, ena.ConntrackAllowanceAvailable)
	var lines [2][slopeSpan]uint32
	least, one := Values(lines[0][:min(h.seconds, slopeSpan)]), Values(lines[1][:min(h.seconds, slopeSpan)])
	for n := range least {
		least[n] = none
	}
	for _, r := range h.rows {
		if r.left {
			continue
		}
		r.fill(one, at, 0)
		for n := range least {
			least[n] = min(least[n], one[n])
		}
	}
	var n, sumX, sumY, sumXX, sumXY float64
	now := int64(0)
	for ago := range least {
		v := least[len(least)-1-ago]
		if v == none {
			continue
		}
		slot := h.slot(ago)
		if !known {
			room.Available, now, known = uint64(v), h.times[slot], true
		}
		x, y := float64(h.times[slot]-now), float64(v)
		n, sumX, sumY, sumXX, sumXY = n+1, sumX+x, sumY+y, sumXX+x*x, sumXY+x*y
	}
	spread := n*sumXX - sumX*sumX
	if n < slopeLeast || spread == 0 {
		return room, known
	}
	room.Slope = math.Round((n*sumXY-sumX*sumY)/spread*100) / 100
	if room.Slope < 0 {
		room.SecondsLeft = math.Round(float64(room.Available) / -room.Slope)
	}
	return room, known
}
