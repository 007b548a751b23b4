package emf_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/emf"
)

const fileOutput = "file:///x"

// join returns all documents of requests, and how many data they say they have.
func join(requests []sink.Request) (text []byte, points int) {
	for _, r := range requests {
		text = append(text, r.Data...)
		points += r.Points
	}
	return text, points
}

func TestPackIsWhatTheEncoderWrites(t *testing.T) {
	for name, b := range goldens() {
		for _, shape := range []emf.Shape{emf.PerHost, emf.PerInterface} {
			s := newSink(t, fileOutput, func(o *emf.Options) { o.Shape = shape })
			requests := pack(t, s, b)
			e := newEncoder(t, time.Minute)
			if err := e.SetShape(shape); err != nil {
				t.Fatal(err)
			}
			want, err := e.Append(nil, b)
			if err != nil {
				t.Fatal(err)
			}
			got, points := join(requests)
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", name, shape, diff)
			}
			metrics := 0
			for _, d := range validate(t, got) {
				metrics += len(d.Metrics)
			}
			if len(requests) != 1 || points != metrics {
				t.Errorf("%s, %s: %d requests of %d data, want 1 of %d", name, shape, len(requests), points, metrics)
			}
		}
	}
	if requests := pack(t, newSink(t, fileOutput), batch(1)); requests != nil {
		t.Errorf("a window without series gave %v", requests)
	}
}

// What CloudWatch would refuse is named, and everything else is sent.
func TestPackWithoutTheBad(t *testing.T) {
	good := batch(1, heartbeat, counter("a", 1, 2), of(0, counter("linklocal_allowance_exceeded", 3)))
	for want, bad := range map[string][]metric.Series{
		`series "n": the sample NaN`:                                 {counter("n", math.NaN())},
		`series "n": the sample NaN is not a number that CloudWatch`: {counter("n", math.NaN()), detail(0, counter("n", math.NaN()))},
		"(and 2 more errors)":                                        {counter("n"), counter("", 1), counter("o", make([]float64, 101)...)},
	} {
		b := *good
		b.Series = append(bad, good.Series...)
		requests, err := newSink(t, fileOutput).Pack(&b)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") ||
			!strings.HasPrefix(err.Error(), "encode the window of 2026-11-23T08:15:00Z as EMF: ") {
			t.Errorf("error %v, want %q", err, want)
		}
		text, points := join(requests)
		checkExtraction(t, good, text, 60)
		if points != 3 {
			t.Errorf("%d data, want 3", points)
		}
	}
	b := with(batch(1, heartbeat), func(b *metric.Batch) { b.Resource.Host = " "; b.Resource.InstanceID = "" })
	if requests, err := newSink(t, fileOutput).Pack(b); err == nil || requests != nil {
		t.Errorf("a host without a name: %v, error %v", requests, err)
	}
}

// A series that fits no event costs no other.
func TestPackWithoutTheTooLarge(t *testing.T) {
	b := batch(3, heartbeat, counter("a", burst(1)...), gauge("wide", wide()...), counter("c", burst(1)...))
	s := newSink(t, "udp://127.0.0.1:1", func(o *emf.Options) { o.LogGroup = strings.Repeat("g", 500) })
	b.Resource.Dimensions = []metric.Dimension{}
	for i := range 6 {
		b.Resource.Dimensions = append(b.Resource.Dimensions, metric.Dimension{Name: fmt.Sprintf("d%d", i), Value: strings.Repeat("v", 900)})
	}
	requests, err := s.Pack(b)
	if err == nil || !strings.Contains(err.Error(), `series "wide": one metric alone is too large for a log event`) {
		t.Errorf("error %v", err)
	}
	b.Series = append(b.Series[:2:2], b.Series[3])
	text, _ := join(requests)
	checkExtraction(t, b, text, 60)
	if n := bytes.Count(text, []byte(`"interfaces":[`)); n != 1 {
		t.Errorf("%d documents have the list", n)
	}
}

