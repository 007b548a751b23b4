package incident

import (
	"encoding/json"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/store"
)

const t0 = 1_795_000_000

// state returns a reader of a state file with these windows, each of which ends at
// its last second, and baselines of the time alive.
func state(t *testing.T, alive int64, windows []*Window, more ...store.Record) *store.Reader {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Unix(t0, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range windows {
		s.Append(store.Record{Kind: store.Seconds, At: time.Unix(w.Times[len(w.Times)-1], 0), Data: Append(nil, w)})
	}
	s.Commit([]delta.Baseline{{Key: delta.Key{MAC: "02:05"}, BootID: "b", At: time.Unix(alive, 0), Values: map[string]uint64{"wd_expired": 1}}}, nil, more...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := store.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// of is a window in which an interface has the values from second first on, after
// t0.
func of(from, alive, first int64, name, states string, values ...uint32) *Window {
	w := &Window{From: from, Alive: alive, Document: live.Document{Host: "node-1", InstanceID: "i-0abc", Step: 1}}
	for n := range states {
		w.Times = append(w.Times, t0+first+int64(n))
	}
	i := live.Interface{Name: name, MAC: "06:" + name, States: states}
	i.Allowances = []live.Allowance{{Name: "linklocal_allowance_exceeded", Values: values}}
	w.Interfaces = []live.Interface{i}
	return w
}

func TestReadJoinsWindows(t *testing.T) {
	second := of(t0+2, 0, 5, "ens5", "vs", 7, none)
	second.Interfaces[0].Counters = []live.Counter{{Name: "wd_expired", Values: live.Values{2, none}}}
	restarted := of(0, t0+10, 20, "ens6", "bv", none, 3)
	event := func(kind string) store.Record {
		text, err := json.Marshal(live.Event{Seq: 99, Kind: kind})
		if err != nil {
			t.Fatal(err)
		}
		return store.Record{Kind: store.Events, At: time.Unix(t0, 0), Data: text}
	}
	got, err := Read(state(t, t0+30, []*Window{of(0, 0, 1, "ens5", "vv", 0, 4), second, restarted}, event("attach"), event("reset"),
		store.Record{Kind: store.Flights, At: time.Unix(t0, 0), Data: []byte(`{"at":1}`)}), time.Unix(0, 0), time.Unix(math.MaxInt32, 0))
	if err != nil {
		t.Fatal(err)
	}
	want := &live.Document{
		Host: "node-1", InstanceID: "i-0abc", Step: 1, LastEvent: 2, Sinks: []live.Sink{},
		Times: []int64{t0 + 1, t0 + 2, t0 + 5, t0 + 6, t0 + 20, t0 + 21},
		// After the second window until the agent died, and after the third until
		// the newest baseline. Nothing is known of t0+10 to t0+20, and t0+3 and
		// t0+4 were missed.
		Quiet:   [][2]int64{{t0 + 6, t0 + 10}, {t0 + 21, t0 + 30}},
		Started: []int64{t0 + 1, t0 + 20},
		Events:  []live.Event{{Seq: 1, Kind: "attach"}, {Seq: 2, Kind: "reset"}},
		Records: []json.RawMessage{json.RawMessage(`{"at":1}`)},
		Interfaces: []live.Interface{
			{
				Name: "ens5", MAC: "06:ens5", Left: true, Verdict: "suspect", States: "vvvs..",
				Allowances: []live.Allowance{{Name: "linklocal_allowance_exceeded", Sum: 11, Worst: 7, WorstAt: t0 + 5, Values: live.Values{0, 4, 7, none, none, none}}},
				Counters:   []live.Counter{{Name: "wd_expired", Sum: 2, Values: live.Values{0, 0, 2, none, none, none}}},
			},
			{
				Name: "ens6", MAC: "06:ens6", Verdict: "valid", States: "....bv", Counters: []live.Counter{},
				Allowances: []live.Allowance{{Name: "linklocal_allowance_exceeded", Sum: 3, Worst: 3, WorstAt: t0 + 21, Values: live.Values{none, none, none, none, none, 3}}},
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// The rest of a second, which an agent read at its end, is added to it.
func TestReadAddsTheRestOfASecond(t *testing.T) {
	rest := of(t0+2, 0, 2, "ens5", "v", 5)
	rest.Interfaces[0].Counters = []live.Counter{{Name: "wd_expired", Values: live.Values{2}}}
	first := of(0, 0, 1, "ens5", "vv", 0, 4)
	first.Interfaces[0].Counters = []live.Counter{{Name: "wd_expired", Values: live.Values{0, 1}}}
	got, err := Read(state(t, t0+2, []*Window{first, rest, of(t0+2, 0, 3, "ens5", "v", 6)}), time.Unix(0, 0), time.Unix(math.MaxInt32, 0))
	if err != nil {
		t.Fatal(err)
	}
	i := got.Interfaces[0]
	if diff := cmp.Diff(live.Values{0, 9, 6}, i.Allowances[0].Values); diff != "" || i.States != "vvv" || len(got.Times) != 3 {
		t.Errorf("%s, %v (-want +got)\n%s", i.States, got.Times, diff)
	}
	if diff := cmp.Diff(live.Values{0, 3, 0}, i.Counters[0].Values); diff != "" {
		t.Errorf("counters (-want +got)\n%s", diff)
	}
}

func TestReadPartOfTheDay(t *testing.T) {
	windows := []*Window{of(0, 0, 1, "ens5", "v", 1), of(t0+100, 0, 101, "ens5", "v", 2), of(t0+200, 0, 201, "ens5", "v", 3), of(t0+300, 0, 301, "ens5", "v", 4)}
	got, err := Read(state(t, t0+400, windows), time.Unix(t0+50, 0), time.Unix(t0+250, 0))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{t0 + 101, t0 + 201}, got.Times); diff != "" {
		t.Errorf("times (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([][2]int64{{t0 + 50, t0 + 100}, {t0 + 101, t0 + 200}, {t0 + 201, t0 + 250}}, got.Quiet); diff != "" {
		t.Errorf("quiet (-want +got)\n%s", diff)
	}
}

// Both ends of the time that is asked for are in it.
func TestReadIncludesBothEnds(t *testing.T) {
	windows := []*Window{of(0, 0, 1, "ens5", "v", 1), of(t0+100, 0, 101, "ens5", "v", 2), of(t0+200, 0, 201, "ens5", "v", 3)}
	got, err := Read(state(t, t0+400, windows), time.Unix(t0+101, 0), time.Unix(t0+201, 0))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{t0 + 101, t0 + 201}, got.Times); diff != "" {
		t.Errorf("times (-want +got)\n%s", diff)
	}
}

// A second's count that does not fit is the most that does, not a missing value; of
// a gauge the worst is the least; and pods are those that were known at most.
func TestReadJoinsInterfaces(t *testing.T) {
	first := of(0, 0, 1, "ens5", "vv", 0, live.NoValue-2)
	rest := of(t0+2, 0, 2, "ens5", "v", 5)
	for n, w := range []*Window{first, rest} {
		w.Interfaces[0].Pods = []string{"shop/cart", "shop/clock"}[:2-n]
		w.Interfaces[0].Allowances = append(w.Interfaces[0].Allowances, live.Allowance{Name: "conntrack_allowance_available", Values: live.Values{500, 90}[n:]})
	}
	second := of(t0+2, 0, 3, "ens5", "v", 1)
	second.Interfaces[0].Pods = []string{"shop/cart"}
	second.Interfaces[0].Allowances = append(second.Interfaces[0].Allowances, live.Allowance{Name: "conntrack_allowance_available", Values: live.Values{300}})
	got, err := Read(state(t, t0+3, []*Window{first, rest, second}), time.Unix(0, 0), time.Unix(math.MaxInt32, 0))
	if err != nil {
		t.Fatal(err)
	}
	i := got.Interfaces[0]
	if diff := cmp.Diff(live.Values{0, live.NoValue - 1, 1}, i.Allowances[0].Values); diff != "" {
		t.Errorf("counts (-want +got)\n%s", diff)
	}
	if a := i.Allowances[1]; a.Worst != 90 || a.WorstAt != t0+2 {
		t.Errorf("the gauge's worst is %d at %d, want 90 at %d", a.Worst, a.WorstAt, t0+2)
	}
	if len(i.Pods) != 2 {
		t.Errorf("pods %v, want both", i.Pods)
	}
}
