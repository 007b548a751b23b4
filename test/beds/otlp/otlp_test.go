//go:build beds

// Package otlp runs the binary against the OpenTelemetry collector's own OTLP
// receiver.
package otlp

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/simulate"
	sink "github.com/enawatch/enawatch/agent/sink/otlp"
	"github.com/enawatch/enawatch/test/beds/bed"
)

// The receiver takes everything that happened to the counters, though it
// refuses a request and then goes away for a while.
func TestCollector(t *testing.T) {
	agent, rig := bed.Build(t, "./cmd/enawatch"), bed.Build(t, "./test/enasim")
	receiver := filepath.Join(t.TempDir(), "receiver")
	build := exec.Command("go", "build", "-o", receiver, ".")
	build.Dir, build.Env = "receiver", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, args := range map[string][]string{
		"delta":      {"--sinks.otlp.distribution=histogram"},
		"cumulative": {"--sinks.otlp.temporality=cumulative", "--sinks.otlp.distribution=histogram"},
		"plain":      {"--sinks.otlp.compression=none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ledgerPath := filepath.Join(t.TempDir(), "ledger.json")
			command := append([]string{
				"--ledger", ledgerPath, "--stop-when-done", "--scenario", filepath.Join(bed.Root(), "test/enasim/testdata/scenarios/steady-growth.yaml"), "--",
				receiver, "-back", "4s", agent, "run", "--sinks.otlp", "--sinks.otlp.per-interface", "--sinks.otlp.publish-jitter=0s", "--publish-interval=1s",
				"--sinks.emf=false", "--sinks.prometheus=false", "--state-dir", t.TempDir(), "--identity.mode=static",
			}, args...)
			var stdout, stderr bytes.Buffer
			c := exec.Command(rig, command...)
			c.Stdout, c.Stderr = &stdout, &stderr
			if err := c.Run(); err != nil {
				t.Fatalf("%v\n%s", err, stderr.String())
			}
			t.Cleanup(func() {
				if t.Failed() {
					t.Log(stderr.String())
				}
			})
			var ledger simulate.Ledger
			content, err := os.ReadFile(ledgerPath)
			if err == nil {
				err = json.Unmarshal(content, &ledger)
			}
			if err != nil {
				t.Fatal(err)
			}
			compare(t, ledger, taken(t, stdout.Bytes()))
		})
	}
}

type series struct{ metric, device string }

// taken returns what the sums came to, of all requests.
func taken(t *testing.T, lines []byte) map[series]uint64 {
	t.Helper()
	total, start := map[series]uint64{}, map[series]uint64{}
	for line := range bytes.Lines(lines) {
		var m metricspb.MetricsData
		if err := protojson.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		for _, metric := range m.ResourceMetrics[0].ScopeMetrics[0].Metrics {
			for _, p := range metric.GetSum().GetDataPoints() {
				at := series{metric: metric.Name}
				for _, a := range p.Attributes {
					if a.Key == "network.interface.name" {
						at.device = a.Value.GetStringValue()
					}
				}
				if metric.GetSum().AggregationTemporality == metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA {
					total[at] += uint64(p.GetAsInt())
					continue
				}
				if start[at] != 0 && start[at] != p.StartTimeUnixNano || uint64(p.GetAsInt()) < total[at] {
					t.Errorf("%v began anew, or fell", at)
				}
				start[at], total[at] = p.StartTimeUnixNano, uint64(p.GetAsInt())
			}
		}
	}
	return total
}

// compare holds what was taken against what happened.
func compare(t *testing.T, ledger simulate.Ledger, taken map[series]uint64) {
	t.Helper()
	compared := 0
	for i := range ena.Catalogue() {
		e := ena.Stat(i).Entry()
		if e.Kind != metric.Counter || e.Internal || e.Group == ena.Queue {
			continue
		}
		for _, d := range ledger.Devices {
			got, want := taken[series{sink.MetricName(e.Name), d.Name}], d.Stats[e.Name].Added
			if got != want {
				t.Errorf("%s of %s: taken %d, happened %d", e.Name, d.Name, got, want)
			}
			if want > 0 {
				compared++
			}
		}
	}
	if compared < 5 || !ledger.Done {
		t.Errorf("only %d counters grew, the script is done: %t", compared, ledger.Done)
	}
}
