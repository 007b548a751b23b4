package cost_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/cost"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/window"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// with returns the default configuration after f has changed it.
func with(f func(*cost.Config)) cost.Config {
	c := cost.Default()
	f(&c)
	return c
}

func estimate(t *testing.T, c cost.Config) *cost.Report {
	t.Helper()
	r, err := cost.Estimate(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func goldens() map[string]cost.Config {
	return map[string]cost.Config{
		"one-host": with(func(c *cost.Config) {
			c.CloudWatch = &cost.CloudWatch{}
			c.Alarms = []cost.Alarm{{Kind: cost.Standard, Per: cost.Host, Count: 7, Metrics: 1}, {Kind: cost.Composite, Per: cost.Host, Count: 1, Metrics: 1}}
			c.Dashboards = 1
		}),
		"one-host-free-tier": with(func(c *cost.Config) {
			c.Sparse, c.FreeTier = false, true
			c.EMF = &cost.EMF{Namespace: "ENA", RetentionDays: 30}
			c.Alarms = []cost.Alarm{{Kind: cost.Standard, Per: cost.Host, Count: 12, Metrics: 1}}
			c.Dashboards = 4
		}),
		"eks-50-hosts": with(func(c *cost.Config) {
			c.Hosts, c.Interfaces = 50, 4
			c.Dimensions = []metric.Dimension{{Name: "team", Value: "net"}}
			c.CloudWatch = &cost.CloudWatch{PerInterface: true, HighResolution: true, Rollups: []cost.Rollup{{"ClusterName", 1}, {"NodegroupName", 3}}}
			c.RemoteWrite = &cost.RemoteWrite{Interval: 15 * time.Second, NameSets: 2, RetentionDays: 150}
			c.Alarms = []cost.Alarm{{Kind: cost.Standard, Per: cost.Fleet, Count: 6, Metrics: 1}, {Kind: cost.Standard, Per: cost.Host, Count: 1, Metrics: 1}}
			c.Dashboards = 2
		}),
		"linklocal-and-conntrack": with(func(c *cost.Config) {
			c.Interfaces, c.LinkLocal, c.Conntrack = 2, 10, 5
			c.CloudWatch, c.EMF = &cost.CloudWatch{}, &cost.EMF{Namespace: "ENA", RetentionDays: 30}
		}),
		"10000-hosts": with(func(c *cost.Config) {
			c.Hosts, c.Interfaces = 10_000, 2
			c.Stats = cost.Stats(ena.Device, ena.SRD, ena.Driver, ena.AdminQueue)
			c.CloudWatch, c.EMF, c.OTLP = &cost.CloudWatch{}, &cost.EMF{Namespace: "ENA", RetentionDays: 14}, &cost.OTLP{}
			c.RemoteWrite = &cost.RemoteWrite{Interval: 15 * time.Second, NameSets: 3, RetentionDays: 150}
			c.Alarms = []cost.Alarm{
				{Kind: cost.MetricsInsights, Per: cost.Interface, Count: 5, Metrics: 1},
				{Kind: cost.PromQL, Per: cost.Fleet, Count: 5, Metrics: 1},
				{Kind: cost.Log, Per: cost.Fleet, Count: 2, Metrics: 1},
			}
		}),
	}
}

func TestGolden(t *testing.T) {
	for name, c := range goldens() {
		t.Run(name, func(t *testing.T) {
			r := estimate(t, c)
			var text bytes.Buffer
			if err := r.WriteText(&text); err != nil {
				t.Fatal(err)
			}
			encoded, err := json.MarshalIndent(r, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", text.Bytes())
			golden(t, name+".json", append(encoded, '\n'))
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// TestSums holds the bill together: lines are whole cents and add up.
func TestSums(t *testing.T) {
	for name, c := range goldens() {
		r := estimate(t, c)
		var want cost.Sum
		for _, l := range r.Lines {
			if l.UnitPrice == nil {
				if l.Dense.USD != nil || l.Sparse.USD != nil {
					t.Errorf("%s: %s costs something, though its price is not known", name, l.What)
				}
				continue
			}
			if *l.Dense.USD%10_000 != 0 || *l.Sparse.USD%10_000 != 0 {
				t.Errorf("%s: %s costs %s and %s, which are not whole cents", name, l.What, l.Dense.USD, l.Sparse.USD)
			}
			want.Dense += *l.Dense.USD
			want.Sparse += *l.Sparse.USD
		}
		if diff := cmp.Diff(want, r.Total); diff != "" {
			t.Errorf("%s: total (-want +got):\n%s", name, diff)
		}
	}
}

// row is a line by its quantities and prices.
type row struct{ what, dense, denseUSD, sparse, sparseUSD string }

func rows(r *cost.Report) (all []row) {
	for _, l := range r.Lines {
		all = append(all, row{l.What, l.Dense.Quantity.String(), usd(l.Dense.USD), l.Sparse.Quantity.String(), usd(l.Sparse.USD)})
	}
	return all
}

func usd(u *cost.USD) string {
	if u == nil {
		return "unknown"
	}
	return u.String()
}

// seven are two counters: with their throttled seconds and what there always
// is, seven metrics.
var seven = []ena.Stat{ena.BWInAllowanceExceeded, ena.BWOutAllowanceExceeded}

func TestByHand(t *testing.T) {
	tests := []struct {
		name   string
		config cost.Config
		want   []row
	}{
		{"nothing is on", cost.Default(), nil},
		{"seven metrics, each minute", with(func(c *cost.Config) {
			c.Stats, c.CloudWatch = seven, &cost.CloudWatch{}
			c.BusyHours, c.FaultHours = 0, 0
		}), []row{
			{"Custom metrics, first 10,000", "7", "2.10", "1", "0.30"},
			{"PutMetricData calls", "43.8", "0.44", "43.8", "0.44"},
		}},
		{"sparse is billed by the hour: 1 + 4 x 73/730 + 2 x 365/730", with(func(c *cost.Config) {
			c.Stats, c.CloudWatch = seven, &cost.CloudWatch{}
			c.BusyHours, c.FaultHours = 73, 365
		}), []row{
			{"Custom metrics, first 10,000", "7", "2.10", "2.4", "0.72"},
			{"PutMetricData calls", "43.8", "0.44", "43.8", "0.44"},
		}},
		{"sparse is dense where it is always busy", with(func(c *cost.Config) {
			c.Stats, c.CloudWatch = seven, &cost.CloudWatch{}
			c.BusyHours, c.FaultHours = 730, 730
		}), []row{
			{"Custom metrics, first 10,000", "7", "2.10", "7", "2.10"},
			{"PutMetricData calls", "43.8", "0.44", "43.8", "0.44"},
		}},
		{"two counters of two interfaces besides, on 10 hosts", with(func(c *cost.Config) {
			c.Hosts, c.Interfaces = 10, 2
			c.Stats, c.CloudWatch = seven, &cost.CloudWatch{PerInterface: true}
			c.BusyHours, c.FaultHours = 73, 0
		}), []row{
			{"Custom metrics, first 10,000", "110", "33.00", "18", "5.40"},
			{"PutMetricData calls", "438", "4.38", "438", "4.38"},
		}},
		{"roll-ups: 7 names in each of 4 groups of 3 hosts or less, busy in 3 x 73 hours", with(func(c *cost.Config) {
			c.Hosts, c.Stats = 10, seven
			c.CloudWatch = &cost.CloudWatch{Rollups: []cost.Rollup{{"NodegroupName", 4}}}
			c.BusyHours, c.FaultHours = 73, 0
		}), []row{
			{"Custom metrics, first 10,000", "98", "29.40", "22.8", "6.84"},
			{"PutMetricData calls", "438", "4.38", "438", "4.38"},
		}},
		{"a roll-up is never busier than always", with(func(c *cost.Config) {
			c.Hosts, c.Stats = 1000, seven
			c.CloudWatch = &cost.CloudWatch{Rollups: []cost.Rollup{{"ClusterName", 1}}}
			c.BusyHours, c.FaultHours = 1, 0
		}), []row{
			{"Custom metrics, first 10,000", "7,007", "2,102.10", "1,010.479", "303.14"},
			{"PutMetricData calls", "43,800", "438.00", "43,800", "438.00"},
		}},
		{"traffic never rests", with(func(c *cost.Config) {
			c.Stats, c.CloudWatch = []ena.Stat{ena.SRDTxPkts, ena.SRDMode, ena.FirstQueue}, &cost.CloudWatch{}
			c.BusyHours, c.FaultHours = 0, 0
		}), []row{
			{"Custom metrics, first 10,000", "6", "1.80", "4", "1.20"},
			{"PutMetricData calls", "43.8", "0.44", "43.8", "0.44"},
		}},
		// Of 1503 data of 264 + 18 x 60 bytes, 744 fit 1 MB: 3 requests. In the
		// sparse month it is 1051 data and 2 requests, but for a tenth of it.
		{"requests are bounded by bytes", with(func(c *cost.Config) {
			c.Interfaces, c.CloudWatch = 250, &cost.CloudWatch{}
			c.Stats = []ena.Stat{ena.LinklocalAllowanceExceeded, ena.SRDTxPkts, ena.SRDMode, ena.SRDRxPkts, ena.SRDEligibleTxPkts}
			c.BusyHours, c.FaultHours = 73, 0
		}), []row{
			{"Custom metrics, first 10,000", "1,503", "450.90", "1,051", "315.30"},
			{"PutMetricData calls", "131.4", "1.31", "91.98", "0.92"},
		}},
		{"requests are bounded by count", with(func(c *cost.Config) {
			c.Publish = time.Second
			c.Interfaces, c.CloudWatch = 250, &cost.CloudWatch{}
			c.Stats = []ena.Stat{ena.SRDTxPkts, ena.SRDMode, ena.SRDRxPkts, ena.SRDEligibleTxPkts}
			c.BusyHours, c.FaultHours = 0, 0
		}), []row{
			{"Custom metrics, first 10,000", "1,003", "300.90", "1,001", "300.30"},
			{"PutMetricData calls", "5,256", "52.56", "5,256", "52.56"},
		}},
		{"a long dimension leaves room for fewer: 500 data of 2,382 bytes", with(func(c *cost.Config) {
			c.Interfaces, c.CloudWatch = 250, &cost.CloudWatch{}
			c.Stats = []ena.Stat{ena.SRDTxPkts, ena.SRDRxPkts}
			c.Dimensions = []metric.Dimension{{Name: "long", Value: strings.Repeat("x", 1018)}}
			c.BusyHours, c.FaultHours = 0, 0
		}), []row{
			{"Custom metrics, first 10,000", "503", "150.90", "501", "150.30"},
			{"PutMetricData calls", "87.6", "0.88", "87.6", "0.88"},
		}},
		{"data of interfaces are counted: 3 x 250 + 6", with(func(c *cost.Config) {
			c.Interfaces, c.CloudWatch = 250, &cost.CloudWatch{PerInterface: true}
			c.Stats = []ena.Stat{ena.TotalResets, ena.TxTimeout, ena.WdExpired}
			c.BusyHours, c.FaultHours = 0, 0
		}), []row{
			{"Custom metrics, first 10,000", "756", "226.80", "1", "0.30"},
			{"PutMetricData calls", "87.6", "0.88", "43.8", "0.44"},
		}},
		{"data of roll-ups are counted: 2 x 503", with(func(c *cost.Config) {
			c.Interfaces, c.CloudWatch = 250, &cost.CloudWatch{Rollups: []cost.Rollup{{"ClusterName", 1}}}
			c.Stats = []ena.Stat{ena.SRDTxPkts, ena.SRDRxPkts}
			c.BusyHours, c.FaultHours = 0, 0
		}), []row{
			{"Custom metrics, first 10,000", "508", "152.40", "504", "151.20"},
			{"PutMetricData calls", "87.6", "0.88", "87.6", "0.88"},
		}},
		{"OTLP: bytes as they are sent", with(func(c *cost.Config) {
			c.Stats, c.OTLP = seven, &cost.OTLP{}
			c.BusyHours, c.FaultHours = 0, 0
		}), []row{{"CloudWatch OTLP metrics", "0.06", "0.03", "0.03", "0.02"}}},
		{"AMP: 7 series a minute, sparse or dense", with(func(c *cost.Config) {
			c.Stats = cost.Stats(ena.Device)
			c.RemoteWrite = &cost.RemoteWrite{Interval: time.Minute, NameSets: 1, RetentionDays: 150}
		}), []row{
			{"AMP samples, first 2 billion", "0.031", "0.03", "0.031", "0.03"},
			{"AMP storage", "0.003", "0.00", "0.003", "0.00"},
		}},
		// 1,051.2 billion samples a month, of 2 bytes and kept for 12 months.
		{"AMP: tiers, of stats that are not said twice", with(func(c *cost.Config) {
			c.Hosts = 100_000
			c.Stats = []ena.Stat{ena.PPSAllowanceExceeded, ena.BWInAllowanceExceeded, ena.BWOutAllowanceExceeded, ena.BWInAllowanceExceeded}
			c.RemoteWrite = &cost.RemoteWrite{Interval: 3 * time.Second, NameSets: 3, RetentionDays: 365}
		}), []row{
			{"AMP samples, first 2 billion", "200", "180.00", "200", "180.00"},
			{"AMP samples, next 250 billion", "25,000", "8,750.00", "25,000", "8,750.00"},
			{"AMP samples, over 252 billion", "79,920", "12,787.20", "79,920", "12,787.20"},
			{"AMP storage", "23,496.151", "704.88", "23,496.151", "704.88"},
		}},
		{"5 Metrics Insights alarms over 1,000 hosts with 2 interfaces", with(func(c *cost.Config) {
			c.Hosts, c.Interfaces = 1000, 2
			c.Alarms = []cost.Alarm{{Kind: cost.MetricsInsights, Per: cost.Interface, Count: 5, Metrics: 1}}
		}), []row{{"Alarms, Metrics Insights", "10,000", "1,000.00", "10,000", "1,000.00"}}},
		{"alarms of every kind", with(func(c *cost.Config) {
			c.Hosts = 3
			c.Alarms = []cost.Alarm{
				{Kind: cost.Log, Per: cost.Host, Count: 2, Metrics: 1},
				{Kind: cost.Standard, Per: cost.Host, Count: 2, Metrics: 4},
				{Kind: cost.Standard, Per: cost.Fleet, Count: 5, Metrics: 1},
				{Kind: cost.HighResolution, Per: cost.Fleet, Count: 5, Metrics: 1},
				{Kind: cost.Composite, Per: cost.Host, Count: 1, Metrics: 1},
				{Kind: cost.PromQL, Per: cost.Fleet, Count: 1, Metrics: 1},
			}
			c.Dashboards = 2
		}), []row{
			{"Alarms, standard", "29", "2.90", "29", "2.90"},
			{"Alarms, high resolution", "5", "1.50", "5", "1.50"},
			{"Alarms, composite", "3", "1.50", "3", "1.50"},
			{"Alarms, PromQL", "1", "unknown", "1", "unknown"},
			{"Alarms, log query", "6", "unknown", "6", "unknown"},
			{"Dashboards", "2", "6.00", "2", "6.00"},
		}},
		{"the free tier covers a part", with(func(c *cost.Config) {
			c.Hosts, c.Stats, c.FreeTier = 20, seven, true
			c.CloudWatch = &cost.CloudWatch{}
			c.BusyHours, c.FaultHours = 0, 0
			c.Alarms = []cost.Alarm{{Kind: cost.Standard, Per: cost.Host, Count: 1, Metrics: 1}}
			c.Dashboards = 3
		}), []row{
			{"Custom metrics, free tier", "10", "0.00", "10", "0.00"},
			{"Custom metrics, first 10,000", "130", "39.00", "10", "3.00"},
			{"PutMetricData calls, free tier", "876", "0.00", "876", "0.00"},
			{"Alarms, standard, free tier", "10", "0.00", "10", "0.00"},
			{"Alarms, standard", "10", "1.00", "10", "1.00"},
			{"Dashboards, free tier", "3", "0.00", "3", "0.00"},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, rows(estimate(t, test.config)), cmp.AllowUnexported(row{})); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEveryMetric counts the metrics of the catalogue another way than by
// publishing them.
func TestEveryMetric(t *testing.T) {
	const interfaces = 3
	c := with(func(c *cost.Config) {
		c.Interfaces = interfaces
		c.Stats = cost.Stats(ena.Device, ena.SRD, ena.Driver, ena.AdminQueue, ena.Clock, ena.Queue)
		c.CloudWatch = &cost.CloudWatch{}
	})
	var want int64
	count := func(s metric.Scope) {
		if s == metric.PerInterface {
			want += interfaces
		} else {
			want++
		}
	}
	for _, e := range ena.Catalogue() {
		if !e.Internal {
			count(e.Scope)
		}
	}
	for _, d := range window.AllDerived() {
		count(d.Scope)
	}
	if got := estimate(t, c).Lines[0].Dense.Quantity; got.Cmp(new(big.Rat).SetInt64(want)) != 0 {
		t.Errorf("dense: %s metric-months, want %d", got, want)
	}
}

// TestLogBytes adds a dimension, whose bytes in a document are known: its name
// in each directive, and its name and value at the root.
func TestLogBytes(t *testing.T) {
	logs := func(f func(*cost.Config)) cost.Line {
		return estimate(t, with(func(c *cost.Config) {
			c.EMF, c.Stats = &cost.EMF{Namespace: "ENA", RetentionDays: 365}, seven
			c.BusyHours, c.FaultHours = 0, 0
			f(c)
		})).Lines[1]
	}
	plain := logs(func(*cost.Config) {})
	longer := logs(func(c *cost.Config) { c.Dimensions = []metric.Dimension{{Name: "team", Value: "net"}} })
	added := len(`,"team"`) + len(`,"team":"net"`)
	for _, mode := range []struct {
		name          string
		plain, longer cost.Quantity
	}{{"dense", plain.Dense.Quantity, longer.Dense.Quantity}, {"sparse", plain.Sparse.Quantity, longer.Sparse.Quantity}} {
		got := new(big.Rat).Sub(mode.longer.Rat, mode.plain.Rat)
		if want := big.NewRat(int64(added)*43_800, 1e9); got.Cmp(want) != 0 {
			t.Errorf("%s: a dimension adds %s GB, want %s", mode.name, got.FloatString(9), want.FloatString(9))
		}
	}

	// The document of a sparse calm minute, as it stands in the log.
	const document = `{"_aws":{"Timestamp":1790812800000,"CloudWatchMetrics":[{"Namespace":"ENA","Dimensions":[["InstanceId"]],"Metrics":[{"Name":"heartbeat","Unit":"Seconds"}]}]},"start":"2026-10-01T00:00:00Z","window_seconds":60,"host":"ip-10-0-100-100.ec2.internal","InstanceId":"i-00000000000000000","NetworkInterfaceId":"eni-00000000000000000","interface":"ens5","mac":"0a:00:00:00:00:00","driver_version":"2.13.3g","heartbeat":60}`
	if want := big.NewRat(int64(len(document)+26)*43_800, 1e9); plain.Sparse.Quantity.Cmp(want) != 0 {
		t.Errorf("sparse: %s GB, want %s", plain.Sparse.Quantity.FloatString(9), want.FloatString(9))
	}
}

// TestStorage bounds what compression makes of the documents, and holds that
// storage is what comes in during the retention.
func TestStorage(t *testing.T) {
	logs := func(days int) (ingested, stored *big.Rat) {
		c := with(func(c *cost.Config) { c.Hosts, c.EMF = 1000, &cost.EMF{Namespace: "ENA", RetentionDays: days} })
		for _, l := range estimate(t, c).Lines {
			switch l.What {
			case "Logs, ingestion":
				ingested = l.Dense.Quantity.Rat
			case "Logs, storage":
				stored = l.Dense.Quantity.Rat
			}
		}
		return ingested, stored
	}
	ingested, year := logs(365)
	if ratio, _ := new(big.Rat).Quo(year, ingested).Float64(); ratio < 12*0.02 || ratio > 12*0.5 {
		t.Errorf("of a year's logs %.2f months' worth is stored, want something compressed", ratio)
	}
	if _, week := logs(7); new(big.Rat).Quo(year, week).Cmp(big.NewRat(365, 7)) != 0 {
		t.Errorf("%s GB of a year's logs, %s of a week's", year.FloatString(3), week.FloatString(3))
	}
}

func TestRefused(t *testing.T) {
	tests := []struct {
		change func(*cost.Config)
		want   string
	}{
		{func(c *cost.Config) { c.Hosts = 0 }, "hosts: 0 is not from 1 to 10000000"},
		{func(c *cost.Config) { c.Hosts = 10_000_001 }, "hosts: 10000001 is not from 1 to 10000000"},
		{func(c *cost.Config) { c.Interfaces = 251 }, "interfaces per host: 251 is not from 1 to 250"},
		{func(c *cost.Config) { c.BusyHours = 731 }, "busy hours a month: 731 is not from 0 to 730"},
		{func(c *cost.Config) { c.FaultHours = -1 }, "fault hours a month: -1 is not from 0 to 730"},
		{func(c *cost.Config) { c.Dashboards = -1 }, "dashboards: -1 is not from 0 to 1000000"},
		{func(c *cost.Config) { c.CloudWatch = &cost.CloudWatch{Rollups: []cost.Rollup{{"ClusterName", 2}}} }, "groups of roll-up ClusterName: 2 is not from 1 to 1"},
		{func(c *cost.Config) { c.EMF = &cost.EMF{Namespace: "ENA"} }, "days of log retention: 0 is not from 1 to 3653"},
		{func(c *cost.Config) { c.EMF = &cost.EMF{Namespace: "AWS/ENA", RetentionDays: 1} }, `EMF namespace "AWS/ENA": AWS/ is reserved for AWS services: choose another`},
		{func(c *cost.Config) { c.RemoteWrite = &cost.RemoteWrite{NameSets: 1, RetentionDays: 1} }, "remote-write interval 0s: give 1s to 1h"},
		{func(c *cost.Config) {
			c.RemoteWrite = &cost.RemoteWrite{Interval: time.Second, NameSets: 4, RetentionDays: 1}
		}, "name sets: 4 is not from 1 to 3"},
		{func(c *cost.Config) {
			c.RemoteWrite = &cost.RemoteWrite{Interval: time.Second, NameSets: 1, RetentionDays: 1096}
		}, "days of AMP retention: 1096 is not from 1 to 1095"},
		{func(c *cost.Config) { c.Alarms = []cost.Alarm{{Kind: "loud", Per: cost.Host, Metrics: 1}} }, `there is no kind of alarm "loud"`},
		{func(c *cost.Config) { c.Alarms = []cost.Alarm{{Kind: cost.Log, Count: 1, Metrics: 1}} }, `log alarms per "": give fleet, host or interface`},
		{func(c *cost.Config) {
			c.Alarms = []cost.Alarm{{Kind: cost.Composite, Per: cost.Host, Count: 1, Metrics: 2}}
		}, "metrics of composite alarms: 2 is not from 1 to 1"},
		{func(c *cost.Config) {
			c.Alarms = []cost.Alarm{{Kind: cost.Standard, Per: cost.Host, Count: -1, Metrics: 2}}
		}, "standard alarms: -1 is not from 0 to 1000000"},
		{func(c *cost.Config) {
			c.Hosts = 1001
			c.Alarms = []cost.Alarm{{Kind: cost.Standard, Per: cost.Host, Count: 1_000_000, Metrics: 1}}
		}, "standard alarms: they would be billed for more than 1000000000 metrics"},
		{func(c *cost.Config) { c.Publish = 0 }, "publish interval 0s with sample interval 1s: give a whole multiple of it, at most 100 times as long, from 1s to 1h"},
		{func(c *cost.Config) { c.Sample = 0 }, "publish interval 1m0s with sample interval 0s: give a whole multiple of it, at most 100 times as long, from 1s to 1h"},
		{func(c *cost.Config) { c.Sample = 7 * time.Second }, "publish interval 1m0s with sample interval 7s: give a whole multiple of it, at most 100 times as long, from 1s to 1h"},
		{func(c *cost.Config) { c.Publish = 101 * time.Second }, "publish interval 1m41s with sample interval 1s: give a whole multiple of it, at most 100 times as long, from 1s to 1h"},
		{func(c *cost.Config) { c.Publish, c.Sample = 2*time.Hour, 2*time.Minute }, "publish interval 2h0m0s with sample interval 2m0s: give a whole multiple of it, at most 100 times as long, from 1s to 1h"},
		{func(c *cost.Config) { c.Stats = []ena.Stat{255} }, "a stat is not in the catalogue"},
		{func(c *cost.Config) { c.Dimensions = []metric.Dimension{{Name: "host", Value: "x"}} }, `dimension "host": the name has a meaning of its own in EMF documents: choose another`},
	}
	for _, test := range tests {
		_, err := cost.Estimate(with(test.change))
		if want := "estimate the cost: " + test.want; err == nil || err.Error() != want {
			t.Errorf("got error %v, want %s", err, want)
		}
	}
}
