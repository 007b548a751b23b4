package main

import (
	"context"
	"time"

	"github.com/enawatch/enawatch/agent"
	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/remotewrite"
)

// pusher brings snapshots of the agent to the spool of a sampler. A nil one does
// nothing.
type pusher struct {
	sink  *remotewrite.Sink
	out   *outputs
	queue *sink.Queue[*metric.Snapshot]
}

func newPusher(s *remotewrite.Sink, out *outputs) *pusher {
	p := &pusher{sink: s, out: out}
	p.queue = sink.NewQueue(s.Name(), p.keep, out.log)
	return p
}

// keep packs one snapshot. It runs beside the readings.
func (p *pusher) keep(s *metric.Snapshot) error {
	s.Self = append(s.Self, p.out.self()...)
	p.out.spool.Keep(p.sink, s.At, p.sink.Sample(s))
	return nil
}

// samples says when the agent takes snapshots: the hosts of a fleet do at
// different seconds.
func (p *pusher) samples(cfg *config.Config, r metric.Resource) agent.Samples {
	if p == nil {
		return agent.Samples{}
	}
	every := cfg.Sinks.RemoteWrite.Interval
	return agent.Samples{Every: every, Offset: spread(r, every).Truncate(cfg.SampleInterval), Take: p.queue.Publish}
}

// discard ends a pusher that was never used.
func (p *pusher) discard(ctx context.Context) {
	if p != nil {
		p.queue.Close(ctx)
	}
}

// close keeps the snapshots that wait, and the end of every series, unless the
// disk hangs until ctx ends.
func (p *pusher) close(ctx context.Context) {
	if p == nil {
		return
	}
	p.queue.Close(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		p.out.spool.Keep(p.sink, time.Now(), p.sink.End())
	}()
	select {
	case <-kept:
	case <-ctx.Done():
		p.out.log.Error("the end of the series was not kept", "sink", p.sink.Name(), "err", "the disk hangs")
	}
}

func (p *pusher) self() []metric.SelfMetric {
	if p == nil {
		return nil
	}
	return append(p.queue.Self(), p.sink.SelfMetrics()...)
}

func newRemoteWrite(cfg *config.Config, who *whoami) (*remotewrite.Sink, error) {
	c := cfg.Sinks.RemoteWrite
	protocol, err := remotewrite.ParseVersion(c.Protocol)
	if err != nil {
		return nil, err
	}
	auth := remotewrite.Auth(c.Auth)
	if auth == "auto" {
		auth = ""
	}
	return remotewrite.New(remotewrite.Options{
		URL: c.URL, Auth: auth, Region: c.Region, FindRegion: who.region, RoleARN: c.RoleARN, ExternalID: c.ExternalID,
		DisableIMDS: cfg.Identity.Mode == "static", Credentials: who.credentials,
		User: c.Username, Password: c.Password, PasswordFile: c.PasswordFile, Token: c.BearerToken, TokenFile: c.BearerTokenFile,
		CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile, Headers: c.Headers, Version: protocol,
		Names: c.Names, Want: c.Match, Self: c.Self, ExternalLabels: c.ExternalLabels,
		Host: func() remotewrite.Host {
			h := who.known()
			return remotewrite.Host{Cluster: h.Cluster, Node: h.Node, Zone: h.Zone}
		},
		MaxAge: c.MaxAge, Simulated: who.simulated, AgentVersion: version, AgentCommit: buildRevision(),
	})
}
