package live

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/event"
	"github.com/enawatch/enawatch/agent/metric"
)

const (
	linklocal = ena.LinklocalAllowanceExceeded
	available = ena.ConntrackAllowanceAvailable
)

var (
	ens5  = metric.Interface{Name: "ens5", MAC: "06:00:00:00:00:05", BusInfo: "0000:00:05.0"}
	start = time.Unix(1_795_000_000, 0)
)

func counted(values map[ena.Stat]uint64) *delta.Result {
	r := &delta.Result{}
	for s, v := range values {
		r.Values[s] = v
		r.Counted.Add(s)
	}
	return r
}

// counted16 is counted without a map.
func counted16(a ena.Stat, x uint64, b ena.Stat, y uint64) *delta.Result {
	r := &scratch
	*r = delta.Result{}
	r.Values[a], r.Values[b] = x, y
	r.Counted.Add(a)
	r.Counted.Add(b)
	return r
}

var scratch delta.Result

func source(h *History, self ...metric.SelfMetric) *Source {
	return &Source{History: h, Version: "1.2.3", Describe: func() (metric.Resource, []metric.SelfMetric) {
		return metric.Resource{Host: "node-1", InstanceID: "i-0abc"}, self
	}}
}

// fresh returns a history of seconds and a function that ends one.
func fresh() (h *History, end func()) {
	h = New(Span, time.Second, func() time.Time { return start })
	n := 0
	return h, func() { n++; h.EndSecond(start.Add(time.Duration(n) * time.Second)) }
}

func allowance(t *testing.T, i Interface, s ena.Stat) Allowance {
	t.Helper()
	for _, a := range i.Allowances {
		if a.Name == s.String() {
			return a
		}
	}
	t.Fatalf("%s has no %s", i.Name, s)
	return Allowance{}
}

func TestEachSecondIsKept(t *testing.T) {
	h, end := fresh()
	r := h.Add(ens5)
	r.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{available: 9})) // the first reading
	end()
	for _, v := range []uint64{0, 7} {
		r.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{linklocal: v, available: 9}))
		end()
	}
	r.Observe(ens5, ena.Suspect, ena.AdminNoAnswer, nil)
	end()
	end() // it was not read
	r.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{linklocal: math.MaxUint64, available: 0}))
	end()

	i := source(h).Document(100).Interfaces[0]
	if want := "bvvsmv"; i.States != want {
		t.Errorf("states %q, want %q", i.States, want)
	}
	want := Values{NoValue, 0, 7, NoValue, NoValue, NoValue - 1}
	if diff := cmp.Diff(want, allowance(t, i, linklocal).Values); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Values{9, 9, 9, NoValue, NoValue, 0}, allowance(t, i, available).Values); diff != "" {
		t.Errorf("levels (-want +got):\n%s", diff)
	}
	if a := allowance(t, i, linklocal); a.WorstAt != start.Unix()+6 {
		t.Errorf("the worst second is %d", a.WorstAt)
	}
}

// A gauge that a new driver brings along has no value in the seconds before.
func TestGaugeThatComesLate(t *testing.T) {
	h, end := fresh()
	r := h.Add(ens5)
	for _, v := range []map[ena.Stat]uint64{{linklocal: 0}, {linklocal: 0}, {linklocal: 0, available: 9}, {linklocal: 0, available: 8}} {
		r.Observe(ens5, ena.Valid, "", counted(v))
		end()
	}
	d := source(h).Document(100)
	a := allowance(t, d.Interfaces[0], available)
	if diff := cmp.Diff(Values{NoValue, NoValue, 9, 8}, a.Values); diff != "" || a.Worst != 8 {
		t.Errorf("levels (-want +got):\n%s\nworst %d, want 8", diff, a.Worst)
	}
}

