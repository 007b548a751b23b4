// Package otlp publishes windows by the OpenTelemetry protocol (OTLP/HTTP,
// binary protobuf, gzip): to any collector, or to CloudWatch's own endpoint for
// OTLP metrics.
//
// # Metrics
//
// A series is named as [MetricName] says and has the unit that [UnitOf] says. A
// counter is a monotonic sum: of the window (delta), or of all windows since the
// stream began (cumulative). A gauge is its newest sample. Of the samples of a
// window, which are its seconds, DistributionSumMax tells the largest of a
// counter (NAME_max) and both extremes of a gauge (NAME_min, NAME_max), and
// DistributionHistogram all of them as an exponential histogram
// (NAME_distribution, always delta).
//
// The metrics of the instance come as one point for the host or, with
// Options.PerInterface, as one for each interface instead: never both, so that
// sums over all points of a metric are right.
//
// # Attributes
//
// Of the resource, by the semantic conventions and as far as known:
// service.name "enawatch", host.name, host.id, host.type, host.image.id,
// cloud.provider, cloud.platform, cloud.region, cloud.availability_zone,
// cloud.account.id, k8s.cluster.name, k8s.node.name; then the fixed dimensions of
// the configuration, which replace those of the same name. enawatch.simulated is
// true if the numbers come from no real device.
//
// Of a point that speaks of an interface: network.interface.name, hw.id (the PCI
// address), hw.network.physical_address (the MAC address), and enawatch.eni.id,
// for which there is no convention.
//
// # Cumulative sums
//
// Totals are counted here, from the first window that the program closes, not
// taken from the driver: they never fall. A stream begins with a point of zero
// at the window's start and has a point in every window after, grown or not; it
// begins anew, with another start time, when the program restarts, the clock is
// set back, or an attribute changes.
//
// Sources: OTLP specification 1.x, Metrics data model, semantic conventions 1.43;
// for CloudWatch, "OTLP endpoints" in the CloudWatch User Guide.
package otlp

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
)

// Options configure a Sink. Endpoint is required without AWS.
type Options struct {
	// Endpoint is the URL of the collector, as http://127.0.0.1:4318; /v1/metrics
	// is put behind its path if it does not end so. With AWS it replaces the
	// region's endpoint, as for a VPC endpoint.
	Endpoint string
	// Headers go with each request, as for a token. Their values are not repeated
	// in errors.
	Headers map[string]string
	// AWS publishes to CloudWatch, with requests that are signed (SigV4) by the
	// SDK's credential chain.
	AWS bool
	// Region is where to publish to; if empty, what the SDK finds, else what
	// FindRegion returns.
	Region     string
	FindRegion func(context.Context) (string, error)
	// CAFile is a PEM file of certificate authorities to trust besides the
	// system's.
	CAFile string
	// Temporality is TemporalityDelta (if empty) or TemporalityCumulative.
	Temporality string
	// Distribution is DistributionSumMax (if empty), DistributionNone or
	// DistributionHistogram, which needs delta.
	Distribution string
	// PerInterface publishes the metrics of the instance for each interface
	// instead.
	PerInterface bool
	// Timeout bounds each HTTP request, 20 s if 0.
	Timeout time.Duration
	// Host returns what is known of the host by now; nil if nothing ever is.
	Host func() Host
	// Simulated is true if the numbers come from no real device.
	Simulated bool
	// DisableIMDS keeps the credential chain from the instance metadata service.
	DisableIMDS bool
	// Credentials replace the SDK's credential chain.
	Credentials aws.CredentialsProvider
	// Log is told what must be said once; nil is silence.
	Log *slog.Logger
}

// Host holds facts for the resource, beside those of the batch. A field is ""
// while unknown.
type Host struct {
	Region, Zone, AccountID, InstanceType, ImageID string
	// Cluster is the EKS cluster, and Node the host's name in it.
	Cluster, Node string
}

