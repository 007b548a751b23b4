// Package cost says what a configuration costs a month at AWS. It counts what
// the agent's own code publishes in representative windows and multiplies that
// by a table of prices; it does no I/O.
//
// Quantities are exact fractions. Each line is rounded to the nearest cent, half
// a cent up, and a total is the sum of its lines as they are shown.
package cost

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/emf"
	"github.com/enawatch/enawatch/agent/sink/otlp"
	"github.com/enawatch/enawatch/agent/window"
)

// Config is what is to be priced. Sinks that are nil or false send nothing that
// AWS bills.
type Config struct {
	Hosts int
	// Interfaces is how many ENA interfaces each host has.
	Interfaces      int
	Publish, Sample time.Duration
	// Sparse says which mode is configured. Both are priced.
	Sparse bool
	// Stats are those that the hosts' drivers have and the agent reads.
	Stats []ena.Stat
	// LinkLocal is how many senders are named in a window if link-local traffic is
	// counted, or 0; Conntrack, how many owners if tracked connections are watched.
	LinkLocal, Conntrack int
	// Dimensions are the fixed ones.
	Dimensions []metric.Dimension

	CloudWatch  *CloudWatch
	EMF         *EMF
	OTLP        *OTLP
	RemoteWrite *RemoteWrite
	Alarms      []Alarm
	Dashboards  int
	// InsightRules are Contributor Insights rules over EMF, each of which matches
	// a line for each window of a busy hour.
	InsightRules int

	// BusyHours is in how many hours of a month each host exceeds its
	// allowances; FaultHours, in how many any other counter of a failure grows.
	// Traffic counters (ENA Express, queues) are taken to grow always.
	BusyHours, FaultHours int
	// FreeTier takes off what AWS gives each account for free.
	FreeTier bool
}

// CloudWatch is publishing by PutMetricData.
type CloudWatch struct {
	// PerInterface publishes the metrics of the instance for each interface
	// besides.
	PerInterface   bool
	HighResolution bool
	Rollups        []Rollup
}

// Rollup publishes each metric under one more dimension, alone, which hosts
// share.
type Rollup struct {
	Dimension string
	// Groups is how many values the dimension has among the hosts.
	Groups int
}

// EMF is publishing through CloudWatch Logs, directly or by an agent.
type EMF struct {
	Namespace     string
	RetentionDays int
}

// OTLP is publishing to CloudWatch's own endpoint for OpenTelemetry metrics.
type OTLP struct {
	Temporality  otlp.Temporality
	Distribution otlp.Distribution
	PerInterface bool
}

// RemoteWrite is publishing to Amazon Managed Service for Prometheus (AMP).
type RemoteWrite struct {
	Interval      time.Duration
	NameSets      int
	RetentionDays int
	// Stats are those that are sent of each interface, Config.Stats if nil.
	Stats []ena.Stat
}

// pushed returns how many stats of an interface go to AMP.
func (c *Config) pushed() int {
	if c.RemoteWrite.Stats != nil {
		return len(c.RemoteWrite.Stats)
	}
	return len(c.Stats)
}

// AlarmKind is a kind of alarm that has a price of its own.
type AlarmKind string

const (
	Standard        AlarmKind = "standard"
	HighResolution  AlarmKind = "high_resolution"
	Composite       AlarmKind = "composite"
	MetricsInsights AlarmKind = "metrics_insights"
	PromQL          AlarmKind = "promql"
	Log             AlarmKind = "log"
)

type alarmPrice struct {
	kind  AlarmKind
	price *price
}

var alarmPrices = []alarmPrice{
	{Standard, &standardAlarms}, {HighResolution, &highResAlarms}, {Composite, &compositeAlarms},
	{MetricsInsights, &insightsAlarms}, {PromQL, &promQLAlarms}, {Log, &logAlarms},
}

// Per says what an alarm's Count and Metrics are multiplied by.
type Per string

const (
	Fleet     Per = "fleet"
	Host      Per = "host"
	Interface Per = "interface"
)

// Alarm is a number of like alarms. AWS bills the product of Count, Metrics and
// Per: a Metrics Insights alarm on one counter of every interface has Count 1,
// Metrics 1, Per Interface, for it analyzes one metric of each.
type Alarm struct {
	Kind  AlarmKind
	Per   Per
	Count int
	// Metrics is how many metrics each alarm watches or analyzes: of composite,
	// PromQL and log alarms, which are billed as one, always 1.
	Metrics int
}

