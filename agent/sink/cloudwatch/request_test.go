package cloudwatch

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/test/awsfake"
)

// TestSpoolFormat keeps what an older version spooled readable: the file is
// never written anew.
func TestSpoolFormat(t *testing.T) {
	data, err := os.ReadFile("testdata/spool-1.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(data)
	if err != nil {
		t.Fatal(err)
	}
	want := request{
		Version: 1, Namespace: "ENA", Time: 1795428000000, Resolution: 60,
		Entity: &awsclient.Entity{
			KeyAttributes: map[string]string{"Type": "AWS::Resource", "ResourceType": "AWS::EC2::Instance", "Identifier": "i-0123456789abcdef0"},
			Attributes:    map[string]string{"PlatformType": "AWS::EC2"},
		},
		Dimensions: [][]dimension{{{"InstanceId", "i-0123456789abcdef0"}}, {{"ClusterName", "prod"}}},
		Data: []datum{
			{Name: "pps_allowance_exceeded", Unit: "Count", Values: []float64{0, 7, 1200.5}, Counts: []float64{57, 2, 1}},
			{Name: "heartbeat", Unit: "Seconds", Dimensions: 1, Values: []float64{60}, Shared: true},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(data)), string(want.encode().Data)); diff != "" {
		t.Errorf("the encoding has changed (-want +got):\n%s", diff)
	}
}

// TestUnreadable: what can't be read is poisoned, not split, and described.
func TestUnreadable(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	s := newSink(t, server)
	for data, want := range map[string]string{
		``:                                     "read a spooled request: unexpected end of JSON input",
		`{"v":2}`:                              "read a spooled request: its version 2 is not 1: another version of this program wrote it",
		`{"v":1}`:                              "read a spooled request: 0 data are not 1 to 1000",
		`{"v":1,"data":[{}]}`:                  "read a spooled request: datum 0 has 0 values and 0 counts",
		`{"v":1,"data":[{"v":[1],"c":[1,2]}]}`: "read a spooled request: datum 0 has 1 values and 2 counts",
		`{"v":1,"data":[{"v":[1]}]}`:           "read a spooled request: datum 0 has no dimensions",
		`{"v":1,"data":[{"v":[1],"d":-1}]}`:    "read a spooled request: datum 0 has no dimensions",
	} {
		e := asError(t, s.Deliver(t.Context(), []byte(data)))
		if e.Kind != sink.Poisoned || e.Ambiguous || e.Error() != want {
			t.Errorf("%s: %v: %v", data, e.Kind, e)
		}
		if parts := s.Split([]byte(data)); parts != nil {
			t.Errorf("%s is split", data)
		}
		if got := s.Describe([]byte(data)); !strings.HasSuffix(got, "bytes that are no request of this program") {
			t.Errorf("%s is %s", data, got)
		}
	}
	if n := len(server.Journal.Requests("", "")); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// FuzzDecode: whatever is in the spool, nothing panics, and what can be read
// stays the same when it is written again or split.
func FuzzDecode(f *testing.F) {
	data, err := os.ReadFile("testdata/spool-1.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"v":1,"ns":"x","t":9223372036854775807,"res":-1,"dims":[[],null],"data":[{"d":1,"v":[1e308]},{"v":[0]}]}`))
	s, err := New(Options{Namespace: "ENA"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = s.Describe(data)
		parts := s.Split(data)
		r, err := decode(data)
		if err != nil {
			if parts != nil {
				t.Error("split what can't be read")
			}
			return
		}
		in := r.input()
		n := len(in.MetricData)
		for _, e := range in.EntityMetricData {
			n += len(e.MetricData)
		}
		if n != len(r.Data) {
			t.Errorf("%d data of %d are sent", n, len(r.Data))
		}
		again, err := decode(r.encode().Data)
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		if diff := cmp.Diff(r.encode(), again.encode()); diff != "" {
			t.Errorf("written again (-want +got):\n%s", diff)
		}
		var both []datum
		for _, p := range parts {
			half, err := decode(p.Data)
			if err != nil {
				t.Fatalf("a half: %v", err)
			}
			for _, d := range half.Data {
				d.Dimensions = 0
				both = append(both, d)
			}
		}
		for i := range both {
			r.Data[i].Dimensions = 0
		}
		if parts != nil {
			if diff := cmp.Diff(r.Data, both); diff != "" {
				t.Errorf("halves (-want +got):\n%s", diff)
			}
		}
	})
}

// TestSpoolIsSmall bounds what an outage of two weeks costs on disk.
func TestSpoolIsSmall(t *testing.T) {
	s := newSink(t, startFake(t, awsfake.Options{}), func(o *Options) { o.Entity = true })
	minutes := int(maxAge / time.Minute)
	if size := minutes * len(one(t, s, quiet()).Data); size > 16<<20 {
		t.Errorf("two weeks of quiet minutes take %d bytes", size)
	}
}
