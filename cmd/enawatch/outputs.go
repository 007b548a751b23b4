package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/enawatch/enawatch/agent"
	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/resident"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/agent/sink/cloudwatch"
	"github.com/enawatch/enawatch/agent/sink/emf"
	"github.com/enawatch/enawatch/agent/sink/kubernetes"
	"github.com/enawatch/enawatch/agent/sink/otlp"
	"github.com/enawatch/enawatch/agent/sink/remotewrite"
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
	pusher     *pusher                    // nil if off
	file       *emf.File                  // nil if EMF goes elsewhere
	kubernetes *kubernetes.Sink           // nil if off
	memory     resident.Keeper            // gives back what a delivery needed

	mu         sync.Mutex // guards what follows: /metrics is served before it is set
	deliveries []*sink.Delivery
	hurried    bool
}

// openOutputs makes the sinks and opens the state file, unless old has it open.
// Nothing is sent yet.
func openOutputs(cfg *config.Config, who *whoami, stdout io.Writer, log *slog.Logger, old *outputs) (_ *outputs, err error) {
	o := &outputs{cfg: cfg, log: log}
	defer func() {
		if err != nil {
			o.discard()
		}
	}()
	var sinks []sink.Sink
	if cfg.Sinks.EMF != nil {
		s, err := o.openEMF(who, stdout)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		if s != nil {
			sinks = append(sinks, s)
		}
	}
	if cfg.Sinks.CloudWatch != nil {
		s, err := newCloudWatch(cfg, who, log)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		o.levels = cfg.Sinks.CloudWatch.Compat == "cwagent"
		sinks = append(sinks, s)
	}
	if cfg.Sinks.OTLP != nil {
		s, err := newOTLP(cfg, who, log)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		sinks = append(sinks, s)
	}
	var push *remotewrite.Sink
	if cfg.Sinks.RemoteWrite != nil {
		s, err := newRemoteWrite(cfg, who)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		push = s
	}
	if cfg.Sinks.Kubernetes != nil {
		s, err := newKubernetes(cfg, who.simulated, log)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		o.kubernetes = s
		o.direct = append(o.direct, s)
	}
	if who.simulated {
		// A simulated device has no life that a restart could go on with.
		o.store = &agent.Memory{}
		return o, nil
	}
	o.spool = &sink.Spool{Sinks: sinks}
	if old != nil {
		o.spool.Store = old.spool.Store
	} else if o.spool.Store, err = store.Open(cfg.StateDir, store.Options{MaxBytes: maxBytes(cfg), MaxAge: cfg.Spool.MaxAge, Log: log}); err != nil {
		return nil, err
	}
	o.store = o.spool
	if push != nil {
		o.pusher = newPusher(push, o)
	}
	return o, nil
}

