package awsfake_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/enawatch/enawatch/test/awsfake"
)

type (
	label  = awsfake.Label
	sample = awsfake.Sample
)

// bytesField appends a length-delimited field.
func bytesField(b []byte, num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

// timeSeries is a TimeSeries inside of a WriteRequest.
func timeSeries(labels []label, samples ...sample) []byte {
	var s []byte
	for _, l := range labels {
		s = bytesField(s, 1, bytesField(bytesField(nil, 1, []byte(l.Name)), 2, []byte(l.Value)))
	}
	for _, v := range samples {
		m := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), math.Float64bits(v.Value))
		m = protowire.AppendVarint(protowire.AppendTag(m, 2, protowire.VarintType), uint64(v.Timestamp))
		s = bytesField(s, 2, m)
	}
	return bytesField(nil, 1, s)
}

func series(name string, extra ...string) []label {
	out := []label{{Name: "__name__", Value: name}}
	for i := 0; i < len(extra); i += 2 {
		out = append(out, label{Name: extra[i], Value: extra[i+1]})
	}
	return out
}

// at is a sample, after a time since the server's now.
func at(after time.Duration, v float64) sample {
	return sample{Value: v, Timestamp: frozen.Add(after).UnixMilli()}
}

var writeHeader = map[string]string{
	"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0",
}

func write(t *testing.T, s *awsfake.Server, parts ...[]byte) reply {
	t.Helper()
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	return post(t, s, "aps", "/workspaces/ws-1/api/v1/remote_write", snappy.Encode(nil, body), writeHeader)
}

func TestRemoteWriteStores(t *testing.T) {
	s := start(t, awsfake.Options{})
	stale := math.Float64frombits(0x7ff0000000000002)
	metadata := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
	metadata = bytesField(bytesField(metadata, 2, []byte("a_total")), 4, []byte("what it is"))
	r := write(t, s,
		timeSeries(series("a_total", "eni", "eni-1"), at(-30*time.Second, 1), at(-15*time.Second, 2), at(0, stale)),
		timeSeries(series("b"), at(0, 7)),
		bytesField(nil, 3, bytesField(metadata, 5, []byte("packets"))),
	)
	if r.status != http.StatusOK || r.body != "" {
		t.Fatalf("%+v", r)
	}
	want := []awsfake.Series{
		{Workspace: "ws-1", Labels: series("a_total", "eni", "eni-1"), Samples: []sample{at(-30*time.Second, 1), at(-15*time.Second, 2), at(0, stale)}},
		{Workspace: "ws-1", Labels: series("b"), Samples: []sample{at(0, 7)}},
	}
	got := s.Prometheus.Series("", nil)
	if diff := cmp.Diff(want, got, cmpopts.EquateNaNs()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if last := got[0].Samples[2]; !last.Stale() || got[0].Samples[1].Stale() {
		t.Error("the staleness marker is not told from other samples")
	}
	if diff := cmp.Diff(want[1:], s.Prometheus.Series("ws-1", map[string]string{"__name__": "b"})); diff != "" {
		t.Errorf("by label (-want +got):\n%s", diff)
	}
	if n := len(s.Prometheus.Series("ws-2", nil)); n != 0 {
		t.Errorf("%d series in another workspace", n)
	}
	wantMeta := []awsfake.Metadata{{Family: "a_total", Type: 1, Help: "what it is", Unit: "packets"}}
	if diff := cmp.Diff(wantMeta, s.Prometheus.Metadata("ws-1")); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if q := s.Journal.Requests("prometheus", "RemoteWrite")[0]; !q.Stored || q.Items != 4 {
		t.Errorf("journal: stored %v, %d items", q.Stored, q.Items)
	}
}

// TestSampleJSON goes through the control API's encoding, which has no NaN.
func TestSampleJSON(t *testing.T) {
	in := []sample{at(0, 1.5), at(0, math.Inf(1)), at(0, math.NaN()), at(0, math.Float64frombits(0x7ff0000000000002))}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out []sample
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out, cmpopts.EquateNaNs()); diff != "" || !out[3].Stale() || out[2].Stale() {
		t.Errorf("%s (-want +got):\n%s", b, diff)
	}
	if err := json.Unmarshal([]byte(`{"value":"x"}`), &out[0]); err == nil {
		t.Error("a value that is no number: no error")
	}
}

