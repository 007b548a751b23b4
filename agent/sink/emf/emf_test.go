package emf_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/emf"
	"github.com/enawatch/enawatch/test/emfspec"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// batch returns a window of one minute on an instance with n interfaces.
func batch(n int, series ...metric.Series) *metric.Batch {
	b := &metric.Batch{
		Start:    time.Date(2026, 11, 23, 8, 15, 0, 0, time.UTC),
		Length:   time.Minute,
		Resource: metric.Resource{Host: "ip-10-0-1-7.ec2.internal", InstanceID: "i-0123456789abcdef0", Zone: "eu-west-1b"},
		Series:   series,
	}
	for i := range n {
		b.Interfaces = append(b.Interfaces, metric.Interface{
			Name: fmt.Sprintf("ens%d", 5+i), MAC: fmt.Sprintf("0a:1b:2c:3d:4e:%02x", i), Subnet: fmt.Sprintf("subnet-%d", i), BusInfo: fmt.Sprintf("0000:00:%02d.0", 5+i),
			ENI: fmt.Sprintf("eni-0123456789abcde%02x", i), DriverVersion: "2.13.3g",
		})
	}
	return b
}

// with returns b after f has changed it.
func with(b *metric.Batch, f func(*metric.Batch)) *metric.Batch {
	f(b)
	return b
}

func counter(name string, samples ...float64) metric.Series {
	return metric.Series{Name: name, Kind: metric.Counter, Unit: metric.Count, Interface: -1, Samples: samples}
}

func gauge(name string, samples ...float64) metric.Series {
	s := counter(name, samples...)
	s.Kind = metric.Gauge
	return s
}

// of makes s a series of interface i.
func of(i int, s metric.Series) metric.Series {
	s.Scope, s.Interface = metric.PerInterface, i
	return s
}

// detail makes s what interface i contributed to a series of the instance.
func detail(i int, s metric.Series) metric.Series {
	s = of(i, s)
	s.Detail = true
	return s
}

// burst returns a minute of samples that are zero but for those given, the last
// of which is in the minute's last second.
func burst(samples ...float64) []float64 {
	return append(make([]float64, 60-len(samples)), samples...)
}

var heartbeat = whole(gauge("heartbeat", 60))

// whole makes s speak of the whole window.
func whole(s metric.Series) metric.Series {
	s.Whole = true
	return s
}

// dnsBurst is a window in which one interface lost DNS packets for 3 seconds.
func dnsBurst() *metric.Batch {
	return batch(1,
		heartbeat,
		counter("pps_allowance_exceeded", burst(0)...),
		gauge("conntrack_allowance_available", burst(136812, 136811, 136812)...),
		detail(0, counter("pps_allowance_exceeded", burst(0)...)),
		of(0, counter("linklocal_allowance_exceeded", burst(412, 1190, 37)...)),
		of(0, whole(counter("linklocal_throttled_seconds", 3))),
	)
}

// coreDNS are the pods of an interface that CoreDNS is on.
var coreDNS = &metric.Pods{
	Names: []string{"kube-system/coredns-5d78c9869d-abcde", "shop/cart-0"}, DNS: []string{"kube-system/coredns-5d78c9869d-abcde"}, Omitted: 3,
}

