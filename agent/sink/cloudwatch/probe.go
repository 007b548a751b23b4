package cloudwatch

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
)

// Account is the client of CloudWatch's account.
func (s *Sink) Account() *awsclient.Client { return s.client }

// Probe asks CloudWatch whether it would take data. There is no dry run: the
// datum is of 1970, which is refused as too old to whoever may publish in the
// namespace (API_MetricDatum, Timestamp), and denied to others before (IAM user
// guide, "Policy evaluation logic").
func (s *Sink) Probe(ctx context.Context) awsclient.Probe {
	p := awsclient.Probe{Exchange: &awsclient.Exchange{Owner: s.client}, Shows: "cloudwatch:PutMetricData in the namespace " + s.o.Namespace + " is allowed"}
	service, err := s.connect(ctx)
	if failure, ok := errors.AsType[*sink.Error](err); ok {
		p.Failure = failure
		return p
	}
	p.HTTP = service.http
	credentials, err := service.credentials.Retrieve(ctx)
	if err != nil {
		p.Failure = p.ClassifyCredentials(err)
		return p
	}
	ancient := time.UnixMilli(1)
	_, err = service.api.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{
		Namespace:  &s.o.Namespace,
		MetricData: []types.MetricDatum{{MetricName: aws.String("heartbeat"), Timestamp: &ancient, Value: aws.Float64(0)}},
	}, func(o *cloudwatch.Options) { o.HTTPClient = p.Exchange })
	if err == nil {
		return p
	}
	if e := classify(p.Exchange, err, &request{Namespace: s.o.Namespace, Time: ancient.UnixMilli()}, credentials); e.Kind != sink.TooOld && e.Kind != sink.Poisoned {
		p.Failure = e
	}
	return p
}
