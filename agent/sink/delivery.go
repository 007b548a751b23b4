package sink

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/enawatch/enawatch/agent/event"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/store"
)

// How long and how often. A destination that is down is asked once a minute, one
// whose credentials are wrong every five: somebody has to mend them first.
const (
	callTimeout      = 30 * time.Second
	firstBackoff     = time.Second
	longestBackoff   = time.Minute
	credentialsPause = 5 * time.Minute
	// lastMoment is how long a call that was cut off may take to end.
	lastMoment = time.Second
	// refusalsInARow is how many may follow each other at full speed: to find
	// one bad datum among a thousand takes about twenty. More means that
	// everything is refused.
	refusalsInARow = 32
)

// Delivery brings what waits in one sink's spool to its destination: oldest
// first, one request at a time, each until the destination has taken it or
// would never take it. It runs at its own pace and holds up nobody.
type Delivery struct {
	sink  Destination
	queue *store.Queue
	log   *slog.Logger
	// patience is the longest pause, or 0 for the usual ones; idempotent is what
	// Timely says.
	patience   time.Duration
	idempotent bool
	// phase is how long after its end a window is sent, so that hosts do not
	// all send at once.
	phase time.Duration
	// random returns a share from 0 to 1.
	random func() float64

	closing chan struct{} // closed by Close and Leave
	leaving atomic.Bool
	hurried chan struct{} // closed by Hurry
	once    sync.Once     // of Hurry
	done    chan struct{}
	stop    context.CancelFunc // ends the call that is under way

	mu        sync.Mutex
	rested    func()            // called when nothing is sent for a while; nil if nobody asks
	requests  map[string]uint64 // by result
	delivered uint64            // data
	ambiguous uint64            // data that may have arrived twice
	success   time.Time         // of the newest success
	complaint string            // the error that was logged last
}

// NewDelivery starts to deliver what waits in queue. What a window brings is
// sent phase after the window's end.
func NewDelivery(s Destination, queue *store.Queue, phase time.Duration, log *slog.Logger) *Delivery {
	ctx, stop := context.WithCancel(context.Background())
	d := &Delivery{
		sink: s, queue: queue, log: log.With("sink", s.Name()), phase: phase,
		random: rand.Float64, closing: make(chan struct{}), hurried: make(chan struct{}), done: make(chan struct{}), stop: stop, requests: map[string]uint64{},
	}
	if t, ok := s.(Timely); ok {
		d.patience, d.idempotent = t.Patience(), t.Idempotent()
	}
	go d.run(ctx)
	return d
}

// Hurry has windows sent as soon as they end, from now on.
func (d *Delivery) Hurry() { d.once.Do(func() { close(d.hurried) }) }

// Leave ends the delivery for another that goes on with the queue: the request
// that is under way may end by itself, unless ctx ends first, and none is begun.
func (d *Delivery) Leave(ctx context.Context) {
	d.leaving.Store(true)
	d.Close(ctx)
}

// Close delivers what it can until ctx ends, without waiting for better times.
// What is left stays in the spool.
func (d *Delivery) Close(ctx context.Context) {
	close(d.closing)
	select {
	case <-d.done:
	case <-ctx.Done():
		d.stop()
		select {
		case <-d.done:
		case <-time.After(lastMoment):
			d.log.Error("the delivery does not end: it waits for the disk")
		}
	}
	d.stop()
}

func (d *Delivery) run(ctx context.Context) {
	defer close(d.done)
	failures, refusals, closing := 0, 0, false
	// attempted is the ID of the item that this process tried last: an item
	// that was tried by another is in doubt.
	attempted := ""
	for ctx.Err() == nil && !d.leaving.Load() {
		item, ok := d.queue.Oldest()
		if !ok {
			d.rest()
			if !d.pause(d.queue.Wake(), -1) {
				return
			}
			continue
		}
		if item.Tried && item.ID != attempted {
			d.doubt(item, "the agent was killed while it was sent")
		}
		if failures == 0 && !item.Tried {
			d.awaitPhase(item)
		}
		if d.leaving.Load() {
			return
		}
		attempted = item.ID
		err := d.attempt(ctx, item)
		switch {
		case err == nil:
			failures, refusals = 0, 0
			continue
		case ctx.Err() != nil:
			return // cut off at the end: whoever comes next knows that it was tried
		}
		wait := d.settle(item, err, &failures)
		if err.Kind == Poisoned || err.Kind == TooLarge {
			if refusals++; refusals > refusalsInARow {
				wait = firstBackoff
			}
		}
		if wait > 0 {
			d.rest()
		}
		if wait > 0 && !d.pause(nil, wait) {
			if closing {
				return // better times do not come
			}
			closing = true // one last attempt
		}
	}
}

// OnRest has f called when nothing is sent for a while: everything was delivered
// that waited, or it is not yet time to try again.
func (d *Delivery) OnRest(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rested = f
}

func (d *Delivery) rest() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rested != nil {
		d.rested()
	}
}

