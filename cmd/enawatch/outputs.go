package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/enawatch/enawatch/agent"
	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/cloudwatch"
	"github.com/enawatch/enawatch/agent/sink/emf"
	"github.com/enawatch/enawatch/agent/store"
)

// outputs is everywhere that windows go.
type outputs struct {
	cfg    *config.Config
	log    *slog.Logger
	store  agent.Store
	direct []agent.Output // without a spool
	levels bool

	stdout     *sink.Queue[*metric.Batch] // nil if EMF is off
	spool      *sink.Spool                // nil while simulating
	cloudwatch *cloudwatch.Sink           // nil if off

	mu         sync.Mutex // guards what follows: /metrics is served before it is set
	deliveries []*sink.Delivery
}

// openOutputs makes the sinks and opens the state file. Nothing is sent yet.
func openOutputs(cfg *config.Config, who *whoami, stdout io.Writer, log *slog.Logger) (*outputs, error) {
	o := &outputs{cfg: cfg, log: log}
	if c := cfg.Sinks.EMF; c != nil {
		encoder, err := emf.NewEncoder(c.Namespace, cfg.PublishInterval)
		if err == nil {
			err = emf.CheckDimensions(who.fixed)
		}
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		o.stdout = sink.NewQueue("emf", emf.NewSink(stdout, encoder).Publish, log)
		o.direct = append(o.direct, o.stdout)
	}
	var sinks []sink.Sink
	if cfg.Sinks.CloudWatch != nil {
		s, err := newCloudWatch(cfg, who, log)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		o.cloudwatch, o.levels = s, cfg.Sinks.CloudWatch.Compat == "cwagent"
		sinks = append(sinks, s)
	}
	if who.simulated {
		// A simulated device has no life that a restart could go on with.
		o.store = &agent.Memory{}
		return o, nil
	}
	file, err := store.Open(cfg.StateDir, store.Options{MaxBytes: int64(cfg.Spool.MaxMiB) << 20, MaxAge: cfg.Spool.MaxAge, Log: log})
	if err != nil {
		return nil, err
	}
	o.spool = &sink.Spool{Store: file, Sinks: sinks}
	o.store = o.spool
	return o, nil
}

func newCloudWatch(cfg *config.Config, who *whoami, log *slog.Logger) (*cloudwatch.Sink, error) {
	c := cfg.Sinks.CloudWatch
	return cloudwatch.New(cloudwatch.Options{
		Namespace: c.Namespace, Region: c.Region, FindRegion: who.region, Endpoint: c.Endpoint, FIPS: c.FIPS, DualStack: c.DualStack,
		RoleARN: c.RoleARN, ExternalID: c.ExternalID, CAFile: c.CAFile,
		Resolution: c.StorageResolution, PerInterface: c.PerInterface, Rollups: c.Rollups, CompatCWAgent: c.Compat == "cwagent", CWAgentDimensions: c.CWAgentDimensions,
		Entity: c.Entity, MaxSeries: c.MaxSeries, Host: who.cloudWatchHost,
		Simulated: who.simulated, DisableIMDS: cfg.Identity.Mode == "static", Log: log,
	})
}

// start begins to deliver what waits, when it is known whose it is.
func (o *outputs) start(r metric.Resource) {
	if o.spool == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.spool.Sinks {
		o.deliveries = append(o.deliveries, sink.NewDelivery(s, o.spool.Store.Queue(s.Name()), o.phase(r), o.log))
	}
}

// phase spreads the hosts of a fleet over the publish interval: each sends as
// long after a window's end as a hash of its name says.
func (o *outputs) phase(r metric.Resource) time.Duration {
	hash := sha256.Sum256([]byte(r.InstanceID + " " + r.Host))
	share := float64(binary.BigEndian.Uint32(hash[:])) / (1 << 32)
	spread := min(o.cfg.Sinks.CloudWatch.PublishJitter, o.cfg.PublishInterval)
	return time.Duration(share * float64(spread))
}

// close hands on what it can, everything at once, and keeps the rest in the
// spool. To close again does nothing.
func (o *outputs) close() {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	var all sync.WaitGroup
	for _, d := range o.deliveries {
		all.Go(func() { d.Close(ctx) })
	}
	if o.stdout != nil {
		all.Go(func() { o.stdout.Close(ctx) })
	}
	all.Wait()
	if o.spool == nil {
		return
	}
	closed := make(chan error, 1)
	go func() { closed <- o.spool.Store.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			o.log.Error("the state file was not closed in order", "err", err)
		}
	case <-time.After(grace):
		o.log.Error("the state file was not closed in order", "err", "the disk hangs")
	}
}

// self lists what the outputs count of themselves.
func (o *outputs) self() (list []metric.SelfMetric) {
	if o.stdout != nil {
		list = append(list, o.stdout.Self()...)
	}
	o.mu.Lock()
	for _, d := range o.deliveries {
		list = append(list, d.Self()...)
	}
	o.mu.Unlock()
	if o.cloudwatch != nil {
		list = append(list, o.cloudwatch.SelfMetrics()...)
	}
	if o.spool != nil {
		list = append(list, o.spool.Store.Self()...)
	}
	return list
}
