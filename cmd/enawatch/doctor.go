package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/doctor"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

func doctorCommand() *cobra.Command {
	var url string
	var asJSON bool
	var source kernelSource
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Find what keeps counters from where they should go",
		Long: `Check this host's ENA interfaces (does the device answer, which allowances does
the driver not tell of), the agent that runs here, and each of its destinations:
what it says is wrong, what waits, what was dropped. Each line is ok, warning or
failed, with what to do.

Exit code 0 if nothing failed, 1 if something did.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			kernel, err := source.open(slog.New(newHandler(c.ErrOrStderr(), config.Default().Log)))
			if err != nil {
				return err
			}
			defer kernel.Close()
			readings, err := readAll(kernel)
			if err != nil {
				return err
			}
			d, unreached := agentFeed(url).next(c.Context())
			checks := append(doctor.Interfaces(readings), doctor.Agent(d, unreached, time.Now())...)
			if asJSON {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				err = e.Encode(checks)
			} else {
				err = doctor.Write(c.OutOrStdout(), checks)
			}
			if err == nil && doctor.Worst(checks) == doctor.Failed {
				err = errors.New("something keeps counters from where they should go: see what failed")
			}
			return err
		},
	}
	c.Flags().StringVar(&url, "url", "", "`URL` of the agent's listener, instead of http://"+defaultListen())
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	source.flag(c)
	return c
}

// readAll reads every ENA interface once.
func readAll(k ena.Kernel) (list []doctor.Reading, err error) {
	rows, err := readOnce(k)
	for _, row := range rows {
		r := doctor.Reading{Interface: metric.Interface{Name: row.Interface, DriverVersion: row.DriverVersion}, Reason: ena.Reason(row.Reason)}
		for r.Verdict.String() != row.Verdict {
			r.Verdict++
		}
		for name := range row.Stats {
			if s, ok := ena.Lookup(name); ok {
				r.Has.Add(s)
			}
		}
		list = append(list, r)
	}
	return list, err
}