// pause waits for wake or, if that is not negative, for so long. It reports
// false at once if the delivery is closing.
func (d *Delivery) pause(wake <-chan struct{}, wait time.Duration) bool {
	var timeout <-chan time.Time
	if wait >= 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-wake:
		return true
	case <-timeout:
		return true
	case <-d.closing:
		return false
	}
}

// awaitPhase waits until this host's moment has come to send a fresh item.
func (d *Delivery) awaitPhase(item store.Item) {
	if wait := time.Until(item.At.Add(d.phase)); wait > 0 && wait <= d.phase {
		d.pause(d.hurried, wait)
	}
}

// attempt sends an item once. That it does stands on disk before, unless nobody
// needs to know.
func (d *Delivery) attempt(ctx context.Context, item store.Item) *Error {
	if !d.idempotent {
		d.queue.Try(item)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := d.sink.Deliver(ctx, item.Data); err != nil {
		return asError(err)
	}
	d.queue.Done(item)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests["ok"]++
	d.delivered += uint64(item.Points)
	d.success = time.Now()
	if d.complaint != "" {
		d.complaint = ""
		d.log.Info("the destination takes data again", event.Key, event.PublishOK)
	}
	return nil
}

// settle decides what becomes of an item whose delivery failed, and returns how
// long to wait before the next attempt.
func (d *Delivery) settle(item store.Item, err *Error, failures *int) time.Duration {
	d.mu.Lock()
	d.requests[err.Kind.String()]++
	d.mu.Unlock()
	if !d.idempotent {
		if err.Ambiguous {
			d.doubt(item, err.Err.Error())
		}
		item.Tried = false // what that means is counted
		d.queue.Replace(item, item)
	}
	switch err.Kind {
	case Poisoned, TooLarge:
		d.split(item, err)
		return 0
	case TooOld:
		d.queue.Drop(item, err.Kind.String())
		return 0
	}
	d.complain(err)
	*failures++
	return backoff(err, *failures, d.random(), d.patience)
}

// split halves an item until the bad datum stands alone, and drops that.
func (d *Delivery) split(item store.Item, err *Error) {
	var parts []Request
	if !err.All {
		parts = d.sink.Split(item.Data)
	}
	if len(parts) < 2 {
		d.queue.Drop(item, err.Kind.String(), "what", d.sink.Describe(item.Data), "err", err)
		return
	}
	items := make([]store.Item, len(parts))
	for i, p := range parts {
		items[i] = store.Item{At: item.At, Points: p.Points, Data: p.Data}
	}
	d.queue.Replace(item, items...)
}

// doubt counts data that may arrive twice: to lose them is worse.
func (d *Delivery) doubt(item store.Item, why string) {
	d.mu.Lock()
	d.ambiguous += uint64(item.Points)
	d.mu.Unlock()
	d.log.Warn("no answer: it is sent again and may count twice", "what", d.sink.Describe(item.Data), "from", item.At, "data", item.Points, "why", why)
}

// complain logs an error that is not the one logged last.
func (d *Delivery) complain(err *Error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if text := err.Error(); text != d.complaint {
		d.complaint = text
		d.log.Error("delivery failed, it is tried again", event.Key, event.PublishFailed, "kind", err.Kind.String(), "err", text)
	}
}

// backoff returns how long to wait after so many failures in a row: a random
// share, from 0 to 1, of a bound that doubles (full jitter), but no less than
// the destination asked for, nor longer than its patience, if it has one.
func backoff(err *Error, failures int, share float64, patience time.Duration) time.Duration {
	bound := longestBackoff
	if err.Kind == Credentials {
		bound = credentialsPause
	}
	if patience > 0 {
		bound = min(bound, patience)
	}
	if failures < 16 {
		bound = min(bound, firstBackoff<<(failures-1))
	}
	return max(err.RetryAfter, time.Duration(share*float64(bound)), time.Millisecond)
}

// Self returns what the delivery counts.
func (d *Delivery) Self() []metric.SelfMetric {
	d.mu.Lock()
	defer d.mu.Unlock()
	label := metric.Dimension{Name: "sink", Value: d.sink.Name()}
	list := []metric.SelfMetric{
		{Name: "enawatch_delivered_data_total", Help: "Data that a destination has taken.", Labels: []metric.Dimension{label}, Value: float64(d.delivered)},
		{Name: "enawatch_ambiguous_data_total", Help: "Data that were sent again because no answer came: they may count twice.", Labels: []metric.Dimension{label}, Value: float64(d.ambiguous)},
	}
	for _, result := range []string{"ok", "transient", "throttled", "credentials", "poisoned", "too_large", "too_old"} {
		list = append(list, metric.SelfMetric{
			Name: "enawatch_requests_total", Help: "Requests to destinations by result.",
			Labels: []metric.Dimension{label, {Name: "result", Value: result}}, Value: float64(d.requests[result]),
		})
	}
	if !d.success.IsZero() {
		list = append(list, metric.SelfMetric{
			Name: "enawatch_last_success_timestamp_seconds", Help: "When a destination took data last.", Kind: metric.Gauge,
			Labels: []metric.Dimension{label}, Value: float64(d.success.UnixMilli()) / 1000,
		})
	}
	return list
}
