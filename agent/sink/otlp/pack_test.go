package otlp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/window"
)

// What leaves the program, for each way to configure it.
func TestGolden(t *testing.T) {
	for name, o := range map[string]Options{
		"delta":                {},
		"delta-histogram":      {Distribution: Histogram},
		"cumulative":           {Temporality: Cumulative, Distribution: NoDistribution},
		"cumulative-histogram": {Temporality: Cumulative, Distribution: Histogram},
		"per-interface":        {PerInterface: true, Distribution: NoDistribution},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSink(t, o)
			var got bytes.Buffer
			for _, b := range []*metric.Batch{everything(0), batch(1, counter("pps_allowance_exceeded", -1, 1, 0, 0))} {
				for _, r := range pack(t, s, b) {
					got.Write(readable(t, r.Data))
				}
			}
			path := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		})
	}
}

// readable returns a request as JSON, its metrics a line each.
func readable(t *testing.T, data []byte) []byte {
	t.Helper()
	request := unmarshal(t, data).ResourceMetrics[0]
	lines := []proto.Message{request.Resource, request.ScopeMetrics[0].Scope}
	for _, m := range request.ScopeMetrics[0].Metrics {
		lines = append(lines, m)
	}
	var out bytes.Buffer
	for _, line := range lines {
		text, err := protojson.Marshal(line)
		if err == nil {
			err = json.Compact(&out, text) // protojson's own spaces differ from one build to the next
		}
		if err != nil {
			t.Fatal(err)
		}
		out.WriteByte('\n')
	}
	return out.Bytes()
}

func unmarshal(t testing.TB, data []byte) *metricspb.MetricsData {
	t.Helper()
	var m metricspb.MetricsData
	if err := proto.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return &m
}

// sums adds up the points of a counter over requests: the deltas, or what each
// cumulative series rose to.
func sums(t testing.TB, requests []sink.Request, name string) (total int64, points int) {
	t.Helper()
	highest := map[string]int64{}
	for _, r := range requests {
		for _, m := range unmarshal(t, r.Data).ResourceMetrics[0].ScopeMetrics[0].Metrics {
			if m.Name != MetricName(name) {
				continue
			}
			for _, p := range m.GetSum().DataPoints {
				points++
				if m.GetSum().AggregationTemporality == metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA {
					total += p.GetAsInt()
				} else {
					highest[fmt.Sprint(p.Attributes, p.StartTimeUnixNano)] = p.GetAsInt()
				}
			}
		}
	}
	for _, n := range highest {
		total += n
	}
	return total, points
}

// Whatever comes and goes, cumulative series rise to what the deltas add up to.
func TestCumulativeConserves(t *testing.T) {
	const name = "linklocal_allowance_exceeded"
	windows := []*metric.Batch{
		batch(0, counter(name, 0, 1, 2), counter(name, 1, 10)),
		batch(1),                      // nothing grew
		batch(2, counter(name, 0, 4)), // the second interface leaves
		batch(3, counter(name, 0, 8)),
		batch(4, counter(name, 1, 20)), // and comes back
		batch(5, counter(name, 1, 40)), // the first gets another name
		batch(6, counter(name, 0, 80)), // the host learns its zone
	}
	windows[3].Interfaces = windows[3].Interfaces[:1]
	for _, b := range windows[5:] {
		b.Interfaces[0].Name = "eth9"
	}
	zone := ""
	host := func() Host { return Host{Zone: zone} }
	deltas, cumulative := newSink(t, Options{Host: host}), newSink(t, Options{Host: host, Temporality: Cumulative})
	var want, got []sink.Request
	for i, b := range windows {
		if i == 6 {
			zone = "eu-west-1a"
		}
		want, got = append(want, pack(t, deltas, b)...), append(got, pack(t, cumulative, b)...)
	}
	total, _ := sums(t, want, name)
	rose, points := sums(t, got, name)
	if total != 165 || rose != total {
		t.Errorf("deltas add up to %d, cumulative series rose to %d", total, rose)
	}
	// Four series begin with a zero: two at first, one when an interface comes
	// back, one with the new resource. In each window there is a point for each
	// series that has begun and is there.
	if points != 4+2+2+2+1+2+1+1 {
		t.Errorf("%d points", points)
	}
}

