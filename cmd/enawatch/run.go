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
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/emf"
	"github.com/enawatch/enawatch/agent/sink/prometheus"
	"github.com/enawatch/enawatch/agent/window"
)

// grace is how long the end may take: systemd and Kubernetes give 90 and 30 s.
const grace = 10 * time.Second

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
	kernel, err := source.open(log)
	if err != nil {
		return err
	}
	defer kernel.Close()
	resource, err := resourceOf(cfg, source.simulated())
	if err != nil {
		return err
	}

	var outputs []agent.Output
	var queue *sink.Queue[*metric.Batch]
	if cfg.Sinks.EMF != nil {
		encoder, err := emf.NewEncoder(cfg.Sinks.EMF.Namespace, cfg.PublishInterval)
		if err != nil {
			return err
		}
		queue = sink.NewQueue("emf", emf.NewSink(stdout, encoder).Publish, log)
		outputs = append(outputs, queue)
	}
	queues := config.MatchQueueStats(cfg.QueueStats...)
	a, err := agent.New(agent.Options{
		Kernel: kernel, Clock: window.SystemClock(), Log: log, Resource: resource,
		Sample: cfg.SampleInterval, Publish: cfg.PublishInterval, Sparse: cfg.Zeros == "sparse",
		Want:   func(i metric.Interface) bool { return cfg.Interfaces.Match(i.Name, i.MAC, i.ENI) },
		Queues: func(s ena.Stat) bool { return slices.Contains(queues, s) },
		Store:  &agent.Memory{}, Outputs: outputs,
	})
	if err != nil {
		return err
	}

	if p := cfg.Sinks.Prometheus; p != nil {
		server, err := prometheus.New(prometheus.Options{
			Listen: p.Listen, WebConfigFile: p.WebConfigFile, Names: p.Names,
			Snapshot: snapshot(a, queue), Health: a.Healthy, Ready: a.Ready,
			Version: version, Revision: buildRevision(), Logger: log,
		})
		if err != nil {
			return &exitError{exitUsage, err}
		}
		if err := server.Start(); err != nil {
			return err
		}
		log.Info("serving /metrics, /healthz and /readyz", "address", server.Addr().String())
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
			defer cancel()
			if err := server.Shutdown(ctx); err != nil {
				log.Error(err.Error())
			}
		}()
	}

	log.Info("enawatch is running", "version", version, "host", resource.Host,
		"sample_interval", cfg.SampleInterval, "publish_interval", cfg.PublishInterval)
	a.Run(ctx, grace)
	log.Info("stopping: the open window is closed")
	if queue != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		queue.Close(ctx)
	}
	return nil
}

// snapshot adds what the sinks count to what the agent does.
func snapshot(a *agent.Agent, queue *sink.Queue[*metric.Batch]) func() *metric.Snapshot {
	return func() *metric.Snapshot {
		s := a.Snapshot()
		if queue != nil {
			s.Self = append(s.Self, queue.Self()...)
		}
		return s
	}
}

// resourceOf names this host.
func resourceOf(cfg *config.Config, simulated bool) (metric.Resource, error) {
	r := metric.Resource{Host: cfg.Identity.Host, InstanceID: cfg.Identity.InstanceID, Simulated: simulated}
	if r.Host == "" {
		host, err := os.Hostname()
		if err != nil {
			return r, fmt.Errorf("find the host's name: %w: set identity.host", err)
		}
		r.Host = host
	}
	for name, value := range cfg.Dimensions {
		r.Dimensions = append(r.Dimensions, metric.Dimension{Name: name, Value: value})
	}
	slices.SortFunc(r.Dimensions, func(a, b metric.Dimension) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return r, nil
}
