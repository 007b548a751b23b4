package agent

import (
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/incident"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/store"
)

// kept is a store that remembers what the ring gets.
type kept struct {
	Memory
	commits int
	windows []*incident.Window
	events  []live.Event
}

func (k *kept) Commit(b []delta.Baseline, batch *metric.Batch, records []store.Record) error {
	k.commits++
	for _, r := range records {
		switch r.Kind {
		case store.Seconds:
			w, err := incident.Decode(r.Data)
			if err != nil {
				return err
			}
			k.windows = append(k.windows, w)
		case store.Events:
			var e live.Event
			if err := json.Unmarshal(r.Data, &e); err != nil {
				return err
			}
			k.events = append(k.events, e)
		}
	}
	return k.Memory.Commit(b, batch, records)
}

// The ring gets the first window, the last, and those in which something
// happened; and every delta is in it, once.
func TestRingGetsWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kept{}
		h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0, initial: {bw_in_allowance_exceeded: 11072}}
steps:
- {at: 35s, rate: {bw_in_allowance_exceeded: 100}, for: 20s}
- {at: 99300ms, add: {linklocal_allowance_exceeded: 9}}
`), func(o *Options) {
			o.Store = k
			o.Live = live.New(time.Minute, time.Second, time.Now)
			o.Resource.InstanceID = "i-0abc"
		})
		begun := time.Now()
		h.run(t, 99*time.Second+500*time.Millisecond)
		h.conserved(t)
		var ends []int64
		sums := map[string]uint64{}
		for _, w := range k.windows {
			ends = append(ends, w.Times[len(w.Times)-1]-begun.Unix())
			if w.InstanceID != "i-0abc" || w.Step != 1 {
				t.Errorf("a window of %q, step %v", w.InstanceID, w.Step)
			}
			for _, a := range w.Interfaces[0].Allowances {
				for _, v := range a.Values {
					if v != live.NoValue {
						sums[a.Name] += uint64(v)
					}
				}
			}
		}
		if want := []int64{10, 40, 50, 60, 99}; !slices.Equal(ends, want) {
			t.Errorf("of %d windows those were kept that end after %v s, want %v", k.commits, ends, want)
		}
		for name, s := range h.machine.Ledger().Devices[0].Stats {
			if _, ok := sums[name]; ok && sums[name] != s.Added && name != "conntrack_allowance_available" {
				t.Errorf("%s: the ring has %d, happened %d", name, sums[name], s.Added)
			}
		}
		if len(sums) < 5 {
			t.Errorf("the ring has only %v", sums)
		}
		if len(k.events) != 0 {
			t.Errorf("events although the log has no handler that keeps them: %v", k.events)
		}
		if from := k.windows[1].From - begun.Unix(); from != 30 {
			t.Errorf("the second window follows %d s, want 30", from)
		}
	})
}

// The first window of an agent says until when the one before is known to have
// run.
func TestRingKnowsUntilWhenTheAgentBeforeRan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kept{}
		quiet := scenario(t, "devices:\n- {name: ens5, driver: 2.17.0}\n")
		var ended time.Time
		for range 2 {
			h := on(t, quiet, func(o *Options) { o.Store, o.Live = k, live.New(time.Minute, time.Second, time.Now) })
			h.run(t, 25*time.Second)
			if ended.IsZero() {
				ended = time.Now().Add(-5 * time.Second)
			}
			time.Sleep(time.Minute)
		}
		if len(k.windows) != 4 {
			t.Fatalf("%d windows, want the first and the last of two agents", len(k.windows))
		}
		if second := k.windows[2]; second.From != 0 || second.Alive != ended.Unix() || k.windows[0].Alive != 0 || k.windows[1].Alive != 0 {
			t.Errorf("the second agent began after %d and %d, want 0 and %d", second.From, second.Alive, ended.Unix())
		}
	})
}
