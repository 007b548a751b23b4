package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/cost"
	"github.com/enawatch/enawatch/agent/provision"
	"github.com/enawatch/enawatch/agent/provision/account"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
)

// progressEvery is how often long work says how far it is.
const progressEvery = 5 * time.Second

// deployment is what plan, apply and destroy of one command have in common.
type deployment struct {
	*wanted
	kinds account.Kinds
	// what is the plural of what is made.
	what string
	set  func(provision.Options) (*provision.Set, error)

	dryRun, prune, json bool
}

// report is what the commands say at their end.
type report struct {
	Region string `json:"region"`
	*account.Plan
	// Done counts the steps that were carried out, by action; nil if none were
	// to be.
	Done map[account.Action]int `json:"done,omitempty"`
	// Cost is what AWS bills a month for all that the set wants.
	Cost *cost.Report `json:"cost,omitempty"`
}

func (d *deployment) flags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&d.json, "json", false, "print JSON")
	if c.Name() != "destroy" {
		f.BoolVar(&d.prune, "prune", false, "delete what the set owns and does not want any more")
		f.IntVar(&d.hosts, "hosts", 0, "hosts in the account and region, for the price; 0: as many as --instances")
		f.IntVar(&d.interfaces, "interfaces", 1, "ENA interfaces of each host, for the price")
	}
	if c.Name() != "plan" {
		f.BoolVar(&d.dryRun, "dry-run", false, "say what would be done, and do nothing")
	}
}

// commands returns plan, apply and destroy.
func (d deployment) commands() []*cobra.Command {
	command := func(name, short, long string, run func(*deployment, *cobra.Command) error) *cobra.Command {
		own := d
		own.wanted = &wanted{}
		c := &cobra.Command{
			Use: name, Short: short, Long: long, Args: usageArgs(cobra.NoArgs),
			RunE: func(c *cobra.Command, _ []string) error { return run(&own, c) },
		}
		own.flags(c)
		if name != "destroy" && d.kinds == account.Alarms {
			own.alarmFlags(c.Flags(), provision.PerHost)
		} else if name != "destroy" {
			own.viewFlags(c.Flags())
		}
		own.common(c)
		return c
	}
	return []*cobra.Command{
		command("plan", "Say what apply would change", "Say what apply would change in the account, and what it costs a month. Changes nothing.", (*deployment).plan),
		command("apply", "Make "+d.what+" as they are wanted", "Make "+d.what+" as they are wanted. What is as it should be is left alone, and so is what has not the set's\n"+
			"tag; to run it again does nothing. It keeps below three calls a second.", (*deployment).apply),
		command("destroy", "Delete the "+d.what+" of the set", "Delete everything that has the set's tag, and nothing else.", (*deployment).destroy),
	}
}

func (d *deployment) plan(c *cobra.Command) error {
	d.dryRun = true
	return d.apply(c)
}

func (d *deployment) apply(c *cobra.Command) error {
	o, cfg, err := d.options(c)
	if err != nil {
		return err
	}
	a, err := d.open(c, cfg)
	if err != nil {
		return err
	}
	if o.Region = a.Region(); o.LogGroup == "" {
		o.LogGroup = provision.DefaultLogGroup
	}
	set, err := d.set(o)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if missing := set.Parameters; len(missing) > 0 {
		return &exitError{exitUsage, fmt.Errorf("%s is not given: %s Give it by a flag, see %s --help", missing[0].Name, missing[0].Description, c.CommandPath())}
	}
	if d.hosts == 0 && len(o.Instances) == 0 && slices.Contains(o.Scopes, provision.Fleet) {
		return &exitError{exitUsage, errors.New("scope fleet: give --hosts, the number of instances that publish: AWS bills each of their metrics that an alarm looks at")}
	}
	price, err := cost.Estimate(set.Price(d.priced(cfg, len(o.Instances))))
	if err != nil {
		return &exitError{exitUsage, err}
	}
	d.warn(c.ErrOrStderr(), cfg, set, hostsOf(d.hosts, len(o.Instances)))
	plan, err := a.Plan(c.Context(), set, d.kinds, d.prune)
	if err != nil {
		return err
	}
	return d.carryOut(c, a, &report{Region: a.Region(), Plan: plan, Cost: price})
}

func (d *deployment) destroy(c *cobra.Command) error {
	cfg, err := config.Load(d.config, os.Environ(), c.Flags())
	if err != nil {
		return err
	}
	a, err := d.open(c, cfg)
	if err != nil {
		return err
	}
	plan, err := a.Owned(c.Context(), d.name, d.kinds)
	if err != nil {
		return err
	}
	return d.carryOut(c, a, &report{Region: a.Region(), Plan: plan})
}

// priced is the configuration that the cost of a set is estimated with: that of
// enawatch cost for the same hosts, without what the agents publish.
func (d *deployment) priced(cfg *config.Config, instances int) cost.Config {
	in := cost.Default()
	in.Hosts, in.Interfaces, in.Publish, in.Sample = hostsOf(d.hosts, instances), d.interfaces, cfg.PublishInterval, cfg.SampleInterval
	return in
}

// hostsOf is how many hosts a price is for.
func hostsOf(hosts, instances int) int {
	if hosts > 0 {
		return hosts
	}
	return max(1, instances)
}

