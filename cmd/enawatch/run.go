package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/notify"
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
serves http://127.0.0.1:9109/metrics.

SIGHUP has it read the configuration file again, and open files anew: the open
window ends, and the next one begins by the new configuration. If that has a
fault, the log says so and the old one stays in force. state_dir changes at a
restart only, and so do flags and variables.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			// Go's own exit code of a crash, and of the watchdog's SIGABRT, is
			// exitUsage, after which systemd does not start the agent again: end by
			// the signal instead.
			debug.SetTraceback("crash")
			cfg, err := config.Load(path, os.Environ(), c.Flags())
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			forget(c)
			again := func() (*config.Config, error) { return config.Load(path, os.Environ(), c.Flags()) }
			return run(ctx, cfg, again, source, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	configFlags(c, &path)
	source.flag(c)
	return c
}

// forget lets go of the other commands and all their flags, which an agent would
// hold for years.
func forget(c *cobra.Command) { c.Root().RemoveCommand(c.Root().Commands()...) }

// process is what lives as long as the program, whatever is configured.
type process struct {
	load    func() (*config.Config, error)
	source  kernelSource
	kernel  ena.Kernel
	stdout  io.Writer
	stderr  io.Writer
	turnout *turnout
	log     *slog.Logger
	manager *notify.Socket
	reloads *config.Reloads

	// gate is held by who looks at the setup that runs, and closed for those
	// milliseconds in which there is none.
	gate    sync.RWMutex
	current *setup
}

// run runs the agent until ctx ends, by cfg and, after each SIGHUP, by what load
// returns then.
func run(ctx context.Context, cfg *config.Config, load func() (*config.Config, error), source kernelSource, stdout, stderr io.Writer) error {
	p := &process{
		load: load, source: source, stdout: stdout, stderr: stderr,
		turnout: newTurnout(newHandler(stderr, cfg.Log)), reloads: config.NewReloads(time.Now()),
	}
	p.log = slog.New(p.turnout)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	var err error
	if p.kernel, err = source.open(p.log); err != nil {
		return err
	}
	defer p.kernel.Close()
	if p.manager, err = notify.Open(os.Getenv, os.Getpid()); err != nil {
		return err
	}
	s, err := p.prepare(ctx, cfg, nil)
	if err != nil {
		return err
	}
	p.current = s
	if err := s.start(ctx, nil, nil); err != nil {
		return err
	}
	p.log.Info("enawatch is running", "version", version, "host", s.who.resource().Host,
		"sample_interval", cfg.SampleInterval, "publish_interval", cfg.PublishInterval)
	for {
		select {
		case <-ctx.Done():
			p.manager.Stopping()
			s.end()
			return nil
		case <-hangup:
			if s, err = p.reload(ctx, s); err != nil {
				return err
			}
		}
	}
}
