package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
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
	var path, url, set string
	var asJSON bool
	var source kernelSource
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Find what keeps counters from where they should go",
		Long: `Check everything that keeps counters from where they should go: the configuration,
this host's ENA interfaces and their drivers, IMDS, credentials and whose they are,
each destination and whether it takes what the agent sends, this host's clock, the
agent that runs here and what it says of each destination, what waits in its state
file, the alarms, and DNS on a Kubernetes node. Each line is ok, warning or failed,
with what to do.

It uses the configuration that run would use, and the environment that it is
started in: of a packaged service, have the shell read /etc/enawatch/env first. It
changes nothing, and takes some ten seconds at most. Destinations are asked by
requests that store nothing: data of 1970, or none.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			e := examination{url: url, set: set, now: time.Now}
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
	c.Flags().StringVar(&set, "name", "enawatch", "name of the set of alarms, as of enawatch alarms")
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
	set    string // of alarms
	kernel ena.Kernel
	now    func() time.Time
}

// errUnwell says that a check failed.
var errUnwell = errors.New("something keeps counters from where they should go: see what failed")

func (e *examination) report(ctx context.Context, w io.Writer, asJSON bool) error {
	var all []doctor.Check
	r := &doctor.Report{W: w, Color: isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	if f, ok := w.(*os.File); ok && isTerminal(w) {
		r.Width, _, _ = term.GetSize(int(f.Fd()))
	} else if columns, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil {
		r.Width = max(0, columns)
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
		ctx, cancel := context.WithTimeout(ctx, doctorLimit)
		defer cancel()
		s.host, s.asked, s.errs = who.resolver.Ask(ctx)
		who.host = s.host
		return s
	})
	agent := sync.OnceValues(func() (*live.Document, error) { return agentFeed(e.listener()).next(ctx) })
	destinations := sync.OnceValue(func() []doctor.Check {
		ctx, cancel := context.WithTimeout(ctx, doctorLimit)
		defer cancel()
		host() // its region, and that IMDS does not answer
		return e.destinations(ctx, who)
	})
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
		{Name: "destinations", Run: func(context.Context) []doctor.Check {
			if e.faulty != nil {
				return nil
			}
			return destinations()
		}},
		{Name: "agent", Run: func(context.Context) []doctor.Check {
			d, err := agent()
			return doctor.Agent(d, err, version, e.now())
		}},
		{Name: "spool", Run: func(context.Context) []doctor.Check {
			if e.faulty != nil {
				return nil
			}
			d, _ := agent()
			bounds := doctor.Bounds{MaxBytes: int64(e.cfg.Spool.MaxMiB) << 20, MaxAge: e.cfg.Spool.MaxAge}
			return doctor.Spool(e.cfg.StateDir, bounds, d, e.now())
		}},
		{Name: "alarms", Run: func(ctx context.Context) []doctor.Check {
			if e.faulty != nil {
				return nil
			}
			for _, c := range destinations() { // one of which has said then why alarms can't be read either
				if c.Level == doctor.Failed && (c.Name == "clock" || c.Name == "endpoint cloudwatch" || strings.HasPrefix(c.Name, "credentials") || strings.HasPrefix(c.Name, "destination")) {
					return nil
				}
			}
			return e.alarms(ctx, who)
		}},
		{Name: "dns", Run: func(context.Context) []doctor.Check {
			list, _ := readings()
			d, _ := agent()
			return doctor.DNS(list, d, resolv(), inPod())
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
