package emf

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
)

// Account is the client of the account that has the log group.
func (s *Logs) Account() *awsclient.Client { return s.client }

// Probe asks CloudWatch Logs whether it would take events of the host r. The
// event is of 1970: it is taken from whoever may put events, and dropped as too
// old (API_PutLogEvents, rejectedLogEventsInfo). Nothing is stored, and no log
// group is made.
func (s *Logs) Probe(ctx context.Context, r metric.Resource) awsclient.Probe {
	group, stream := place(s.group, s.stream, &r)
	p := awsclient.Probe{Exchange: &awsclient.Exchange{Owner: s.client}, Shows: "logs:PutLogEvents on the log group " + group + " is allowed"}
	if p.Failure = s.connect(ctx); p.Failure != nil {
		return p
	}
	p.HTTP = s.service.http
	ancient := time.UnixMilli(1).UnixMilli()
	p.Failure = s.exchange(ctx, p.Exchange, "PutLogEvents", group, func(use func(*cloudwatchlogs.Options)) error {
		_, err := s.service.api.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{
			LogGroupName: &group, LogStreamName: &stream, LogEvents: []types.InputLogEvent{{Timestamp: &ancient, Message: aws.String("enawatch doctor")}},
		}, use)
		return err
	})
	if is[*types.ResourceNotFoundException](p.Failure) {
		p.Failure, p.Shows = nil, p.Shows+"; it, or its stream, is not there yet: the agent makes it"
	}
	return p
}