func wide() []float64 {
	samples := make([]float64, 100)
	for i := range samples {
		samples[i] = -1.2345678901234567e-100 * float64(i+1)
	}
	return samples
}

// A request has no more than PutLogEvents takes.
func TestPackBounds(t *testing.T) {
	b := batch(2)
	for i := range 900 {
		b.Series = append(b.Series, gauge(fmt.Sprintf("%03d%s", i, strings.Repeat("n", 250)), wide()...))
	}
	requests := pack(t, newSink(t, fileOutput), b)
	if len(requests) < 2 {
		t.Fatalf("%d requests", len(requests))
	}
	for i, r := range requests {
		documents := bytes.Count(r.Data, []byte("\n"))
		size := len(r.Data) - documents + 26*documents
		if size > 1_048_576 || i < len(requests)-1 && size < 500_000 {
			t.Errorf("request %d: %d bytes with 26 for each of %d documents", i, size, documents)
		}
		if n := len(validate(t, r.Data)); n != documents {
			t.Errorf("request %d: %d lines", i, n)
		}
	}
	text, points := join(requests)
	checkExtraction(t, b, text, 60)
	if points != 900 {
		t.Errorf("%d data, want 900", points)
	}
}

// So many of the smallest document as PutLogEvents takes events are larger than a
// request may be: its bytes alone bound it.
func TestEventsAreBoundedByBytes(t *testing.T) {
	b := with(batch(0, counter("a", 1)), func(b *metric.Batch) {
		b.Resource = metric.Resource{Host: "h"}
		b.Length = time.Second
	})
	text, _ := join(pack(t, newSink(t, fileOutput), b))
	if n := 10_000 * (len(text) - 1 + 26); n <= 1_048_576 {
		t.Errorf("10,000 of %s have %d bytes", text, n)
	}
}

// The CloudWatch agent learns where to write the documents to.
func TestPackForAgent(t *testing.T) {
	b := dnsBurst()
	odd := with(dnsBurst(), func(b *metric.Batch) { b.Resource.InstanceID, b.Resource.Host = "", "hö:*st"+strings.Repeat("x", 600) })
	for name, tt := range map[string]struct {
		output, group, stream string
		batch                 *metric.Batch
		want                  [2]string
	}{
		"default":         {"tcp://127.0.0.1:1", "", "", b, [2]string{"/enawatch/emf", "i-0123456789abcdef0"}},
		"unix":            {"unix:///s", "g", "{host}/{instance_id}", b, [2]string{"g", "ip-10-0-1-7.ec2.internal/i-0123456789abcdef0"}},
		"udp":             {"udp://127.0.0.1:1", "/{host}", "s", b, [2]string{"/ip-10-0-1-7.ec2.internal", "s"}},
		"no id":           {"tcp://127.0.0.1:1", "/{host}", "a-{instance_id}", odd, [2]string{"/h___st" + strings.Repeat("x", 505), "a-hö__st" + strings.Repeat("x", 504)}},
		"nothing of that": {fileOutput, "g", "s", b, [2]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSink(t, tt.output, func(o *emf.Options) { o.LogGroup, o.LogStream = tt.group, tt.stream })
			text, _ := join(pack(t, s, tt.batch))
			checkExtraction(t, tt.batch, text, 60)
			want := `{"_aws":{"Timestamp":1795421700000,`
			if tt.want[0] != "" {
				want += fmt.Sprintf(`"LogGroupName":%q,"LogStreamName":%q,`, tt.want[0], tt.want[1])
			}
			want += `"CloudWatchMetrics":[`
			for line := range bytes.Lines(text) {
				if !bytes.HasPrefix(line, []byte(want)) {
					t.Errorf("got  %.200s\nwant %s", line, want)
				}
			}
		})
	}
}

