package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/cost"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/provision"
	"github.com/enawatch/enawatch/agent/sink/otlp"
)

func costCommand() *cobra.Command {
	var path string
	var asJSON bool
	in := cost.Default()
	groups := 1
	var more extras
	alarms := &wanted{name: provision.DefaultName}
	c := &cobra.Command{
		Use:   "cost",
		Short: "Print what a configuration costs a month at AWS",
		Long: `Print what the effective configuration costs a month at AWS, line by line, with
zeros: dense beside sparse, and the assumptions and the date of the prices below.
EMF on stdout is priced as if CloudWatch Logs took it.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(path, os.Environ(), c.Flags())
			if err != nil {
				return err
			}
			// Here, once: standard input can't be read again.
			if alarms.instances, err = alarms.readInstances(c.InOrStdin()); err != nil {
				return &exitError{exitUsage, err}
			}
			alarms.instancesFrom = ""
			if !c.Flags().Changed("hosts") {
				in.Hosts = max(in.Hosts, len(alarms.instances))
			}
			bill, err := alarms.price(more.add(priced(in, cfg, groups)), cfg, groups)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			report, err := cost.Estimate(bill)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if !asJSON {
				return report.WriteText(c.OutOrStdout())
			}
			e := json.NewEncoder(c.OutOrStdout())
			e.SetIndent("", "  ")
			return e.Encode(report)
		},
	}
	f := c.Flags()
	f.IntVar(&in.Hosts, "hosts", 1, "hosts in the account and region; if not given, as many as --instances")
	f.IntVar(&in.Interfaces, "interfaces", 1, "ENA interfaces of each host")
	f.IntVar(&groups, "groups", 1, "values of each roll-up dimension among the hosts")
	f.IntVar(&in.BusyHours, "busy-hours", in.BusyHours, "hours of a month in which a host exceeds its allowances")
	f.IntVar(&in.FaultHours, "fault-hours", in.FaultHours, "hours of a month in which another counter grows")
	f.IntVar(&more.alarms, "alarms", 0, "alarms of each host, on one metric each")
	f.IntVar(&more.composites, "composite-alarms", 0, "composite alarms of each host")
	f.IntVar(&more.fleetAlarms, "fleet-alarms", 0, "Metrics Insights alarms over a metric of every host")
	f.IntVar(&in.Dashboards, "dashboards", 0, "dashboards in the account")
	f.IntVar(&in.InsightRules, "insight-rules", 0, "Contributor Insights rules in the account")
	alarms.alarmFlags(f)
	f.BoolVar(&more.otlp, "otlp", false, "price CloudWatch's OTLP endpoint besides")
	f.DurationVar(&more.remoteWrite, "remote-write", 0, "price remote write to Amazon Managed Prometheus at this interval besides, as in 15s")
	f.BoolVar(&in.FreeTier, "free-tier", false, "take off what AWS gives each account for free")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	configFlags(c, &path)
	return c
}

// price adds the alarms that enawatch alarms apply would make with the same
// options. Instances and groups that are not named are as many as there are.
func (w *wanted) price(in cost.Config, cfg *config.Config, groups int) (cost.Config, error) {
	if len(w.scopes) == 0 {
		return in, nil
	}
	o, err := w.optionsOf(cfg, nil)
	if err != nil {
		return in, err
	}
	for i := 0; len(o.Instances) == 0 && i < min(in.Hosts, maxPriced); i++ {
		w.instances = append(w.instances, fmt.Sprintf("i-%017x", i))
	}
	for i := 0; len(o.Groups) == 0 && i < min(groups, maxPriced); i++ {
		w.groups = append(w.groups, fmt.Sprintf("AutoScalingGroupName=group-%d", i))
	}
	if o, err = w.optionsOf(cfg, nil); err != nil {
		return in, err
	}
	set, err := provision.Alarms(o)
	if err != nil {
		return in, err
	}
	return set.Price(in), nil
}

// maxPriced is how many hosts or groups alarms are counted for one by one.
const maxPriced = 50_000

// extras have a price and stand in no configuration.
type extras struct {
	alarms, composites, fleetAlarms int
	otlp                            bool
	remoteWrite                     time.Duration
}

func (e extras) add(in cost.Config) cost.Config {
	for _, a := range []cost.Alarm{
		{Kind: cost.Standard, Per: cost.Host, Count: e.alarms, Metrics: 1},
		{Kind: cost.Composite, Per: cost.Host, Count: e.composites, Metrics: 1},
		{Kind: cost.MetricsInsights, Per: cost.Fleet, Count: e.fleetAlarms, Metrics: in.Hosts},
	} {
		if a.Count > 0 {
			in.Alarms = append(in.Alarms, a)
		}
	}
	if e.otlp && in.OTLP == nil {
		in.OTLP = &cost.OTLP{}
	}
	if e.remoteWrite > 0 {
		in.RemoteWrite = &cost.RemoteWrite{Interval: e.remoteWrite, NameSets: 1, RetentionDays: 150}
	}
	return in
}

// priced returns what of a configuration has a price.
func priced(in cost.Config, cfg *config.Config, groups int) cost.Config {
	in.Publish, in.Sample, in.Sparse = cfg.PublishInterval, cfg.SampleInterval, cfg.Zeros == "sparse"
	in.Stats = append(cost.Stats(ena.Device, ena.Driver, ena.AdminQueue), config.MatchQueueStats(cfg.QueueStats...)...)
	if cfg.LinkLocal.Enabled {
		in.LinkLocal = cfg.LinkLocal.TopSenders
	}
	if cfg.Conntrack.Enabled {
		in.Conntrack = cfg.Conntrack.TopOwners
	}
	for name, value := range cfg.Dimensions {
		in.Dimensions = append(in.Dimensions, metric.Dimension{Name: name, Value: value})
	}
	in.CloudWatch, in.EMF, in.OTLP, in.Alarms = nil, nil, nil, nil
	if c := cfg.Sinks.CloudWatch; c != nil {
		in.CloudWatch = &cost.CloudWatch{PerInterface: c.PerInterface, HighResolution: c.StorageResolution == 1}
		for _, d := range c.Rollups {
			in.CloudWatch.Rollups = append(in.CloudWatch.Rollups, cost.Rollup{Dimension: d, Groups: groups})
		}
	}
	if o := cfg.Sinks.OTLP; o != nil && o.SigV4 {
		in.OTLP = &cost.OTLP{Temporality: otlp.Temporality(o.Temporality), Distribution: otlp.Distribution(o.Distribution), PerInterface: o.PerInterface}
	}
	if w := cfg.Sinks.RemoteWrite; w != nil && w.ToAMP() {
		in.RemoteWrite = &cost.RemoteWrite{Interval: w.Interval, NameSets: len(w.Names), RetentionDays: 150, Stats: []ena.Stat{}}
		for _, s := range cost.Stats(ena.Device, ena.SRD, ena.Driver, ena.AdminQueue) {
			if w.Match(s.String()) {
				in.RemoteWrite.Stats = append(in.RemoteWrite.Stats, s)
			}
		}
	}
	if e := cfg.Sinks.EMF; e != nil {
		in.EMF = &cost.EMF{Namespace: e.Namespace, RetentionDays: e.Retention}
	}
	return in
}
