package remotewrite

import (
	"context"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
)

// Account is the client of AMP's account, nil if requests are not signed.
func (s *Sink) Account() *awsclient.Client { return s.aws }

// Probe sends the receiver a request without samples, in the versions of the
// protocol that the sink may speak. A receiver may refuse it for that, but only
// to whom it does not deny it.
func (s *Sink) Probe(ctx context.Context) awsclient.Probe {
	empty := &message{at: s.o.Now().UnixMilli()}
	if s.o.Version != V1 {
		a, failure := s.post(ctx, encode(empty.at, nil).Data, V2)
		switch {
		case failure != nil:
			return awsclient.Probe{Exchange: a.exchange, Failure: failure}
		case a.stored(empty):
			return awsclient.Probe{Exchange: a.exchange, Shows: "a request of remote write 2.0 is taken"}
		case s.o.Version == V2 || !a.foreign():
			return awsclient.Probe{Exchange: a.exchange, Failure: s.classify(a, empty)}
		}
	}
	a, failure := s.post(ctx, empty.v1(func(string) bool { return false }), V1)
	p := awsclient.Probe{Exchange: a.exchange, Shows: "a request of remote write 1.0 is taken", Failure: failure}
	if failure == nil && a.exchange.Status()/100 != 2 {
		if p.Failure = s.classify(a, empty); p.Failure.Kind == sink.Poisoned {
			p.Failure, p.Shows = nil, "remote write is understood"
		}
	}
	return p
}
