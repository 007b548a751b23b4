package sink

import (
	"errors"
	"fmt"
	"time"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/store"
)

// Spool writes windows to the state file, packed for each sink.
type Spool struct {
	Store *store.Store
	Sinks []Sink
}

// Keep writes requests of a sampler, whose samples are from at.
func (s *Spool) Keep(d Destination, at time.Time, requests []Request) {
	if len(requests) == 0 {
		return
	}
	items := make([]store.Item, len(requests))
	for i, r := range requests {
		items[i] = store.Item{At: at, Points: r.Points, Data: r.Data}
	}
	s.Store.Add(d.Name(), items...)
}

// Load returns the baselines of the last Commit that reached the disk.
func (s *Spool) Load() ([]delta.Baseline, error) { return s.Store.Load() }

// Commit writes baselines, one window and records for the ring in one transaction. An error is about
// series that a destination would never take; everything else is kept.
func (s *Spool) Commit(baselines []delta.Baseline, b *metric.Batch, records []store.Record) error {
	var failed []error
	items := map[string][]store.Item{}
	end := b.Start.Add(b.Length)
	for _, sink := range s.Sinks {
		requests, err := sink.Pack(b)
		if err != nil {
			failed = append(failed, fmt.Errorf("pack a window for %s: %w", sink.Name(), err))
		}
		for _, r := range requests {
			items[sink.Name()] = append(items[sink.Name()], store.Item{At: end, Points: r.Points, Data: r.Data})
		}
	}
	s.Store.Commit(baselines, items, records...)
	return errors.Join(failed...)
}