// Default returns one host with one interface, no sink, and the agent's defaults.
func Default() Config {
	return Config{
		Hosts: 1, Interfaces: 1, Publish: time.Minute, Sample: time.Second, Sparse: true,
		Stats: Stats(ena.Device, ena.Driver, ena.AdminQueue), BusyHours: 24, FaultHours: 1,
	}
}

// Stats returns the stats of groups, in catalogue order. A driver has some of
// them only, so their price is an upper bound.
func Stats(groups ...ena.Group) (stats []ena.Stat) {
	for i, e := range ena.Catalogue() {
		if slices.Contains(groups, e.Group) {
			stats = append(stats, ena.Stat(i))
		}
	}
	return stats
}

// Estimate prices c. The error names the field that makes no sense.
func Estimate(c Config) (*Report, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("estimate the cost: %w", err)
	}
	c.Stats = slices.Compact(slices.Sorted(slices.Values(c.Stats)))
	dense, err := c.items(false)
	if err != nil {
		return nil, fmt.Errorf("estimate the cost: %w", err)
	}
	sparse, err := c.items(true)
	if err != nil {
		return nil, fmt.Errorf("estimate the cost: %w", err)
	}
	r := c.report()
	for i := range dense {
		r.Lines = append(r.Lines, dense[i].price.lines(dense[i].quantity, sparse[i].quantity, c.FreeTier)...)
	}
	r.add(int64(c.Hosts))
	return r, nil
}

// item is a quantity of something that has a price.
type item struct {
	price    *price
	quantity *big.Rat
}

// items lists everything that AWS bills, in the same order for every c.
func (c *Config) items(sparse bool) ([]item, error) {
	m, err := c.month(sparse)
	if err != nil {
		return nil, err
	}
	hosts := int64(c.Hosts)
	// perWindow is the sum over the windows of all hosts.
	perWindow := func(of func(*use) int64) *big.Rat {
		return times(big.NewRat(int64(time.Hour), int64(c.Publish)), hosts, m.hours(c, 1, of))
	}
	metricHours, requests, logged, stored, exported := new(big.Rat), new(big.Rat), new(big.Rat), new(big.Rat), new(big.Rat)
	if cw := c.CloudWatch; cw != nil {
		published := func(u *use) int64 { return u.published(c) }
		metricHours.Add(metricHours, product(hosts, m.hours(c, 1, published)))
		for _, r := range cw.Rollups {
			groups := int64(r.Groups)
			rolled := m.hours(c, (hosts+groups-1)/groups, func(u *use) int64 { return u.names })
			metricHours.Add(metricHours, product(groups, rolled))
		}
		requests = perWindow(func(u *use) int64 { return u.requests })
	}
	if c.EMF != nil {
		metricHours.Add(metricHours, product(hosts, m.hours(c, 1, func(u *use) int64 { return u.series })))
		logged = perWindow(func(u *use) int64 { return u.logged })
		stored = kept(perWindow(func(u *use) int64 { return u.stored }), c.EMF.RetentionDays)
	}
	if c.OTLP != nil {
		exported = perWindow(func(u *use) int64 { return u.exported })
	}
	samples, sampled := c.samples()
	items := []item{
		{&customMetrics, over(metricHours, monthHours)},
		{&putMetricData, over(requests, 1000)},
		{&logsIngested, over(logged, 1e9)},
		{&logsStored, over(stored, 1e9)},
		{&otlpIngested, over(exported, 1e9)},
		{&ampSamples, over(samples, 1e7)},
		{&ampStored, over(times(sampled, sampleBytes), 1<<30)},
	}
	for _, a := range alarmPrices {
		items = append(items, item{a.price, c.alarms(a.kind)})
	}
	matched := times(big.NewRat(int64(time.Hour), int64(c.Publish)), int64(c.InsightRules), hosts, int64(c.BusyHours))
	return append(items, item{&dashboards, product(int64(c.Dashboards))},
		item{&insightRules, product(int64(c.InsightRules))}, item{&insightEvents, over(matched, 1_000_000)}), nil
}

// samples returns how many samples a month go to AMP, and how many it holds.
func (c *Config) samples() (written, held *big.Rat) {
	w := c.RemoteWrite
	if w == nil {
		return new(big.Rat), new(big.Rat)
	}
	const infoSeries = 1 // of each interface, with the driver's version
	series := product(int64(c.pushed()+infoSeries), int64(c.Interfaces), int64(c.Hosts), int64(w.NameSets))
	written = series.Mul(series, big.NewRat(monthHours*int64(time.Hour), int64(w.Interval)))
	return written, kept(written, w.RetentionDays)
}