// openEMF opens the EMF sink: standard output, which has no spool, or the sink
// that it returns.
func (o *outputs) openEMF(who *whoami, stdout io.Writer) (sink.Sink, error) {
	c := o.cfg.Sinks.EMF
	if err := emf.CheckDimensions(who.fixed); err != nil {
		return nil, err
	}
	output, err := emf.ParseOutput(c.Output, os.Getenv("AWS_EMF_AGENT_ENDPOINT"))
	if err != nil {
		return nil, fmt.Errorf("sinks.emf.output: %w", err)
	}
	shape := map[string]emf.Shape{"host": emf.PerHost, "interface": emf.PerInterface}[c.Shape]
	if output.Scheme == emf.SchemeStdout {
		encoder, err := emf.NewEncoder(c.Namespace, o.cfg.PublishInterval)
		if err == nil {
			err = encoder.SetShape(shape)
		}
		if err != nil {
			return nil, err
		}
		o.stdout = sink.NewQueue("emf", emf.NewSink(stdout, encoder).Publish, o.log)
		o.direct = append(o.direct, o.stdout)
		return nil, nil
	}
	if who.simulated {
		return nil, errors.New("sinks.emf.output: a simulation is written to stdout only: set it to stdout, or do not simulate")
	}
	mode, err := strconv.ParseUint(c.Mode, 8, 32)
	if err != nil {
		return nil, fmt.Errorf("sinks.emf.mode: %w", err)
	}
	s, err := emf.New(emf.Options{
		Output: output, Namespace: c.Namespace, Interval: o.cfg.PublishInterval, Shape: shape,
		LogGroup: c.LogGroup, LogStream: c.LogStream,
		File: emf.FileOptions{Mode: fs.FileMode(mode), RotateMiB: c.RotateMiB, RotateAge: c.RotateAge, Keep: c.Keep},
		Logs: emf.LogsOptions{
			Account: awsclient.Options{
				Region: c.Region, FindRegion: who.region, Endpoint: c.Endpoint, FIPS: c.FIPS, DualStack: c.DualStack,
				RoleARN: c.RoleARN, ExternalID: c.ExternalID, CAFile: c.CAFile, DisableIMDS: o.cfg.Identity.Mode == "static", Credentials: who.credentials,
			},
			Retention: c.Retention, Entity: c.Entity,
			Host: func() emf.Host {
				h := who.known()
				return emf.Host{AutoScalingGroup: h.AutoScalingGroup, Cluster: h.Cluster, Node: h.Node}
			},
		},
		Log: o.log,
	})
	o.file, _ = s.(*emf.File)
	return s, err
}

func newCloudWatch(cfg *config.Config, who *whoami, log *slog.Logger) (*cloudwatch.Sink, error) {
	c := cfg.Sinks.CloudWatch
	return cloudwatch.New(cloudwatch.Options{
		Namespace: c.Namespace, Region: c.Region, FindRegion: who.region, Endpoint: c.Endpoint, FIPS: c.FIPS, DualStack: c.DualStack,
		RoleARN: c.RoleARN, ExternalID: c.ExternalID, CAFile: c.CAFile,
		Resolution: c.StorageResolution, PerInterface: c.PerInterface, Rollups: c.Rollups, CompatCWAgent: c.Compat == "cwagent", CWAgentDimensions: c.CWAgentDimensions,
		Entity: c.Entity, MaxSeries: c.MaxSeries, Host: who.cloudWatchHost,
		Simulated: who.simulated, DisableIMDS: cfg.Identity.Mode == "static", Credentials: who.credentials, Log: log,
	})
}

func newOTLP(cfg *config.Config, who *whoami, log *slog.Logger) (*otlp.Sink, error) {
	c := cfg.Sinks.OTLP
	return otlp.New(otlp.Options{
		Endpoint: c.Endpoint, Headers: c.Headers, SigV4: c.SigV4, Plain: c.Compression == "none",
		Account: awsclient.Options{
			CAFile: c.CAFile, Timeout: c.Timeout, Region: c.Region, FindRegion: who.region, FIPS: c.FIPS, DualStack: c.DualStack,
			RoleARN: c.RoleARN, ExternalID: c.ExternalID, DisableIMDS: cfg.Identity.Mode == "static", Credentials: who.credentials,
		},
		Temporality: otlp.Temporality(c.Temporality), Distribution: otlp.Distribution(c.Distribution), PerInterface: c.PerInterface,
		Host: who.otlpHost, Version: version, Simulated: who.simulated, Log: log,
	})
}

func maxBytes(cfg *config.Config) int64 { return int64(cfg.Spool.MaxMiB) << 20 }

