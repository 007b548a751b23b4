package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/provision"
	"github.com/enawatch/enawatch/agent/provision/export"
	"github.com/enawatch/enawatch/agent/sink/otlp"
)

// wanted is what the flags of alarms and dashboard say.
type wanted struct {
	config                           string
	name, level                      string
	scopes, instances, groups        []string
	instancesFrom                    string
	conntrackLeft, capacity, percent int
	actions, okActions               []string
	suppressor, logGroup, queryRole  string
	insights                         bool
	region                           string
	hosts, interfaces                int
}

// common gives c the flags that say whose alarms or dashboard it is about.
func (w *wanted) common(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&w.name, "name", provision.DefaultName, "name of the set: prefix of all names, and its owner's tag")
	f.StringVar(&w.region, "region", "", "region of the account; empty: AWS_REGION or the shared configuration")
	f.StringVar(&w.logGroup, "log-group", "", "log group that EMF goes to; empty: that of the configuration")
	configFlags(c, &w.config)
}

// alarmFlags gives c the flags that say which alarms are wanted.
func (w *wanted) alarmFlags(f *pflag.FlagSet, scopes ...provision.Scope) {
	var levels []string
	for _, l := range provision.Levels {
		levels = append(levels, fmt.Sprintf("%s is %d s of a minute in %d of %d minutes", l.Name, l.Seconds, l.Minutes, l.Of))
	}
	var byDefault []string
	for _, s := range scopes {
		byDefault = append(byDefault, string(s))
	}
	f.StringSliceVar(&w.scopes, "scope", byDefault, "whom alarms are about: host, fleet (Metrics Insights), group (roll-ups), logs (EMF), promql (OTLP); several with commas")
	f.StringVar(&w.level, "threshold", provision.DefaultLevel, "when exceeding an allowance is an alarm: "+strings.Join(levels, "; "))
	f.StringSliceVar(&w.instances, "instances", nil, "ids of the instances of scope host")
	f.StringVar(&w.instancesFrom, "instances-from", "", "file with an id on each line, - for standard input")
	f.StringSliceVar(&w.groups, "group", nil, "groups of scope group: AutoScalingGroupName=NAME, ClusterName=NAME or ClusterName=NAME/NODEGROUP")
	f.IntVar(&w.conntrackLeft, "conntrack-left", provision.DefaultConntrackLeft, "alarm below so many connections left; 0 is none")
	f.IntVar(&w.capacity, "conntrack-capacity", 0, "connections that an idle instance can track, for an alarm on the share that is left; 0 is none")
	f.IntVar(&w.percent, "conntrack-percent", provision.DefaultConntrackPercent, "alarm below this share of the capacity")
	f.StringSliceVar(&w.actions, "alarm-actions", nil, "ARNs of what is told of an alarm: SNS, Lambda, OpsItem, scaling policy")
	f.StringSliceVar(&w.okActions, "ok-actions", nil, "ARNs of what is told of its end")
	f.StringVar(&w.suppressor, "suppressor", "", "alarm that silences the composite alarm of a host; empty: that its readings are not believed")
	f.StringVar(&w.queryRole, "query-role", "", "ARN of the role with which log alarms query")
}

// options turns flags and configuration into what is to be provisioned.
func (w *wanted) options(c *cobra.Command) (provision.Options, *config.Config, error) {
	cfg, err := config.Load(w.config, os.Environ(), c.Flags())
	if err != nil {
		return provision.Options{}, nil, err
	}
	o, err := w.optionsOf(cfg, c.InOrStdin())
	if err != nil {
		err = &exitError{exitUsage, err}
	}
	return o, cfg, err
}

// optionsOf does the same with a configuration that is loaded.
func (w *wanted) optionsOf(cfg *config.Config, stdin io.Reader) (provision.Options, error) {
	o := provision.Options{
		Name: w.name, Interval: cfg.PublishInterval, ConntrackLeft: w.conntrackLeft, ConntrackCapacity: w.capacity, ConntrackPercent: w.percent,
		AlarmActions: w.actions, OKActions: w.okActions, Suppressor: w.suppressor, LogGroup: w.logGroup, QueryRole: w.queryRole,
		Insights: w.insights, Region: w.region,
	}
	o.Namespace, o.LogGroup = placeOf(cfg, w.logGroup)
	if p := cfg.Sinks.OTLP; p != nil {
		o.Cumulative = otlp.Temporality(p.Temporality) == otlp.Cumulative
	}
	for name, value := range cfg.Dimensions {
		o.Dimensions = append(o.Dimensions, metric.Dimension{Name: name, Value: value})
	}
	slices.SortFunc(o.Dimensions, func(a, b metric.Dimension) int { return strings.Compare(a.Name, b.Name) })
	for _, s := range w.scopes {
		o.Scopes = append(o.Scopes, provision.Scope(s))
	}
	i := slices.IndexFunc(provision.Levels, func(l provision.Level) bool { return l.Name == w.level })
	if w.level != "" && i < 0 {
		return o, fmt.Errorf("threshold %q is not known: use any, sustained or severe", w.level)
	}
	if i >= 0 {
		o.Level = provision.Levels[i]
	}
	var err error
	if o.Instances, err = w.readInstances(stdin); err != nil {
		return o, err
	}
	o.Groups, err = readGroups(w.groups)
	return o, err
}

