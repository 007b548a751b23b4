package otlp

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/test/awsfake"
)

var update = flag.Bool("update", false, "write golden files")

func TestMain(m *testing.M) {
	awsfake.ForgetEnvironment()
	os.Exit(m.Run())
}

var start = time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)

// batch is window number n of a host with two interfaces, without series.
func batch(n int, series ...metric.Series) *metric.Batch {
	return &metric.Batch{
		Start: start.Add(time.Duration(n) * time.Minute), Length: time.Minute,
		Resource: metric.Resource{
			Host: "ip-10-0-0-1", InstanceID: "i-0123456789abcdef0", Dimensions: []metric.Dimension{{Name: "team", Value: "net"}},
		},
		Interfaces: []metric.Interface{{Name: "ens5", MAC: "0a:00:00:00:00:01", ENI: "eni-1"}, {Name: "ens6", MAC: "0a:00:00:00:00:02"}},
		Series:     series,
	}
}

// counter and gaugeOf return a series of an interface, -1 being the host.
func counter(name string, at int, samples ...float64) metric.Series {
	s := metric.Series{Name: name, Unit: metric.Count, Interface: at, Samples: samples}
	if at >= 0 {
		s.Scope = metric.PerInterface
	}
	return s
}

func gaugeOf(name string, at int, samples ...float64) metric.Series {
	s := counter(name, at, samples...)
	s.Kind = metric.Gauge
	return s
}

func detail(s metric.Series) metric.Series {
	s.Detail = true
	return s
}

// everything is a window with each kind of series.
func everything(n int) *metric.Batch {
	return batch(n,
		counter("pps_allowance_exceeded", -1, 0, 5, 7),
		gaugeOf("conntrack_allowance_available", -1, 100, 90, 95),
		metric.Series{Name: "heartbeat", Kind: metric.Gauge, Unit: metric.Seconds, Interface: -1, Whole: true, Samples: []float64{60}},
		metric.Series{Name: "pps_throttled_seconds", Unit: metric.Seconds, Interface: -1, Whole: true, Samples: []float64{2}},
		detail(counter("pps_allowance_exceeded", 0, 0, 5, 0)),
		counter("linklocal_allowance_exceeded", 0, 3, 0, 0),
		counter("ena_srd_tx_pkts", 0, 1000, 1200, 900),
		detail(counter("pps_allowance_exceeded", 1, 0, 0, 7)),
		counter("linklocal_allowance_exceeded", 1, 0, 0, 4),
	)
}

func newSink(t testing.TB, o Options) *Sink {
	t.Helper()
	o.Version = "v1.2.3"
	if o.Host == nil {
		o.Host = func() Host {
			return Host{Region: "eu-west-1", Zone: "eu-west-1a", AccountID: "123456789012", InstanceType: "c7g.large", ImageID: "ami-1", Cluster: "prod", Nodegroup: "blue", Node: "ip-10-0-0-1.internal"}
		}
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pack(t testing.TB, s *Sink, b *metric.Batch) []sink.Request {
	t.Helper()
	requests, err := s.Pack(b)
	if err != nil {
		t.Fatal(err)
	}
	return requests
}
