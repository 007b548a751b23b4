// Package sink holds what all destinations share.
package sink

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
)

// queueLimit is how many windows wait for something that is stuck.
const queueLimit = 64

// Queue stands before something that can block, as a pipe or a disk does. What
// does not fit is dropped, oldest first, and counted.
type Queue[T any] struct {
	name    string
	publish func(T) error
	log     *slog.Logger

	mu       sync.Mutex
	waiting  []T
	wake     chan struct{}
	closed   bool
	done     chan struct{}
	sent     uint64
	failed   uint64
	dropped  uint64
	lastFail string
	busy     bool      // a window is in publish
	said     time.Time // that windows are dropped
}

// NewQueue returns a queue that hands what it gets to publish, one at a time.
func NewQueue[T any](name string, publish func(T) error, log *slog.Logger) *Queue[T] {
	q := &Queue[T]{name: name, publish: publish, log: log, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

// Publish takes a window. It never blocks.
func (q *Queue[T]) Publish(b T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == queueLimit {
		q.waiting = q.waiting[1:]
		q.dropped++
		if now := time.Now(); now.Sub(q.said) >= time.Minute {
			q.said = now
			q.log.Error("a window was dropped: what it goes to is stuck", "queue", q.name, "dropped_so_far", q.dropped)
		}
	}
	q.waiting = append(q.waiting, b)
	q.signal()
}

func (q *Queue[T]) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Close waits until all windows are handed over, or ctx ends: then the rest is
// lost and counted in the log.
func (q *Queue[T]) Close(ctx context.Context) {
	q.mu.Lock()
	q.closed = true
	q.signal()
	q.mu.Unlock()
	select {
	case <-q.done:
	case <-ctx.Done():
		q.mu.Lock()
		defer q.mu.Unlock()
		lost := len(q.waiting)
		if q.busy {
			lost++
		}
		if lost > 0 {
			q.log.Error("windows were lost at the end: what they go to is stuck", "queue", q.name, "windows", lost)
		}
	}
}

func (q *Queue[T]) run() {
	defer close(q.done)
	for {
		b, state := q.next()
		switch state {
		case nothingYet:
			<-q.wake
			continue
		case nothingMore:
			return
		}
		err := q.publish(b)
		q.mu.Lock()
		q.busy = false
		if err != nil {
			q.failed++
			if text := err.Error(); text != q.lastFail {
				q.lastFail = text
				q.log.Error("a window was not handed on as a whole", "queue", q.name, "err", err)
			}
		} else {
			q.sent++
			q.lastFail = ""
		}
		q.mu.Unlock()
	}
}

type queueState uint8

const (
	something queueState = iota
	nothingYet
	nothingMore
)

// next takes the oldest window out.
func (q *Queue[T]) next() (b T, state queueState) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.waiting) > 0:
		b, q.waiting, q.busy = q.waiting[0], q.waiting[1:], true
	case q.closed:
		state = nothingMore
	default:
		state = nothingYet
	}
	return b, state
}

// Self returns what the queue counts.
func (q *Queue[T]) Self() []metric.SelfMetric {
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
