package emf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/agent/sink/awsclient/logs"
)

// LogsOptions say how CloudWatch Logs is called.
type LogsOptions struct {
	// Account says where CloudWatch Logs is and who calls it. New sets Sink and
	// Service.
	Account awsclient.Options
	// Retention is for how many days a log group that is made keeps its events,
	// DefaultRetention if it is 0: one of those that PutRetentionPolicy takes.
	Retention int
	// Entity says which instance or EKS node the events speak of.
	Entity bool
	// Host returns what is known of the host by now; nil if nothing ever is.
	Host func() Host
	// Simulated is true if the numbers come from no real device.
	Simulated bool
}

// Host holds facts for the entity. A field is "" while unknown.
type Host struct{ AutoScalingGroup, Cluster, Node string }

// DefaultRetention is in days.
const DefaultRetention = 30

// Retentions lists the days that a log group may keep its events.
func Retentions() []int { return slices.Clone(retentions) }

// retentions are the days that PutRetentionPolicy takes
// (API_PutRetentionPolicy).
var retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// errSimulated refuses to mix invented numbers with measured ones, for which
// somebody pays and on which somebody is paged.
var errSimulated = errors.New("a simulation is never published to AWS: choose another output, or do not simulate")

// Logs puts documents into CloudWatch Logs, which extracts the metrics.
//
// A log group that is not there is made (loggroup.go). One that is there is left
// as it is.
type Logs struct {
	*packer
	o             LogsOptions
	group, stream string // templates
	log           *slog.Logger
	client        *awsclient.Client
	// service is CloudWatch Logs with the credentials for it; nil before the
	// first delivery, and after an error that somebody may have mended by now.
	service *logs.Client
	// endless are groups that this sink has made, or may have, without a retention
	// so far; blind is true once it was said that it may not look at groups.
	endless map[string]bool
	blind   bool

	mu       sync.Mutex        // guards what follows
	rejected map[string]uint64 // events by reason
	entities map[string]uint64 // requests by the reason for which their entity was refused
}

func newLogs(p *packer, o Options) (*Logs, error) {
	l := o.Logs
	l.Account.Sink, l.Account.Service = "emf", "CloudWatch Logs"
	l.Retention = cmp.Or(l.Retention, DefaultRetention)
	if l.Host == nil {
		l.Host = func() Host { return Host{} }
	}
	if l.Simulated {
		return nil, errSimulated
	}
	if !slices.Contains(retentions, l.Retention) {
		return nil, fmt.Errorf("retention of %d days: CloudWatch Logs has %v", l.Retention, retentions)
	}
	client, err := awsclient.New(l.Account)
	if err != nil {
		return nil, err
	}
	s := &Logs{
		packer: p, o: l, group: o.Output.Group, stream: o.Output.Stream, client: client,
		endless: map[string]bool{}, rejected: map[string]uint64{"too_old": 0, "too_new": 0, "expired": 0}, entities: map[string]uint64{"InvalidEntity": 0},
	}
	s.log = o.Log.With("sink", s.Name())
	return s, nil
}

// Name returns "emf_logs": its requests are not those of the other outputs.
func (*Logs) Name() string { return "emf_logs" }

// Pack turns a window into requests.
func (s *Logs) Pack(b *metric.Batch) ([]sink.Request, error) {
	if b.Resource.Simulated {
		return nil, errSimulated
	}
	head := logsRequest{Version: logsVersion, Time: b.Start.UnixMilli()}
	head.Group, head.Stream = place(s.group, s.stream, &b.Resource)
	if s.o.Entity {
		host := s.o.Host()
		head.Entity = awsclient.InstanceEntity(b.Resource.InstanceID, host.AutoScalingGroup, host.Cluster, host.Node)
	}
	requests, err := s.packer.Pack(b)
	for i, r := range requests {
		requests[i].Data = head.encode(r.Data)
	}
	return requests, err
}

// Deliver puts the events of one request. An error is a *sink.Error.
func (s *Logs) Deliver(ctx context.Context, data []byte) error {
	r, err := decodeLogs(data)
	if err != nil {
		return &sink.Error{Kind: sink.Poisoned, Err: err}
	}
	failure := s.put(ctx, r)
	if is(failure, logs.NotFound) {
		if failure := s.make(ctx, r); failure != nil {
			return s.unsent(failure)
		}
		if failure = s.put(ctx, r); is(failure, logs.NotFound) {
			return s.unsent(failure) // not everywhere yet
		}
	}
	if failure != nil {
		return failure
	}
	return nil
}

// unsent says what an error means that is no answer to the events themselves:
// they have not arrived, and can wait.
func (s *Logs) unsent(e *sink.Error) *sink.Error {
	e.Ambiguous = false
	if e.Kind == sink.Poisoned || e.Kind == sink.TooLarge {
		e.Kind, e.Remedy = sink.Transient, cmp.Or(e.Remedy, "look at the output of the emf sink, and at the log group")
	}
	return e
}

// is reports whether an error, which may be nil, has a code of package logs.
func is(e *sink.Error, code string) bool { return e != nil && logs.Is(e, code) }

