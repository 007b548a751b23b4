package replay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/event"
	"github.com/enawatch/enawatch/agent/incident"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/replay"
	"github.com/enawatch/enawatch/agent/simulate"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/store"
	"github.com/enawatch/enawatch/agent/window"
)

// published keeps what an agent publishes.
type published []*metric.Batch

func (p *published) Publish(b *metric.Batch) { *p = append(*p, b) }

// record has an agent read a scenario for a while, several times, and returns what
// it published and the incident that its state file has. It begins on a minute.
func record(t *testing.T, s *simulate.Scenario, publish time.Duration, sparse bool, times ...time.Duration) (published, *live.Document) {
	t.Helper()
	dir := t.TempDir()
	kernel := simulate.New(s, simulate.SystemClock{})
	var out published
	for i, d := range times {
		if i > 0 {
			time.Sleep(30 * time.Second)
		}
		history := live.New(2*publish, time.Second, time.Now)
		log := slog.New(history.Log(slog.DiscardHandler))
		file, err := store.Open(dir, store.Options{Log: log})
		if err != nil {
			t.Fatal(err)
		}
		a, err := agent.New(agent.Options{
			Kernel: kernel, Clock: window.SystemClock(), Log: log, Resource: metric.Resource{Host: "host", InstanceID: "i-0123456789abcdef0"},
			Sample: time.Second, Publish: publish, Sparse: sparse, Live: history,
			Want: func(metric.Interface) bool { return true }, Queues: func(ena.Stat) bool { return false },
			Store: &sink.Spool{Store: file}, Outputs: []agent.Output{&out},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), d)
		a.Run(ctx, time.Second)
		stop()
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r, err := store.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	doc, err := incident.Read(r, time.Now().Add(-store.RingAge), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return out, doc
}

func options(publish time.Duration, sparse bool) replay.Options {
	return replay.Options{Sample: time.Second, Publish: publish, Sparse: sparse, Want: func(metric.Interface) bool { return true }}
}

// told is a window as people compare it.
type told struct {
	Start  time.Time
	Length time.Duration
	Series map[string][]float64
}

// tell says what windows were. The last readings of an agent have a sample of
// their own there, and belong to the second before in a recording: so of the last
// window, only what counters grew by is told.
func tell(list []*metric.Batch, dense bool) (out []told) {
	for n, b := range list {
		w := told{b.Start.UTC(), b.Length, map[string][]float64{}}
		for _, s := range b.Series {
			if n == len(list)-1 {
				if s.Whole || s.Kind == metric.Gauge {
					continue
				}
				s.Samples = []float64{s.Sum()}
			}
			mac := ""
			if s.Interface >= 0 {
				mac = b.Interfaces[s.Interface].MAC
			}
			switch {
			case strings.HasPrefix(s.Name, "ena_srd_"):
				continue // it grows on a host that is well, too, and is no reason to record
			case s.Name == ena.ConntrackAllowanceAvailable.String():
				s.Samples = coarse(s.Samples)
			case dense && !s.Whole && !strings.Contains(s.Name, "_allowance_"):
				// Where the card is not believed, the driver's own zeros are not
				// recorded.
				s.Samples = []float64{s.Sum()}
			}
			w.Series[s.Name+" "+mac] = s.Samples
		}
		out = append(out, w)
	}
	return out
}

// coarse makes levels equal that differ by less than what a recording knows.
func coarse(list []float64) (out []float64) {
	for _, v := range list {
		out = append(out, math.Round(math.Log2(max(1, v))))
	}
	return out
}

// scenarios are all that there are: those that are built in, and the rig's.
func scenarios(t *testing.T) (list []*simulate.Scenario) {
	t.Helper()
	var names []string
	for _, l := range simulate.Scenarios() {
		names = append(names, l.Name)
	}
	files, err := filepath.Glob("../../test/enasim/testdata/scenarios/*.yaml")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d scenarios of the rig, %v", len(files), err)
	}
	for _, name := range append(names, files...) {
		s, err := simulate.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

// What a recording is replayed to by the configuration that recorded it is what
// the agent published.
func TestReplayIsWhatWasPublished(t *testing.T) {
	for _, s := range scenarios(t) {
		for _, sparse := range []bool{true, false} {
			name := s.Name
			if !sparse {
				name += " dense"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					out, doc := record(t, s, 10*time.Second, sparse, 95*time.Second)
					text, err := json.Marshal(doc)
					if err != nil {
						t.Fatal(err)
					}
					if doc, err = incident.Parse(strings.NewReader(string(text))); err != nil {
						t.Fatal(err)
					}
					again, err := replay.Windows(doc, options(10*time.Second, sparse))
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(tell(out, !sparse), tell(again, !sparse)); diff != "" {
						t.Errorf("(-published +replayed)\n%s", diff)
					}
				})
			})
		}
	}
}

