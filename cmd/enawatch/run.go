package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/enawatch/enawatch/agent"
	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/notify"
	"github.com/enawatch/enawatch/agent/page"
	"github.com/enawatch/enawatch/agent/sink/prometheus"
	"github.com/enawatch/enawatch/agent/window"
)

// grace is how long each step of the end may take: systemd and Kubernetes give
// 90 and 30 s.
const grace = 8 * time.Second

func runCommand() *cobra.Command {
	var path string
	var source kernelSource
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the agent in the foreground",
		Long: `Run the agent in the foreground until SIGTERM or SIGINT. EMF goes to stdout, the
log to stderr. Without a configuration file it publishes EMF on stdout and
serves http://127.0.0.1:9109/metrics.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(path, os.Environ(), c.Flags())
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			return run(ctx, cfg, source, c.OutOrStdout(), newLogger(c.ErrOrStderr(), cfg.Log))
		},
	}
	configFlags(c, &path)
	source.flag(c)
	return c
}

// run starts every part, from the end that numbers leave by to the one where
// they enter, and stops them the other way round.
func run(ctx context.Context, cfg *config.Config, source kernelSource, stdout io.Writer, log *slog.Logger) error {
	var history *live.History
	if cfg.Sinks.Prometheus != nil { // somebody can look
		history = live.New(cfg.SampleInterval, time.Now)
		log = slog.New(history.Log(log.Handler()))
	}
	kernel, err := source.open(log)
	if err != nil {
		return err
	}
	defer kernel.Close()

	manager, err := notify.Open(os.Getenv, os.Getpid())
	if err != nil {
		return err
	}
	who := newIdentity(cfg, source.simulated(), log)
	out, err := openOutputs(cfg, who, stdout, log)
	if err != nil {
		return err
	}
	defer out.close()
	who.find(ctx, kernel)

	counts, stopCounts := openLinkLocal(cfg, who, log)
	defer stopCounts()
	watch, tracked := openConntrack(cfg, source.simulated(), log)
	if watch != nil {
		defer watch.Close()
	}
	pods := newPods(cfg.Kubernetes, source.simulated(), log)
	queues := config.MatchQueueStats(cfg.QueueStats...)
	a, err := agent.New(agent.Options{
		Kernel: kernel, Clock: window.SystemClock(), Log: log, Resource: who.resource(),
		Sample: cfg.SampleInterval, Publish: cfg.PublishInterval, Sparse: cfg.Zeros == "sparse",
		Want:   func(i metric.Interface) bool { return cfg.Interfaces.Match(i.Name, i.MAC, i.ENI) },
		Queues: func(s ena.Stat) bool { return slices.Contains(queues, s) },
		Store:  out.store, Outputs: out.direct, Levels: out.levels, Exceeded: pods.look,
		LinkLocal: counts, TopSenders: cfg.LinkLocal.TopSenders,
		Conntrack: tracked, TopOwners: cfg.Conntrack.TopOwners,
		Attached: func(mac string) { who.attached(mac); pods.look() },
		Samples:  out.pusher.samples(cfg, who.resource()),
		Live:     history, Settled: manager.Settled,
	})
	if err != nil {
		return err
	}
	stopServer, err := serve(cfg.Sinks.Prometheus, a, out, log)
	if err != nil {
		return err
	}
	defer stopServer()
	defer who.follow(ctx, a)()
	defer pods.follow(ctx, a, watch)()
	out.start(who.resource()) // nothing can fail any more
	defer onHangup(out.reopen)()

	defer context.AfterFunc(ctx, manager.Stopping)()
	log.Info("enawatch is running", "version", version, "host", who.resource().Host,
		"sample_interval", cfg.SampleInterval, "publish_interval", cfg.PublishInterval)
	a.Run(ctx, grace)
	log.Info("stopping: the open window is closed")
	return nil
}

// onHangup has SIGHUP do what logrotate expects, until the function that it
// returns is called: files are opened anew.
func onHangup(reopen func()) (stop func()) {
	hangup := make(chan os.Signal, 1)
	if reopen != nil {
		signal.Notify(hangup, syscall.SIGHUP)
	}
	go func() {
		for range hangup {
			reopen()
		}
	}()
	return func() {
		signal.Stop(hangup)
		close(hangup)
	}
}

// serve starts the HTTP endpoint, if p is not nil, and returns what stops it.
func serve(p *config.Prometheus, a *agent.Agent, out *outputs, log *slog.Logger) (stop func(), err error) {
	if p == nil {
		return func() {}, nil
	}
	server, err := prometheus.New(prometheus.Options{
		Listen: p.Listen, WebConfigFile: p.WebConfigFile, Names: p.Names,
		Snapshot: func() *metric.Snapshot {
			s := a.Snapshot()
			s.Self = append(s.Self, out.self()...)
			return s
		},
		Page: page.New(&live.Source{
			History: a.Live, Version: version,
			Describe: func() (metric.Resource, []metric.SelfMetric) {
				r, self := a.Describe()
				return r, append(self, out.self()...)
			},
		}),
		Health: a.Healthy, Ready: a.Ready,
		Version: version, Revision: buildRevision(), Logger: log,
	})
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	if err := server.Start(); err != nil {
		return nil, err
	}
	log.Info("serving the live page, /metrics, /healthz and /readyz", "address", server.Addr().String())
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			log.Error(fmt.Sprint(err))
		}
	}, nil
}
