package sink

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/google/go-cmp/cmp"
)

func results(q *Queue[*metric.Batch]) map[string]float64 {
	m := map[string]float64{}
	for _, s := range q.Self() {
		m[s.Labels[1].Value] = s.Value
	}
	return m
}

func TestQueueKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []time.Duration
		q := NewQueue("test", func(b *metric.Batch) error {
			time.Sleep(time.Second)
			got = append(got, b.Length)
			return nil
		}, slog.New(slog.DiscardHandler))
		for i := range 5 {
			q.Publish(&metric.Batch{Length: time.Duration(i)})
		}
		q.Close(t.Context())
		if diff := cmp.Diff([]time.Duration{0, 1, 2, 3, 4}, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if diff := cmp.Diff(map[string]float64{"sent": 5, "failed": 0, "dropped": 0}, results(q)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

func TestStuckDestinationBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		var log bytes.Buffer
		q := NewQueue("test", func(*metric.Batch) error { <-stuck; return nil }, slog.New(slog.NewTextHandler(&log, nil)))
		q.Publish(&metric.Batch{})
		synctest.Wait() // it has the first batch
		for range queueLimit + 3 {
			q.Publish(&metric.Batch{})
		}
		if got := results(q)["dropped"]; got != 3 {
			t.Errorf("dropped %v, want 3", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		q.Close(ctx)
		if !strings.Contains(log.String(), "windows=65") {
			t.Errorf("the log does not say that 65 windows were lost:\n%s", log.String())
		}
		close(stuck)
	})
}

func TestFailureIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		q := NewQueue("test", func(*metric.Batch) error { return errors.New("broken pipe") }, slog.New(slog.NewTextHandler(&log, nil)))
		for range 3 {
			q.Publish(&metric.Batch{})
		}
		q.Close(t.Context())
		if n := strings.Count(log.String(), "broken pipe"); n != 1 {
			t.Errorf("logged %d times, want once", n)
		}
		if got := results(q)["failed"]; got != 3 {
			t.Errorf("failed %v, want 3", got)
		}
	})
}
