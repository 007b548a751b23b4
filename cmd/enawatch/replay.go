package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/incident"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/provision"
	"github.com/enawatch/enawatch/agent/replay"
	"github.com/enawatch/enawatch/agent/sink/cloudwatch"
	"github.com/enawatch/enawatch/agent/sink/emf"
)

// unnamed stands for an instance that an incident does not name.
const unnamed = "i-00000000000000000"

func replayCommand() *cobra.Command {
	var path string
	var asJSON bool
	alarms := &wanted{name: "enawatch"}
	c := &cobra.Command{
		Use:   "replay FILE",
		Short: "Show which alarms an incident would have set off",
		Long: `Have an incident happen again, as enawatch record export or the live page wrote
it (- is standard input): through the windows of any configuration, and before
the alarms that enawatch alarms would make with the same flags. It shows which
alarms would have been set off and when, what the windows would have been, what
would have been published and what that costs.

Nobody is asked and nothing is sent.`,
		Example: "  enawatch replay incident.json --config new.yaml --scope host,fleet --threshold any",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := config.Load(path, os.Environ(), c.Flags())
			if err != nil {
				return err
			}
			d, err := openIncident(args[0], c.InOrStdin())
			if err != nil {
				return &exitError{exitUsage, err}
			}
			r, err := replayed(d, cfg, alarms)
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("%s: %w", args[0], err)}
			}
			if !asJSON {
				return r.WriteText(c.OutOrStdout())
			}
			e := json.NewEncoder(c.OutOrStdout())
			e.SetIndent("", "  ")
			return e.Encode(r)
		},
	}
	f := c.Flags()
	alarms.alarmFlags(f, provision.PerHost)
	f.StringVar(&alarms.name, "name", "enawatch", "name of the set of alarms: prefix of their names")
	f.BoolVar(&asJSON, "json", false, "print JSON, with every sample of every window")
	configFlags(c, &path)
	return c
}

func openIncident(path string, stdin io.Reader) (*live.Document, error) {
	in := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	d, err := incident.Parse(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// replayed has an incident happen again.
func replayed(d *live.Document, cfg *config.Config, alarms *wanted) (*replay.Report, error) {
	o, err := alarms.optionsOf(cfg, nil)
	if err != nil {
		return nil, err
	}
	r := replay.NewReport(d)
	r.Notes = append(r.Notes, "Link-local traffic, tables of connections and stats of queues are not recorded second by second: metrics of these, and alarms on them, are not replayed.")
	r.Through = replay.Through{SampleInterval: cfg.SampleInterval.String(), PublishInterval: cfg.PublishInterval.String(), Zeros: cfg.Zeros, Namespace: o.Namespace}
	if d.InstanceID == "" {
		d.InstanceID = unnamed
		if len(o.Instances) > 0 {
			d.InstanceID = o.Instances[0]
		}
		r.Notes = append(r.Notes, "The incident does not name its instance: it is taken for "+d.InstanceID+".")
	}
	if len(o.Instances) == 0 {
		o.Instances = []string{d.InstanceID}
	}
	windows, err := replay.Windows(d, replay.Options{
		Sample: cfg.SampleInterval, Publish: cfg.PublishInterval, Sparse: cfg.Zeros == "sparse", Dimensions: o.Dimensions,
		Want: func(i metric.Interface) bool { return cfg.Interfaces.Match(i.Name, i.MAC, i.ENI) },
	})
	if err != nil {
		return nil, err
	}
	for _, b := range windows {
		b.Resource.Simulated = false // nothing is sent, and sinks would refuse it
	}
	r.AddWindows(windows)
	host := cloudwatch.Host{AutoScalingGroup: cfg.Identity.AutoScalingGroup, Cluster: cfg.Identity.Cluster, Nodegroup: cfg.Identity.Nodegroup, Node: cfg.Identity.Node}
	in := replay.World{Namespace: o.Namespace}
	if cfg.Sinks.CloudWatch != nil {
		for _, name := range cfg.Sinks.CloudWatch.Rollups {
			if list := host.Rollup(name); list != nil {
				in.Rollups = append(in.Rollups, list)
			} else {
				r.Notes = append(r.Notes, "The roll-up "+name+" is left out: give its name under identity.")
			}
		}
	}
	if r.Published, err = publishedBy(cfg, windows, in, host); err != nil {
		return nil, err
	}
	if len(o.Scopes) > 0 {
		if slices.Contains(o.Scopes, provision.Group) {
			for _, g := range o.Groups {
				if !slices.ContainsFunc(in.Rollups, func(l []metric.Dimension) bool { return slices.Equal(l, g) }) {
					in.Rollups = append(in.Rollups, g)
				}
			}
		}
		set, err := provision.Alarms(o)
		if err != nil {
			return nil, err
		}
		changes, skipped, err := replay.Alarms(windows, set, in)
		if err != nil {
			return nil, err
		}
		r.AddAlarms(changes, skipped)
	}
	return r, nil
}

// publishedBy says what the destinations that CloudWatch bills would have got.
func publishedBy(cfg *config.Config, windows []*metric.Batch, in replay.World, host cloudwatch.Host) ([]replay.Published, error) {
	list := []replay.Published{}
	metrics, err := replay.CloudWatch(windows, in, false, func(*metric.Batch) (int, int, int64, error) { return 0, 0, 0, nil })
	if err != nil {
		return nil, err
	}
	if c := cfg.Sinks.CloudWatch; c != nil {
		s, err := cloudwatch.New(cloudwatch.Options{
			Namespace: c.Namespace, Resolution: c.StorageResolution, PerInterface: c.PerInterface, Rollups: c.Rollups, Entity: c.Entity, MaxSeries: c.MaxSeries,
			Host: func() cloudwatch.Host { return host }, DisableIMDS: true, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return nil, err
		}
		p, err := replay.CloudWatch(windows, in, c.PerInterface, func(b *metric.Batch) (requests, data int, _ int64, err error) {
			list, err := s.Pack(b)
			for _, r := range list {
				data += r.Points
			}
			return len(list), data, 0, err
		})
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	if e := cfg.Sinks.EMF; e != nil {
		encoder, err := emf.NewEncoder(e.Namespace, cfg.PublishInterval)
		if err == nil {
			err = encoder.SetShape(map[string]emf.Shape{"host": emf.PerHost, "interface": emf.PerInterface}[e.Shape])
		}
		if err != nil {
			return nil, err
		}
		p, err := replay.EMF(windows, metrics, func(b *metric.Batch) (_, lines int, size int64, err error) {
			text, err := encoder.Append(nil, b)
			return 0, bytes.Count(text, []byte("\n")), int64(len(text)), err
		})
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}
