package main

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"github.com/enawatch/enawatch/agent"
	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/page"
	"github.com/enawatch/enawatch/agent/sink/prometheus"
	"github.com/enawatch/enawatch/agent/window"
)

// setup is every part that runs by one configuration.
type setup struct {
	*process
	cfg     *config.Config
	handler slog.Handler
	span    time.Duration // of the history
	history *live.History
	who     *whoami
	out     *outputs
	server  *prometheus.Server // nil if off
	agent   *agent.Agent

	stop    context.CancelFunc // has the agent end
	stopped chan struct{}      // it has
	// followers tell the agent more, in the order of their start.
	followers []func()
	handed    chan struct{} // closed when the setup before this one is gone
}

// prepare makes all that can fail of a setup. It takes nothing away from old,
// which runs meanwhile if it is not nil.
func (p *process) prepare(ctx context.Context, cfg *config.Config, old *setup) (_ *setup, err error) {
	s := &setup{process: p, cfg: cfg, handler: newHandler(p.stderr, cfg.Log), stopped: make(chan struct{}), handed: make(chan struct{})}
	// The ring needs an open window, and one more if no tick comes at its end.
	s.span = 2 * cfg.PublishInterval
	if cfg.Sinks.Prometheus != nil { // somebody can look
		s.span = max(s.span, live.Span)
	}
	s.history = live.New(s.span, cfg.SampleInterval, time.Now)
	if old != nil && old.span == s.span && old.cfg.SampleInterval == cfg.SampleInterval {
		s.history = old.history
	} else {
		remember(s.history, p.kernel)
	}
	s.handler = s.history.Log(s.handler)
	if old == nil {
		p.turnout.set(s.handler)
	}
	known := old != nil && reflect.DeepEqual(cfg.Identity, old.cfg.Identity) && reflect.DeepEqual(cfg.Dimensions, old.cfg.Dimensions)
	var before *outputs
	var server *prometheus.Server
	if known {
		s.who = old.who
	} else {
		s.who = newIdentity(cfg, p.source.simulated(), p.log)
	}
	if old != nil {
		before, server = old.out, old.server
	}
	if s.out, err = openOutputs(cfg, s.who, p.stdout, p.log, before); err != nil {
		return nil, err
	}
	if err := s.listen(server); err != nil {
		s.out.discard()
		return nil, err
	}
	switch {
	case old == nil:
		s.who.find(ctx, macsOf(p.kernel))
	case !known:
		s.who.find(ctx, old.macs())
	}
	return s, nil
}

// listen makes the HTTP endpoint and opens its port, or shares old's.
func (s *setup) listen(old *prometheus.Server) error {
	c := s.cfg.Sinks.Prometheus
	if c == nil {
		return nil
	}
	server, err := prometheus.New(prometheus.Options{
		Listen: c.Listen, WebConfigFile: c.WebConfigFile, Names: c.Names,
		Snapshot: func() *metric.Snapshot {
			now, done := s.look()
			defer done()
			snapshot := now.agent.Snapshot()
			snapshot.Self = append(snapshot.Self, now.self()...)
			return snapshot
		},
		Page: page.New(&live.Source{
			History: s.history, Version: version,
			Describe: func() (metric.Resource, []metric.SelfMetric) {
				now, done := s.look()
				defer done()
				r, self := now.agent.Describe()
				return r, append(self, now.self()...)
			},
			LinkLocal: func() *metric.LinkLocal {
				now, done := s.look()
				defer done()
				return now.agent.LinkLocalNow()
			},
		}),
		Health:  func() error { now, done := s.look(); defer done(); return now.agent.Healthy() },
		Ready:   func() error { now, done := s.look(); defer done(); return now.agent.Ready() },
		Version: version, Revision: buildRevision(), Logger: s.log,
	})
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if err := server.Listen(old); err != nil {
		return err
	}
	s.server = server
	return nil
}

// look returns the setup that runs, until done is called.
func (p *process) look() (now *setup, done func()) {
	p.gate.RLock()
	return p.current, p.gate.RUnlock
}

// self lists what is counted beside the agent.
func (s *setup) self() []metric.SelfMetric { return append(s.reloads.Self(), s.out.self()...) }

