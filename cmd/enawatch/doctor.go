package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/doctor"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/identity"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
)

// doctorLimit is how long one part of the examination may take.
const doctorLimit = 10 * time.Second

func doctorCommand() *cobra.Command {
	var path, url string
	var asJSON bool
	var source kernelSource
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Find what keeps counters from where they should go",
		Long: `Check everything that keeps counters from where they should go: the configuration,
this host's ENA interfaces and their drivers, IMDS, the agent that runs here, what
it says of each destination, and what waits in its state file. Each line is ok,
warning or failed, with what to do.

It uses the configuration that run would use, and the environment that it is
started in: of a packaged service, have the shell read /etc/enawatch/env first. It
changes nothing, and takes at most ten seconds.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			e := examination{url: url, source: source}
			e.cfg, e.faulty = config.Load(path, os.Environ(), c.Flags())
			if e.cfg == nil {
				e.cfg = config.Default()
			}
			kernel, err := source.open(slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			defer kernel.Close()
			e.kernel = kernel
			return e.report(c.Context(), c.OutOrStdout(), asJSON)
		},
	}
	c.Flags().StringVar(&url, "url", "", "`URL` of the agent's listener, if it is not that of the configuration")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	source.flag(c)
	configFlags(c, &path)
	return c
}

// examination is one run of doctor.
type examination struct {
	cfg    *config.Config
	faulty error // what is wrong with the configuration, for which cfg is the default one
	url    string
	source kernelSource
	kernel ena.Kernel
}

// errUnwell says that a check failed.
var errUnwell = errors.New("something keeps counters from where they should go: see what failed")

func (e *examination) report(ctx context.Context, w io.Writer, asJSON bool) error {
	var all []doctor.Check
	r := &doctor.Report{W: w, Color: isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	if f, ok := w.(*os.File); ok && isTerminal(w) {
		r.Width, _, _ = term.GetSize(int(f.Fd()))
	}
	doctor.Run(ctx, doctorLimit, e.parts(ctx), func(checks []doctor.Check) {
		all = append(all, checks...)
		if !asJSON {
			r.Add(checks)
		}
	})
	var err error
	if asJSON {
		j := json.NewEncoder(w)
		j.SetIndent("", "  ")
		err = j.Encode(all)
	} else {
		err = r.End()
	}
	if err == nil && doctor.Worst(all) == doctor.Failed {
		err = errUnwell
	}
	return err
}

// parts are the parts of the examination, in the order of the report. What one
// finds out and others need, it finds out once.
func (e *examination) parts(ctx context.Context) []doctor.Part {
	who := newIdentity(e.cfg, false, slog.New(slog.DiscardHandler))
	type self struct {
		host  identity.Host
		asked bool
		errs  []error
	}
	host := sync.OnceValue(func() (s self) {
		s.host, s.asked, s.errs = who.resolver.Ask(ctx)
		return s
	})
	agent := sync.OnceValues(func() (*live.Document, error) { return agentFeed(e.listener()).next(ctx) })
	readings := sync.OnceValues(func() ([]doctor.Reading, error) { return readAll(e.kernel) })
	return []doctor.Part{
		{Name: "configuration", Run: func(context.Context) []doctor.Check { return doctor.Configuration(e.cfg, e.faulty) }},
		{Name: "interfaces", Run: func(context.Context) []doctor.Check {
			list, err := readings()
			return doctor.Interfaces(list, err, func(i metric.Interface) bool { return e.cfg.Interfaces.Match(i.Name, i.MAC, i.ENI) })
		}},
		{Name: "imds", Run: func(context.Context) []doctor.Check {
			s := host()
			return doctor.Host(s.host, s.asked, s.errs, inPod())
		}},
		{Name: "agent", Run: func(context.Context) []doctor.Check {
			d, err := agent()
			return doctor.Agent(d, err, version, time.Now())
		}},
		{Name: "spool", Run: func(context.Context) []doctor.Check {
			d, _ := agent()
			bounds := doctor.Bounds{MaxBytes: int64(e.cfg.Spool.MaxMiB) << 20, MaxAge: e.cfg.Spool.MaxAge}
			return doctor.Spool(e.cfg.StateDir, bounds, d, time.Now())
		}},
	}
}

// listener is where the agent answers: at the given URL, or where the
// configuration has it listen.
func (e *examination) listener() string {
	if e.url != "" || e.cfg.Sinks.Prometheus == nil {
		return e.url
	}
	host, port, err := net.SplitHostPort(e.cfg.Sinks.Prometheus.Listen)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// readAll reads every ENA interface once.
func readAll(k ena.Kernel) (list []doctor.Reading, err error) {
	rows, err := readOnce(k)
	for _, row := range rows {
		r := doctor.Reading{
			Interface: metric.Interface{Name: row.Interface, MAC: row.MAC, DriverVersion: row.DriverVersion},
			Reason:    ena.Reason(row.Reason), Values: map[ena.Stat]uint64{},
		}
		for r.Verdict.String() != row.Verdict {
			r.Verdict++
		}
		for name, value := range row.Stats {
			if s, ok := ena.Lookup(name); ok {
				r.Values[s] = value
			}
		}
		list = append(list, r)
	}
	return list, err
}