// A request never exceeds its limits, and the parts of one hold what it held.
func TestLimits(t *testing.T) {
	s := newSink(t, Options{Distribution: Histogram})
	b := batch(0)
	b.Interfaces = nil
	for i := range 400 {
		b.Interfaces = append(b.Interfaces, metric.Interface{Name: fmt.Sprintf("ens%d", i)})
		b.Series = append(b.Series, counter("tx_timeout", i, 1, float64(i), 1e9), counter("rx_drops", i, 1))
	}
	b.Resource.Dimensions = []metric.Dimension{{Name: "long", Value: strings.Repeat("x", 2000)}}
	requests := pack(t, s, b)
	if len(requests) < 4 {
		t.Errorf("%d requests", len(requests))
	}
	points := 0
	for _, r := range requests {
		if len(r.Data) > maxBytes+1000 || r.Points > maxPoints {
			t.Errorf("%d bytes, %d points", len(r.Data), r.Points)
		}
		points += r.Points
	}
	if points != 1600 {
		t.Errorf("%d points", points)
	}
	total, _ := sums(t, requests, "tx_timeout")
	var parts []sink.Request
	for _, r := range requests {
		halves := s.Split(r.Data)
		if len(halves) != 2 || halves[0].Points+halves[1].Points != r.Points {
			t.Fatalf("%d points are split into %v", r.Points, halves)
		}
		parts = append(parts, halves...)
	}
	if again, n := sums(t, parts, "tx_timeout"); again != total || n != 400 {
		t.Errorf("the parts come to %d in %d points, the whole to %d", again, n, total)
	}
}

func TestSplitAndDescribe(t *testing.T) {
	s := newSink(t, Options{Distribution: NoDistribution})
	one := pack(t, s, batch(0, counter("tx_timeout", -1, 1)))
	if got := s.Split(one[0].Data); got != nil {
		t.Errorf("one point is split: %v", got)
	}
	if got := s.Split([]byte("x")); got != nil {
		t.Errorf("nonsense is split: %v", got)
	}
	if got := s.Describe(one[0].Data); got != `"system.network.ena.tx_timeout"` {
		t.Errorf("Describe: %s", got)
	}
	if got := s.Describe(pack(t, s, everything(0))[0].Data); !strings.HasSuffix(got, " more") || strings.Count(got, `"`) != 6 {
		t.Errorf("Describe: %s", got)
	}
	if got := s.Describe([]byte("x")); got != "1 bytes that are no request of this program" {
		t.Errorf("Describe: %s", got)
	}
}

func TestPackRefuses(t *testing.T) {
	s := newSink(t, Options{})
	requests, err := s.Pack(batch(0, counter("tx_timeout", 7, 1), counter("rx_drops", -1), counter("tx_drops", -1, 1)))
	if err == nil || len(requests) != 1 || requests[0].Points != 2 {
		t.Errorf("%v, %v", requests, err)
	}
	b := batch(0)
	b.Resource.Simulated = true
	if _, err := s.Pack(b); err == nil {
		t.Error("a simulation is packed")
	}
	if _, err := New(Options{Simulated: true}); err == nil {
		t.Error("a simulation has a sink")
	}
	if len(pack(t, s, batch(0))) != 0 {
		t.Error("an empty window has requests")
	}
}

// Text that is no UTF-8 is no reason to lose a window.
func TestBadText(t *testing.T) {
	s := newSink(t, Options{})
	b := batch(0, counter("tx_timeout", 0, 1))
	b.Resource.Host, b.Interfaces[0].Name = "a\xff", "e\xff"
	if r := pack(t, s, b); len(r) != 1 || !bytes.Contains(r[0].Data, []byte("e\uFFFD")) {
		t.Errorf("%d requests: %v", len(r), r)
	}
}

// No two metrics have one name.
func TestNames(t *testing.T) {
	seen := map[string]string{}
	unique := func(name string) {
		for _, n := range []string{MetricName(name), MetricName(name) + suffixMax, MetricName(name) + suffixMin, MetricName(name) + suffixDistribution} {
			if other := seen[n]; other != "" {
				t.Errorf("%s and %s are both %s", name, other, n)
			}
			seen[n] = name
		}
	}
	for _, e := range ena.Catalogue() {
		unique(e.Name)
	}
	for _, d := range slices.Concat(window.AllDerived(), window.LinkLocal(), window.Conntrack()) {
		unique(d.Name)
	}
}

func FuzzDecode(f *testing.F) {
	s := newSink(f, Options{Distribution: Histogram, Temporality: Cumulative})
	for _, r := range pack(f, s, everything(0)) {
		f.Add(r.Data)
	}
	f.Add([]byte("\x0a\x02\x12\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = s.Describe(data)
		for _, half := range s.Split(data) {
			if _, err := decode(half.Data); err != nil {
				t.Error(err)
			}
		}
		r, err := decode(data)
		if err != nil {
			return
		}
		again, err := decode(r.encode().Data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, again, sameRequest); diff != "" {
			t.Errorf("(-read +read again):\n%s", diff)
		}
	})
}

func BenchmarkPack(b *testing.B) {
	s := newSink(b, Options{})
	window := everything(0)
	b.ReportAllocs()
	for b.Loop() {
		window.Start = window.Start.Add(time.Minute)
		if _, err := s.Pack(window); err != nil {
			b.Fatal(err)
		}
	}
}