func TestSplit(t *testing.T) {
	s := newSink(t, fileOutput)
	text, _ := join(pack(t, s, goldens()["more-than-100"]))
	var walk func(data []byte) (leaves []byte, points int)
	walk = func(data []byte) ([]byte, int) {
		parts := s.Split(data)
		if parts == nil {
			if n := bytes.Count(data, []byte("\n")); n != 1 {
				t.Errorf("%d documents are not split", n)
			}
			return data, len(validate(t, data)[0].Metrics)
		}
		var all []byte
		sum := 0
		for _, p := range parts {
			leaves, points := walk(p.Data)
			if points != p.Points {
				t.Errorf("a part of %d data says it has %d", points, p.Points)
			}
			all = append(all, leaves...)
			sum += points
		}
		return all, sum
	}
	leaves, points := walk(text)
	if !bytes.Equal(leaves, text) || points != 306 {
		t.Errorf("the parts have %d data and are\n%s\nwant 306 and\n%s", points, leaves, text)
	}
	for _, data := range []string{"", "\n", "x", "x\n"} {
		if parts := s.Split([]byte(data)); parts != nil {
			t.Errorf("%q: %v", data, parts)
		}
	}
}

func TestDescribe(t *testing.T) {
	s := newSink(t, fileOutput)
	one, _ := join(pack(t, s, dnsBurst()))
	three, _ := join(pack(t, s, goldens()["three-interfaces"]))
	for want, data := range map[string][]byte{
		`EMF of 2026-11-23T08:15:00Z (lines: 1): "heartbeat", "pps_allowance_exceeded", "conntrack_allowance_available", 2 more`:   one,
		`EMF of 2026-11-23T08:15:00Z (lines: 3): "heartbeat", "bw_in_allowance_exceeded", "conntrack_allowance_available", 4 more`: three,
		`EMF of 0001-01-01T00:00:00Z (lines: 1): `: []byte("nonsense"),
	} {
		if got := s.Describe(data); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// FuzzSpooled: whatever stands in the spool, no sink takes it for more than it
// is, and nothing is lost by splitting it.
func FuzzSpooled(f *testing.F) {
	f.Add([]byte("{}\n{}\n"))
	f.Add([]byte(`{"_aws":{"Timestamp":9e99,"CloudWatchMetrics":[{"Metrics":[{"Name":1}]}]}}` + "\n\n\nx"))
	f.Add([]byte(`{"_aws":{"Timestamp":1,"CloudWatchMetrics":[null,{"Metrics":[null,{"Name":"\n"}]}]}}` + "\n"))
	f.Add([]byte(`{"v":1,"group":"g","stream":"s","t":1}` + "\n{}\n{}\n{}\n"))
	f.Add([]byte(`{"v":1,"group":"\n","stream":"s","t":1,"entity":{"k":{"\n":""}}}` + "\n{\n{}\n"))
	s := newSink(f, fileOutput)
	logs := newSink(f, "logs://g/s")
	f.Fuzz(func(t *testing.T, data []byte) {
		if text := logs.Describe(data); strings.ContainsAny(text, "\n\r") {
			t.Errorf("not one line: %q", text)
		}
		if parts := logs.Split(data); parts != nil {
			_, documents, _ := bytes.Cut(data, []byte("\n"))
			var text []byte
			for _, p := range parts {
				_, half, _ := bytes.Cut(p.Data, []byte("\n"))
				text = append(text, half...)
				if strings.Contains(logs.Describe(p.Data), "no request") {
					t.Errorf("%q splits into what can't be read: %q", data, p.Data)
				}
			}
			if !bytes.Equal(text, documents) {
				t.Errorf("%q splits into %q", data, text)
			}
		}
		if text := s.Describe(data); strings.ContainsAny(text, "\n\r") {
			t.Errorf("not one line: %q", text)
		}
		if parts := s.Split(data); parts != nil {
			if len(parts) != 2 || len(parts[0].Data) == 0 || len(parts[1].Data) == 0 {
				t.Errorf("%q splits into %v", data, parts)
			}
			if text, _ := join(parts); !bytes.Equal(text, data) {
				t.Errorf("%q splits into %q", data, text)
			}
		}
	})
}