// start begins to read. before is the setup whose agent has ended, or nil; opened
// is called when the first readings after it are in. Only a kernel without a boot
// id can make it fail.
func (s *setup) start(ctx context.Context, before *setup, opened func()) error {
	counts, stopCounts := openLinkLocal(s.cfg, s.who, s.log)
	watch, tracked := openConntrack(s.cfg, s.source.simulated(), s.log)
	pods := newPods(s.cfg.Kubernetes, s.source.simulated(), s.log)
	queues := config.MatchQueueStats(s.cfg.QueueStats...)
	o := agent.Options{
		Kernel: s.kernel, Clock: window.SystemClock(), Log: s.log, Resource: s.who.resource(),
		Sample: s.cfg.SampleInterval, Publish: s.cfg.PublishInterval, Sparse: s.cfg.Zeros == "sparse",
		Want:   func(i metric.Interface) bool { return s.cfg.Interfaces.Match(i.Name, i.MAC, i.ENI) },
		Queues: func(stat ena.Stat) bool { return slices.Contains(queues, stat) },
		Store:  s.out.store, Outputs: s.out.direct, Levels: s.out.levels, Exceeded: pods.look,
		LinkLocal: counts, TopSenders: s.cfg.LinkLocal.TopSenders,
		Conntrack: tracked, TopOwners: s.cfg.Conntrack.TopOwners,
		Attached: func(mac string) { s.who.attached(mac); pods.look() },
		Samples:  s.out.pusher.samples(s.cfg, s.who.resource()),
		Live:     s.history, Settled: s.manager.Settled,
	}
	if before != nil {
		o.Before = before.agent
		o.Settled = func(ready bool, now time.Duration) {
			if ready {
				opened()
			}
			s.manager.Settled(ready, now)
		}
	}
	var err error
	if s.agent, err = agent.New(o); err != nil {
		stopCounts()
		return err
	}
	s.serve(before)
	if watch != nil {
		s.followers = append(s.followers, watch.Close)
	}
	s.followers = append(s.followers, stopCounts, s.who.follow(ctx, s.agent), pods.follow(ctx, s.agent, watch), s.followLifecycle(ctx))
	run, stop := context.WithCancel(ctx)
	s.stop = stop
	go func() {
		defer close(s.stopped)
		s.agent.Run(run, grace)
	}()
	if before == nil {
		s.out.start(s.who.resource())
		close(s.handed)
	} else {
		go s.takeOver(ctx, before)
	}
	return nil
}

// serve begins to answer requests, in the place of the setup before or beside it.
func (s *setup) serve(before *setup) {
	switch {
	case s.server == nil:
	case before != nil && before.server != nil && before.server.Become(s.server):
		s.server, before.server = before.server, nil
	default:
		s.server.Start()
		s.log.Info("serving the live page, /metrics, /healthz and /readyz", "address", s.server.Addr().String())
	}
}

// halt ends the readings: the open window is closed and in the spool.
func (s *setup) halt() {
	s.stop()
	<-s.stopped
	for _, stop := range slices.Backward(s.followers) {
		stop()
	}
}

// handOver is how long requests that are under way may take to end while the
// next setup already reads: longer than any may take.
const handOver = 35 * time.Second

// takeOver ends what before still does, then begins to deliver. When ctx ends it
// is in a hurry.
func (s *setup) takeOver(ctx context.Context, before *setup) {
	defer close(s.handed)
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), handOver)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace/2, cancel) })()
	<-before.handed
	before.shutdown()
	before.out.leave(limit)
	s.out.start(s.who.resource())
}

// shutdown ends the HTTP endpoint.
func (s *setup) shutdown() {
	if s.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		s.log.Error(fmt.Sprint(err))
	}
}

// end stops every part, from the end where numbers enter to the one that they
// leave by.
func (s *setup) end() {
	s.halt()
	s.log.Info("stopping: the open window is closed")
	<-s.handed
	s.shutdown()
	s.out.close()
}

// macs lists the interfaces that are read.
func (s *setup) macs() (macs []string) {
	for _, i := range s.agent.Snapshot().Interfaces {
		macs = append(macs, i.Interface.MAC)
	}
	return macs
}
