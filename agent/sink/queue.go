// Package sink holds what all destinations share.
package sink

import (
	"context"
	"log/slog"
	"sync"

	"github.com/enawatch/enawatch/agent/metric"
)

// queueLimit is how many windows wait for a destination that has no spool.
const queueLimit = 64

// Queue stands before a destination that can block, as a pipe does, and that
// keeps nothing on disk. What does not fit is dropped, oldest first, and
// counted.
type Queue struct {
	name    string
	publish func(*metric.Batch) error
	log     *slog.Logger

	mu       sync.Mutex
	waiting  []*metric.Batch
	wake     chan struct{}
	closed   bool
	done     chan struct{}
	sent     uint64
	failed   uint64
	dropped  uint64
	lastFail string
}

// NewQueue returns a queue that hands its batches to publish, one at a time.
func NewQueue(name string, publish func(*metric.Batch) error, log *slog.Logger) *Queue {
	q := &Queue{name: name, publish: publish, log: log, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

// Publish takes a batch. It never blocks.
func (q *Queue) Publish(b *metric.Batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == queueLimit {
		q.waiting = q.waiting[1:]
		q.dropped++
		q.log.Error("a window was dropped: its destination does not take it", "sink", q.name, "dropped_so_far", q.dropped)
	}
	q.waiting = append(q.waiting, b)
	q.signal()
}

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Close waits until all batches are handed over, or ctx ends: then the rest is
// lost and counted in the log.
func (q *Queue) Close(ctx context.Context) {
	q.mu.Lock()
	q.closed = true
	q.signal()
	q.mu.Unlock()
	select {
	case <-q.done:
	case <-ctx.Done():
		q.mu.Lock()
		defer q.mu.Unlock()
		q.log.Error("windows were lost at the end: their destination does not take them", "sink", q.name, "windows", len(q.waiting))
	}
}

func (q *Queue) run() {
	defer close(q.done)
	for {
		b, more := q.next()
		if b == nil {
			if !more {
				return
			}
			<-q.wake
			continue
		}
		err := q.publish(b)
		q.mu.Lock()
		if err != nil {
			q.failed++
			if text := err.Error(); text != q.lastFail {
				q.lastFail = text
				q.log.Error("a window was not published", "sink", q.name, "err", err)
			}
		} else {
			q.sent++
			q.lastFail = ""
		}
		q.mu.Unlock()
	}
}

// next returns the oldest batch, or nil, and whether more may come.
func (q *Queue) next() (b *metric.Batch, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return nil, !q.closed
	}
	b = q.waiting[0]
	q.waiting = q.waiting[1:]
	return b, true
}

// Self returns what the queue counts.
func (q *Queue) Self() []metric.SelfMetric {
	q.mu.Lock()
	defer q.mu.Unlock()
	result := func(word string, n uint64) metric.SelfMetric {
		return metric.SelfMetric{
			Name: "enawatch_sink_windows_total", Help: "Windows by destination and what became of them.",
			Labels: []metric.Dimension{{Name: "sink", Value: q.name}, {Name: "result", Value: word}}, Value: float64(n),
		}
	}
	return []metric.SelfMetric{result("sent", q.sent), result("failed", q.failed), result("dropped", q.dropped)}
}