func goldens() map[string]*metric.Batch {
	many := batch(1)
	for i := range 205 {
		many.Series = append(many.Series, counter(fmt.Sprintf("host_%03d", i), float64(i)))
	}
	for i := range 101 {
		many.Series = append(many.Series, of(0, counter(fmt.Sprintf("own_%03d", i), float64(i))))
	}
	percent := of(0, gauge("ena_srd_resource_utilization", 12.5, 99.75))
	percent.Unit = metric.Percent
	none := of(0, gauge("ena_srd_mode", 3, 3, 3))
	none.Unit = metric.None
	size := counter("queue_rx_bytes", 1<<53-1, 1<<53, 1<<54, 1e21)
	size.Unit = metric.Bytes
	extremes := counter("extremes", 0x1p360, -0x1p360, 5e-324)
	seconds := gauge("latency", 1e-7, 0.000001, 0.1, math.Copysign(0, -1))
	seconds.Unit = metric.Seconds

	return map[string]*metric.Batch{
		"quiet":        batch(1, heartbeat),
		"no-interface": batch(0, heartbeat),
		"dns-burst":    dnsBurst(),
		"pods":         with(dnsBurst(), func(b *metric.Batch) { b.Interfaces[0].Pods = coreDNS }),
		"pods-of-several": with(batch(2, heartbeat, of(1, counter("linklocal_allowance_exceeded", burst(3)...))), func(b *metric.Batch) {
			b.Interfaces[1].Pods = coreDNS
		}),
		"senders": with(dnsBurst(), func(b *metric.Batch) {
			b.Senders = []metric.Sender{
				{Name: "kube-system/coredns-5d78/coredns", Namespace: "kube-system", Pod: "coredns-5d78", Container: "coredns", Packets: 1500, PeakPPS: 900,
					Services: []metric.ServicePackets{{Service: "dns", Packets: 1499}, {Service: "imds", Packets: 1}}},
				{Name: "process dig", Process: "dig", Packets: 20, PeakPPS: 20, Services: []metric.ServicePackets{{Service: "dns", Packets: 20}}},
			}
			b.OtherSenders = 7
			b.ConntrackOwners = []metric.ConntrackOwner{
				{Owner: "shop/cart-0", Entries: 120_000, Unreplied: 9, Mostly: "tcp 10.0.3.9:5432", MostlyEntries: 119_000},
				{Owner: "this host to tcp 10.0.3.9:443", Entries: 20},
			}
			b.ConntrackOthers = 12
			left := uint64(35)
			at := b.Start.Add(57 * time.Second)
			b.Records = []metric.Record{{
				At: at, Exceeded: map[string]uint64{"linklocal_allowance_exceeded": 412},
				Senders: []metric.RecordSender{{Sender: "kube-system/coredns-5d78/coredns", Packets: 1436, PeakPPS: 1436}}, OtherSenders: 3,
				Names:     []metric.RecordName{{Name: "#0123456789abcdef", Queries: 1400}},
				Conntrack: &metric.RecordConntrack{Entries: 130_000, Max: 262_144, PerSecond: 12.5, LookedAt: &at, Seen: 130_000, Owners: b.ConntrackOwners[:1], Others: 10_000},
				Seconds: []metric.RecordSecond{{At: at, Retransmits: 2, ConntrackAvailable: &left, Interfaces: []metric.RecordInterface{{
					Interface: "ens5", Exceeded: map[string]uint64{"linklocal_allowance_exceeded": 412},
					Packets: map[string]uint64{"dns": 1436}, PeakPPS: 1436, DNSQueries: 1436, DNSAnswered: 1024,
					Queues: map[string]uint64{"tx_cnt": 1500},
				}}}},
			}}
		}),
		"units":          batch(1, size, extremes, seconds, percent, none),
		"more-than-100":  many,
		"only-interface": batch(1, of(0, counter("linklocal_allowance_exceeded", 7))),
		"dns-burst-without-ids": with(dnsBurst(), func(b *metric.Batch) {
			b.Resource.InstanceID, b.Interfaces[0].ENI = "", ""
		}),
		"three-interfaces": with(batch(3,
			heartbeat,
			counter("bw_in_allowance_exceeded", 0, 30, 12),
			gauge("conntrack_allowance_available", 900, 700, 800),
			detail(0, counter("bw_in_allowance_exceeded", 0, 10, 2)),
			detail(0, gauge("conntrack_allowance_available", 900, 900, 900)),
			of(0, counter("linklocal_allowance_exceeded", 0, 5, 0)),
			detail(1, counter("bw_in_allowance_exceeded", 0, 20, 10)),
			detail(1, gauge("conntrack_allowance_available", 950, 700, 800)),
			of(2, counter("linklocal_allowance_exceeded", 0, 0, 9)),
			of(2, whole(counter("linklocal_throttled_seconds", 1))),
			of(2, gauge("ena_srd_resource_utilization", 40, 41, 42)),
		), func(b *metric.Batch) { b.Interfaces[2].ENI = "" }),
		"simulated": with(dnsBurst(), func(b *metric.Batch) { b.Resource.Simulated = true }),
		"fixed-dimensions": with(dnsBurst(), func(b *metric.Batch) {
			b.Resource.Dimensions = []metric.Dimension{{Name: "cluster", Value: `prod "blue" \ 1`}, {Name: "team", Value: ":net"}}
			b.Resource.Simulated = true
		}),
		"gauges": batch(1,
			gauge("varying", 5, 3, 9, 4), gauge("constant", 7, 7, 7), gauge("single", 8), counter("constant_counter", 2, 2, 2),
		),
		"odd-strings": with(dnsBurst(), func(b *metric.Batch) {
			b.Resource.Host = "quote\" back\\slash tab\t nul\x00 del\x7f ü € 😀 nel\u0085 ls\u2028 ps\u2029 bad\xff\xc3( end"
			b.Interfaces[0].Name = "<eth&ü>\n"
			b.Interfaces[0].DriverVersion = "\xed\xa0\x80"
			b.Series[0].Name = "größe\"\x01\xfe"
		}),
		// As a dimension, the same name has to be ASCII.
		"odd-dimensions": with(dnsBurst(), func(b *metric.Batch) {
			b.Resource.InstanceID, b.Interfaces[0].ENI, b.Interfaces[0].MAC = "", "", ""
			b.Resource.Host = "quote\" back\\slash tab\t nul\x00 del\x7f ü € 😀 nel\u0085 ls\u2028 bad\xff\xc3( end"
			b.Interfaces[0].Name = "ü"
		}),
		"short-window": with(batch(1, counter("pps_allowance_exceeded", 1, 0, 2)), func(b *metric.Batch) {
			b.Start = time.Date(2026, 11, 23, 17, 15, 56, 789e6, time.FixedZone("KST", 9*3600))
			b.Length = 3211*time.Millisecond + 700*time.Microsecond
		}),
	}
}

