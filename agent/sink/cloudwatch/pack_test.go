package cloudwatch

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/test/awsfake"
)

// crowd is a window of n series with that many distinct samples each.
func crowd(n, distinct int) *metric.Batch {
	b := eventful()
	b.Series = nil
	for i := range n {
		s := metric.Series{Name: fmt.Sprintf("%0200d", i), Unit: metric.Count, Interface: -1}
		for v := range distinct {
			s.Samples = append(s.Samples, float64(v)+0.1)
		}
		b.Series = append(b.Series, s)
	}
	return b
}

// TestLimits: whatever a window holds, the stand-in, which enforces the limits
// of the service, takes every request; and each is about as full as it can be.
func TestLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		batch    *metric.Batch
		points   []int
		fullness float64 // least share of 1 MB that the first request has
	}{
		"by count": {crowd(2500, 1), []int{1000, 1000, 500}, 0},
		"by bytes": {crowd(900, 150), nil, 0.9},
		"long dimensions": {func() *metric.Batch {
			b := crowd(800, 1)
			for i := range 29 {
				b.Resource.Dimensions = append(b.Resource.Dimensions[:i:i], metric.Dimension{Name: fmt.Sprintf("d%d", i), Value: strings.Repeat("x", 1024)})
			}
			return b
		}(), nil, 0.9},
		"one": {crowd(1, 1), []int{1}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			server := startFake(t, awsfake.Options{})
			s := newSink(t, server, func(o *Options) { o.MaxSeries, o.Entity = 10000, true })
			requests := pack(t, s, tt.batch)
			var points []int
			total := 0
			for _, r := range requests {
				points = append(points, r.Points)
				total += r.Points
			}
			if tt.points != nil && !slices.Equal(points, tt.points) || total != len(tt.batch.Series) {
				t.Errorf("requests of %v data, want %v", points, tt.points)
			}
			deliver(t, s, requests...)
			for i, q := range server.Journal.Requests("cloudwatch", "") {
				r, err := decode(requests[i].Data)
				if err != nil {
					t.Fatal(err)
				}
				bound := r.size()
				for _, d := range r.Data {
					bound += d.size(r.Dimensions[d.Dimensions])
				}
				if len(q.Body) > bound || bound > maxBytes {
					t.Errorf("request %d has %d bytes, %d were reckoned, and %d fit", i, len(q.Body), bound, maxBytes)
				}
				if i == 0 && float64(len(q.Body)) < tt.fullness*maxBytes {
					t.Errorf("request %d has only %d bytes", i, len(q.Body))
				}
			}
			if got := len(server.CloudWatch.Data(awsfake.MetricQuery{})); got != total {
				t.Errorf("%d data were stored of %d", got, total)
			}
		})
	}
}