// Sink is a [sink.Sink].
type Sink struct {
	o    Options
	url  *url.URL // nil if it follows from the region
	http *awshttp.BuildableClient
	// service is the connection of the newest delivery; nil before the first,
	// and after an error that somebody may have mended by now.
	service *service
	// skew is added to the host's clock for signatures, once one was refused
	// because of it.
	skew time.Duration
	// refused is the request that was answered with 500 last, and refusals how
	// often it was, one after the other.
	refused  []byte
	refusals int

	mu       sync.Mutex // guards what follows
	totals   totals
	rejected uint64 // points that were refused beside others that were taken
	told     string // of the newest such answer
}

var _ sink.Sink = (*Sink)(nil)

// New returns a sink. It reads Options.CAFile and talks to nobody. The error says
// which option can't be used.
func New(o Options) (*Sink, error) {
	u, err := o.complete()
	if err != nil {
		return nil, fmt.Errorf("otlp sink: %w", err)
	}
	client, err := newHTTPClient(&o)
	if err != nil {
		return nil, fmt.Errorf("otlp sink: %w", err)
	}
	return &Sink{o: o, url: u, http: client}, nil
}

// Name returns "otlp".
func (s *Sink) Name() string { return "otlp" }

// Deliver sends one request that Pack or Split made. It is to be called by one
// goroutine at a time. An error is a *sink.Error.
func (s *Sink) Deliver(ctx context.Context, data []byte) error {
	body, err := compressed(data)
	if err != nil {
		return &sink.Error{Kind: sink.Poisoned, Err: err}
	}
	if s.service == nil {
		if s.service, err = s.connect(ctx); err != nil {
			return classifyConnect(err)
		}
	}
	x := &exchange{service: s.service, headers: s.o.Headers}
	failure := x.send(ctx, body, time.Now().Add(s.skew))
	switch {
	case failure == nil:
		s.refused, s.refusals = nil, 0
		s.note(x.rejected, x.message)
		return nil
	case failure.Kind == sink.Credentials:
		s.service = nil // the next attempt looks for credentials anew
		if x.mistimed {
			s.skew, _ = x.skew()
		}
	case x.internal:
		s.insist(data, failure)
	}
	return failure
}

// patience is how often a request is sent that a collector answers with 500. That
// is its word for every error that will last (otlpreceiver), and OTLP wants no
// other attempt; but often somebody can mend it, and then nothing is lost.
const patience = 5

// insist makes of a failure that a collector calls internal one of the request,
// once it has met the same request often enough.
func (s *Sink) insist(data []byte, failure *sink.Error) {
	if !bytes.Equal(s.refused, data) {
		s.refused, s.refusals = data, 0
	}
	if s.refusals++; s.refusals >= patience {
		failure.Kind = sink.Poisoned
	}
}

// note counts points that were refused although the request was taken, and says
// so if it is for another reason than the last.
func (s *Sink) note(rejected uint64, message string) {
	if rejected == 0 && message == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rejected += rejected
	if message != s.told {
		s.told = message
		s.o.Log.Error("the destination took a request but not all that is in it", "sink", s.Name(), "dropped", rejected, "why", message)
	}
}

// Split halves a request; it returns nil if there is only one point in it, or
// none that can be read.
func (s *Sink) Split(data []byte) []sink.Request {
	m, err := decode(data)
	if err != nil {
		return nil
	}
	return halves(m)
}

// Describe names what is in a request.
func (s *Sink) Describe(data []byte) string {
	m, err := decode(data)
	if err != nil {
		return fmt.Sprintf("%d bytes that are no request of this program", len(data))
	}
	return describe(m)
}

// SelfMetrics returns what the sink says of itself.
func (s *Sink) SelfMetrics() []metric.SelfMetric {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rejected == 0 {
		return nil
	}
	return []metric.SelfMetric{{
		Name: "enawatch_dropped_data_total", Help: "Data that were given up, by sink and reason.",
		Labels: []metric.Dimension{{Name: "sink", Value: s.Name()}, {Name: "reason", Value: "rejected"}}, Value: float64(s.rejected),
	}}
}