func TestOldSecondsMakeRoom(t *testing.T) {
	h, end := fresh()
	r := h.Add(ens5)
	for n := range 4000 {
		r.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{linklocal: uint64(n)}))
		end()
	}
	d := source(h).Document(1 << 30)
	if n := len(d.Times); n != 1800 || d.Tick != 4000 {
		t.Fatalf("%d seconds of %d, want 1800 of 4000", n, d.Tick)
	}
	values := allowance(t, d.Interfaces[0], linklocal).Values
	for n := range values {
		if values[n] != uint32(2200+n) || d.Times[n] != start.Unix()+int64(2201+n) {
			t.Fatalf("second %d: %d at %d", n, values[n], d.Times[n])
		}
	}
	if sum := allowance(t, d.Interfaces[0], linklocal).Sum; sum != 3999*4000/2 {
		t.Errorf("the sum is %d", sum)
	}
}

// What an interface did stays after it left, for as long as there are seconds
// of it; one that comes back goes on.
func TestInterfacesThatLeft(t *testing.T) {
	h, end := fresh()
	r := h.Add(ens5)
	r.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{linklocal: 5}))
	end()
	r.Leave()
	end()
	d := source(h).Document(10)
	if len(d.Interfaces) != 1 || !d.Interfaces[0].Left || d.Interfaces[0].States != "v." {
		t.Fatalf("it left: %+v", d.Interfaces)
	}
	if again := h.Add(ens5); again != r {
		t.Error("it came back and is another")
	}
	r.Leave()
	for range 2 * 1800 {
		end()
	}
	if d := source(h).Document(10); len(d.Interfaces) != 0 {
		t.Errorf("half an hour later: %+v", d.Interfaces)
	}
}

func TestManyInterfacesComeAndGo(t *testing.T) {
	h, end := fresh()
	for n := range 1000 {
		i := ens5
		i.MAC = time.Duration(n).String()
		r := h.Add(i)
		r.Observe(i, ena.Valid, "", counted(map[ena.Stat]uint64{linklocal: 1}))
		end()
		r.Leave()
	}
	if n := h.size(); n > maxRows {
		t.Errorf("%d interfaces are remembered, want %d at most", n, maxRows)
	}
}

// What is written is a line, and what the types say: read and marshalled again it
// is the same, byte for byte.
func TestWriteIsTheDocument(t *testing.T) {
	h, end := fresh()
	log := slog.New(h.Log(slog.DiscardHandler))
	rows := map[string]*Row{}
	for _, name := range []string{"ens5", "ens6", "ens7"} {
		i := ens5
		i.Name, i.MAC = name, name
		rows[name] = h.Add(i)
	}
	full := metric.Interface{
		Name: `e"<ns6>\é` + "\x01\u2028", MAC: "ens6", BusInfo: "0000:00:06.0", ENI: "eni-1", DriverVersion: "2.13.0g", Link: "up",
		Pods: &metric.Pods{Names: []string{"a/b", "c/d"}, Omitted: 2},
	}
	for n := range uint64(20) {
		rows["ens5"].Observe(rows["ens5"].iface, ena.Valid, "", counted(map[ena.Stat]uint64{linklocal: 3 * (n & 1), available: 100 - n, ena.WdExpired: n / 19}))
		rows["ens7"].Observe(rows["ens7"].iface, ena.Valid, "", counted(map[ena.Stat]uint64{available: 1000 - 7*n}))
		rows["ens6"].Observe(full, ena.Suspect, ena.AdminNoAnswer, nil)
		end()
	}
	rows["ens5"].Leave()
	log.Warn("a <warning> & more", "by", 3*time.Second, "interface", "ens5")
	log.Warn("failed", event.Key, event.PublishFailed, "sink", "cloudwatch")
	sink := func(name string, v float64, labels ...metric.Dimension) metric.SelfMetric {
		return metric.SelfMetric{Name: name, Labels: append(labels, metric.Dimension{Name: "sink", Value: "cloudwatch"}), Value: v}
	}
	s := source(h, sink("enawatch_delivered_data_total", 4e21), sink("enawatch_ambiguous_data_total", 0.0000004),
		sink("enawatch_last_success_timestamp_seconds", 1795000000.125), sink("enawatch_spool_oldest_timestamp_seconds", 1795000001),
		sink("enawatch_dropped_data_total", 2, metric.Dimension{Name: "reason", Value: "<age>"}), sink("enawatch_spool_items", -2))
	s.LinkLocal = func() *metric.LinkLocal { return &metric.LinkLocal{} }
	for _, seconds := range []int{0, 1, 20, 1000} {
		var text bytes.Buffer
		if _, err := s.Writer().Write(&text, seconds, Mark{}); err != nil {
			t.Fatal(err)
		}
		var d Document
		decoder := json.NewDecoder(bytes.NewReader(text.Bytes()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&d); err != nil {
			t.Fatalf("%v:\n%s", err, &text)
		}
		again, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(again)+"\n", text.String()); diff != "" {
			t.Errorf("%d seconds (-marshalled +written):\n%s", seconds, diff)
		}
		if len(d.Times) != min(seconds, 20) || len(d.Events) != 3 || len(d.Sinks) != 1 || d.Headroom.SecondsLeft == 0 || d.LinkLocal == nil {
			t.Errorf("%d seconds: %s", seconds, &text)
		}
	}
	var text bytes.Buffer
	if _, err := source(New(Span, time.Second, time.Now)).Writer().Write(&text, 9, Mark{}); err != nil {
		t.Fatal(err)
	}
	want := `{"host":"node-1","instance_id":"i-0abc","simulated":false,"version":"1.2.3","step":1,"tick":0,"last_event":0,"times":[],"events":[],"sinks":[],"interfaces":[]}` + "\n"
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Errorf("nothing yet (-want +got):\n%s", diff)
	}
}