// TestRefused: what the service would refuse is named, and costs nothing else.
func TestRefused(t *testing.T) {
	series := func(change func(*metric.Series)) func(*metric.Batch) {
		return func(b *metric.Batch) { change(&b.Series[0]) }
	}
	samples := func(v ...float64) func(*metric.Batch) {
		return series(func(s *metric.Series) { s.Samples = v })
	}
	var many []float64
	for i := range 151 {
		many = append(many, float64(i))
	}
	tests := []struct {
		name   string
		change func(*metric.Batch)
		want   string
		left   int // of five
	}{
		{"not a number", samples(math.NaN()), `series "pps_allowance_exceeded": NaN is no number that CloudWatch stores`, 4},
		{"infinite", samples(1, math.Inf(1)), `series "pps_allowance_exceeded": +Inf is no number that CloudWatch stores`, 4},
		{"too large", samples(-0x1p361), `series "pps_allowance_exceeded": -4.6970851655476665e+108 is no number that CloudWatch stores`, 4},
		{"too small", samples(0x1p-361), `series "pps_allowance_exceeded": 2.1289799200040754e-109 is no number that CloudWatch stores`, 4},
		{"nothing", samples(), `series "pps_allowance_exceeded": 0 distinct values, CloudWatch takes 1 to 150`, 4},
		{"too many", samples(many...), `series "pps_allowance_exceeded": 151 distinct values, CloudWatch takes 1 to 150`, 4},
		{"no name", series(func(s *metric.Series) { s.Name = "" }), `series "": the name must be 1 to 255 printable ASCII characters, not only spaces, and not start with a colon`, 4},
		{"bad name", series(func(s *metric.Series) { s.Name = "a\nb" }), `series "a\nb": the name must be 1 to 255 printable ASCII characters, not only spaces, and not start with a colon`, 4},
		{"bad unit", series(func(s *metric.Series) { s.Unit = "Packets" }), `series "pps_allowance_exceeded": CloudWatch has no unit "Packets"`, 4},
		{"no interface", func(b *metric.Batch) { b.Series[4].Interface = 2 }, `series "linklocal_allowance_exceeded": interface 2 of 2`, 4},
		{"detail of the host", func(b *metric.Batch) { b.Series[3].Interface = -1 }, `series "pps_allowance_exceeded": interface -1 of 2`, 5},
		{"fixed dimension", func(b *metric.Batch) { b.Resource.Dimensions[0].Value = "ä" }, `dimension "team": the value "ä" must be 1 to 1024 printable ASCII characters, not only spaces`, 0},
		{"name of a dimension", func(b *metric.Batch) { b.Resource.Dimensions[0].Name = ":team" }, `dimension ":team": the name must be 1 to 255 printable ASCII characters, not only spaces, and not start with a colon`, 0},
		{"a dimension twice", func(b *metric.Batch) { b.Resource.Dimensions[0].Name = "NetworkInterfaceId" }, `dimension "NetworkInterfaceId" is there twice: rename the fixed one`, 4},
		{"no host", func(b *metric.Batch) { b.Resource.InstanceID, b.Resource.Host = "", "" }, `dimension "host": the value "" must be 1 to 1024 printable ASCII characters, not only spaces`, 0},
		{"too many dimensions", func(b *metric.Batch) {
			for i := range 28 {
				b.Resource.Dimensions = append(b.Resource.Dimensions, metric.Dimension{Name: fmt.Sprint("d", i), Value: "x"})
			}
		}, `31 dimensions, more than the 30 that CloudWatch takes: remove fixed ones`, 3},
		{"level of no interface", func(b *metric.Batch) { b.Levels[0].Interface = -1 }, `level "bw_in_allowance_exceeded": interface -1 of 2`, 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := startFake(t, awsfake.Options{})
			s := newSink(t, server, func(o *Options) {
				o.Rollups, o.Host = []string{RollupCluster}, func() Host { return Host{} }
				o.PerInterface = tt.name == "detail of the host"
				o.CompatCWAgent = tt.name == "level of no interface"
			})
			b := eventful()
			tt.change(b)
			requests, err := s.Pack(b)
			lines := map[string]bool{}
			if err != nil {
				for l := range strings.SplitSeq(err.Error(), "\n") {
					if lines[l] {
						t.Errorf("said twice: %s", l)
					}
					lines[l] = true
				}
			}
			if !lines[tt.want] {
				t.Errorf("the error is %v, want %s", err, tt.want)
			}
			deliver(t, s, requests...)
			plain := server.CloudWatch.Data(awsfake.MetricQuery{Namespace: "ENA"})
			plain = slices.DeleteFunc(plain, func(d awsfake.Datum) bool {
				return tt.name == "detail of the host" && len(d.Dimensions) == 3 && d.Name == "pps_allowance_exceeded"
			})
			if len(plain) != tt.left {
				t.Errorf("%d data are left, want %d", len(plain), tt.left)
			}
		})
	}
}

