// Package kubernetes tells the cluster which allowances this node exceeds: by
// Events of the node, and by the node condition NetworkAllowanceHealthy.
//
// One Event is made for each allowance when it begins to hurt, updated while it
// lasts, and another says when it is over. What is told is the state of things,
// not a list of what happened: if the API server can't be reached, the newest
// state waits, and nothing piles up.
package kubernetes

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
)

// Options say what is told, and of whom. All but Log are required.
type Options struct {
	// Node is the name of this node, and Instance that of the agent's pod.
	Node, Instance string
	// Thresholds are how many packets of a window make an allowance hurt, by its
	// name: bw_in, bw_out, pps, conntrack, linklocal. Others make no Event.
	Thresholds map[string]int
	// RecoverAfter is how long an allowance must not hurt to be over it.
	RecoverAfter time.Duration
	// UpdateEvery is the least time between two updates of an Event.
	UpdateEvery time.Duration
	// Condition has the node's condition kept too.
	Condition bool
	Log       *slog.Logger
}

// The budget of requests to the API server: burst at once, and one more each
// refill. A node that hurts by all five allowances makes 10 in five minutes.
const (
	burst  = 12
	refill = 15 * time.Second
)

// The delay after a failure doubles up to maxDelay; an answer that no retry soon
// would change has maxDelay at once.
const (
	minDelay = time.Second
	maxDelay = 5 * time.Minute
)

// Sink takes windows. Make one with New.
type Sink struct {
	opts   Options
	api    *client
	cancel context.CancelFunc
	done   chan struct{}
	wake   chan struct{}

	mu        sync.Mutex // guards what follows
	incidents []*incident
	condition condition
	counts    struct{ ok, failed, refused uint64 }
}

// New returns a sink for the cluster that the pod runs in. The error names what
// is missing there.
func New(o Options) (*Sink, error) {
	api, err := inCluster(serviceAccount)
	if err != nil {
		return nil, err
	}
	return start(o, api), nil
}

func start(o Options, api *client) *Sink {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Sink{opts: o, api: api, cancel: cancel, done: make(chan struct{}), wake: make(chan struct{}, 1)}
	for i := range allowances {
		if t := o.Thresholds[allowances[i].name]; t > 0 {
			s.incidents = append(s.incidents, &incident{allowance: &allowances[i], threshold: float64(t)})
		}
	}
	go s.run(ctx)
	return s
}

// Publish takes note of a window. It does not block.
func (s *Sink) Publish(b *metric.Batch) {
	s.mu.Lock()
	for _, i := range s.incidents {
		i.observe(b, s.opts.RecoverAfter)
	}
	s.condition.observe(s.incidents, b.Start.Add(b.Length))
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // it is to wake up already
	}
}

// Close ends what is under way. What is not told by then stays untold: an Event
// that comes late misleads.
func (s *Sink) Close(ctx context.Context) {
	s.cancel()
	select {
	case <-s.done:
	case <-ctx.Done():
	}
}

// run tells, one request at a time.
func (s *Sink) run(ctx context.Context) {
	defer close(s.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var b budget
	var failures int
	var notBefore time.Time
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		for ctx.Err() == nil {
			now := time.Now()
			r, due := s.next(now)
			wait := max(due.Sub(now), notBefore.Sub(now), b.wait(now))
			if r == nil || wait > 0 {
				if !due.IsZero() {
					timer.Reset(max(wait, time.Millisecond))
				}
				break
			}
			b.take(now)
			err := r.send(ctx, s.api)
			delay := s.sent(r, err, &failures)
			notBefore = time.Now().Add(delay)
			if ctx.Err() == nil {
				s.say(err, &said)
			}
		}
	}
}

// say logs an error that is not the one that was said last.
func (s *Sink) say(err error, said *string) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch {
	case text == *said:
	case text != "":
		s.opts.Log.Warn("the cluster was not told what this node exceeds", "err", err)
	default:
		s.opts.Log.Info("the cluster is told again what this node exceeds")
	}
	*said = text
}

// sent takes note of how a request ended and returns how long to wait before the
// next.
func (s *Sink) sent(r report, err error, failures *int) (delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var answer *answerError
	switch {
	case err == nil:
		s.counts.ok++
		*failures = 0
		r.told(time.Now())
		return 0
	case errors.As(err, &answer) && answer.hopeless():
		s.counts.refused++
		*failures = 0
		r.told(time.Now()) // it would be refused again
		return 0
	case errors.As(err, &answer) && answer.gone():
		r.lost()
	}
	s.counts.failed++
	delay = min(minDelay<<min(*failures, 20), maxDelay)
	*failures++
	switch {
	case answer != nil && answer.denied():
		delay = maxDelay
	case answer != nil && answer.after > 0:
		delay = min(max(delay, answer.after), maxDelay)
	}
	return delay/2 + rand.N(delay/2+1)
}

// next returns the most urgent report and when it is due: nil and the zero time
// if there is nothing to tell.
func (s *Sink) next(now time.Time) (r report, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.incidents {
		if at, ok := i.due(now, s.opts.UpdateEvery); ok && (due.IsZero() || at.Before(due)) {
			r, due = i.report(s.opts), at
		}
	}
	if at, ok := s.condition.due(now); ok && s.opts.Condition && (due.IsZero() || at.Before(due)) {
		r, due = s.condition.report(s.opts, now), at
	}
	return r, due
}

// Self lists what the sink counts of itself.
func (s *Sink) Self() []metric.SelfMetric {
	s.mu.Lock()
	defer s.mu.Unlock()
	counter := func(result string, n uint64) metric.SelfMetric {
		return metric.SelfMetric{
			Name: "enawatch_kubernetes_requests_total", Help: "Requests to the Kubernetes API server by result.",
			Labels: []metric.Dimension{{Name: "result", Value: result}}, Value: float64(n),
		}
	}
	hurting := 0
	for _, i := range s.incidents {
		if i.open {
			hurting++
		}
	}
	return []metric.SelfMetric{
		counter("ok", s.counts.ok), counter("failed", s.counts.failed), counter("refused", s.counts.refused),
		{Name: "enawatch_kubernetes_hurting", Help: "Allowances that hurt by the thresholds of Kubernetes Events.", Kind: metric.Gauge, Value: float64(hurting)},
	}
}

// budget is a token bucket. Its zero value is full.
type budget struct {
	used float64
	at   time.Time
}

func (b *budget) settle(now time.Time) {
	b.used = max(0, b.used-float64(now.Sub(b.at))/float64(refill))
	b.at = now
}

// wait returns how long it is until a request may be made.
func (b *budget) wait(now time.Time) time.Duration {
	b.settle(now)
	return time.Duration(max(0, b.used+1-burst) * float64(refill))
}

func (b *budget) take(now time.Time) {
	b.settle(now)
	b.used++
}
