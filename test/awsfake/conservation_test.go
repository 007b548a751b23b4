package awsfake_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/enawatch/enawatch/test/awsfake"
)

// TestConservation is what the stand-in is for: whatever fails, a client that
// tries until it succeeds stores each datum once, and once more for each
// request that was stored and of which it was not told.
func TestConservation(t *testing.T) {
	const n = 300
	for _, secure := range []bool{false, true} {
		s := start(t, awsfake.Options{Seed: 42, TLS: secure})
		var faults []awsfake.Fault
		for _, f := range []awsfake.Fault{
			{Kind: awsfake.Refuse, Delay: time.Millisecond}, {Kind: awsfake.Reset}, {Kind: awsfake.Drop}, {Kind: awsfake.Cut},
			{Kind: awsfake.HTML}, {Kind: awsfake.Status, Status: 500}, {Kind: awsfake.Status, Status: 429},
		} {
			stored := f
			stored.Store = true
			faults = append(faults, f, stored)
		}
		faults = append(faults,
			awsfake.Fault{Kind: awsfake.Throttle}, awsfake.Fault{Kind: awsfake.ExpiredToken},
			awsfake.Fault{Kind: awsfake.Slow, Delay: time.Millisecond})
		if err := s.Faults.Add(awsfake.Rule{Probability: 0.5, Faults: faults}); err != nil {
			t.Fatal(err)
		}
		c := cloudWatch(t, s)
		want, failed := 0.0, 0
		for i := range n {
			in := input(func(_ *request, d *datum) {
				d.Value = aws.Float64(float64(i))
				d.Timestamp = aws.Time(frozen.Add(time.Duration(i) * time.Millisecond))
			})
			want += float64(i)
			for {
				if _, err := c.PutMetricData(t.Context(), in); err == nil {
					break
				}
				failed++
			}
		}
		got := s.CloudWatch.Summarize(awsfake.MetricQuery{})
		_, ambiguous := s.Journal.Ambiguous("cloudwatch")
		if got.Sum-got.DuplicateSum != want || got.Data-got.Duplicates != n {
			t.Errorf("tls %v: sum %v less duplicates of %v, want %v", secure, got.Sum, got.DuplicateSum, want)
		}
		if got.Duplicates != ambiguous || ambiguous == 0 {
			t.Errorf("tls %v: %d duplicates, but %d ambiguous data", secure, got.Duplicates, ambiguous)
		}
		if failed < n/4 {
			t.Errorf("tls %v: only %d failures", secure, failed)
		}
	}
}
