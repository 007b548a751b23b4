package main

import (
	"context"

	"github.com/enawatch/enawatch/agent/event"
	"github.com/enawatch/enawatch/agent/identity"
)

// followLifecycle looks out for the end of this instance, if that is wanted, until
// the function that it returns is called. What was read by then is sent at once:
// who takes the instance away may not wait for the next window.
func (s *setup) followLifecycle(ctx context.Context) (stop func()) {
	if s.cfg.Lifecycle.Poll == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.who.resolver.WatchNotices(ctx, s.cfg.Lifecycle.Poll, func(n identity.Notice) {
			s.log.Warn("this instance is about to be taken away: the open window ends, and all is sent at once",
				event.Key, event.Notice, "by", n.By, "action", n.Action, "at", n.At)
			s.agent.EndWindow()
			s.out.hurry()
		}, func(err error) {
			s.log.Warn("lifecycle.poll: whether this instance is about to be taken away is not known", "err", err)
		})
	}()
	return func() {
		cancel()
		<-done
	}
}
