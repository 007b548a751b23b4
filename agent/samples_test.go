package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/metric"
)

// Snapshots are taken at the start, at multiples of the interval and its offset,
// and at the end; each holds what was read then.
func TestSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type sample struct {
			After time.Duration
			Value uint64
		}
		var got []sample
		start := time.Now() // midnight, in a bubble
		h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.13.3, initial: {bw_in_allowance_exceeded: 100}}
steps:
- {at: 500ms, rate: {bw_in_allowance_exceeded: 10}, for: 60s}
end: {at: 2m}
`), func(o *Options) {
			o.Samples = Samples{Every: 15 * time.Second, Offset: 4 * time.Second, Take: func(s *metric.Snapshot) {
				got = append(got, sample{s.At.Sub(start), s.Interfaces[0].Totals[0].Value})
			}}
		})
		h.run(t, 40*time.Second+500*time.Millisecond)
		want := []sample{{0, 100}, {4 * time.Second, 135}, {19 * time.Second, 285}, {34 * time.Second, 435}, {40*time.Second + 500*time.Millisecond, 500}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
