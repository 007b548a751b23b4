package otlp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/smithy-go/logging"

	"github.com/enawatch/enawatch/agent/sink"
)

// signingName is CloudWatch's in signatures.
const signingName = "monitoring"

// idleTimeout is how long a connection outlives a request: long enough for a
// backlog, and no memory until the next window.
const idleTimeout = 5 * time.Second

// newHTTPClient returns a client for the destination and for those that give
// credentials. It has the SDK's own type, because the SDK changes its timeouts
// for IMDS and adds AWS_CA_BUNDLE to it.
func newHTTPClient(o *Options) (*awshttp.BuildableClient, error) {
	var roots *x509.CertPool
	if o.CAFile != "" {
		var err error
		if roots, err = x509.SystemCertPool(); err != nil {
			roots = x509.NewCertPool()
		}
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the CA file: %w", err)
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the CA file: %s has no PEM certificate", o.CAFile)
		}
	}
	client := awshttp.NewBuildableClient().WithTimeout(o.Timeout)
	return client.WithTransportOptions(func(t *http.Transport) { // TLS 1.2 or newer is its default
		t.TLSClientConfig.RootCAs = roots
		t.IdleConnTimeout = idleTimeout
		// CloudWatch has no other, and one request a minute gains nothing by it.
		t.ForceAttemptHTTP2 = false
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(true)
	}), nil
}

// service is where requests go, and who signs them.
type service struct {
	url    string
	client interface {
		Do(*http.Request) (*http.Response, error)
	}
	credentials aws.CredentialsProvider // nil if nobody signs
	region      string
}

// errNoRegion says that neither the options nor the host know a region.
var errNoRegion = errors.New("the AWS region is not known")

// connect finds out where to send to; it fetches no credentials yet.
func (s *Sink) connect(ctx context.Context) (*service, error) {
	if !s.o.AWS {
		return &service{url: s.url.String(), client: s.http}, nil
	}
	load := []func(*config.LoadOptions) error{config.WithHTTPClient(s.http), config.WithLogger(logging.Nop{})}
	if s.o.Region != "" {
		load = append(load, config.WithRegion(s.o.Region))
	}
	if s.o.Credentials != nil {
		load = append(load, config.WithCredentialsProvider(s.o.Credentials))
	}
	if s.o.DisableIMDS {
		load = append(load, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if cfg.Region == "" && s.o.FindRegion != nil {
		if cfg.Region, err = s.o.FindRegion(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoRegion, err)
		}
	}
	if cfg.Region == "" {
		return nil, errNoRegion
	}
	out := &service{client: cfg.HTTPClient, credentials: cfg.Credentials, region: cfg.Region}
	if s.url != nil {
		out.url = s.url.String()
		return out, nil
	}
	endpoint, err := cloudwatch.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, cloudwatch.EndpointParameters{Region: &cfg.Region})
	if err != nil {
		return nil, fmt.Errorf("find the endpoint of region %q: %w", cfg.Region, err)
	}
	out.url = endpoint.URI.JoinPath(metricsPath).String()
	return out, nil
}

// exchange is one request and its answer.
type exchange struct {
	service *service
	headers map[string]string
	host    string
	// secrets are what must not be repeated of an answer.
	secrets []string
	// sent is true once the request's head was written: from then on the
	// destination may have taken the request.
	sent atomic.Bool

	// The answer's status, head, body and time of arrival; 0 and nil without one.
	status int
	header http.Header
	body   []byte
	at     time.Time
	// rejected is how many points were refused of a request that was taken, and
	// message why.
	rejected uint64
	message  string
	// mistimed is true if the signature was refused because of the host's clock;
	// internal, if a collector says 500.
	mistimed, internal bool
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 10

// send posts a body, signed as of now if it is to be signed.
func (x *exchange) send(ctx context.Context, body []byte, now time.Time) *sink.Error {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { x.sent.Store(true) }})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, x.service.url, bytes.NewReader(body))
	if err != nil {
		return &sink.Error{Err: err} // a URL that New has parsed
	}
	x.host = r.URL.Host
	r.Header.Set("User-Agent", "enawatch")
	for name, value := range x.headers {
		r.Header.Set(name, value)
		x.secrets = append(x.secrets, value)
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("Content-Encoding", "gzip")
	if x.service.credentials != nil {
		c, err := x.service.credentials.Retrieve(ctx)
		if err != nil {
			return classifyCredentials(err)
		}
		x.secrets = append(x.secrets, c.SecretAccessKey, c.SessionToken)
		hash := sha256.Sum256(body)
		if err := v4.NewSigner().SignHTTP(ctx, c, r, hex.EncodeToString(hash[:]), signingName, x.service.region, now); err != nil {
			return classifyCredentials(err)
		}
	}
	resp, err := x.service.client.Do(r)
	if err != nil {
		return x.classify(err)
	}
	defer resp.Body.Close()
	x.status, x.header, x.at = resp.StatusCode, resp.Header, time.Now()
	x.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return x.classify(err)
}

// skew returns how far the clock of the destination is ahead of this host's, to
// the second; false without an answer that says.
func (x *exchange) skew() (time.Duration, bool) {
	date, err := http.ParseTime(x.header.Get("Date"))
	if err != nil || x.header.Get("Age") != "" { // the answer of a cache
		return 0, false
	}
	return date.Sub(x.at).Round(time.Second), true
}

// maxRetryAfter keeps a destination's wish within reason.
const maxRetryAfter = 15 * time.Minute

// retryAfter returns how long the destination asks to be left alone, or 0.
func (x *exchange) retryAfter() time.Duration {
	value := x.header.Get("Retry-After")
	wait := maxRetryAfter
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		skew, _ := x.skew()
		wait = at.Sub(x.at.Add(skew))
	} else {
		return 0
	}
	return min(max(wait, 0), maxRetryAfter)
}