// start begins to deliver what waits, when it is known whose it is.
func (o *outputs) start(r metric.Resource) {
	o.memory.Report = func(err error) { o.log.Warn(err.Error()) }
	o.memory.Done() // with the start
	if o.spool == nil {
		return
	}
	o.spool.Store.Bound(maxBytes(o.cfg), o.cfg.Spool.MaxAge)
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.spool.Sinks {
		o.deliveries = append(o.deliveries, sink.NewDelivery(s, o.spool.Store.Queue(s.Name()), o.phaseOf(s, r), o.log))
	}
	if o.pusher != nil {
		s := o.pusher.sink
		o.deliveries = append(o.deliveries, sink.NewDelivery(s, o.spool.Store.Queue(s.Name()), 0, o.log))
	}
	for _, d := range o.deliveries {
		d.OnRest(o.memory.Done)
		if o.hurried {
			d.Hurry()
		}
	}
}

// phaseOf spreads what goes to a service that a fleet shares; a file or a
// listener on this host has none.
func (o *outputs) phaseOf(s sink.Sink, r metric.Resource) time.Duration {
	switch s.(type) {
	case *cloudwatch.Sink:
		return o.phase(r, o.cfg.Sinks.CloudWatch.PublishJitter)
	case *emf.Logs:
		return o.phase(r, o.cfg.Sinks.EMF.PublishJitter)
	case *otlp.Sink:
		return o.phase(r, o.cfg.Sinks.OTLP.PublishJitter)
	}
	return 0
}

// phase spreads the hosts of a fleet over the publish interval, or jitter if that
// is shorter: each sends as long after a window's end as a hash of its name says.
func (o *outputs) phase(r metric.Resource, jitter time.Duration) time.Duration {
	return spread(r, min(jitter, o.cfg.PublishInterval))
}

// spread returns a share of d that a hash of the host's name gives.
func spread(r metric.Resource, d time.Duration) time.Duration {
	hash := sha256.Sum256([]byte(r.InstanceID + " " + r.Host))
	share := float64(binary.BigEndian.Uint32(hash[:])) / (1 << 32)
	return time.Duration(share * float64(d))
}

// hurry has windows sent as soon as they end, from now on.
func (o *outputs) hurry() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hurried = true
	for _, d := range o.deliveries {
		d.Hurry()
	}
}

// reopen does what logrotate expects of SIGHUP: a file is opened anew.
func (o *outputs) reopen() {
	if o.file != nil {
		o.file.Reopen()
	}
}

// discard ends outputs that were never started, and leaves the state file open.
func (o *outputs) discard() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // there is nothing to wait for
	o.pusher.discard(ctx)
	o.closeDirect(ctx)
}

func (o *outputs) closeDirect(ctx context.Context) {
	if o.stdout != nil {
		o.stdout.Close(ctx)
	}
	if o.kubernetes != nil {
		o.kubernetes.Close(ctx)
	}
}

// leave ends the outputs for others that go on with the spool: requests that are
// under way may end, unless ctx ends first.
func (o *outputs) leave(ctx context.Context) {
	var all sync.WaitGroup
	for _, d := range o.deliveries {
		all.Go(func() { d.Leave(ctx) })
	}
	all.Go(func() { o.closeDirect(ctx) })
	all.Wait()
	o.reopen() // the file is closed
}

// close hands on what it can, everything at once, and keeps the rest in the
// spool.
func (o *outputs) close() {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	o.pusher.close(ctx)
	var all sync.WaitGroup
	for _, d := range o.deliveries {
		all.Go(func() { d.Close(ctx) })
	}
	all.Go(func() { o.closeDirect(ctx) })
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
	if o.kubernetes != nil {
		list = append(list, o.kubernetes.Self()...)
	}
	o.mu.Lock()
	for _, d := range o.deliveries {
		list = append(list, d.Self()...)
	}
	o.mu.Unlock()
	list = append(list, o.pusher.self()...)
	if o.spool == nil {
		return list
	}
	for _, s := range o.spool.Sinks {
		if s, ok := s.(interface{ SelfMetrics() []metric.SelfMetric }); ok {
			list = append(list, s.SelfMetrics()...)
		}
	}
	return append(list, o.spool.Store.Self()...)
}