// kept returns what is stored at any time of what comes in by the month.
func kept(monthly *big.Rat, days int) *big.Rat {
	return over(times(monthly, int64(days), 24), monthHours)
}

// alarms returns how many metrics or alarms of a kind are billed.
func (c *Config) alarms(kind AlarmKind) *big.Rat {
	sum := new(big.Rat)
	for _, a := range c.Alarms {
		if a.Kind != kind {
			continue
		}
		n := product(int64(a.Count), int64(a.Metrics))
		switch a.Per {
		case Host:
			n = times(n, int64(c.Hosts))
		case Interface:
			n = times(n, int64(c.Hosts), int64(c.Interfaces))
		}
		sum.Add(sum, n)
	}
	return sum
}

func product(factors ...int64) *big.Rat { return times(big.NewRat(1, 1), factors...) }

func times(q *big.Rat, factors ...int64) *big.Rat {
	p := new(big.Rat).Set(q)
	for _, f := range factors {
		p.Mul(p, new(big.Rat).SetInt64(f))
	}
	return p
}

func over(q *big.Rat, n int64) *big.Rat { return new(big.Rat).Quo(q, new(big.Rat).SetInt64(n)) }

// maxAlarms is how many metrics the alarms of a kind may watch or analyze: no
// sum of money is too large for a USD.
const maxAlarms = 1_000_000_000

// check refuses what can't be counted.
func (c *Config) check() error {
	for _, l := range c.limits() {
		if l.value < l.min || l.value > l.max {
			return fmt.Errorf("%s: %d is not from %d to %d", l.what, l.value, l.min, l.max)
		}
	}
	for _, a := range c.Alarms {
		switch {
		case !slices.ContainsFunc(alarmPrices, func(p alarmPrice) bool { return p.kind == a.Kind }):
			return fmt.Errorf("there is no kind of alarm %q", a.Kind)
		case !slices.Contains([]Per{Fleet, Host, Interface}, a.Per):
			return fmt.Errorf("%s alarms per %q: give fleet, host or interface", a.Kind, a.Per)
		case c.alarms(a.Kind).Cmp(product(maxAlarms)) > 0:
			return fmt.Errorf("%s alarms: they would be billed for more than %d metrics", a.Kind, maxAlarms)
		}
	}
	switch w := c.RemoteWrite; {
	case w != nil && (w.Interval < time.Second || w.Interval > time.Hour):
		return fmt.Errorf("remote-write interval %s: give 1s to 1h", w.Interval)
	case c.Sample < time.Second || c.Publish < c.Sample || c.Publish > time.Hour || c.Publish%c.Sample != 0 || c.Publish/c.Sample > window.MaxSamples:
		return fmt.Errorf("publish interval %s with sample interval %s: give a whole multiple of it, at most %d times as long, from 1s to 1h", c.Publish, c.Sample, window.MaxSamples)
	case slices.ContainsFunc(c.Stats, func(s ena.Stat) bool { return int(s) >= ena.NumStats }):
		return errors.New("a stat is not in the catalogue")
	}
	return emf.CheckDimensions(c.Dimensions)
}

// limit is a number and what it may be.
type limit struct {
	what            string
	value, min, max int
}

func (c *Config) limits() []limit {
	limits := []limit{
		{"hosts", c.Hosts, 1, 10_000_000},
		{"interfaces per host", c.Interfaces, 1, 250},
		{"busy hours a month", c.BusyHours, 0, monthHours},
		{"fault hours a month", c.FaultHours, 0, monthHours},
		{"dashboards", c.Dashboards, 0, 1_000_000},
		{"Contributor Insights rules", c.InsightRules, 0, 10_000},
	}
	if c.CloudWatch != nil {
		for _, r := range c.CloudWatch.Rollups {
			limits = append(limits, limit{"groups of roll-up " + r.Dimension, r.Groups, 1, c.Hosts})
		}
	}
	if c.EMF != nil {
		limits = append(limits, limit{"days of log retention", c.EMF.RetentionDays, 1, 3653})
	}
	if w := c.RemoteWrite; w != nil {
		limits = append(limits, limit{"days of AMP retention", w.RetentionDays, 1, 1095}, limit{"name sets", w.NameSets, 1, 3})
	}
	for _, a := range c.Alarms {
		most := 10_000
		if a.Kind == Composite || a.Kind == PromQL || a.Kind == Log {
			most = 1
		}
		limits = append(limits,
			limit{fmt.Sprintf("%s alarms", a.Kind), a.Count, 0, 1_000_000},
			limit{fmt.Sprintf("metrics of %s alarms", a.Kind), a.Metrics, 1, most})
	}
	return limits
}
