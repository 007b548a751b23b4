// Package remotewrite pushes what /metrics shows, every few seconds, to whoever
// takes Prometheus remote write: Amazon Managed Service for Prometheus (AMP),
// Prometheus, Mimir, Cortex, Thanos, VictoriaMetrics.
//
// # Data
//
// A snapshot becomes one sample of each series, all with the snapshot's time.
// Values are cumulative: what is lost on the way costs resolution, not drops. A
// series that the next snapshot lacks, and every series at the end, gets a
// staleness marker.
//
// # Protocol
//
// What waits in the spool is remote write 2.0. It is sent so if the receiver
// says that it has written every sample; if not, it is sent as 1.0, then and from
// then on. AMP is always sent 1.0, the only version that it documents. A sample
// that arrives twice counts once, so that no delivery is ever in doubt.
//
// # Refusals
//
// Requests are sent oldest first, one at a time. Samples that are older than
// Options.MaxAge are given up before they are sent. What is refused for its data
// (status 400, 409, 422) is halved until the bad series stands alone, which is
// given up. Everything else is tried again until it is too old.
//
// Sources: the specifications of Prometheus remote write 1.0 and 2.0; the
// reference of the AMP API, RemoteWrite.
package remotewrite

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/agent/sink/prometheus"
)

// Sink is a [sink.Sampler].
type Sink struct {
	o        Options
	client   *http.Client      // unless requests are signed
	aws      *awsclient.Client // if they are
	signer   *awsclient.Signer // nil before the first delivery
	skew     time.Duration     // what the receiver's clock is ahead of the host's, if that matters
	families func(*metric.Snapshot) []*prometheus.Family

	mu      sync.Mutex
	last    map[string]*series // by identity: what the newest snapshot had
	at      int64              // of the newest snapshot, ms
	version Version
	// described holds when each family's metadata were sent last; by Deliver
	// alone.
	described map[string]time.Time
	overdue   overdue
}

var (
	_ sink.Sampler = (*Sink)(nil)
	_ sink.Timely  = (*Sink)(nil)
)

// New returns a sink. It reads Options.CAFile and certificates, and talks to
// nobody. The error says which option can't be used, and repeats no secret.
func New(o Options) (*Sink, error) {
	if o.Simulated {
		return nil, errSimulated
	}
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("remote_write sink: %w", err)
	}
	s := &Sink{o: o, last: map[string]*series{}, described: map[string]time.Time{}, version: o.Version}
	var err error
	if s.families, err = o.families(); err != nil {
		return nil, fmt.Errorf("remote_write sink: %w", err)
	}
	if o.Auth == SigV4 {
		s.aws, err = awsclient.New(o.account())
	} else {
		s.client, err = newHTTPClient(&o)
	}
	if err != nil {
		return nil, fmt.Errorf("remote_write sink: %w", err)
	}
	return s, nil
}

// Name returns "remote_write".
func (s *Sink) Name() string { return "remote_write" }

// Idempotent returns true.
func (s *Sink) Idempotent() bool { return true }

// maxPatience is the longest pause between two attempts: while one waits, the
// oldest samples become too old, even after the receiver's return.
const maxPatience = 15 * time.Second

// Patience returns a quarter of the time that samples are good for, and no more
// than 15 s.
func (s *Sink) Patience() time.Duration { return min(s.o.MaxAge/4, maxPatience) }

// Deliver sends one request that Sample, End or Split made. It is to be called
// by one goroutine at a time. An error is a *sink.Error.
func (s *Sink) Deliver(ctx context.Context, data []byte) error {
	m, err := decode(data)
	if err != nil {
		return &sink.Error{Kind: sink.Poisoned, Err: err}
	}
	at := time.UnixMilli(m.at)
	if age := s.o.Now().Sub(at); age > s.o.MaxAge {
		return &sink.Error{Kind: sink.TooOld, Err: fmt.Errorf("samples of %s are older than max_age", at.UTC().Format(time.RFC3339))}
	}
	if s.overdue.all(m) {
		return &sink.Error{Kind: sink.TooOld, Err: fmt.Errorf("other samples of %s were refused for their time", at.UTC().Format(time.RFC3339))}
	}
	if failure := s.send(ctx, m, data); failure != nil {
		return failure
	}
	return nil
}

// Split halves a request; it returns nil if there is only one series in it, or
// none that can be read.
func (s *Sink) Split(data []byte) []sink.Request {
	m, err := decode(data)
	if err != nil || len(m.series) < 2 {
		return nil
	}
	half := len(m.series) / 2
	return []sink.Request{encode(m.at, m.series[:half]), encode(m.at, m.series[half:])}
}

// Describe names what is in a request.
func (s *Sink) Describe(data []byte) string {
	m, err := decode(data)
	if err != nil {
		return fmt.Sprintf("%d bytes that are no request of this program", len(data))
	}
	var names []string
	for i, v := range m.series {
		if i == 3 {
			names = append(names, "…")
			break
		}
		names = append(names, v.String())
	}
	return fmt.Sprintf("%d samples of %s: %s", len(m.series), time.UnixMilli(m.at).UTC().Format("15:04:05.000"), strings.Join(names, ", "))
}

// SelfMetrics returns what the sink says of itself.
func (s *Sink) SelfMetrics() []metric.SelfMetric {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []metric.SelfMetric{
		{Name: "enawatch_remote_write_series", Help: "Series of the newest snapshot that remote write sends.", Kind: metric.Gauge, Value: float64(len(s.last))},
		{Name: "enawatch_remote_write_protocol_version", Help: "Version of remote write that is spoken with the receiver.", Kind: metric.Gauge, Value: s.version.number()},
	}
}

// overdue remembers that samples of an instant are refused for their time, one
// after the other: of a snapshot that comes too late, not every series has to be
// refused by itself.
type overdue struct {
	at      int64
	refused int
}

// enough is how many series of an instant are refused before the rest of it is
// given up.
const enough = 8

func (o *overdue) note(m *message) {
	if o.at != m.at {
		*o = overdue{at: m.at}
	}
	o.refused++
}

func (o *overdue) all(m *message) bool { return o.at == m.at && o.refused >= enough }