// A recording goes on over restarts, and knows when no agent ran.
func TestReplayOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := simulate.Parse("test.yaml", []byte(`
devices:
- {name: ens5, driver: 2.17.0, initial: {conntrack_allowance_available: 120000}}
steps:
- {at: 70s, rate: {bw_in_allowance_exceeded: 100}, for: 3s}
- {at: 190s, add: {pps_allowance_exceeded: 5}}
`))
		if err != nil {
			t.Fatal(err)
		}
		out, doc := record(t, s, 10*time.Second, true, 185500*time.Millisecond, 100500*time.Millisecond)
		if len(doc.Started) != 2 || len(doc.Quiet) < 3 || len(doc.Times) > 80 {
			t.Errorf("%d agents, %d quiet spans, %d seconds", len(doc.Started), len(doc.Quiet), len(doc.Times))
		}
		again, err := replay.Windows(doc, options(10*time.Second, true))
		if err != nil {
			t.Fatal(err)
		}
		beats := func(list []*metric.Batch) (out []string) {
			for _, b := range list {
				for _, s := range b.Series {
					if s.Name == window.Heartbeat.Name && b.Length == 10*time.Second {
						out = append(out, fmt.Sprint(b.Start.Format("04:05 "), s.Samples[0]))
					}
				}
			}
			return out
		}
		if diff := cmp.Diff(beats(out), beats(again)); diff != "" {
			t.Errorf("heartbeats (-published +replayed)\n%s", diff)
		}
		sums := func(list []*metric.Batch) map[string]float64 {
			all := map[string]float64{}
			for _, b := range list {
				for _, s := range b.Series {
					if s.Kind == metric.Counter && !s.Whole {
						all[s.Name] += s.Sum()
					}
				}
			}
			return all
		}
		if diff := cmp.Diff(sums(out), sums(again)); diff != "" {
			t.Errorf("(-published +replayed)\n%s", diff)
		}
	})
}

// document is an incident of one interface.
func document(times []int64, states string, values ...uint32) *live.Document {
	return &live.Document{Host: "host", InstanceID: "i-0123456789abcdef0", Step: 1, Times: times, Interfaces: []live.Interface{{
		Name: "ens5", MAC: "06:05", ENI: "eni-5", States: states,
		Allowances: []live.Allowance{{Name: "linklocal_allowance_exceeded", Values: values}},
	}}}
}

func until(from, n int64) (list []int64) {
	for t := from; t < from+n; t++ {
		list = append(list, t)
	}
	return list
}

// Any configuration can be replayed through that reads no oftener.
func TestReplayThroughOtherConfigurations(t *testing.T) {
	const noon = 1_795_003_200 // on the hour
	const none = live.NoValue
	six := document(until(noon+1, 6), "bvvsvv", none, 1, 2, none, 4, 8)
	tests := []struct {
		name   string
		doc    *live.Document
		change func(*replay.Options)
		series string
		want   map[string][]float64 // by start
	}{
		{"as it was", six, func(*replay.Options) {}, "linklocal_allowance_exceeded", map[string][]float64{"12:00:00": {1, 2, 4, 8}}},
		{"read every two seconds", six, func(o *replay.Options) { o.Sample = 2 * time.Second }, "linklocal_allowance_exceeded", map[string][]float64{"12:00:00": {1, 2, 12}}},
		{"an end between two readings", document(until(noon+1, 5), "vvvvv", 1, 2, 4, 8, 16), func(o *replay.Options) { o.Sample = 2 * time.Second }, "linklocal_allowance_exceeded", map[string][]float64{"12:00:00": {3, 12, 16}}},
		{"windows of three seconds", six, func(o *replay.Options) { o.Publish = 3 * time.Second }, "linklocal_allowance_exceeded", map[string][]float64{"12:00:00": {1, 2}, "12:00:03": {4, 8}}},
		{"what was not believed", six, func(*replay.Options) {}, "suspect_readings", map[string][]float64{"12:00:00": {1}}},
		{"seconds", six, func(*replay.Options) {}, "linklocal_throttled_seconds", map[string][]float64{"12:00:00": {4}}},
		{"an interface that is left out", six, func(o *replay.Options) { o.Want = func(i metric.Interface) bool { return i.ENI != "eni-5" } }, "linklocal_allowance_exceeded", map[string][]float64{}},
		{"seconds that were missed", document([]int64{noon + 1, noon + 5}, "vv", 1, 2), func(*replay.Options) {}, "missed_seconds", map[string][]float64{"12:00:00": {3}}},
		{"a clock that jumped", jumped(document([]int64{noon + 1, noon + 3602}, "vv", 1, 2), noon+3602, 3600), func(*replay.Options) {}, "linklocal_allowance_exceeded", map[string][]float64{"13:00:00": {1, 2}}},
		{"a clock that jumped back", jumped(document([]int64{noon + 61, noon + 2}, "vv", 1, 2), noon+2, -60), func(*replay.Options) {}, "linklocal_allowance_exceeded", map[string][]float64{"12:00:00": {1, 2}}},
		{"an interface that came late", document(until(noon+1, 3), "..v", none, none, 7), func(*replay.Options) {}, "linklocal_allowance_exceeded", map[string][]float64{"12:00:00": {7}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options(time.Minute, true)
			tt.change(&o)
			out, err := replay.Windows(tt.doc, o)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string][]float64{}
			for _, b := range out {
				for _, s := range b.Series {
					if s.Name == tt.series {
						got[b.Start.Format("15:04:05")] = s.Samples
					}
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func jumped(d *live.Document, at int64, by float64) *live.Document {
	d.Events = []live.Event{{Seq: 1, At: float64(at) + 0.003, Kind: event.Clock, By: by}}
	return d
}

func TestReplayRefuses(t *testing.T) {
	o := options(time.Minute, true)
	d := document(until(1000, 4), "vvvv", 1, 1, 1, 1)
	d.Step = 2
	if _, err := replay.Windows(d, o); err == nil || err.Error() != "sample_interval 1s: the incident was read every 2s, so give a multiple of that" {
		t.Error(err)
	}
	if d.Step = 1.5; true {
		if _, err := replay.Windows(d, o); err == nil || !strings.Contains(err.Error(), "whole seconds") {
			t.Error(err)
		}
	}
}
