package cloudwatch

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/test/awsfake"
)

// TestRequests sends a window in each mode to the stand-in, which verifies
// signatures and limits, and shows what came over the wire.
func TestRequests(t *testing.T) {
	eks := func() Host {
		return Host{
			AutoScalingGroup: "eks-nodes", Cluster: "prod", Nodegroup: "general", Node: "ip-10-0-0-10.ec2.internal",
			ImageID: "ami-0123456789abcdef0", InstanceType: "c7i.large",
		}
	}
	off := func(b *metric.Batch) { // nobody knows who the host is
		b.Resource.InstanceID = ""
		b.Interfaces[0].ENI = ""
	}
	tests := []struct {
		name   string
		change func(*Options)
		batch  func(*metric.Batch)
	}{
		{"plain", func(o *Options) { o.Entity = true }, nil},
		{"quiet", func(o *Options) { o.Entity = true }, func(b *metric.Batch) { *b = *quiet() }},
		{"no-identity", func(o *Options) { o.Entity = true }, off},
		{"no-entity", func(o *Options) { o.Entity = false }, nil},
		{"eks", func(o *Options) { o.Entity, o.Host = true, eks }, nil},
		{"per-interface", func(o *Options) { o.PerInterface = true }, nil},
		{"rollups", func(o *Options) {
			o.Entity, o.Host, o.Rollups = true, eks, []string{RollupAutoScalingGroup, RollupCluster, RollupNodegroup}
		}, nil},
		{"high-resolution", func(o *Options) { o.Resolution = 1 }, func(b *metric.Batch) { b.Length = 10 * time.Second }},
		{"cwagent", func(o *Options) { o.CompatCWAgent, o.Host = true, eks }, nil},
		{"cwagent-instance", func(o *Options) { o.CompatCWAgent, o.Host, o.CWAgentDimensions = true, eks, []string{"InstanceId"} }, nil},
		{"cwagent-host", func(o *Options) { o.CompatCWAgent, o.Host, o.CWAgentDimensions = true, eks, []string{} }, nil},
		{"cwagent-no-identity", func(o *Options) { o.CompatCWAgent = true }, off},
		{"names", nil, func(b *metric.Batch) {
			b.Resource.InstanceID, b.Resource.Host = "", "höst\x00"
			b.Interfaces[1].Name = "eth0:ä"
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := startFake(t, awsfake.Options{})
			s := newSink(t, server, func(o *Options) {
				if tt.change != nil {
					tt.change(o)
				}
			})
			b := eventful()
			if tt.batch != nil {
				tt.batch(b)
			}
			deliver(t, s, pack(t, s, b)...)
			var text strings.Builder
			for _, q := range server.Journal.Requests("cloudwatch", "PutMetricData") {
				v, err := cbor.Decode(q.Body)
				if err != nil {
					t.Fatal(err)
				}
				text.WriteString(render(v.(cbor.Map), b.Start))
			}
			golden(t, tt.name+".golden", text.String())
		})
	}
}

// render writes a request with one line for each datum.
func render(m cbor.Map, start time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Namespace %s\n", line(m["Namespace"], start))
	if strict, ok := m["StrictEntityValidation"]; ok {
		fmt.Fprintf(&b, "StrictEntityValidation %s\n", line(strict, start))
	}
	list, _ := m["EntityMetricData"].(cbor.List)
	for _, e := range list {
		fmt.Fprintf(&b, "Entity %s\n", line(e.(cbor.Map)["Entity"], start))
		for _, d := range e.(cbor.Map)["MetricData"].(cbor.List) {
			b.WriteString("  " + line(d, start) + "\n")
		}
	}
	list, _ = m["MetricData"].(cbor.List)
	if len(list) > 0 {
		b.WriteString("MetricData\n")
	}
	for _, d := range list {
		b.WriteString("  " + line(d, start) + "\n")
	}
	return b.String()
}

func line(v cbor.Value, start time.Time) string {
	b, err := json.Marshal(plain(v, start))
	if err != nil {
		panic(err)
	}
	return string(b)
}

// plain turns CBOR into what JSON can hold. Times become offsets from start.
func plain(v cbor.Value, start time.Time) any {
	switch v := v.(type) {
	case cbor.Map:
		out := map[string]any{}
		for k, m := range v {
			out[k] = plain(m, start)
		}
		return out
	case cbor.List:
		var out []any
		for _, m := range v {
			out = append(out, plain(m, start))
		}
		return out
	case *cbor.Tag:
		at, err := cbor.AsTime(v)
		if err != nil {
			panic(err)
		}
		return "start+" + at.Sub(start).String()
	case cbor.String:
		return string(v)
	case cbor.Uint:
		return uint64(v)
	case cbor.Bool:
		return bool(v)
	case cbor.Float32:
		return float64(v)
	case cbor.Float64:
		return float64(v)
	}
	panic(fmt.Sprintf("no rendering of %T", v))
}

// TestConservation adds up what the service holds: the window's own sums.
func TestConservation(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	s := newSink(t, server)
	b := eventful()
	deliver(t, s, pack(t, s, b)...)
	for _, want := range b.Series {
		if want.Detail {
			continue
		}
		q := awsfake.MetricQuery{Namespace: "ENA", Name: want.Name, Dimensions: map[string]string{"InstanceId": "i-0123456789abcdef0", "team": "net"}}
		switch want.Interface {
		case 0:
			q.Dimensions["NetworkInterfaceId"] = "eni-00000000000000001"
		case 1:
			q.Dimensions["interface"] = "ens6"
		}
		got := server.CloudWatch.Summarize(q).StatisticSet
		exact := awsfake.StatisticSet{SampleCount: float64(len(want.Samples)), Sum: want.Sum(), Minimum: want.Min(), Maximum: want.Max()}
		if diff := cmp.Diff(exact, got); diff != "" {
			t.Errorf("%s of interface %d (-want +got):\n%s", want.Name, want.Interface, diff)
		}
	}
}

// TestQuietMinute is about what a fleet pays for: bytes of the minutes in which
// nothing happens.
func TestQuietMinute(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	s := newSink(t, server, func(o *Options) { o.Entity = true })
	r := one(t, s, quiet())
	deliver(t, s, r)
	q := server.Journal.Requests("cloudwatch", "")[0]
	if q.WireBytes >= 1024 || len(r.Data) >= 1024 {
		t.Errorf("%d bytes on the wire and %d in the spool, want less than 1024", q.WireBytes, len(r.Data))
	}
	t.Logf("%d bytes on the wire, %d in the spool", q.WireBytes, len(r.Data))
}

// TestCompression: from 1 KiB on, requests are compressed.
func TestCompression(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	s := newSink(t, server)
	deliver(t, s, one(t, s, eventful()))
	if q := server.Journal.Requests("cloudwatch", "")[0]; q.Header.Get("Content-Encoding") != "gzip" || q.WireBytes >= len(q.Body) {
		t.Errorf("%d bytes were sent as %d, Content-Encoding %q", len(q.Body), q.WireBytes, q.Header.Get("Content-Encoding"))
	}
}

func BenchmarkPackQuiet(b *testing.B) {
	server := startFake(b, awsfake.Options{})
	s := newSink(b, server, func(o *Options) { o.Entity = true })
	w := quiet()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Pack(w); err != nil {
			b.Fatal(err)
		}
	}
}
