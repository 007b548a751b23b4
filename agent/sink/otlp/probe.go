package otlp

import (
	"context"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
)

// Account is the client of CloudWatch's account, nil if requests are not signed.
func (s *Sink) Account() *awsclient.Client {
	if !s.o.SigV4 {
		return nil
	}
	return s.client
}

// Probe sends the receiver a request without metrics, which it is to take (OTLP
// specification, "Full success"). CloudWatch may refuse it, but only to whom it
// does not deny it.
func (s *Sink) Probe(ctx context.Context) awsclient.Probe {
	p := awsclient.Probe{Exchange: &awsclient.Exchange{Owner: s.client}, Shows: "a request of OTLP over HTTP is taken"}
	if s.receiver, p.Failure = s.connect(ctx); p.Failure != nil {
		return p
	}
	p.HTTP = s.receiver.http
	p.Failure = s.exchange(ctx, p.Exchange, nil)
	if p.Failure != nil && p.Failure.Kind == sink.Poisoned && s.o.SigV4 {
		p.Failure = nil
	}
	return p
}
