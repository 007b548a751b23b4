//go:build beds

package prometheus

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/remotewrite"
	"github.com/enawatch/enawatch/agent/store"
)

// outcome is what became of samples: accepted, dropped by reason, and kept.
type outcome struct {
	accepted, poisoned, tooOld, kept float64
	requests                         map[string]float64
}

// push delivers snapshots, one after the other, as the agent does.
func push(o remotewrite.Options, snapshots ...*metric.Snapshot) outcome {
	o.Names = []string{"showmax"}
	o.MaxAge = 24 * time.Hour
	s, err := remotewrite.New(o)
	must(err)
	dir, err := os.MkdirTemp("", "bed-spool-")
	must(err)
	defer os.RemoveAll(dir)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	state, err := store.Open(dir, store.Options{Log: log})
	must(err)
	queue := state.Queue(s.Name())
	spool := &sink.Spool{Store: state}
	for _, v := range snapshots {
		spool.Keep(s, v.At, s.Sample(v))
	}
	d := sink.NewDelivery(s, queue, 0, log)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	d.Close(ctx)
	got := outcome{requests: map[string]float64{}}
	for _, m := range append(d.Self(), state.Self()...) {
		label := func(name string) string {
			for _, l := range m.Labels {
				if l.Name == name {
					return l.Value
				}
			}
			return ""
		}
		switch m.Name {
		case "enawatch_delivered_data_total":
			got.accepted = m.Value
		case "enawatch_spool_items":
			got.kept = m.Value
		case "enawatch_requests_total":
			got.requests[label("result")] = m.Value
		case "enawatch_dropped_data_total":
			if label("reason") == "too_old" {
				got.tooOld = m.Value
			} else {
				got.poisoned += m.Value
			}
		}
	}
	must(state.Close())
	return got
}

// host returns a host of its own with interfaces that have counted so much.
func host(name string, at time.Time, counted uint64, interfaces ...string) *metric.Snapshot {
	s := &metric.Snapshot{At: at, Resource: metric.Resource{Host: name}}
	for _, i := range interfaces {
		s.Interfaces = append(s.Interfaces, metric.InterfaceState{
			Interface: metric.Interface{Name: i, MAC: "0a:00:00:00:00:" + i[3:] + i[3:]}, Verdict: "valid",
			Raw: []metric.RawStat{{Name: "bw_in_allowance_exceeded", Value: counted}},
		})
	}
	return s
}

// A snapshot has three series of each interface, and two of the host.
const ofHost, ofInterface = 2, 3

// refusals pushes what a receiver refuses and reports where the sink's reaction
// is not the documented one.
func refusals(o remotewrite.Options) []string {
	faults := []string{} // that it was looked at shows, even if nothing is wrong
	check := func(what string, ok bool, got outcome) {
		if !ok {
			faults = append(faults, fmt.Sprintf("%s: %+v", what, got))
		}
	}
	now := time.Now().Truncate(time.Second)
	one := float64(ofHost + ofInterface)

	got := push(o, host("twice", now, 5, "ens5"), host("twice", now, 5, "ens5"))
	check("the same sample twice counts once", got.accepted == 2*one && got.tooOld+got.poisoned == 0, got)

	// Each process of the agent knows nothing of what the last has sent.
	got = push(o, host("twice", now, 6, "ens5"))
	check("another value at the same time is dropped", got.poisoned+got.tooOld == 1 && got.accepted == one-1, got)

	push(o, host("backwards", now, 5, "ens5"))
	got = push(o, host("backwards", now.Add(-30*time.Second), 4, "ens5"))
	check("what comes out of order is dropped", got.tooOld == one && got.accepted == 0 && got.kept == 0, got)

	push(o, host("mixed", now.Add(-10*time.Second), 5, "ens6"), host("mixed", now.Add(-20*time.Second), 5))
	got = push(o, host("mixed", now.Add(-15*time.Second), 4, "ens5", "ens6"))
	check("of a refused request, what is good is kept", got.accepted == ofInterface && got.tooOld == ofHost+ofInterface, got)
	return faults
}
