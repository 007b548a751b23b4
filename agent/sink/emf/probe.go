package emf

import (
	"context"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/agent/sink/awsclient/logs"
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
	p.HTTP = s.service.HTTP
	ancient := []logs.Event{{Timestamp: 1, Message: "enawatch doctor"}}
	p.Failure = s.exchange(ctx, p.Exchange, "PutLogEvents", group, &logs.PutLogEventsInput{LogGroupName: group, LogStreamName: stream, LogEvents: ancient}, nil)
	if is(p.Failure, logs.NotFound) {
		p.Failure, p.Shows = nil, p.Shows+"; it, or its stream, is not there yet: the agent makes it"
	}
	return p
}
