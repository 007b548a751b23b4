package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/smithy-go"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
)

// minCompress is the size from which on a request is compressed, in bytes.
const minCompress = 1024

// maxAge is how old data may be (API_PutMetricData: two weeks).
const maxAge = 14 * 24 * time.Hour

// service is CloudWatch in one region, with the credentials for it.
type service struct {
	api         *cloudwatch.Client
	http        awsclient.HTTPClient
	credentials aws.CredentialsProvider
}

// connect puts the credential chain together; it fetches no credentials yet. An
// error is a *sink.Error.
func (s *Sink) connect(ctx context.Context) (*service, error) {
	cfg, failure := s.client.Load(ctx)
	if failure != nil {
		return nil, failure
	}
	api := cloudwatch.NewFromConfig(cfg, func(o *cloudwatch.Options) {
		if endpoint := s.client.Endpoint(); endpoint != nil {
			o.BaseEndpoint = endpoint
		}
		o.RequestMinCompressSizeBytes = minCompress
	})
	return &service{api: api, http: cfg.HTTPClient, credentials: cfg.Credentials}, nil
}

// classify says what an error of PutMetricData means for r, which was signed
// with credentials.
func classify(x *awsclient.Exchange, err error, r *request, credentials aws.Credentials) *sink.Error {
	permission := fmt.Sprintf(`give the identity that enawatch has on this host the action cloudwatch:PutMetricData on "*", with the condition StringEquals cloudwatch:namespace %q (deploy/iam/cloudwatch-put-metric-data.json)`, r.Namespace)
	e := x.Classify(err, "PutMetricData", permission, credentials)
	if api, ok := errors.AsType[smithy.APIError](err); ok && e.Kind == sink.Poisoned && strings.Contains(api.ErrorMessage(), "Timestamp") {
		e.Kind, e.Remedy = untimely(x.Age(time.UnixMilli(r.Time)))
		e.All = true // a request has one time
	}
	return e
}

// untimely says what a refusal of data of that age means.
func untimely(age time.Duration) (sink.Kind, string) {
	switch {
	case age > maxAge:
		return sink.TooOld, "data wait for two weeks at most"
	case age < 0:
		return sink.Poisoned, "the clock was ahead when the data were counted: " + awsclient.RemedyClock
	}
	return sink.Poisoned, ""
}