// carryOut applies a plan, unless it is a dry run, and reports.
func (d *deployment) carryOut(c *cobra.Command, a *account.Account, r *report) error {
	var failed error
	if !d.dryRun {
		if r.Cost != nil && !d.json {
			writeCost(c.ErrOrStderr(), r.Cost)
		}
		ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		r.Done, failed = a.Apply(ctx, r.Plan)
	}
	var err error
	if d.json {
		e := json.NewEncoder(c.OutOrStdout())
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else {
		err = r.write(c.OutOrStdout())
	}
	return errors.Join(failed, err)
}

// open makes the account from configuration and flags.
func (d *deployment) open(c *cobra.Command, cfg *config.Config) (*account.Account, error) {
	o := accountOptions(cfg, d.region)
	o.Progress = progress(c.ErrOrStderr())
	return account.Open(c.Context(), o)
}

// accountOptions says where the account is that the configuration publishes to,
// in region if that is not "".
func accountOptions(cfg *config.Config, region string) account.Options {
	o := account.Options{AWS: awsclient.Options{Region: region, DisableIMDS: cfg.Identity.Mode == "static"}}
	if s := cfg.Sinks.CloudWatch; s != nil {
		o.AWS.Endpoint, o.AWS.FIPS, o.AWS.DualStack, o.AWS.CAFile = s.Endpoint, s.FIPS, s.DualStack, s.CAFile
		if o.AWS.Region == "" {
			o.AWS.Region = s.Region
		}
	}
	if s := cfg.Sinks.EMF; s != nil {
		o.LogsEndpoint = s.Endpoint
	}
	return o
}

// warn says what would be surprising later.
func (d *deployment) warn(w io.Writer, cfg *config.Config, set *provision.Set, hosts int) {
	if d.kinds != account.Alarms {
		return
	}
	has := func(s provision.Scope) bool { return slices.Contains(d.scopes, string(s)) }
	if c := cfg.Sinks.CloudWatch; has(provision.Group) && (c == nil || len(c.Rollups) == 0) {
		fmt.Fprintln(w, "warning: the configuration publishes no roll-ups, which alarms of scope group read: set sinks.cloudwatch.rollups")
	}
	warnInsights(w, set)
	if has(provision.Fleet) && hosts*d.interfaces > maxSeries {
		fmt.Fprintf(w, "warning: CloudWatch looks at %d series of a Metrics Insights alarm at most: of a fleet this large, use scope group\n", maxSeries)
	}
}

// warnInsights says that a region does not take as many Metrics Insights alarms.
func warnInsights(w io.Writer, set *provision.Set) {
	if n := set.Insights(); n > provision.MaxInsights {
		fmt.Fprintf(w, "warning: %d of the alarms are on Metrics Insights queries (of scope host, linklocal-exceeded), and CloudWatch takes %d of a region unless you ask for more: use scope group, or see Service Quotas\n", n, provision.MaxInsights)
	}
}

// maxSeries is of one Metrics Insights alarm (User Guide, "CloudWatch quotas").
const maxSeries = 500

// progress returns a function that says now and then how far the work is.
func progress(w io.Writer) func(done, of int, what string) {
	last := time.Now()
	return func(done, of int, what string) {
		if time.Since(last) < progressEvery {
			return
		}
		last = time.Now()
		if of > 0 {
			fmt.Fprintf(w, "%d of %d: %s\n", done, of, what)
		} else {
			fmt.Fprintf(w, "%d: %s\n", done, what)
		}
	}
}

// write writes the steps and a summary.
func (r *report) write(w io.Writer) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, s := range r.Steps {
		fmt.Fprintln(t, strings.TrimRight(fmt.Sprintf("%s\t%s\t%s\t%s", s.Action, s.Kind, s.Name, strings.Join(s.Fields, ", ")), "\t"))
	}
	if len(r.Steps) > 0 {
		fmt.Fprintln(t)
	}
	fmt.Fprintf(t, "SET %s in %s\tPLANNED\tDONE\n", r.Set, r.Region)
	for _, a := range []account.Action{account.Create, account.Update, account.Delete} {
		done := "-"
		if r.Done != nil {
			done = fmt.Sprint(r.Done[a])
		}
		fmt.Fprintf(t, "%s\t%d\t%s\n", a, r.Count(a), done)
	}
	fmt.Fprintf(t, "unchanged\t%d\t\n", r.Unchanged)
	if n := r.Count(account.Keep); n > 0 {
		fmt.Fprintf(t, "kept, not wanted any more (--prune deletes them)\t%d\t\n", n)
	}
	if n := r.Count(account.Conflict); n > 0 {
		fmt.Fprintf(t, "conflicts: the name is taken by what the set does not own\t%d\t\n", n)
	}
	t.Flush()
	if r.Cost != nil && r.Done == nil {
		b.WriteString("\n")
		writeCost(&b, r.Cost)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeCost writes what the set costs.
func writeCost(w io.Writer, r *cost.Report) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "AWS BILLS A MONTH, in %s\tQUANTITY\tUSD\n", r.Region)
	for _, l := range r.Lines {
		usd := "price not known"
		if l.Sparse.USD != nil {
			usd = l.Sparse.USD.String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", l.What, l.Sparse.Quantity, usd)
	}
	fmt.Fprintf(t, "total\t\t%s\n", r.Total.Sparse)
	t.Flush()
}