// turning ends seconds while it is written to, as happens with a slow browser.
type turning struct {
	text bytes.Buffer
	end  func()
}

func (w *turning) Write(b []byte) (int, error) {
	w.end()
	return w.text.Write(b)
}

// Seconds that are overwritten while a document of all of them is being written are
// not there, and nobody else's.
func TestWriteWhileTheRingTurns(t *testing.T) {
	for _, turns := range []int{1, 5, int(Span/time.Second) + 3} {
		h, end := fresh()
		var rows []*Row
		for _, mac := range []string{"1", "2", "3"} { // each is written by itself
			i := ens5
			i.MAC = mac
			rows = append(rows, h.Add(i))
		}
		for range int(Span/time.Second) + 2 {
			for _, r := range rows {
				r.Observe(r.iface, ena.Valid, "", counted(map[ena.Stat]uint64{linklocal: 7}))
			}
			end()
		}
		w := &turning{}
		w.end = func() {
			for range turns {
				for _, r := range rows {
					r.Observe(r.iface, ena.Suspect, ena.AdminNoAnswer, nil)
				}
				end()
			}
		}
		if _, err := source(h).Writer().Write(w, int(Span/time.Second), Mark{}); err != nil {
			t.Fatal(err)
		}
		var d Document
		if err := json.Unmarshal(w.text.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		for _, i := range d.Interfaces {
			if strings.ContainsRune(i.States, rune(Suspect)) {
				t.Errorf("after %d turns: an old second has the state of a new one", turns)
			}
		}
	}
}

// A page that is kept up to date leaves no garbage, as long as nothing happens.
func TestWriterAllocatesNothing(t *testing.T) {
	h, end := fresh()
	var rows []*Row
	for n := range 16 {
		i := ens5
		i.MAC = strings.Repeat("x", n)
		rows = append(rows, h.Add(i))
	}
	n := uint64(0)
	second := func() {
		n++
		for _, r := range rows {
			r.Observe(r.iface, ena.Valid, "", counted16(linklocal, n&7, available, 1000+n&7))
		}
		end()
	}
	for range 500 {
		second()
	}
	w := source(h).Writer()
	seen, err := w.Write(io.Discard, 1800, Mark{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		second()
		seen, _ = w.Write(io.Discard, 1, seen)
	}
	if n := testing.AllocsPerRun(200, func() {
		second()
		seen, _ = w.Write(io.Discard, 1, seen)
	}); n > 0 {
		t.Errorf("%v allocations a second", n)
	}
}

// What is taken for right for some seconds is not when something happens.
func TestWriterLearns(t *testing.T) {
	h, end := fresh()
	log := slog.New(h.Log(slog.DiscardHandler))
	s := source(h)
	asked := 0
	s.Describe = func() (metric.Resource, []metric.SelfMetric) { asked++; return metric.Resource{Host: "node-1"}, nil }
	w := s.Writer()
	var got, want []int
	for n := range 26 {
		if n == 8 {
			log.Warn("something")
		}
		end()
		if _, err := w.Write(io.Discard, 1, Mark{}); err != nil {
			t.Fatal(err)
		}
		got = append(got, asked)
		switch { // at first, when something happened, and as long after it as that may stand
		case n < 8:
			want = append(want, 1)
		case n < 8+int(settled/time.Second):
			want = append(want, 2)
		default:
			want = append(want, 3)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("how often the host was asked by each second (-want +got):\n%s", diff)
	}
}

func TestHeadroom(t *testing.T) {
	h, end := fresh()
	r, other := h.Add(ens5), h.Add(metric.Interface{Name: "ens6", MAC: "06:00:00:00:00:06"})
	left := h.Add(metric.Interface{Name: "ens7", MAC: "06:00:00:00:00:07"})
	left.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{available: 1}))
	left.Leave() // which says nothing of what is left
	for n := range 30 {
		r.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{available: uint64(1000 - 20*n)}))
		other.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{available: 5000})) // hours old
		end()
	}
	want := &Headroom{Available: 420, Slope: -20, SecondsLeft: 21}
	if diff := cmp.Diff(want, source(h).Document(1).Headroom); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEventsAreTheLog(t *testing.T) {
	h, _ := fresh()
	log := slog.New(h.Log(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError})))
	log.Info("nothing")
	log.Info("reading an ENA interface", event.Key, event.Attach, "interface", "ens5")
	log.With("sink", "cloudwatch").Error("delivery failed", event.Key, event.PublishFailed, "err", errors.New("no route"))
	log.Warn("the disk is slow", "took", time.Second)
	s := source(h, metric.SelfMetric{Name: "enawatch_spool_items", Labels: []metric.Dimension{{Name: "sink", Value: "cloudwatch"}}, Value: 2})
	d := s.Document(0)
	for n := range d.Events {
		d.Events[n].At = 0
	}
	want := []Event{
		{Seq: 1, Kind: "attach", Interface: "ens5", Text: "reading an ENA interface"},
		{Seq: 2, Kind: "publish_failed", Sink: "cloudwatch", Text: "delivery failed: no route"},
		{Seq: 3, Kind: "warning", Text: "the disk is slow took=1s"},
	}
	if diff := cmp.Diff(want, d.Events); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Sink{{Name: "cloudwatch", Waiting: 2, Problem: "delivery failed: no route"}}, d.Sinks); diff != "" {
		t.Errorf("sinks (-want +got):\n%s", diff)
	}
	log.With("sink", "cloudwatch").Info("the destination takes data again", event.Key, event.PublishOK)
	if got := s.Document(0).Sinks[0].Problem; got != "" {
		t.Errorf("the problem stays: %q", got)
	}
	for range 2000 {
		log.Warn(strings.Repeat("é", 400))
	}
	d = s.Document(0)
	if n := len(d.Events); n != maxEvents || d.Events[n-1].Seq != d.LastEvent || len(d.Events[0].Text) > maxText {
		t.Errorf("%d events, the last is %d of %d", n, d.Events[n-1].Seq, d.LastEvent)
	}
}

