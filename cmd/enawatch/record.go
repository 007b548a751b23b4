package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/incident"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/store"
)

func recordCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "record",
		Short: "What the agent recorded in the last day",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  help,
	}
	c.AddCommand(recordExportCommand())
	return c
}

func recordExportCommand() *cobra.Command {
	var path, since, until, output string
	c := &cobra.Command{
		Use:   "export",
		Short: "Write an incident of the last day as JSON",
		Long: `Write what the agent recorded in the last 24 hours: each second in which a
counter grew or a reading was not believed, and what happened. The file is one
that the live page opens and that enawatch replay takes.

It reads the state file, whether an agent runs or not; the window that is open
comes into it with its end. It takes root, or the agent's user.`,
		Example: "  enawatch record export --since 2h --output incident.json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(path, os.Environ(), c.Flags())
			if err != nil {
				return err
			}
			now := time.Now()
			from, to := now.Add(-store.RingAge), now
			if since != "" {
				if from, err = moment("since", since, now); err != nil {
					return err
				}
			}
			if until != "" {
				if to, err = moment("until", until, now); err != nil {
					return err
				}
			}
			if !from.Before(to) {
				return &exitError{exitUsage, fmt.Errorf("--since is %s, which is not before --until, %s", from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))}
			}
			d, err := readIncident(cfg.StateDir, from, to)
			if err != nil {
				return err
			}
			return saveIncident(d, output, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVar(&since, "since", "", "begin so long ago, as in 2h, or at this `time`, as in 2026-11-26T03:00:00Z; empty: 24h")
	f.StringVar(&until, "until", "", "end so long ago, or at this `time`; empty: now")
	f.StringVar(&output, "output", "", "write to this `file`, instead of standard output")
	configFlags(c, &path)
	return c
}

// moment is a time, or a time ago.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, &exitError{exitUsage, fmt.Errorf("--%s %q: give how long ago, as 2h or 30m, or a time, as 2026-11-26T03:00:00Z", flag, text)}
}

func readIncident(dir string, from, to time.Time) (*live.Document, error) {
	r, err := store.Read(dir)
	if err != nil {
		return nil, err
	}
	d, err := incident.Read(r, from, to)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("state file in %s: %w", dir, err)
	}
	d.Version = version
	return d, nil
}

// saveIncident writes a document to a file that only its owner can read, or to
// stdout, and says on stderr what is in it.
func saveIncident(d *live.Document, path string, stdout, stderr io.Writer) error {
	out := stdout
	if path != "" {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return fmt.Errorf("--output: %w", err)
		}
		defer f.Close()
		out = f
	}
	err := json.NewEncoder(out).Encode(d)
	if f, ok := out.(*os.File); ok && path != "" && err == nil {
		err = f.Close()
	}
	if err != nil {
		return fmt.Errorf("write the incident: %w", err)
	}
	if len(d.Times) == 0 {
		fmt.Fprintln(stderr, "No second was recorded in this time: no counter grew, or no agent ran.")
		return nil
	}
	first, last := d.Times[0], d.Times[len(d.Times)-1]
	fmt.Fprintf(stderr, "%d seconds of %d interfaces and %d events, from %s to %s.\n", len(d.Times), len(d.Interfaces), len(d.Events),
		time.Unix(first, 0).UTC().Format(time.RFC3339), time.Unix(last, 0).UTC().Format(time.RFC3339))
	return nil
}