// TestSimulated: nothing invented goes to AWS.
func TestSimulated(t *testing.T) {
	want := "cloudwatch sink: a simulation is never published to AWS: remove the cloudwatch sink, or do not simulate"
	if _, err := New(Options{Namespace: "ENA", Simulated: true}); err == nil || err.Error() != want {
		t.Errorf("New: %v", err)
	}
	s := newSink(t, startFake(t, awsfake.Options{}))
	b := eventful()
	b.Resource.Simulated = true
	if requests, err := s.Pack(b); err == nil || err.Error() != want || len(requests) != 0 {
		t.Errorf("Pack: %d requests, %v", len(requests), err)
	}
}

// TestCap: metrics over the limit are left out, counted and complained of; those
// that were there go on.
func TestCap(t *testing.T) {
	var log bytes.Buffer
	server := startFake(t, awsfake.Options{})
	s := newSink(t, server, logTo(&log), func(o *Options) { o.MaxSeries = 4 })
	b := eventful() // has five
	names := func() (out []string) {
		for _, r := range pack(t, s, b) {
			r, err := decode(r.Data)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range r.Data {
				out = append(out, fmt.Sprintf("%s/%d", d.Name, d.Dimensions))
			}
		}
		return out
	}
	first := []string{"pps_allowance_exceeded/0", "conntrack_allowance_available/0", "heartbeat/0", "linklocal_allowance_exceeded/1"}
	for range 3 {
		if diff := cmp.Diff(first, names()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		b.Start = b.Start.Add(time.Minute)
	}
	want := "level=ERROR msg=\"too many CloudWatch metrics: those over the limit are not published\" limit=4 left_out=1 remedy=\"raise max_series, or publish less: per_interface, rollups, queue_stats, compat\"\n"
	if diff := cmp.Diff(want, log.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("enawatch_cloudwatch_series 4\nenawatch_cloudwatch_series_limit 4\nenawatch_cloudwatch_left_out_data_total 3\n", selves(s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Room is made by metrics that had no data for hours.
	b.Series = b.Series[:1]
	b.Start = b.Start.Add(activeFor - time.Minute)
	names()
	b.Series = eventful().Series
	b.Start = b.Start.Add(time.Minute)
	if got := names(); len(got) != 4 || strings.Count(log.String(), "\n") != 2 {
		t.Errorf("%v, log:\n%s", got, &log)
	}
	b.Start = b.Start.Add(activeFor)
	b.Series = eventful().Series[5:]
	if got := names(); len(got) != 1 {
		t.Errorf("after hours of silence: %v", got)
	}
	// So does a step of the clock, after which the old ones are of the future.
	b.Series = crowd(4, 1).Series
	if got := names(); len(got) != 3 { // one of before is active yet
		t.Errorf("others: %v", got)
	}
	b.Start = b.Start.Add(-24 * time.Hour)
	b.Series = eventful().Series
	if got := names(); len(got) != 4 {
		t.Errorf("after a step of the clock: %v", got)
	}
}

// TestCapKeeps: who is in stays in, while data come.
func TestCapKeeps(t *testing.T) {
	s := newSink(t, startFake(t, awsfake.Options{}), func(o *Options) { o.MaxSeries = 1 })
	b := eventful()
	b.Series = b.Series[2:3]
	for range 3 {
		one(t, s, b)
		b.Start = b.Start.Add(time.Hour)
	}
	b.Series = slices.Concat(crowd(1, 1).Series, b.Series)
	if got := s.Describe(one(t, s, b).Data); !strings.HasPrefix(got, `"heartbeat"`) {
		t.Errorf("%s is published", got)
	}
}

// TestRollupUnknown: a roll-up waits for its name, and that is said once.
func TestRollupUnknown(t *testing.T) {
	var log bytes.Buffer
	host := Host{Nodegroup: "general"}
	s := newSink(t, startFake(t, awsfake.Options{}), logTo(&log), func(o *Options) {
		o.Rollups, o.Host = []string{RollupNodegroup}, func() Host { return host }
	})
	for range 2 {
		if r := one(t, s, eventful()); r.Points != 5 {
			t.Errorf("%d data", r.Points)
		}
	}
	if got := strings.Count(log.String(), "level=WARN msg=\"a roll-up is not published while its name is not known\" sink=cloudwatch rollup=NodegroupName"); got != 1 || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("log:\n%s", &log)
	}
	host.Cluster = "prod"
	if r := one(t, s, eventful()); r.Points != 10 {
		t.Errorf("%d data", r.Points)
	}
}

// TestEntityRefused: the data arrive all the same, and the reason is counted.
func TestEntityRefused(t *testing.T) {
	var log bytes.Buffer
	server := startFake(t, awsfake.Options{})
	s := newSink(t, server, logTo(&log), func(o *Options) { o.Entity = true })
	r, err := decode(one(t, s, eventful()).Data)
	if err != nil {
		t.Fatal(err)
	}
	r.Entity.KeyAttributes["Type"] = "Unheard::Of"
	deliver(t, s, r.encode(), r.encode())
	want := "level=WARN msg=\"CloudWatch takes the data but not the entity that they speak of\" sink=cloudwatch reason=InvalidTypeValue remedy=\"switch the entity off, or report this\"\n"
	if diff := cmp.Diff(want, log.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if !strings.Contains(selves(s), "enawatch_cloudwatch_entity_failures_total reason=InvalidTypeValue 2\n") {
		t.Errorf("self-metrics:\n%s", selves(s))
	}
	if got := len(server.CloudWatch.Data(awsfake.MetricQuery{})); got != 10 {
		t.Errorf("%d data were stored", got)
	}
}

// TestSplit halves down to single data, and loses none.
func TestSplit(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	s := newSink(t, server, func(o *Options) { o.PerInterface = true })
	whole := one(t, s, eventful())
	var singles []sink.Request
	open := []sink.Request{whole}
	for len(open) > 0 {
		r := open[0]
		open = open[1:]
		parts := s.Split(r.Data)
		if parts == nil {
			singles = append(singles, r)
			continue
		}
		if len(parts) != 2 || parts[0].Points+parts[1].Points != r.Points || parts[0].Points < 1 || parts[1].Points < 1 {
			t.Fatalf("%d data become %+v", r.Points, parts)
		}
		open = append(open, parts...)
	}
	if len(singles) != whole.Points {
		t.Errorf("%d data become %d", whole.Points, len(singles))
	}
	deliver(t, s, whole)
	deliver(t, s, singles...)
	sum := server.CloudWatch.Summarize(awsfake.MetricQuery{})
	if sum.Data != 2*whole.Points || sum.Duplicates != whole.Points {
		t.Errorf("%d data, %d of them duplicates", sum.Data, sum.Duplicates)
	}
	if got, want := s.Describe(whole.Data), `"pps_allowance_exceeded", "conntrack_allowance_available", "heartbeat", 4 more in namespace "ENA"`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	last := singles[slices.IndexFunc(singles, func(r sink.Request) bool { return strings.Contains(s.Describe(r.Data), "ens6") })]
	if got, want := s.Describe(last.Data), `"linklocal_allowance_exceeded" InstanceId="i-0123456789abcdef0" interface="ens6" team="net" in namespace "ENA"`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestPoison: a datum that the service refuses among others that it takes.
func TestPoison(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	s := newSink(t, server)
	r, err := decode(one(t, s, eventful()).Data)
	if err != nil {
		t.Fatal(err)
	}
	r.Data[2].Unit = "Furlongs" // as an older version might have spooled it
	open, dropped := []sink.Request{r.encode()}, 0
	for len(open) > 0 {
		next := open[0]
		open = open[1:]
		err := s.Deliver(t.Context(), next.Data)
		if err == nil {
			continue
		}
		if e := asError(t, err); e.Kind != sink.Poisoned || e.Ambiguous {
			t.Fatalf("%v: %v", e.Kind, e)
		}
		parts := s.Split(next.Data)
		if parts == nil {
			dropped += next.Points
		}
		open = append(open, parts...)
	}
	if got := len(server.CloudWatch.Data(awsfake.MetricQuery{})); got != 4 || dropped != 1 {
		t.Errorf("%d data were stored and %d dropped, want 4 and 1", got, dropped)
	}
}
