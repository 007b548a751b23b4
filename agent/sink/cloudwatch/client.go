package cloudwatch

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

const (
	// idleTimeout is how long a connection outlives a request. Until the next
	// window it would only cost memory, about 20 kB with TLS, and the service may
	// have closed it by then; a backlog is sent over one connection.
	idleTimeout = 5 * time.Second
	// minCompress is the size from which on a request is compressed, in bytes.
	minCompress = 1024
	// roleRenewal is how long before their end a role's credentials are renewed.
	roleRenewal = 5 * time.Minute
)

// newHTTPClient returns a client for the service and for those that give
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
		t.Proxy = outsideProxy(http.ProxyFromEnvironment)
		t.TLSClientConfig.RootCAs = roots
		t.IdleConnTimeout = idleTimeout
		// HTTP/2 would cost memory and gain nothing for one request a minute.
		t.ForceAttemptHTTP2 = false
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(true)
	}), nil
}

// privateServices is where EC2 has its IPv6 services. Those of IPv4 have
// link-local addresses.
var privateServices = netip.MustParsePrefix("fd00:ec2::/32")

// outsideProxy asks environment which proxy to use, but not for EC2's services
// on the host itself, which no proxy can reach. Errors do not repeat the
// proxy's URL, which may hold a password.
func outsideProxy(environment func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		ip, err := netip.ParseAddr(r.URL.Hostname())
		if err == nil && (ip.IsLinkLocalUnicast() || privateServices.Contains(ip)) {
			return nil, nil
		}
		proxy, err := environment(r)
		if err != nil {
			return nil, errors.New("HTTPS_PROXY or HTTP_PROXY is not a proxy's URL")
		}
		return proxy, nil
	}
}

// service is CloudWatch in one region, with the credentials for it.
type service struct {
	api         *cloudwatch.Client
	http        cloudwatch.HTTPClient
	credentials aws.CredentialsProvider
}

// errNoRegion says that neither the options nor the host know a region.
var errNoRegion = errors.New("the AWS region is not known")

// connect puts the credential chain together; it fetches no credentials yet.
func (s *Sink) connect(ctx context.Context) (*service, error) {
	cfg, err := config.LoadDefaultConfig(ctx, s.o.load(s.http)...)
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if cfg.AppID == "" {
		cfg.AppID = "enawatch"
	}
	if cfg.Region == "" && s.o.FindRegion != nil {
		if cfg.Region, err = s.o.FindRegion(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoRegion, err)
		}
	}
	if cfg.Region == "" {
		return nil, errNoRegion
	}
	if s.o.RoleARN != "" {
		provider := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), s.o.RoleARN, func(r *stscreds.AssumeRoleOptions) {
			r.RoleSessionName = s.o.SessionName
			if s.o.ExternalID != "" {
				r.ExternalID = &s.o.ExternalID
			}
		})
		cfg.Credentials = aws.NewCredentialsCache(provider, func(c *aws.CredentialsCacheOptions) { c.ExpiryWindow = roleRenewal })
	}
	api := cloudwatch.NewFromConfig(cfg, func(o *cloudwatch.Options) {
		if s.o.Endpoint != "" {
			o.BaseEndpoint = &s.o.Endpoint
		}
		o.RequestMinCompressSizeBytes = minCompress
	})
	return &service{api: api, http: cfg.HTTPClient, credentials: cfg.Credentials}, nil
}

// load lists what the SDK is to know of the options.
func (o *Options) load(client *awshttp.BuildableClient) []func(*config.LoadOptions) error {
	list := []func(*config.LoadOptions) error{
		config.WithHTTPClient(client),
		config.WithLogger(logging.Nop{}),
		// Whoever calls Deliver decides when to try again.
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		config.WithEndpointCredentialOptions(func(e *endpointcreds.Options) { e.HTTPClient = client }),
	}
	if o.Region != "" {
		list = append(list, config.WithRegion(o.Region))
	}
	if o.Credentials != nil {
		list = append(list, config.WithCredentialsProvider(o.Credentials))
	}
	if o.FIPS {
		list = append(list, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	if o.DualStack {
		list = append(list, config.WithUseDualStackEndpoint(aws.DualStackEndpointStateEnabled))
	}
	if o.DisableIMDS {
		list = append(list, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	return list
}

// exchange is one request to the service and its answer, as seen by HTTP.
type exchange struct {
	client cloudwatch.HTTPClient
	host   string
	// sent is true once the request's head was written: from then on the
	// service may have taken the request.
	sent atomic.Bool
	// The answer's status, head and time of arrival; 0 and nil without one.
	status int
	header http.Header
	at     time.Time
	// mistimed is true if the request was refused because of the host's clock.
	mistimed bool
}

// use makes an operation of the SDK go through x.
func (x *exchange) use(o *cloudwatch.Options) { o.HTTPClient = x }

// Do sends a request.
//
// It hides that the body has a method WriteTo. That of smithy-go v1.28.8
// (transport/http/internal/io/safe.go) returns io.EOF once the body is closed,
// which the SDK does as soon as the answer's head is there. If package net/http
// then still looks whether the body has more than it promised, it takes that for
// a failure and closes the connection before the answer's body is read: a
// request that the service has taken looks like one that failed.
func (x *exchange) Do(r *http.Request) (*http.Response, error) {
	trace := &httptrace.ClientTrace{WroteHeaders: func() { x.sent.Store(true) }}
	x.host = r.URL.Host
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
	if r.Body != nil {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	resp, err := x.client.Do(r)
	if err == nil {
		x.status, x.header, x.at = resp.StatusCode, resp.Header, time.Now()
	}
	return resp, err
}

// skew returns how far the clock of the service is ahead of this host's, to the
// second; false without an answer that says.
func (x *exchange) skew() (time.Duration, bool) {
	date, err := http.ParseTime(x.header.Get("Date"))
	if err != nil || x.header.Get("Age") != "" { // the answer of a cache
		return 0, false
	}
	return date.Sub(x.at).Round(time.Second), true
}

// maxRetryAfter keeps a destination's wish within reason.
const maxRetryAfter = 15 * time.Minute

// retryAfter returns how long the service asks to be left alone, or 0.
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
