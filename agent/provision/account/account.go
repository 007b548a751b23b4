// Package account brings an AWS account and region to what a set of alarms,
// dashboards and rules wants: it plans, applies and destroys, touches nothing
// that has not the set's tag, and keeps below the API's three calls a second.
package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/agent/sink/awsclient/logs"
)

// interval is the time between two calls. CloudWatch takes three alarms a second
// of an account and region, others' included (User Guide, "CloudWatch quotas").
const interval = 400 * time.Millisecond

// defaultAttempts is how often a call is tried that the service could not take,
// and patience how long the first pause is; each later one is twice as long.
const (
	defaultAttempts = 6
	patience        = 2 * time.Second
)

// Clock tells the time and waits.
type Clock interface {
	Now() time.Time
	// Sleep waits, or returns the error of ctx if that ends before.
	Sleep(ctx context.Context, d time.Duration) error
}

// SystemClock is the host's.
type SystemClock struct{}

// Now returns the time.
func (SystemClock) Now() time.Time { return time.Now() }

// Sleep waits for d.
func (SystemClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Options say which account, and how to go about it.
type Options struct {
	// AWS says where CloudWatch is and who calls it. Sink and Service are set here.
	AWS awsclient.Options
	// LogsEndpoint is the URL of CloudWatch Logs, if it is not the region's own.
	LogsEndpoint string
	// Attempts is how often a call is tried that the service could not take, 6 if
	// it is 0.
	Attempts int
	// Clock is SystemClock if nil.
	Clock Clock
	// Progress is told what is being done, before it is; it may be nil.
	Progress func(done, of int, what string)
}

// Account is an account and region. It is not safe for concurrent use.
type Account struct {
	o          Options
	client     *awsclient.Client
	config     aws.Config
	cloudwatch *cloudwatch.Client
	logs       *logs.Client
	sts        *sts.Client
	last       time.Time
}

// Open looks for credentials and region. The error says what is missing, with
// the remedy.
func Open(ctx context.Context, o Options) (*Account, error) {
	if o.Clock == nil {
		o.Clock = SystemClock{}
	}
	if o.Attempts == 0 {
		o.Attempts = defaultAttempts
	}
	if o.Progress == nil {
		o.Progress = func(int, int, string) {}
	}
	o.AWS.Sink, o.AWS.Service = "provision", "CloudWatch"
	client, err := awsclient.New(o.AWS)
	if err != nil {
		return nil, err
	}
	cfg, failure := client.Load(ctx)
	if failure != nil {
		return nil, explain(failure)
	}
	a := &Account{o: o, client: client, config: cfg}
	a.cloudwatch = cloudwatch.NewFromConfig(cfg, func(c *cloudwatch.Options) {
		if endpoint := client.Endpoint(); endpoint != nil {
			c.BaseEndpoint = endpoint
		}
	})
	a.sts = sts.NewFromConfig(cfg)
	a.logs = logs.New(ctx, client, cfg, o.LogsEndpoint)
	return a, nil
}

// explain puts the remedy behind an error.
func explain(e *sink.Error) error {
	if e.Remedy == "" {
		return e.Err
	}
	return fmt.Errorf("%w: %s", e.Err, e.Remedy)
}

// call makes one call, at its turn, and again if the service could not take it:
// every call here may be repeated. f is to go through x.
func (a *Account) call(ctx context.Context, operation string, f func(x *awsclient.Exchange) error) error {
	pause := patience
	for attempt := 1; ; attempt++ {
		if err := a.turn(ctx); err != nil {
			return err
		}
		x := &awsclient.Exchange{Owner: a.client, HTTP: a.config.HTTPClient}
		credentials, err := a.config.Credentials.Retrieve(ctx)
		if err != nil {
			return explain(x.ClassifyCredentials(err))
		}
		if err = f(x); err == nil {
			return nil
		}
		if api, ok := errors.AsType[smithy.APIError](err); ok && strings.HasPrefix(api.ErrorCode(), "LimitExceeded") {
			e := x.Classify(err, operation, "", credentials) // a quota, which is no matter of time
			e.Remedy = "a quota of the account is used up: see CloudWatch in Service Quotas, or want less"
			return explain(e)
		}
		service := "cloudwatch:"
		switch {
		case strings.HasSuffix(strings.TrimSuffix(operation, "s"), "QueryDefinition"):
			service = "logs:"
		case operation == "GetCallerIdentity":
			service = "sts:"
		}
		permission := "give the identity that calls the action " + service + operation + " (deploy/iam/apply.json)"
		e := x.Classify(err, operation, permission, credentials)
		if attempt == a.o.Attempts || ctx.Err() != nil || e.Kind != sink.Throttled && e.Kind != sink.Transient {
			return explain(e)
		}
		if err := a.o.Clock.Sleep(ctx, max(pause, e.RetryAfter)); err != nil {
			return errors.Join(err, explain(e))
		}
		pause *= 2
	}
}

// turn waits until another call may be made.
func (a *Account) turn(ctx context.Context) error {
	now := a.o.Clock.Now()
	if wait := a.last.Add(interval).Sub(now); !a.last.IsZero() && wait > 0 {
		if err := a.o.Clock.Sleep(ctx, wait); err != nil {
			return err
		}
	}
	a.last = a.o.Clock.Now()
	return ctx.Err()
}

// Region returns the region of the account.
func (a *Account) Region() string { return a.config.Region }