// call makes one call to CloudWatch Logs, which is about a group.
func (s *Logs) call(ctx context.Context, operation, group string, in, out any) *sink.Error {
	if s.service == nil {
		if err := s.connect(ctx); err != nil {
			return err
		}
	}
	x := &awsclient.Exchange{Owner: s.client, HTTP: s.service.HTTP}
	failure := s.exchange(ctx, x, operation, group, in, out)
	if failure != nil && x.Stale(failure) {
		s.service = nil
	}
	return failure
}

func (s *Logs) connect(ctx context.Context) *sink.Error {
	cfg, failure := s.client.Load(ctx)
	if failure != nil {
		return failure
	}
	s.service = logs.New(ctx, s.client, cfg, s.o.Account.Endpoint)
	return nil
}

func (s *Logs) exchange(ctx context.Context, x *awsclient.Exchange, operation, group string, in, out any) *sink.Error {
	if err := s.service.Call(ctx, x, operation, in, out); err != nil {
		return x.Classify(err, operation, permission(operation, group), s.service.Credentials)
	}
	return nil
}

// permission says what to do if the identity may not call an operation.
func permission(operation, group string) string {
	actions, on := "action logs:"+operation, "the log group "+group
	switch operation {
	case "CreateLogGroup": // with a tag
		actions = "actions logs:CreateLogGroup and logs:TagResource"
	case "DescribeLogGroups": // knows no others
		on = "all log groups"
	}
	return fmt.Sprintf("give the identity that enawatch has on this host the %s on %s (deploy/iam/emf-logs.json)", actions, on)
}

// put sends the events of r.
func (s *Logs) put(ctx context.Context, r *logsRequest) *sink.Error {
	var out logs.PutLogEventsOutput
	if failure := s.call(ctx, "PutLogEvents", r.Group, r.input(), &out); failure != nil {
		return failure
	}
	if e := out.RejectedEntityInfo; e != nil {
		s.noteEntity(e.ErrorType)
	}
	return s.noteRejected(out.RejectedLogEventsInfo, len(r.events))
}

// Reasons for which CloudWatch Logs rejects events of a request that it takes.
const (
	rejectedOld     = "too_old"
	rejectedExpired = "expired"
	rejectedNew     = "too_new"
)

// noteRejected counts the events that were rejected of n. If that is all, it is
// an error: all have the same time, so that nothing else is to be expected.
func (s *Logs) noteRejected(info *logs.RejectedEvents, n int) *sink.Error {
	if info == nil {
		return nil
	}
	index := func(p *int, absent int) int {
		if p == nil {
			return absent
		}
		return min(max(*p, 0), n)
	}
	old, expired := index(info.TooOldLogEventEndIndex, 0), index(info.ExpiredLogEventEndIndex, 0)
	counts := map[string]int{
		rejectedOld: old, rejectedExpired: max(0, expired-old),
		rejectedNew: n - max(index(info.TooNewLogEventStartIndex, n), old, expired),
	}
	e := &sink.Error{Kind: sink.TooOld, Err: errors.New("PutLogEvents: the events are too old"), Remedy: "CloudWatch Logs takes events of the last two weeks"}
	switch {
	case counts[rejectedNew] > 0:
		e.Kind, e.All, e.Err = sink.Poisoned, true, errors.New("PutLogEvents: the events are more than two hours in the future")
		e.Remedy = "the clock was ahead when the data were counted: " + awsclient.RemedyClock
	case counts[rejectedExpired] > 0:
		e.Err, e.Remedy = errors.New("PutLogEvents: the events are older than the log group keeps them"), "raise the retention of the log group"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := 0
	for reason, events := range counts {
		all += events
		if events > 0 {
			s.rejected[reason] += uint64(events)
		}
	}
	if all >= n {
		return e
	}
	s.log.Error("events were rejected and are lost", "events", all, "of", n, "err", e)
	return nil
}

// maxReasons bounds how many reasons are told apart; API_RejectedEntityInfo has
// seven.
const maxReasons = 8

func (s *Logs) noteEntity(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.entities[reason]; !known && len(s.entities) >= maxReasons {
		reason = "other"
	}
	if s.entities[reason]++; s.entities[reason] == 1 {
		s.log.Warn("CloudWatch Logs takes the events but not the entity that they speak of", "reason", reason, "remedy", "switch the entity off, or report this")
	}
}

// SelfMetrics returns what the sink says of itself.
func (s *Logs) SelfMetrics() []metric.SelfMetric {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []metric.SelfMetric
	add := func(name, help string, counts map[string]uint64) {
		for _, reason := range slices.Sorted(maps.Keys(counts)) {
			list = append(list, metric.SelfMetric{
				Name: name, Help: help, Labels: []metric.Dimension{{Name: "reason", Value: reason}}, Value: float64(counts[reason]),
			})
		}
	}
	add("enawatch_emf_logs_rejected_events_total", "Events that CloudWatch Logs rejected of requests that it took, by reason.", s.rejected)
	add("enawatch_emf_logs_entity_failures_total", "Requests of which CloudWatch Logs took the events but not the entity, by its reason.", s.entities)
	return list
}