// A counter of health that goes on growing is one event, not one a second.
func TestGrowthOfHealthCounters(t *testing.T) {
	h, _ := fresh()
	r := h.Add(ens5)
	for _, v := range []uint64{0, 1, 2, 0, 3} {
		r.Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{ena.WdExpired: v, ena.TxDrops: 0, ena.AdminSubmitted: 2}))
	}
	d := source(h).Document(0)
	var texts []string
	for _, e := range d.Events {
		texts = append(texts, e.Kind+" "+e.Interface+" "+e.Text)
	}
	if diff := cmp.Diff([]string{"reset ens5 wd_expired +1", "reset ens5 wd_expired +3"}, texts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Counter{{Name: "wd_expired", Sum: 6}}, d.Interfaces[0].Counters); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
}

// Who looks sees which pods are on an interface, as they are by now.
func TestPodsAreNamed(t *testing.T) {
	h, end := fresh()
	r := h.Add(ens5)
	i := ens5
	for _, tt := range []struct {
		pods *metric.Pods
		want []string
	}{
		{nil, nil},
		{&metric.Pods{Names: []string{"kube-system/coredns-0", "shop/cart-0"}}, []string{"kube-system/coredns-0", "shop/cart-0"}},
		{&metric.Pods{Names: []string{"kube-system/coredns-0", "shop/cart-0"}, DNS: []string{"kube-system/coredns-0"}}, []string{"kube-system/coredns-0 (cluster DNS)", "shop/cart-0"}},
		{&metric.Pods{Names: []string{"shop/cart-0"}, Omitted: 3}, []string{"shop/cart-0", "and 3 more"}},
	} {
		i.Pods = tt.pods
		r.Observe(i, ena.Valid, "", counted(map[ena.Stat]uint64{linklocal: 7}))
		end()
		if diff := cmp.Diff(tt.want, source(h).Document(10).Interfaces[0].Pods); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

func TestASecondAllocatesNothing(t *testing.T) {
	h, end := fresh()
	r := h.Add(ens5)
	result := counted(map[ena.Stat]uint64{linklocal: 3, available: 10})
	_, stop := h.Watch()
	defer stop()
	r.Observe(ens5, ena.Valid, "", result)
	end()
	if n := testing.AllocsPerRun(100, func() {
		r.Observe(ens5, ena.Valid, "", result)
		end()
	}); n != 0 {
		t.Errorf("%v allocations a second, want 0", n)
	}
}

// An agent that nobody can look at keeps nothing.
func TestNilHistory(t *testing.T) {
	var h *History
	r := h.Add(ens5)
	r.Observe(ens5, ena.Valid, "", nil)
	h.EndSecond(start)
	r.Leave()
}

func TestLinkLocalOfADocument(t *testing.T) {
	h, end := fresh()
	h.Add(ens5).Observe(ens5, ena.Valid, "", counted(map[ena.Stat]uint64{linklocal: 0}))
	end()
	s := source(h)
	if d := s.Document(1); d.LinkLocal != nil {
		t.Errorf("not counted, and %+v", d.LinkLocal)
	}
	s.LinkLocal = func() *metric.LinkLocal {
		return &metric.LinkLocal{
			Interfaces: []metric.LinkLocalUse{{
				Interface: ens5, PeakPPS: 1100, DNS: metric.DNS{Unanswered: 3},
				Services: []metric.ServicePackets{{Service: "dns", Packets: 5000, Bytes: 1}, {Service: "imds"}},
			}},
			Senders: []metric.Sender{{Name: "kube-system/coredns", Packets: 4000, PeakPPS: 900}}, Others: metric.Sender{Packets: 7}, SendersKnown: true,
		}
	}
	want := &LinkLocal{
		Interfaces: []Budget{{Name: "ens5", MAC: ens5.MAC, PeakPPS: 1100, Used: 107.4, Services: []Service{{"dns", 5000}}, Unanswered: 3}},
		Senders:    []Sender{{"kube-system/coredns", 4000, 900}}, Others: 7,
	}
	if diff := cmp.Diff(want, s.Document(1).LinkLocal); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
