package agent

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
)

// forgetful is an output that keeps nothing.
type forgetful struct{ windows int }

func (f *forgetful) Publish(*metric.Batch) { f.windows++ }

// TestDayIsFlat runs a day of windows, with a burst in each hour. What the agent
// holds at its end is what it held after the first two hours, when the history of
// the live page was full.
func TestDayIsFlat(t *testing.T) {
	const allowed = 64 << 10 // bytes
	synctest.Test(t, func(t *testing.T) {
		var out forgetful
		h := on(t, scenario(t, `
repeat: 1h
devices:
- {name: ens5, driver: 2.17.0}
- {name: ens6, driver: 2.17.0}
steps:
- {at: 10m, device: ens5, rate: {pps_allowance_exceeded: 7}, for: 20s}
`), func(o *Options) {
			o.Publish, o.Outputs, o.Live = time.Minute, []Output{&out}, live.New(live.Span, time.Second, time.Now)
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			h.agent.Run(ctx, time.Second)
		}()
		var held [2]int64
		for i, d := range []time.Duration{2 * time.Hour, 22 * time.Hour} {
			time.Sleep(d)
			runtime.GC()
			runtime.GC() // what finalizers held
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			held[i] = int64(m.HeapAlloc)
		}
		cancel()
		<-ended
		if grew := held[1] - held[0]; grew > allowed {
			t.Errorf("the heap grew by %d bytes in 22 hours, more than %d", grew, allowed)
		}
		if out.windows < 24*60 {
			t.Errorf("%d windows in a day", out.windows)
		}
	})
}