func newEncoder(tb testing.TB, interval time.Duration) *emf.Encoder {
	tb.Helper()
	e, err := emf.NewEncoder("ENA", interval)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func TestGolden(t *testing.T) {
	for name, b := range goldens() {
		t.Run(name, func(t *testing.T) {
			got, err := newEncoder(t, time.Minute).Append(nil, b)
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, name, got)
			checkExtraction(t, b, got, 60)
		})
	}
}

// A publish interval below a minute asks for high-resolution metrics; a window
// that is short for another reason does not.
func TestGoldenHighResolution(t *testing.T) {
	b := batch(1, heartbeat, of(0, counter("linklocal_allowance_exceeded", 1, 2, 3, 4, 5)))
	b.Length = 5 * time.Second
	got, err := newEncoder(t, 5*time.Second).Append(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "high-resolution", got)
	checkExtraction(t, b, got, 1)
}

func compareGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".jsonl")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
}

// checkExtraction fails unless every line is valid and publishes something, and
// CloudWatch would extract from them the series of b that are metrics, each once,
// and nothing else.
func checkExtraction(t *testing.T, b *metric.Batch, lines []byte, resolution int) {
	t.Helper()
	for _, doc := range checkMetrics(t, b, lines, resolution) {
		if len(doc.Metrics) == 0 {
			t.Errorf("a document publishes nothing: %v", doc.Root)
		}
	}
}

// checkMetrics is checkExtraction, but for documents that publish nothing. It
// returns the documents.
func checkMetrics(t *testing.T, b *metric.Batch, lines []byte, resolution int) []*emfspec.Document {
	t.Helper()
	var want, got []emfspec.Metric
	for i := range b.Series {
		if s := &b.Series[i]; !s.Detail {
			want = append(want, wantMetric(b, s, resolution))
		}
	}
	docs := validate(t, lines)
	for _, doc := range docs {
		got = append(got, doc.Metrics...)
	}
	order := func(a, b emfspec.Metric) int {
		return cmp.Or(strings.Compare(a.Name, b.Name),
			strings.Compare(a.Dimensions["NetworkInterfaceId"], b.Dimensions["NetworkInterfaceId"]),
			strings.Compare(a.Dimensions["interface"], b.Dimensions["interface"]))
	}
	slices.SortStableFunc(want, order)
	slices.SortStableFunc(got, order)
	if !reflect.DeepEqual(want, got) { // much faster than gocmp.Diff, for fuzzing
		t.Errorf("extracted metrics (-want +got):\n%s", gocmp.Diff(want, got))
	}
	return docs
}