// placeOf returns the namespace of the metrics and the log group of EMF.
func placeOf(cfg *config.Config, group string) (string, string) {
	namespace := "ENA"
	if e := cfg.Sinks.EMF; e != nil {
		namespace = e.Namespace
		if rest, ok := strings.CutPrefix(e.Output, "logs://"); ok && group == "" {
			group = rest[:max(0, strings.LastIndex(rest, "/"))]
		} else if group == "" {
			group = e.LogGroup
		}
	}
	if c := cfg.Sinks.CloudWatch; c != nil {
		namespace = c.Namespace
	}
	return namespace, group
}

// readInstances adds the ids of a file to those of the flag. What follows # is a
// remark.
func (w *wanted) readInstances(stdin io.Reader) ([]string, error) {
	ids := slices.Clone(w.instances)
	if w.instancesFrom == "" {
		return ids, nil
	}
	in, name := stdin, "standard input"
	if w.instancesFrom != "-" {
		file, err := os.Open(w.instancesFrom)
		if err != nil {
			return nil, fmt.Errorf("read the instances: %w", err)
		}
		defer file.Close()
		in, name = file, w.instancesFrom
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		ids = append(ids, strings.Fields(text)...)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the instances in %s: %w", name, err)
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("read the instances: %s has none", name)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

func readGroups(list []string) (groups []provision.GroupOf, err error) {
	for _, text := range list {
		name, value, _ := strings.Cut(text, "=")
		cluster, nodegroup, nested := strings.Cut(value, "/")
		switch {
		case value == "" || nested && (cluster == "" || nodegroup == ""):
			err = fmt.Errorf("group %q: write AutoScalingGroupName=NAME, ClusterName=NAME or ClusterName=NAME/NODEGROUP", text)
		case name == "AutoScalingGroupName":
			groups = append(groups, provision.GroupOf{{Name: name, Value: value}})
		case name == "ClusterName" && nested:
			groups = append(groups, provision.GroupOf{{Name: name, Value: cluster}, {Name: "NodegroupName", Value: nodegroup}})
		case name == "ClusterName":
			groups = append(groups, provision.GroupOf{{Name: name, Value: value}})
		default:
			err = fmt.Errorf("group %q: %q is no roll-up: use AutoScalingGroupName or ClusterName", text, name)
		}
	}
	return groups, err
}

// exportCommand returns a command that writes what make returns.
func exportCommand(w *wanted, what string, more []string, set func(provision.Options) (*provision.Set, error)) *cobra.Command {
	var format string
	var with []string
	c := &cobra.Command{
		Use:   "export",
		Short: "Write " + what + " for CloudFormation, Terraform, the CDK or the AWS CLI",
		Long: "Write " + what + " for another tool, to standard output. What is not given, such as the instance or the topic, becomes\n" +
			"a parameter of the template. Nobody is asked: no credentials are needed.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			o, _, err := w.options(c)
			if err != nil {
				return err
			}
			for _, part := range with {
				if !slices.Contains(more, part) {
					return &exitError{exitUsage, fmt.Errorf("--with %s is not known: use %s", part, strings.Join(more, ", "))}
				}
			}
			var x export.Options
			x.Topic = slices.Contains(with, "topic")
			if slices.Contains(with, "policy") {
				x.Policy = provision.PutMetrics(o.Namespace).JSON()
			}
			if len(o.AlarmActions) == 0 {
				o.AlarmActions = []string{"${" + export.TopicParameter + "}"}
			} else if x.Topic {
				return &exitError{exitUsage, errors.New("--with topic makes what is told of alarms: leave --alarm-actions out, or the topic")}
			}
			s, err := set(o)
			if err == nil && slices.Contains(with, "dashboard") {
				err = addDashboard(s, o)
			}
			if err == nil {
				warnInsights(c.ErrOrStderr(), s)
				err = export.Write(c.OutOrStdout(), format, s, x)
			}
			if err != nil {
				return &exitError{exitUsage, err}
			}
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", export.Formats[0], "format: "+strings.Join(export.Formats, ", "))
	if len(more) > 0 {
		c.Flags().StringSliceVar(&with, "with", nil, "what to make besides: "+strings.Join(more, ", "))
	}
	return c
}

// addDashboard adds the dashboard itself to a set of alarms.
func addDashboard(s *provision.Set, o provision.Options) error {
	d, err := provision.Dashboards(o)
	if err != nil {
		return err
	}
	s.Dashboards = d.Dashboards
	for _, p := range d.Parameters {
		if p.Name == provision.RegionParameter {
			s.Parameters = append(s.Parameters, p)
		}
	}
	return nil
}
