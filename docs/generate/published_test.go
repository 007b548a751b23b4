package main

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enawatch/enawatch/agent"
	"github.com/enawatch/enawatch/agent/conntrack"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/linklocal"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/simulate"
	"github.com/enawatch/enawatch/agent/window"
)

// everything is a host that has every driver that can be simulated, with all of
// its stats.
const everything = `
devices:
- {name: ens1, driver: upstream-6.1}
- {name: ens2, driver: upstream-6.12, customer_metrics: true, srd: true}
- {name: ens3, driver: 2.2.10}
- {name: ens4, driver: 2.8.1, customer_metrics: true, srd: true, phc: true}
- {name: ens5, driver: 2.13.3, customer_metrics: true, srd: true, phc: true}
- {name: ens6, driver: 2.17.0, customer_metrics: true, srd: true, phc: true}
`

// batches keeps what an agent publishes.
type batches []*metric.Batch

func (b *batches) Publish(batch *metric.Batch) { *b = append(*b, batch) }

// What the page says of the metrics is what an agent publishes: each is there,
// with that kind, unit and scope, and no other is.
func TestWhatIsDocumentedIsPublished(t *testing.T) {
	names := make([]string, ena.NumStats)
	throttled, readings := derivedGroups()
	rows := map[string]metricRow{}
	for _, g := range append(catalogueGroups(names, names), throttled, readings, linkLocalGroup(), conntrackGroup()) {
		for _, r := range g.Rows {
			rows[r.Name] = r
		}
	}

	published, listed := publishEverything(t)
	for name, s := range published {
		r, ok := rows[name]
		switch {
		case !ok:
			t.Errorf("%s is published but not documented", name)
		case r.Internal:
			t.Errorf("%s is published, the page says that it is not", name)
		case r.Kind != s.Kind.String() || r.Unit != string(s.Unit) || r.Scope != s.Scope.String():
			t.Errorf("%s is published as %s, %s, %s; the page says %s, %s, %s", name, s.Kind, s.Unit, s.Scope, r.Kind, r.Unit, r.Scope)
		}
	}
	for name, r := range rows {
		if _, ok := published[name]; !ok && !r.Internal && (listed[name] || r.Since == "") {
			t.Errorf("%s is documented but not published", name)
		}
	}
}

// busy is link-local traffic that is too much for each interface.
type busy struct{}

func (busy) Watch(int, string) {}
func (busy) Unwatch(int)       {}
func (busy) Tick()             {}
func (busy) Use(int) (linklocal.Use, bool) {
	return linklocal.Use{Peak: 2000, Unanswered: 1}, true
}
func (busy) Totals(int) (linklocal.Totals, bool) { return linklocal.Totals{}, true }
func (busy) Top(int, int) (top []linklocal.Sender, others linklocal.Sender, ok bool) {
	return nil, linklocal.Sender{}, false
}
func (busy) Names(int) []linklocal.QueryCount { return nil }
func (busy) Retransmits() uint64              { return 0 }

// filling is a table of tracked connections that will be full in a minute.
type filling struct{}

func (filling) Tick(time.Duration, uint64, bool) {}
func (filling) State() (kernel, card conntrack.Use) {
	return conntrack.Use{Known: true, Entries: 9, Max: 10, Full: time.Minute}, conntrack.Use{}
}
func (filling) Look()                     {}
func (filling) Owners() *conntrack.Owners { return nil }

// publishEverything returns the series of a host that has everything, by name,
// and the stats that its drivers list.
func publishEverything(t *testing.T) (published map[string]metric.Series, listed map[string]bool) {
	scenario, err := simulate.Parse("everything.yaml", []byte(everything))
	if err != nil {
		t.Fatal(err)
	}
	published, listed = map[string]metric.Series{}, map[string]bool{}
	synctest.Test(t, func(t *testing.T) {
		var out batches
		all := func(metric.Interface) bool { return true }
		a, err := agent.New(agent.Options{
			Kernel: simulate.New(scenario, simulate.SystemClock{}), Clock: window.SystemClock(), Log: slog.New(slog.DiscardHandler),
			Resource: metric.Resource{Host: "host"}, Sample: time.Second, Publish: 10 * time.Second,
			Want: all, Queues: func(ena.Stat) bool { return true }, LinkLocal: busy{}, Conntrack: filling{}, Store: &agent.Memory{}, Outputs: []agent.Output{&out},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			a.Run(ctx, time.Second)
		}()
		<-time.After(20 * time.Second)
		for _, i := range a.Snapshot().Interfaces {
			for _, total := range i.Totals {
				listed[total.Name] = true
			}
		}
		<-ended
		for _, b := range out {
			for _, s := range b.Series {
				if !s.Detail {
					published[s.Name] = s
				}
			}
		}
	})
	if len(listed) < int(ena.FirstQueue) {
		t.Fatalf("the drivers list %d stats only", len(listed))
	}
	return published, listed
}
