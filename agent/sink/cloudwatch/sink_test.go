package cloudwatch

import (
	"bytes"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/test/awsfake"
)

var update = flag.Bool("update", false, "write golden files")

// proxyURL is a proxy that no test's request goes through: all go to loopback.
const proxyURL = "http://me:s3cret@proxy.invalid:3128"

func TestMain(m *testing.M) {
	awsfake.ForgetEnvironment()
	os.Setenv("HTTP_PROXY", proxyURL)
	os.Setenv("HTTPS_PROXY", proxyURL)
	os.Exit(m.Run())
}

func startFake(t testing.TB, o awsfake.Options) *awsfake.Server {
	t.Helper()
	s, err := awsfake.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// static is a provider of one key of the stand-in.
func static(c awsfake.Credential) aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
}

// newSink returns a sink whose endpoint is the stand-in.
func newSink(t testing.TB, s *awsfake.Server, change ...func(*Options)) *Sink {
	t.Helper()
	o := Options{Namespace: "ENA", Region: "us-east-1", Endpoint: s.URL(), Credentials: static(awsfake.DefaultCredential), Timeout: 10 * time.Second}
	for _, f := range change {
		f(&o)
	}
	out, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// minute is a window in the last minutes, which the service takes.
func minute() time.Time { return time.Now().UTC().Truncate(time.Minute).Add(-time.Minute) }

// seconds returns a minute of samples that are zero but for the first ones.
func seconds(first ...float64) []float64 { return append(first, make([]float64, 60-len(first))...) }

// eventful is a window in which much happened, on a host with two interfaces.
func eventful() *metric.Batch {
	return &metric.Batch{
		Start: minute(), Length: time.Minute,
		Resource: metric.Resource{Host: "ip-10-0-0-10", InstanceID: "i-0123456789abcdef0", Dimensions: []metric.Dimension{{Name: "team", Value: "net"}}},
		Interfaces: []metric.Interface{
			{Name: "ens5", MAC: "02:00:00:00:00:01", ENI: "eni-00000000000000001", DriverVersion: "2.13.0g"},
			{Name: "ens6", MAC: "02:00:00:00:00:02", DriverVersion: "2.13.0g"},
		},
		Series: []metric.Series{
			{Name: "pps_allowance_exceeded", Unit: metric.Count, Interface: -1, Samples: seconds(7, 0, 1200, 7)},
			{Name: "conntrack_allowance_available", Kind: metric.Gauge, Unit: metric.Count, Interface: -1, Samples: []float64{136812, 136810, 136812}},
			{Name: "heartbeat", Kind: metric.Gauge, Unit: metric.Seconds, Interface: -1, Samples: []float64{60}},
			{Name: "pps_allowance_exceeded", Unit: metric.Count, Scope: metric.PerInterface, Interface: 0, Detail: true, Samples: seconds(7, 0, 1000)},
			{Name: "linklocal_allowance_exceeded", Unit: metric.Count, Scope: metric.PerInterface, Interface: 0, Samples: seconds(3)},
			{Name: "pps_allowance_exceeded", Unit: metric.Count, Scope: metric.PerInterface, Interface: 1, Detail: true, Samples: seconds(0, 0, 200, 7)},
			{Name: "linklocal_allowance_exceeded", Unit: metric.Count, Scope: metric.PerInterface, Interface: 1, Samples: seconds()},
		},
		Levels: []metric.Level{
			{Interface: 0, Name: "bw_in_allowance_exceeded", Value: 0},
			{Interface: 0, Name: "pps_allowance_exceeded", Value: 91007},
			{Interface: 1, Name: "pps_allowance_exceeded", Value: 207},
		},
	}
}

// quiet is a window in which nothing happened, as nearly all are.
func quiet() *metric.Batch {
	b := eventful()
	b.Series = slices.Clone(b.Series[1:3])
	b.Series[0].Samples = slices.Repeat([]float64{136812}, 60)
	return b
}

// pack fails the test if not all of b can be sent.
func pack(t testing.TB, s *Sink, b *metric.Batch) []sink.Request {
	t.Helper()
	requests, err := s.Pack(b)
	if err != nil {
		t.Fatal(err)
	}
	return requests
}

// one packs b into what must be one request.
func one(t testing.TB, s *Sink, b *metric.Batch) sink.Request {
	t.Helper()
	requests := pack(t, s, b)
	if len(requests) != 1 {
		t.Fatalf("%d requests", len(requests))
	}
	return requests[0]
}

func deliver(t testing.TB, s *Sink, requests ...sink.Request) {
	t.Helper()
	for _, r := range requests {
		if err := s.Deliver(t.Context(), r.Data); err != nil {
			t.Fatalf("%s: %v", s.Describe(r.Data), err)
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// selves lists what a sink says of itself, but for the skew, which varies.
func selves(s *Sink) string {
	var b strings.Builder
	for _, m := range s.SelfMetrics() {
		if m.Name == "enawatch_cloudwatch_clock_skew_seconds" {
			continue
		}
		b.WriteString(m.Name)
		for _, l := range m.Labels {
			b.WriteString(" " + l.Name + "=" + l.Value)
		}
		fmt.Fprintf(&b, " %v\n", m.Value)
	}
	return b.String()
}

// logTo makes a sink log to a buffer, without times.
func logTo(b *bytes.Buffer) func(*Options) {
	return func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
	}
}