// TestRemoteWriteOrder has a second write after a first at 0.
func TestRemoteWriteOrder(t *testing.T) {
	const window = 60 * time.Second
	tests := []struct {
		name   string
		window time.Duration
		second sample
		want   string // part of the answer; "" for 200
		stored int    // samples in the end
	}{
		{"later", window, at(time.Second, 2), "", 2},
		{"same again", window, at(0, 1), "", 1},
		{"duplicate", window, at(0, 2), "duplicate sample for timestamp", 1},
		{"in the window", window, at(-window, 0), "", 2},
		{"before the window", window, at(-window-time.Millisecond, 0), "too old sample", 1},
		{"no window", -1, at(-time.Millisecond, 0), "out of order sample", 1},
		{"no window, long ago", -1, at(-time.Hour-time.Millisecond, 0), "out of bounds", 1},
		{"wide window", 10 * time.Minute, at(-10*time.Minute, 0), "", 2},
		{"just ahead", window, at(10*time.Minute, 2), "", 2},
		{"too far ahead", window, at(10*time.Minute+time.Millisecond, 2), "timestamp too new", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, awsfake.Options{OutOfOrderWindow: tt.window})
			if r := write(t, s, timeSeries(series("a"), at(0, 1))); r.status != http.StatusOK {
				t.Fatalf("%+v", r)
			}
			r := write(t, s, timeSeries(series("a"), tt.second))
			if (r.status == http.StatusOK) != (tt.want == "") || !strings.Contains(r.body, tt.want) {
				t.Errorf("got %d %q, want %q", r.status, r.body, tt.want)
			}
			if tt.want != "" && (r.status != http.StatusBadRequest || strings.Count(r.body, "\n") != 1 || !strings.Contains(r.body, `series={__name__="a"}`)) {
				t.Errorf("the refusal: %+v", r)
			}
			if n := len(s.Prometheus.Series("", nil)[0].Samples); n != tt.stored {
				t.Errorf("%d samples, want %d", n, tt.stored)
			}
		})
	}
}

// TestRemoteWriteDefaultWindow is what AMP starts with, and can be changed.
func TestRemoteWriteDefaultWindow(t *testing.T) {
	s := start(t, awsfake.Options{})
	write(t, s, timeSeries(series("a"), at(0, 1)))
	old := timeSeries(series("a"), at(-61*time.Second, 1))
	if r := write(t, s, old); r.status != http.StatusBadRequest {
		t.Errorf("61 s: %+v", r)
	}
	s.Prometheus.SetOutOfOrderWindow(600 * time.Second)
	if r := write(t, s, old); r.status != http.StatusOK {
		t.Errorf("61 s in a window of 600: %+v", r)
	}
}

