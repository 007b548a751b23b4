package awsclient

import (
	"context"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/enawatch/enawatch/agent/sink"
)

// Probe is what came of a request to a destination that stores nothing there.
type Probe struct {
	// Exchange is that of the last request.
	*Exchange
	// Shows is what the request shows to be possible if there is no Failure, and
	// Failure why it is not.
	Shows   string
	Failure *sink.Error
}

// Caller is who requests are signed for.
type Caller struct {
	*Exchange
	// ARN is that of the identity, "" if STS does not say.
	ARN         string
	Credentials aws.Credentials
	// Failure says why there are no credentials, or why STS does not say whose
	// they are.
	Failure *sink.Error
}

// Caller gets credentials and asks STS whose they are, which takes no permission
// (API_GetCallerIdentity).
func (c *Client) Caller(ctx context.Context) Caller {
	out := Caller{Exchange: &Exchange{Owner: c}}
	cfg, failure := c.Load(ctx)
	if failure != nil {
		out.Failure = failure
		return out
	}
	out.HTTP = cfg.HTTPClient
	var err error
	if out.Credentials, err = cfg.Credentials.Retrieve(ctx); err != nil {
		out.Failure = out.ClassifyCredentials(err)
		return out
	}
	answer, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil, func(o *sts.Options) { o.HTTPClient = out.Exchange })
	if err != nil {
		out.Failure = out.Classify(err, "GetCallerIdentity", "look at the policies of the organization: nobody else can deny it", out.Credentials)
		return out
	}
	out.ARN = FirstLine(aws.ToString(answer.Arn))
	return out
}

// Server is the URL of the service, without a path; "" if nothing was sent.
func (x *Exchange) Server() string { return x.server }

// Peer is the address that the request went to, of the service or of a proxy; ""
// without a connection.
func (x *Exchange) Peer() string { return x.peer }

// Via is the proxy that the environment names for the service, without a
// password; "" for none.
func (x *Exchange) Via() string {
	r, err := http.NewRequest(http.MethodGet, x.server, nil)
	if x.server == "" || err != nil {
		return ""
	}
	proxy, err := Proxy(r)
	if err != nil || proxy == nil {
		return ""
	}
	return proxy.Scheme + "://" + proxy.Host
}
