// Package cloudwatch publishes windows as CloudWatch metrics (PutMetricData).
//
// # Data
//
// Each series of a window becomes one datum with the distribution of its
// samples (Values and Counts), so that Sum, Maximum, SampleCount and percentiles
// all work. Its timestamp is the window's start.
//
// # Dimensions
//
// The host key is InstanceId where the instance's id is known, else host; the
// interface key is NetworkInterfaceId where the ENI's id is known, else
// interface.
//
//   - Series of the instance have the dimensions [host key, fixed ones].
//   - Series of an interface have [host key, interface key, fixed ones]. Those
//     with Detail set are published only if Options.PerInterface is.
//   - Roll-ups repeat all but Detail series under [AutoScalingGroupName, fixed
//     ones], [ClusterName, fixed ones] or [ClusterName, NodegroupName, fixed
//     ones]: hosts share these metrics, and CloudWatch merges their samples. A
//     nodegroup's name says something only together with its cluster's.
//
// CloudWatch takes printable ASCII only: another character in a name that the
// host gave becomes "?", one in a fixed dimension is an error.
//
// # CloudWatch agent
//
// For users of the CloudWatch agent's ethtool plugin, Options.CompatCWAgent
// publishes Batch.Levels as that agent does, beside everything else: namespace
// CWAgent, metrics ethtool_NAME, the raw value, unit None, dimensions [driver,
// interface, InstanceId, ImageId, InstanceType, AutoScalingGroupName, fixed
// ones]. The four that the agent's append_dimensions lists are there as far as
// they are asked for and known; without any of them, host is the first, which
// that agent drops once append_dimensions is used. The timestamp is the window's
// end. Alarms on the old names go on; move them to the new ones, which are
// deltas, and switch it off.
//
// Source: API_PutMetricData and API_MetricDatum in the CloudWatch API reference.
package cloudwatch

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
)

// Options configure a Sink. Only Namespace is required.
type Options struct {
	// Namespace is that of the metrics. It must not begin with "AWS/".
	Namespace string
	// Region is where the metrics go. If it is empty, the environment and the
	// shared configuration file are asked, then FindRegion, which may be nil.
	Region     string
	FindRegion func(context.Context) (string, error)
	// Endpoint is the URL of the service, if it is not the region's own.
	Endpoint string
	// FIPS and DualStack choose among the region's own endpoints.
	FIPS, DualStack bool
	// RoleARN is a role to assume, as in a central monitoring account;
	// ExternalID and SessionName ("enawatch" if empty) go with it.
	RoleARN, ExternalID, SessionName string
	// CAFile is a PEM file of certificate authorities to trust besides the
	// system's.
	CAFile string
	// Resolution is the storage resolution in seconds, 60 (if 0) or 1.
	Resolution int
	// PerInterface publishes Detail series too.
	PerInterface bool
	// Rollups are any of the Rollup constants.
	Rollups []string
	// CompatCWAgent publishes raw levels under the CloudWatch agent's names too,
	// with those dimensions of CWAgentDimensions whose values are known: what
	// that agent's append_dimensions lists, all that it can list if nil.
	CompatCWAgent     bool
	CWAgentDimensions []string
	// Entity says which instance or EKS node the data speak of, so that
	// CloudWatch shows them beside what else it knows of it.
	Entity bool
	// MaxSeries bounds how many metrics may be active within three hours, 500
	// if 0. What is over it is left out.
	MaxSeries int
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

// Host holds facts for dimensions and the entity. A field is "" while unknown.
type Host struct {
	AutoScalingGroup, Cluster, Nodegroup string
	// Node is the host's name in Kubernetes.
	Node                  string
	ImageID, InstanceType string
}

// Sink is a [sink.Sink].
type Sink struct {
	o      Options
	client *awsclient.Client
	// service is the connection of the newest delivery; nil before the first,
	// and after an error that somebody may have mended by now.
	service *service

	mu       sync.Mutex // guards what follows
	active   *activeSeries
	entities map[string]uint64 // by the reason why they were refused
	missing  map[string]bool   // roll-ups that were reported as unknown
	skew     time.Duration     // what AWS's clock is ahead of the host's
}

var _ sink.Sink = (*Sink)(nil)

// New returns a sink. It reads Options.CAFile and talks to nobody: credentials
// and region are looked for at the first delivery. The error says which option
// can't be used.
func New(o Options) (*Sink, error) {
	if o.Simulated {
		return nil, errSimulated
	}
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("cloudwatch sink: %w", err)
	}
	client, err := awsclient.New(o.account())
	if err != nil {
		return nil, fmt.Errorf("cloudwatch sink: %w", err)
	}
	return &Sink{
		o: o, client: client,
		active:   newActiveSeries(o.MaxSeries),
		entities: map[string]uint64{},
		missing:  map[string]bool{},
	}, nil
}