// TestRemoteWriteKeepsTheGood: one bad series in a request does not cost the
// others, but the answer is 400.
func TestRemoteWriteKeepsTheGood(t *testing.T) {
	s := start(t, awsfake.Options{})
	write(t, s, timeSeries(series("a"), at(0, 1)))
	r := write(t, s,
		timeSeries(series("a"), at(-time.Hour, 0), at(time.Second, 2)),
		timeSeries(series("b", "bad-name", "v"), at(0, 1)),
		timeSeries(series("c"), at(0, 1)),
	)
	if r.status != http.StatusBadRequest || !strings.Contains(r.body, "too old sample") || strings.Contains(r.body, "bad-name") {
		t.Errorf("%+v", r)
	}
	var got []string
	for _, v := range s.Prometheus.Series("", nil) {
		got = append(got, fmt.Sprint(v.Label("__name__"), len(v.Samples)))
	}
	if diff := cmp.Diff([]string{"a2", "c1"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if q := s.Journal.Requests("", "")[1]; !q.Stored || q.Items != 4 {
		t.Errorf("journal: stored %v, %d items", q.Stored, q.Items)
	}
}

func TestRemoteWriteLabels(t *testing.T) {
	many := func(n int) []label {
		out := series("m")
		for i := range n - 1 {
			out = append(out, label{Name: fmt.Sprintf("l%03d", i), Value: "v"})
		}
		return out
	}
	tests := []struct {
		name    string
		ok, bad []label
		message string
	}{
		{"labels", many(70), many(71), "series has too many labels (actual: 71, limit: 70)"},
		{"order", series("m", "a", "1", "b", "2"), series("m", "b", "2", "a", "1"), "labels not sorted"},
		{"twice", nil, series("m", "a", "1", "a", "2"), "duplicate label name"},
		{"no name", nil, series("m", "a", "1")[1:], "sample missing metric name"},
		{"metric name", series("m:5_x"), series("5m"), "sample invalid metric name"},
		{"label name", series("m", "_a1", "v"), series("m", "a-b", "v"), "sample invalid label"},
		{"label name length", series("m", strings.Repeat("n", 1024), "v"), series("m", strings.Repeat("n", 1025), "v"), "label name too long"},
		{"label value length", series("m", "n", strings.Repeat("v", 2048)), series("m", "n", strings.Repeat("v", 2049)), "label value too long"},
		{"label value UTF-8", series("m", "n", "ü"), series("m", "n", "\xff"), "sample invalid label value"},
		{"label value empty", nil, series("m", "n", ""), "sample invalid label value"},
	}
	s := start(t, awsfake.Options{})
	for _, tt := range tests {
		if tt.ok != nil {
			if r := write(t, s, timeSeries(tt.ok, at(0, 1))); r.status != http.StatusOK {
				t.Errorf("%s: at the limit: %+v", tt.name, r)
			}
		}
		if r := write(t, s, timeSeries(tt.bad, at(0, 1))); r.status != http.StatusBadRequest || !strings.Contains(r.body, tt.message) {
			t.Errorf("%s: beyond the limit: %+v", tt.name, r)
		}
	}
}

func TestRemoteWriteProtocol(t *testing.T) {
	s := start(t, awsfake.Options{Workspaces: []string{"ws-1"}})
	body := snappy.Encode(nil, timeSeries(series("a"), at(0, 1)))
	send := func(workspace string, body []byte, change ...string) reply {
		header := map[string]string{}
		for k, v := range writeHeader {
			header[k] = v
		}
		for i := 0; i < len(change); i += 2 {
			header[change[i]] = change[i+1]
		}
		return post(t, s, "aps", "/workspaces/"+workspace+"/api/v1/remote_write", body, header)
	}
	tooLong := protowire.AppendVarint(nil, 17<<20)
	for _, tt := range []struct {
		name   string
		reply  reply
		status int
	}{
		{"good", send("ws-1", body), 200},
		{"another workspace", send("ws-2", body), 404},
		{"version 2", send("ws-1", body, "Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"), 415},
		{"version 1 by its name", send("ws-1", body, "Content-Type", "application/x-protobuf;proto=prometheus.WriteRequest"), 200},
		{"no encoding", send("ws-1", body, "Content-Encoding", ""), 415},
		{"gzip", send("ws-1", body, "Content-Encoding", "gzip"), 415},
		{"no version", send("ws-1", body, "X-Prometheus-Remote-Write-Version", ""), 415},
		{"no snappy", send("ws-1", []byte{0xff}), 400},
		{"broken snappy", send("ws-1", body[:len(body)-1]), 400},
		{"too large", send("ws-1", tooLong), 413},
		{"no protobuf", send("ws-1", snappy.Encode(nil, []byte("nonsense"))), 400},
		{"exemplar", send("ws-1", snappy.Encode(nil, bytesField(nil, 1, bytesField(timeSeries(series("a"))[2:], 3, nil)))), 400},
	} {
		if tt.reply.status != tt.status {
			t.Errorf("%s: %+v, want %d", tt.name, tt.reply, tt.status)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/workspaces/ws-1/api/v1/remote_write", nil)
	if err != nil {
		t.Fatal(err)
	}
	sign(t, r, nil, awsfake.DefaultCredential, "aps", "us-east-1", frozen)
	if got := sendRequest(t, s, r); got.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %+v", got)
	}
	if got := post(t, s, "", "/workspaces/ws-1/api/v1/remote_write", body, writeHeader); got.status != 403 || got.body != `{"message":"Missing Authentication Token"}` {
		t.Errorf("unsigned: %+v", got)
	}
}
