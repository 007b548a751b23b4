// Package otlp publishes windows as OpenTelemetry metrics, by OTLP over HTTP: to
// any collector, or to CloudWatch's own endpoint for them.
//
// # Metrics
//
// A series NAME becomes the metric that [MetricName] says. A counter is a
// monotonic sum, whole numbers, of deltas or cumulative; a gauge is the newest
// level. What the seconds of the window were, stands beside it ([Distribution]).
// The time of a point is the window's end, the start of a delta its begin.
//
// # Attributes
//
// The resource is the host, in the words of the OpenTelemetry semantic
// conventions; a point has network.interface.name and aws.network_interface.id
// if it speaks of an interface, and the fixed dimensions.
//
// # Cumulative
//
// A cumulative series begins with the first window that has it, and with a point
// of zero at that window's begin, so that a rate has something to rise from. It
// begins anew when the agent starts, and when what identifies it changes. From
// then on there is a point in each window, though the counter does not grow.
//
// Source: the OpenTelemetry specification (OTLP 1.x, metrics data model) and its
// semantic conventions.
package otlp

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
)

// Options configure a Sink. Zero values are the defaults.
type Options struct {
	// Endpoint is the URL of the receiver; /v1/metrics is added unless it ends
	// so. If it is empty, DefaultEndpoint, or with SigV4 CloudWatch's own.
	Endpoint string
	// Headers go with each request, as keys of an API do: they are secrets.
	Headers map[string]string
	// SigV4 signs requests as CloudWatch's endpoint wants them.
	SigV4 bool
	// Account has CAFile and Timeout (DefaultTimeout if 0) of any receiver, and
	// who calls CloudWatch where. New sets Sink, Service and Endpoint.
	Account awsclient.Options
	// Plain sends requests without compressing them.
	Plain bool
	// Temporality and Distribution are Delta and Extremes if they are "".
	Temporality  Temporality
	Distribution Distribution
	// PerInterface publishes metrics of the instance for each interface instead.
	PerInterface bool
	// Host returns what is known of the host by now; nil if nothing ever is.
	Host func() Host
	// Version is that of this program.
	Version string
	// Simulated is true if the numbers come from no real device.
	Simulated bool
	// Log is told what must be said once; nil is silence.
	Log *slog.Logger
}

// Defaults.
const (
	DefaultEndpoint = "http://127.0.0.1:4318"
	DefaultTimeout  = 10 * time.Second
)

// Temporality says what the point of a counter counts.
type Temporality string

const (
	// Delta points count what the counter grew by in the window.
	Delta Temporality = "delta"
	// Cumulative points count since the series began.
	Cumulative Temporality = "cumulative"
)

// Distribution says how the seconds of a window are told.
type Distribution string

const (
	// Extremes adds a gauge NAME.max, and NAME.min if the series is a gauge.
	Extremes Distribution = "max"
	// Histogram adds an exponential histogram NAME.distribution.
	Histogram Distribution = "histogram"
	// NoDistribution adds nothing.
	NoDistribution Distribution = "none"
)

// Host holds facts for the resource. A field is "" while unknown.
type Host struct {
	Region, Zone, AccountID, InstanceType, ImageID string
	AutoScalingGroup, Cluster, Nodegroup           string
	// Node is the host's name in Kubernetes.
	Node string
}

// Sink is a [sink.Sink].
type Sink struct {
	o      Options
	client *awsclient.Client
	log    *slog.Logger
	// receiver is what requests are sent to; nil before the first delivery, and
	// after an error that somebody may have mended by now.
	receiver *receiver
	// skew is what CloudWatch's clock is ahead of the host's.
	skew time.Duration
	// broken is the request that was answered with an error of the receiver's
	// own the last times.
	broken persistence

	packing sync.Mutex // guards streams
	streams streams

	mu       sync.Mutex // guards what follows
	rejected uint64     // points
	remark   string     // of the newest partial success
}

var _ sink.Sink = (*Sink)(nil)

// errSimulated refuses to mix invented numbers with measured ones.
var errSimulated = errors.New("otlp sink: a simulation is never published: remove the otlp sink, or do not simulate")

// New returns a sink. It reads Options.Account.CAFile and talks to nobody. The
// error says which option can't be used.
func New(o Options) (*Sink, error) {
	if o.Simulated {
		return nil, errSimulated
	}
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("otlp sink: %w", err)
	}
	client, err := awsclient.New(o.Account)
	if err != nil {
		return nil, fmt.Errorf("otlp sink: %w", err)
	}
	s := &Sink{o: o, client: client}
	s.log = o.Log.With("sink", s.Name())
	if u, err := url.Parse(o.Endpoint); len(o.Headers) > 0 && err == nil && u.Scheme == "http" && !loopback(u.Hostname()) {
		s.log.Warn("headers go over the network in the clear", "remedy", "use an https endpoint")
	}
	return s, nil
}

// Name returns "otlp".
func (*Sink) Name() string { return "otlp" }

// complete checks the options and fills in defaults.
func (o *Options) complete() error {
	o.Temporality = cmp.Or(o.Temporality, Delta)
	o.Distribution = cmp.Or(o.Distribution, Extremes)
	o.Account.Timeout = cmp.Or(o.Account.Timeout, DefaultTimeout)
	if o.Endpoint == "" && !o.SigV4 {
		o.Endpoint = DefaultEndpoint
	}
	o.Account.Sink, o.Account.Service, o.Account.Endpoint = "otlp", "the receiver", o.Endpoint
	if o.SigV4 {
		o.Account.Service = "CloudWatch"
	}
	if o.Host == nil {
		o.Host = func() Host { return Host{} }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if !slices.Contains([]Temporality{Delta, Cumulative}, o.Temporality) {
		return fmt.Errorf("temporality %q: give delta or cumulative", o.Temporality)
	}
	if !slices.Contains([]Distribution{Extremes, Histogram, NoDistribution}, o.Distribution) {
		return fmt.Errorf("distribution %q: give max, histogram or none", o.Distribution)
	}
	return o.checkHeaders()
}

// ownHeaders are those that the sink sets, or HTTP does.
var ownHeaders = []string{
	"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Date", "Host", "Keep-Alive", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// checkHeaders never repeats a value: it may be a secret.
func (o *Options) checkHeaders() error {
	for name, value := range o.Headers {
		key := http.CanonicalHeaderKey(name)
		switch {
		case name == "" || strings.ContainsFunc(name, notInName):
			return fmt.Errorf("header %.40q: give a name of letters, digits and -", name)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }):
			return fmt.Errorf("header %s: its value has characters other than printable ASCII", key)
		case slices.Contains(ownHeaders, key):
			return fmt.Errorf("header %s: enawatch sets it itself: remove it", key)
		case o.SigV4 && (key == "Authorization" || strings.HasPrefix(key, "X-Amz-")):
			return fmt.Errorf("header %s: the signature is there: remove it, or sigv4", key)
		}
	}
	return nil
}

func notInName(r rune) bool {
	return r > '~' || !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// header returns the headers of a request, but those of its body.
func (o *Options) header() http.Header {
	h := http.Header{"User-Agent": {"enawatch/" + cmp.Or(o.Version, "devel")}}
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		h.Set(name, o.Headers[name])
	}
	return h
}

// SelfMetrics returns what the sink says of itself.
func (s *Sink) SelfMetrics() []metric.SelfMetric {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []metric.SelfMetric{{
		Name: "enawatch_otlp_rejected_data_points_total", Value: float64(s.rejected),
		Help: "Data points that a receiver rejected of requests that it took (partial success): they are lost, and part of the delivered data.",
	}}
}