// validate fails unless lines are whole lines, each a valid document.
func validate(t *testing.T, lines []byte) []*emfspec.Document {
	t.Helper()
	var docs []*emfspec.Document
	for line := range bytes.Lines(lines) {
		line, ended := bytes.CutSuffix(line, []byte("\n"))
		if !ended {
			t.Errorf("a line has no newline: %s", line)
		}
		doc, errs := emfspec.Validate(line)
		if len(errs) > 0 {
			t.Fatalf("invalid document: %v\n%s", errs, line)
		}
		docs = append(docs, doc)
	}
	return docs
}

// wantMetric says what CloudWatch is to extract for s.
func wantMetric(b *metric.Batch, s *metric.Series, resolution int) emfspec.Metric {
	m := emfspec.Metric{
		Namespace: "ENA", Name: string([]rune(s.Name)), Unit: string(s.Unit), Resolution: resolution,
		Dimensions: map[string]string{}, Values: s.Samples, Timestamp: b.Start.UTC().Truncate(time.Millisecond),
	}
	if s.Kind == metric.Gauge && len(slices.Compact(slices.Clone(s.Samples))) == 1 {
		m.Values = s.Samples[:1]
	}
	name := func(idKey, id, key, value string) {
		if id != "" {
			key, value = idKey, id
		}
		m.Dimensions[key] = strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return '?'
			}
			return r
		}, value)
	}
	name("InstanceId", b.Resource.InstanceID, "host", b.Resource.Host)
	if s.Interface >= 0 {
		n := b.Interfaces[s.Interface]
		name("NetworkInterfaceId", n.ENI, "interface", n.Name)
	}
	if b.Resource.Simulated {
		m.Dimensions["simulated"] = "true"
	}
	for _, d := range b.Resource.Dimensions {
		m.Dimensions[d.Name] = d.Value
	}
	return m
}

// Append leaves alone what the buffer holds, and an encoder can be used again.
func TestAppendToBuffer(t *testing.T) {
	e := newEncoder(t, time.Minute)
	first, err := e.Append([]byte("before\n"), dnsBurst())
	if err != nil {
		t.Fatal(err)
	}
	both, err := e.Append(first, batch(3, heartbeat))
	if err != nil {
		t.Fatal(err)
	}
	burst, err := os.ReadFile("testdata/dns-burst.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if want := "before\n" + string(burst); !strings.HasPrefix(string(both), want) {
		t.Errorf("buffer begins with\n%s\nwant\n%s", both[:min(len(both), len(want))], want)
	}
	checkExtraction(t, batch(3, heartbeat), both[len(first):], 60)
}

// A series with Detail is no metric, whatever its scope.
func TestDetailIsNoMetric(t *testing.T) {
	for _, n := range []int{1, 2} {
		ofInstance := detail(0, counter("bw_in_allowance_exceeded", 3))
		ofInstance.Scope = metric.Instance
		b := batch(n, heartbeat, ofInstance, detail(0, counter("bw_out_allowance_exceeded", 4)))
		got, err := newEncoder(t, time.Minute).Append(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		checkExtraction(t, b, got, 60)
		listed := strings.Contains(string(got), `"bw_in_allowance_exceeded_sum":3,"bw_in_allowance_exceeded_max":3,"bw_out_allowance_exceeded_sum":4,`)
		if listed != (n > 1) {
			t.Errorf("%d interfaces: the list has the sums: %t\n%s", n, listed, got)
		}
	}
}

func TestAppendNothing(t *testing.T) {
	for _, n := range []int{0, 1, 2} {
		got, err := newEncoder(t, time.Minute).Append([]byte("x"), batch(n))
		if err != nil || string(got) != "x" {
			t.Errorf("%d interfaces and no series: %q, %v; want \"x\"", n, got, err)
		}
	}
}