// Name returns "cloudwatch".
func (s *Sink) Name() string { return "cloudwatch" }

// Deliver sends one request that Pack or Split made. It is to be called by one
// goroutine at a time. An error is a *sink.Error.
func (s *Sink) Deliver(ctx context.Context, data []byte) error {
	r, err := decode(data)
	if err != nil {
		return &sink.Error{Kind: sink.Poisoned, Err: err}
	}
	if s.service == nil {
		if s.service, err = s.connect(ctx); err != nil {
			return err
		}
	}
	x := &awsclient.Exchange{Owner: s.client, HTTP: s.service.http}
	failure := s.exchange(ctx, x, &r)
	if failure == nil {
		return nil
	}
	if x.Stale(failure) {
		s.service = nil
	}
	return failure
}

// exchange sends r through x.
func (s *Sink) exchange(ctx context.Context, x *awsclient.Exchange, r *request) *sink.Error {
	credentials, err := s.service.credentials.Retrieve(ctx)
	if err != nil {
		return x.ClassifyCredentials(err)
	}
	_, err = s.service.api.PutMetricData(ctx, r.input(), func(o *cloudwatch.Options) { o.HTTPClient = x })
	s.note(x)
	if err != nil {
		return classify(x, err, r, credentials)
	}
	return nil
}

// note keeps what an answer says beside its outcome.
func (s *Sink) note(x *awsclient.Exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if skew, ok := x.Skew(); ok {
		s.skew = skew
	}
	reason := ascii(x.Header.Get("X-Amzn-Failure-Message"))
	if reason == "" {
		return
	}
	if len(s.entities) >= maxReasons || len(reason) > maxReasonLength {
		reason = "other"
	}
	if s.entities[reason]++; s.entities[reason] == 1 {
		s.o.Log.Warn("CloudWatch takes the data but not the entity that they speak of",
			"sink", s.Name(), "reason", reason, "remedy", "switch the entity off, or report this")
	}
}

// CloudWatch documents six reasons, each a short word (API_PutMetricData,
// StrictEntityValidation).
const (
	maxReasons      = 8
	maxReasonLength = 40
)

// Split halves a request; it returns nil if there is only one datum in it, or
// none that can be read.
func (s *Sink) Split(data []byte) []sink.Request {
	r, err := decode(data)
	if err != nil || len(r.Data) < 2 {
		return nil
	}
	half := len(r.Data) / 2
	return []sink.Request{r.part(0, half).encode(), r.part(half, len(r.Data)).encode()}
}

// Describe names what is in a request.
func (s *Sink) Describe(data []byte) string {
	r, err := decode(data)
	if err != nil {
		return fmt.Sprintf("%d bytes that are no request of this program", len(data))
	}
	return r.String()
}

// SelfMetrics returns what the sink says of itself.
func (s *Sink) SelfMetrics() []metric.SelfMetric {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := append(s.active.self(), metric.SelfMetric{
		Name: "enawatch_cloudwatch_clock_skew_seconds", Help: "How far the clock of AWS is ahead of the host's, by the newest answer, to the second.",
		Kind: metric.Gauge, Value: s.skew.Seconds(),
	})
	for _, reason := range slices.Sorted(maps.Keys(s.entities)) {
		list = append(list, metric.SelfMetric{
			Name: "enawatch_cloudwatch_entity_failures_total", Help: "Requests of which CloudWatch took the data but not the entity, by its reason.",
			Labels: []metric.Dimension{{Name: "reason", Value: reason}}, Value: float64(s.entities[reason]),
		})
	}
	return list
}
