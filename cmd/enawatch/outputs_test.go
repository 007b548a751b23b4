package main

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/cloudwatch"
	"github.com/enawatch/enawatch/agent/sink/emf"
	"github.com/enawatch/enawatch/agent/sink/otlp"
	"github.com/enawatch/enawatch/test/awsfake"
)

// A thousand hosts do not send at once: none of the seconds gets three times its
// share, and nobody is later than the interval.
func TestHostsSpreadOverTheInterval(t *testing.T) {
	cfg := config.Default()
	o := &outputs{cfg: cfg}
	seconds := map[int]int{}
	for i := range 1000 {
		phase := o.phase(metric.Resource{Host: fmt.Sprintf("ip-10-0-%d-%d", i/256, i%256), InstanceID: fmt.Sprintf("i-%017x", 0xabcdef+i)}, time.Minute)
		if phase < 0 || phase >= time.Minute {
			t.Fatalf("phase %v", phase)
		}
		seconds[int(phase/time.Second)]++
	}
	for s, n := range seconds {
		if n > 3*1000/60 {
			t.Errorf("%d hosts in second %d", n, s)
		}
	}
	if len(seconds) < 55 {
		t.Errorf("only %d seconds are used", len(seconds))
	}
	cfg.PublishInterval = 10 * time.Second
	if phase := o.phase(metric.Resource{Host: "a"}, time.Minute); phase >= 10*time.Second {
		t.Errorf("phase %v of an interval of 10 s", phase)
	}
}

// What goes to a service that a fleet shares waits for its host's moment, within
// the sink's own jitter; what stays on the host waits for nothing.
func TestPhaseOfEachSink(t *testing.T) {
	cfg := config.Default()
	cfg.Sinks.CloudWatch = &config.CloudWatch{PublishJitter: 50 * time.Second}
	cfg.Sinks.EMF = &config.EMF{PublishJitter: 20 * time.Second}
	cfg.Sinks.OTLP = &config.OTLP{PublishJitter: 5 * time.Second}
	o := &outputs{cfg: cfg}
	for _, tt := range []struct {
		sink sink.Sink
		most time.Duration
	}{
		{&cloudwatch.Sink{}, 50 * time.Second}, {&emf.Logs{}, 20 * time.Second}, {&otlp.Sink{}, 5 * time.Second},
		{&emf.File{}, 0}, {&emf.Stream{}, 0}, {&emf.Datagram{}, 0},
	} {
		var latest time.Duration
		for i := range 1000 {
			latest = max(latest, o.phaseOf(tt.sink, metric.Resource{InstanceID: fmt.Sprintf("i-%017x", i)}))
		}
		if latest > tt.most || latest < tt.most*9/10 {
			t.Errorf("%T: the last of a thousand hosts sends after %v, want nearly %v", tt.sink, latest, tt.most)
		}
	}
}

// The same for what arrives: a thousand hosts send their windows to the stand-in
// for CloudWatch, each at its moment by the stand-in's clock.
func TestThousandHostsArriveEvenly(t *testing.T) {
	end := time.Now().Truncate(time.Second)
	var now atomic.Int64
	aws, err := awsfake.Start(awsfake.Options{Now: func() time.Time { return end.Add(time.Duration(now.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	defer aws.Close()
	s, err := cloudwatch.New(cloudwatch.Options{
		Namespace: "ENA", Region: "us-east-1", Endpoint: aws.URL(), DisableIMDS: true,
		Host:        func() cloudwatch.Host { return cloudwatch.Host{} },
		MaxSeries:   10_000,
		Credentials: credentials.NewStaticCredentialsProvider(awsfake.DefaultCredential.AccessKeyID, awsfake.DefaultCredential.SecretAccessKey, ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	o := &outputs{cfg: cfg}

	type host struct {
		resource metric.Resource
		phase    time.Duration
	}
	hosts := make([]host, 1000)
	for i := range hosts {
		r := metric.Resource{Host: fmt.Sprintf("ip-10-1-%d-%d", i/256, i%256), InstanceID: fmt.Sprintf("i-%017x", 0x123456+7*i)}
		hosts[i] = host{r, o.phase(r, time.Minute)}
	}
	slices.SortFunc(hosts, func(a, b host) int { return int(a.phase - b.phase) })
	for _, h := range hosts {
		now.Store(int64(h.phase))
		requests, err := s.Pack(&metric.Batch{Start: end.Add(-time.Minute), Length: time.Minute, Resource: h.resource, Series: []metric.Series{
			{Name: "heartbeat", Kind: metric.Gauge, Unit: metric.Seconds, Interface: -1, Whole: true, Samples: []float64{60}},
		}})
		if err != nil || len(requests) != 1 {
			t.Fatalf("%d requests, %v", len(requests), err)
		}
		if err := s.Deliver(t.Context(), requests[0].Data); err != nil {
			t.Fatal(err)
		}
	}
	seconds := map[int]int{}
	for _, q := range aws.Journal.Requests("cloudwatch", "PutMetricData") {
		seconds[int(q.At.Sub(end)/time.Second)]++
	}
	worst, total := 0, 0
	for _, n := range seconds {
		worst, total = max(worst, n), total+n
	}
	if total != 1000 || worst > 3*1000/60 {
		t.Errorf("%d requests, %d of them in one second", total, worst)
	}
}
