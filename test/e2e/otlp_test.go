package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/simulate"
	"github.com/enawatch/enawatch/agent/sink/otlp"
	"github.com/enawatch/enawatch/test/awsfake"
)

// CloudWatch's OTLP endpoint gets every delta, signed, though it goes away, fails
// and loses answers in between.
func TestOTLPToCloudWatch(t *testing.T) {
	t.Parallel()
	for _, temporality := range []otlp.Temporality{otlp.Delta, otlp.Cumulative} {
		t.Run(string(temporality), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ledgerPath := filepath.Join(dir, "ledger.json")
			var r otlpResult
			runErrand(t, errand{Do: "otlp", Dir: dir, Output: string(temporality)}, &r,
				"--scenario", "../enasim/testdata/scenarios/steady-growth.yaml", "--ledger", ledgerPath, "--stop-when-done")
			ledger := readLedger(t, ledgerPath)
			p := takenBy(t, r, ledger)
			for i := range ena.Catalogue() {
				if e := ena.Stat(i).Entry(); e.Kind == metric.Counter && !e.Internal && e.Group != ena.Queue {
					checkCounter(t, e, ledger, p)
				}
			}
		})
	}
}

type otlpResult struct {
	Points []awsfake.Point
	Doubts int // requests that the agent said it might have sent twice
}

// takenBy adds up what CloudWatch took. What came twice, the agent must have been
// in doubt about.
func takenBy(t *testing.T, r otlpResult, ledger simulate.Ledger) published {
	t.Helper()
	macs := map[string]string{}
	for _, d := range ledger.Devices {
		macs[d.Name] = d.MAC
	}
	p := published{sum: map[string]float64{}, byMAC: map[string]map[string]float64{}, samples: map[string][]float64{}}
	add := func(name, mac string, v float64) {
		p.sum[name] += v
		if mac != "" && p.byMAC[mac] == nil {
			p.byMAC[mac] = map[string]float64{}
		}
		if mac != "" {
			p.byMAC[mac][name] += v
		}
	}
	names := map[string]string{}
	for _, e := range ena.Catalogue() {
		names[otlp.MetricName(e.Name)] = e.Name
	}
	type stream struct{ name, mac, start string }
	highest := map[stream]float64{}
	seen, repeats := map[string]bool{}, map[int]bool{}
	for _, point := range r.Points {
		name, mac := names[point.Metric], macs[point.Attributes["network.interface.name"]]
		if name == "" || point.Kind != "sum" {
			continue
		}
		id := point.Metric + mac + point.Start.String() + point.Time.String()
		switch {
		case seen[id]:
			repeats[point.Request] = true
		case point.Temporality == "delta":
			add(name, mac, point.Value)
			p.samples[name] = append(p.samples[name], point.Value)
		default:
			at := stream{name, mac, point.Start.String()}
			if point.Value < highest[at] {
				t.Errorf("%s fell from %v to %v", name, highest[at], point.Value)
			}
			highest[at] = point.Value
		}
		seen[id] = true
	}
	for at, v := range highest {
		add(at.name, at.mac, v)
	}
	if len(repeats) > r.Doubts {
		t.Errorf("%d requests came again, the agent was in doubt about %d", len(repeats), r.Doubts)
	}
	return p
}

// toOTLP runs an agent whose metrics go to the stand-in for CloudWatch, which is
// away from the third second to the sixth and then fails in other ways.
func toOTLP(e errand) {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	aws, err := awsfake.Start(awsfake.Options{})
	must(err)
	must(aws.Faults.Add(awsfake.Rule{Service: "otlp", After: 2, Times: 4, Faults: []awsfake.Fault{
		{Kind: awsfake.Reset, Store: true}, {Kind: awsfake.Throttle, RetryAfter: time.Second}, {Kind: awsfake.Status, Status: 500}, {Kind: awsfake.Drop},
	}}))
	args := []string{"run", "--sinks.otlp.endpoint", aws.URL(), "--sinks.otlp.sigv4", "--sinks.otlp.temporality", e.Output,
		"--publish-interval", "1s", "--sinks.emf=false", "--sinks.prometheus=false",
		"--state-dir", e.Dir, "--identity.mode", "static", "--identity.instance-id", "i-0123456789abcdef0"}
	var log bytes.Buffer
	run := func(until func()) {
		c := exec.Command(e.Agent, args...)
		c.Env, c.Stderr = awsEnvironment(), &log
		must(c.Start())
		until()
		must(c.Process.Signal(syscall.SIGTERM))
		must(c.Wait())
	}
	time.AfterFunc(3*time.Second, func() { aws.Refuse(3 * time.Second) })
	run(func() { <-stop.Done() })
	// What waits, a second agent delivers before its own windows.
	again := time.Now()
	deadline := time.After(2 * time.Minute)
	run(func() {
		for {
			if p := aws.OTLP.Points("system.network.ena.heartbeat"); len(p) > 0 && p[len(p)-1].Time.After(again.Add(time.Second)) {
				return
			}
			select {
			case <-deadline:
				must(fmt.Errorf("what waits is not delivered:\n%s", log.String()))
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	os.Stderr.Write(log.Bytes())
	must(json.NewEncoder(os.Stdout).Encode(otlpResult{aws.OTLP.Points(""), strings.Count(log.String(), "may count twice")}))
}
