// Package awsclient is what the sinks of AWS' services share: the credential
// chain, an HTTP client, and what a request came to.
//
// The service's own client comes from package github.com/aws/aws-sdk-go-v2, with
// the configuration that Client.Load returns, or signs with a Signer of it (as
// package logs does). Each of its calls goes through an Exchange of its own, which
// can then classify the error.
package awsclient

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/enawatch/enawatch/agent/pattern"
	"github.com/enawatch/enawatch/agent/sink"
)

// DefaultTimeout bounds an HTTP request.
const DefaultTimeout = 20 * time.Second

const (
	defaultSessionName = "enawatch"
	// roleRenewal is how long before their end a role's credentials are renewed.
	roleRenewal = 5 * time.Minute
)

// Options say where a service is, and who calls it. Sink and Service are
// required.
type Options struct {
	// Sink and Service are what errors call the sink ("cloudwatch") and the
	// service ("CloudWatch").
	Sink, Service string
	// Region is that of the service. If it is empty, the environment and the
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
	// Timeout bounds each HTTP request, DefaultTimeout if it is 0.
	Timeout time.Duration
	// DisableIMDS keeps the credential chain from the instance metadata service.
	DisableIMDS bool
	// Credentials replace the SDK's credential chain.
	Credentials aws.CredentialsProvider
}

// Client makes configurations for clients of services.
type Client struct {
	o    Options
	http *awshttp.BuildableClient
}

// New returns a client. It reads Options.CAFile and talks to nobody. The error
// says which option can't be used.
func New(o Options) (*Client, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	client, err := newHTTPClient(&o)
	if err != nil {
		return nil, err
	}
	return &Client{o: o, http: client}, nil
}

// errNoRegion says that neither the options nor the host know a region.
var errNoRegion = errors.New("the AWS region is not known")

// Endpoint returns what a service's client is to have as its BaseEndpoint if
// that is not nil.
func (c *Client) Endpoint() *string {
	if c.o.Endpoint == "" {
		return nil
	}
	return &c.o.Endpoint
}

// HTTP returns the client for requests that are not AWS' own, and not signed.
func (c *Client) HTTP() HTTPClient { return c.http }

// Load puts the credential chain together; it fetches no credentials yet.
func (c *Client) Load(ctx context.Context) (aws.Config, *sink.Error) {
	cfg, err := c.load(ctx)
	if err != nil {
		return aws.Config{}, c.classifyLoad(err)
	}
	return cfg, nil
}

func (c *Client) load(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, c.options()...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if cfg.AppID == "" {
		cfg.AppID = "enawatch"
	}
	if cfg.Region == "" && c.o.FindRegion != nil {
		if cfg.Region, err = c.o.FindRegion(ctx); err != nil {
			return aws.Config{}, fmt.Errorf("%w: %w", errNoRegion, err)
		}
	}
	if cfg.Region == "" {
		return aws.Config{}, errNoRegion
	}
	if c.o.RoleARN != "" {
		provider := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), c.o.RoleARN, func(r *stscreds.AssumeRoleOptions) {
			r.RoleSessionName = c.o.SessionName
			if c.o.ExternalID != "" {
				r.ExternalID = &c.o.ExternalID
			}
		})
		cfg.Credentials = aws.NewCredentialsCache(provider, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = roleRenewal })
	}
	return cfg, nil
}

// options lists what the SDK is to know.
func (c *Client) options() []func(*config.LoadOptions) error {
	list := []func(*config.LoadOptions) error{
		config.WithHTTPClient(c.http),
		config.WithLogger(logging.Nop{}),
		// Whoever calls Deliver decides when to try again.
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) { o.HTTPClient = c.http }),
	}
	if c.o.Region != "" {
		list = append(list, config.WithRegion(c.o.Region))
	}
	if c.o.Credentials != nil {
		list = append(list, config.WithCredentialsProvider(c.o.Credentials))
	}
	if c.o.FIPS {
		list = append(list, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	if c.o.DualStack {
		list = append(list, config.WithUseDualStackEndpoint(aws.DualStackEndpointStateEnabled))
	}
	if c.o.DisableIMDS {
		list = append(list, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	return list
}

// Forms of what IAM takes (API_AssumeRole in the STS API reference).
var (
	roleARN     = pattern.New(`^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,576}$`)
	sessionName = pattern.New(`^[\w+=,.@-]{2,64}$`)
	externalID  = pattern.New(`^[\w+=,.@:/-]{2,}$`)
)

// complete checks the options and fills in defaults.
func (o *Options) complete() error {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	switch {
	case o.Timeout < 0:
		return fmt.Errorf("timeout %v: give a positive duration", o.Timeout)
	case o.RoleARN != "" && !roleARN().MatchString(o.RoleARN):
		return fmt.Errorf("role %q: give the ARN of an IAM role, as arn:aws:iam::123456789012:role/NAME", o.RoleARN)
	case o.ExternalID != "" && (o.RoleARN == "" || !externalID().MatchString(o.ExternalID)):
		return errors.New("external id: it needs a role to assume, and at least 2 letters, digits or any of _+=,.@:/-")
	case o.SessionName != "" && !sessionName().MatchString(o.SessionName):
		return fmt.Errorf("session name %q: it must be 2 to 64 letters, digits or any of _+=,.@-", o.SessionName)
	}
	if o.SessionName == "" {
		o.SessionName = defaultSessionName
	}
	return o.checkEndpoint()
}

// checkEndpoint never repeats the URL, which may hold a password.
func (o *Options) checkEndpoint() error {
	if o.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(o.Endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return errors.New("endpoint: give a URL as https://HOST, with a port if need be")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("endpoint: give a URL without user, query and fragment")
	case o.FIPS || o.DualStack:
		return errors.New("endpoint: it can't be combined with FIPS or dual-stack, which choose one themselves: remove one of them")
	}
	return nil
}
