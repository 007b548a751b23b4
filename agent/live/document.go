package live

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

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
func (v Values) MarshalJSON() ([]byte, error) {
	b := make([]byte, 1, 2+3*len(v))
	b[0] = '['
	for n, x := range v {
		if n > 0 {
			b = append(b, ',')
		}
		if x == none {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendUint(b, uint64(x), 10)
		}
	}
	return append(b, ']'), nil
}

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
	d := s.head(seconds, 0)
	for n := range s.History.size() {
		if i, ok := s.History.interfaceAt(n, d.Times); ok {
			d.Interfaces = append(d.Interfaces, i)
		}
	}
	return d
}

// Write writes a Document of the newest seconds, as many as asked for at most,
// and of the events after a mark, as a line of JSON. It holds one interface in
// memory at a time, and returns how far the document goes.
func (s *Source) Write(w io.Writer, seconds int, after Mark) (Mark, error) {
	d := s.head(seconds, after.Event)
	m := Mark{d.Tick, d.LastEvent}
	head, err := json.Marshal(d)
	if err != nil {
		return m, err
	}
	const end = "]}\n"
	if _, err := w.Write(head[:len(head)-len("]}")]); err != nil {
		return m, err
	}
	comma := ""
	for n := range s.History.size() {
		i, ok := s.History.interfaceAt(n, d.Times)
		if !ok {
			continue
		}
		text, err := json.Marshal(i)
		if err != nil {
			return m, err
		}
		if _, err := fmt.Fprintf(w, "%s%s", comma, text); err != nil {
			return m, err
		}
		comma = ","
	}
	_, err = io.WriteString(w, end)
	return m, err
}

// head returns a document without its interfaces.
func (s *Source) head(seconds int, afterEvent uint64) *Document {
	resource, self := s.Describe()
	var budget *LinkLocal
	if s.LinkLocal != nil {
		budget = linkLocal(s.LinkLocal())
	}
	h := s.History
	h.mu.Lock()
	defer h.mu.Unlock()
	d := &Document{
		Host: resource.Host, InstanceID: resource.InstanceID, Simulated: resource.Simulated, Version: s.Version,
		Tick: h.mark().Tick, LastEvent: h.mark().Event, Step: h.step.Seconds(), Times: h.last(seconds), Events: h.eventsAfter(afterEvent),
		Headroom: h.headroom(), LinkLocal: budget, Sinks: sinksOf(self, h.problems), Interfaces: []Interface{},
	}
	return d
}

// last returns the times of the newest seconds, oldest first. The caller holds
// the lock.
func (h *History) last(seconds int) []int64 {
	n := max(0, min(seconds, h.seconds))
	times := make([]int64, n)
	for i := range times {
		times[i] = h.times[h.slot(n-1-i)]
	}
	return times
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

// interfaceAt returns the n-th interface at the given times, which are some of
// the newest; ok is false if there is none, or nothing of it in these times.
func (h *History) interfaceAt(n int, times []int64) (i Interface, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n >= len(h.rows) {
		return i, false
	}
	r := h.rows[n]
	// A second may have ended since the times were listed.
	newer := 0
	for len(times) > 0 && newer < h.seconds && h.times[h.slot(newer)] != times[len(times)-1] {
		newer++
	}
	i, ok = r.describe(times, newer)
	i.Counters = r.counters()
	for at := range Tracked {
		if r.known[at] {
			i.Allowances = append(i.Allowances, r.allowance(at, newer, len(times)))
		}
	}
	return i, ok
}

// describe returns an interface without its values, in the seconds at the given
// times, which end newer ago; there is false if it was in none of them.
func (r *Row) describe(times []int64, newer int) (i Interface, there bool) {
	i = Interface{
		Name: r.iface.Name, MAC: r.iface.MAC, BusInfo: r.iface.BusInfo, ENI: r.iface.ENI, Driver: r.iface.DriverVersion,
		Link: r.iface.Link, Pods: podsOf(r.iface), Left: r.left, Verdict: "unread", Reason: string(r.reason),
	}
	if r.judged {
		i.Verdict = r.verdict.String()
	}
	states := make([]byte, len(times))
	there = !r.left
	for at := range times {
		states[at] = byte(r.states[r.history.slot(newer+len(times)-1-at)])
		there = there || State(states[at]) != Absent
	}
	i.States = string(states)
	return i, there
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

// allowance returns the stat kept[at] of the seconds that end newer ago.
func (r *Row) allowance(at, newer, seconds int) Allowance {
	h, s := r.history, kept[at]
	a := Allowance{Name: s.String(), Sum: r.sum[s], Values: make(Values, seconds)}
	for i := range a.Values {
		a.Values[i] = r.value(at, h.slot(newer+seconds-1-i))
	}
	gauge := s.Entry().Kind == metric.Gauge
	for ago := range h.seconds {
		v := r.value(at, h.slot(ago))
		if v == none || !gauge && v == 0 {
			continue
		}
		if a.WorstAt == 0 || !gauge && uint64(v) > a.Worst || gauge && uint64(v) < a.Worst {
			a.Worst, a.WorstAt = uint64(v), h.times[h.slot(ago)]
		}
	}
	return a
}

func (r *Row) value(at, slot int) uint32 {
	if c := r.columns[at]; c != nil {
		return c[slot]
	}
	if r.known[at] && r.states[slot] == Valid {
		return 0
	}
	return none
}

func (r *Row) counters() []Counter {
	list := []Counter{}
	for s := range ena.Stat(ena.NumStats) {
		e := s.Entry()
		if r.have.Has(s) && r.sum[s] > 0 && e.Kind == metric.Counter && !e.Internal && !slices.Contains(Tracked, s) {
			list = append(list, Counter{Name: s.String(), Sum: r.sum[s]})
		}
	}
	return list
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
func (h *History) headroom() *Headroom {
	at := slices.Index(Tracked, ena.ConntrackAllowanceAvailable)
	room := (*Headroom)(nil)
	var n, sumX, sumY, sumXX, sumXY float64
	now := int64(0)
	for ago := range min(h.seconds, slopeSpan) {
		slot := h.slot(ago)
		least := none
		for _, r := range h.rows {
			if v := r.value(at, slot); !r.left && v < least {
				least = v
			}
		}
		if least == none {
			continue
		}
		if room == nil {
			room, now = &Headroom{Available: uint64(least)}, h.times[slot]
		}
		x, y := float64(h.times[slot]-now), float64(least)
		n, sumX, sumY, sumXX, sumXY = n+1, sumX+x, sumY+y, sumXX+x*x, sumXY+x*y
	}
	spread := n*sumXX - sumX*sumX
	if room == nil || n < slopeLeast || spread == 0 {
		return room
	}
	room.Slope = math.Round((n*sumXY-sumX*sumY)/spread*100) / 100
	if room.Slope < 0 {
		room.SecondsLeft = math.Round(float64(room.Available) / -room.Slope)
	}
	return room
}
