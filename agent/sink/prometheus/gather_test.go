package prometheus

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
	"weak"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/enawatch/enawatch/agent/metric"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	acceptText        = "text/plain;version=0.0.4"
	acceptOpenMetrics = "application/openmetrics-text;version=1.0.0"
)

// scrape asks a handler for /metrics in one format.
func scrape(t testing.TB, h http.Handler, accept string) string {
	t.Helper()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("GET /metrics: status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// scrapeSnapshot scrapes one snapshot.
func scrapeSnapshot(t testing.TB, s *metric.Snapshot, accept string, names ...string) string {
	t.Helper()
	return scrape(t, mustNew(t, options(s, names...)).http.Handler, accept)
}

// parseText checks that a page is valid text and returns its families.
func parseText(t testing.TB, page string) map[string]*dto.MetricFamily {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		t.Fatalf("the text format does not parse: %v\n%s", err, page)
	}
	if !utf8.ValidString(page) {
		t.Errorf("the page is not UTF-8: %q", page)
	}
	return families
}

func TestGolden(t *testing.T) {
	sets := append([][]string{allNames, nil}, []string{"native"}, []string{"node_exporter"}, []string{"showmax"})
	formats := []struct{ accept, suffix string }{{acceptText, "txt"}, {acceptOpenMetrics, "openmetrics.txt"}}
	for _, names := range sets {
		for _, format := range formats {
			name := map[int]string{0: "self", 3: "all"}[len(names)]
			if len(names) == 1 {
				name = names[0]
			}
			file := filepath.Join("testdata", name+"."+format.suffix)
			t.Run(filepath.Base(file), func(t *testing.T) {
				got := scrapeSnapshot(t, twoInterfaces(), format.accept, names...)
				// The Go version changes from one build machine to the next.
				got = strings.Replace(got, runtime.Version(), "go1.0", 1)
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Errorf("%s differs (-want +got); -update rewrites it:\n%s", file, diff)
				}
				if format.accept == acceptText {
					parseText(t, got)
				} else {
					checkOpenMetrics(t, got)
				}
			})
		}
	}
}

// checkOpenMetrics checks what OpenMetrics 1.0 demands beyond the text format:
// each family comes once, in one piece, owns all names of its samples alone,
// and ends in its unit; counters end in _total; "# EOF" is the last line.
func checkOpenMetrics(t testing.TB, page string) {
	t.Helper()
	body, ok := strings.CutSuffix(page, "# EOF\n")
	if !ok {
		t.Fatalf("the page does not end in # EOF:\n%s", page)
	}
	kinds := map[string]string{}
	samples := map[string]string{} // name of a sample: its family
	series := map[string]bool{}
	var family string
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		fields := strings.SplitN(line, " ", 4)
		switch {
		case strings.HasPrefix(line, "# HELP "):
			if _, ok := kinds[fields[2]]; ok {
				t.Errorf("family %s comes twice", fields[2])
			}
			family = fields[2]
		case strings.HasPrefix(line, "# TYPE "):
			if fields[2] != family {
				t.Errorf("TYPE of %s in family %s", fields[2], family)
			}
			kinds[family] = fields[3]
		case strings.HasPrefix(line, "# UNIT "):
			if fields[2] != family || !strings.HasSuffix(family, "_"+fields[3]) {
				t.Errorf("family %s does not end in its unit: %s", family, line)
			}
		default:
			name := line[:strings.IndexAny(line, "{ ")]
			want := family
			if kinds[family] == "counter" {
				want += "_total"
			}
			if name != want {
				t.Errorf("sample %s in %s %s", name, kinds[family], family)
			}
			if other, ok := samples[name]; ok && other != family {
				t.Errorf("sample %s in families %s and %s", name, other, family)
			}
			samples[name] = family
			id := line[:strings.LastIndexByte(line, ' ')]
			if series[id] {
				t.Errorf("series %s comes twice", id)
			}
			series[id] = true
		}
	}
	for name, family := range samples {
		if _, ok := kinds[name]; ok && name != family {
			t.Errorf("%s is a family and a sample of family %s", name, family)
		}
	}
}

// TestPromtool lets promtool judge the text format. It finds nothing to say even
// of the names of the other exporters, as long as a device is an ENA device.
func TestPromtool(t *testing.T) {
	for _, names := range [][]string{nil, {"native"}, {"node_exporter"}, {"showmax"}, allNames} {
		t.Run(strings.Join(names, ","), func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
			cmd.Stdin = strings.NewReader(scrapeSnapshot(t, twoInterfaces(), acceptText, names...))
			out, err := cmd.CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("promtool check metrics (Debian package prometheus): %v\n%s", err, out)
			}
		})
	}
}

func TestSimulatedMarksEverySeries(t *testing.T) {
	s := twoInterfaces()
	s.Resource.Simulated = true
	s.Resource.Dimensions = []metric.Dimension{{Name: "simulated", Value: "no"}}
	for name, f := range parseText(t, scrapeSnapshot(t, s, acceptText, allNames...)) {
		for _, m := range f.Metric {
			marked := false
			for _, l := range m.Label {
				marked = marked || l.GetName() == "simulated" && l.GetValue() == "true"
			}
			if !marked {
				t.Errorf("%s %v is not marked as simulated", name, m)
			}
		}
	}
}

func TestNoVerdictYet(t *testing.T) {
	s := twoInterfaces()
	s.Interfaces[0].Verdict = ""
	want := []string{`enawatch_interface_verdict{interface="ens6",mac="0a:5e:4f:44:55:66",verdict="suspect"} 1`}
	if diff := cmp.Diff(want, seriesOf(scrapeSnapshot(t, s, acceptText), "enawatch_interface_verdict")); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
}

// TestClashes lists series that may not stand on one page, and which of them
// stay on it.
func TestClashes(t *testing.T) {
	tests := []struct {
		name  string
		names []string
		state func(s *metric.Snapshot)
		want  []string
	}{
		{
			name:  "two interfaces with one MAC, as under a bond",
			names: []string{"native"},
			state: func(s *metric.Snapshot) {
				s.Interfaces = []metric.InterfaceState{
					{Interface: metric.Interface{Name: "ens5", MAC: "a"}, Totals: []metric.Total{{Name: "x", Value: 1}}},
					{Interface: metric.Interface{Name: "ens6", MAC: "a"}, Totals: []metric.Total{{Name: "x", Value: 2}}},
				}
			},
			want: []string{
				`ena_interface_info{bus_info="",driver="",eni="",firmware_version="",interface="ens5",mac="a",version=""} 1`,
				`ena_interface_info{bus_info="",driver="",eni="",firmware_version="",interface="ens6",mac="a",version=""} 1`,
				`ena_x_total{eni="",interface="ens5",mac="a"} 1`,
				`ena_x_total{eni="",interface="ens6",mac="a"} 2`,
			},
		},
		{
			name:  "one interface twice",
			names: []string{"showmax"},
			state: func(s *metric.Snapshot) {
				i := metric.InterfaceState{Interface: metric.Interface{Name: "ens5"}, Raw: []metric.RawStat{{Name: "x", Value: 1}}}
				j := i
				j.Raw = []metric.RawStat{{Name: "x", Value: 2}}
				s.Interfaces = []metric.InterfaceState{i, j}
			},
			want: []string{`node_net_ethtool{device="ens5",type="x"} 1`, `node_net_ethtool_info{device="ens5"} 1`},
		},
		{
			name:  "a counter and gauges of its names",
			names: []string{"native"},
			state: func(s *metric.Snapshot) {
				s.Interfaces = []metric.InterfaceState{{Totals: []metric.Total{
					{Name: "x"},
					{Name: "x", Kind: metric.Gauge},
					{Name: "x_total", Kind: metric.Gauge},
					{Name: "y", Kind: metric.Gauge, Value: 1},
					{Name: "y"},
					{Name: "interface_info", Kind: metric.Gauge, Value: 2},
				}}}
			},
			want: []string{
				`ena_interface_info{bus_info="",driver="",eni="",firmware_version="",interface="",mac="",version=""} 1`,
				`ena_interface_info{eni="",interface="",mac=""} 2`,
				`ena_x_total{eni="",interface="",mac=""} 0`,
				`ena_y{eni="",interface="",mac=""} 1`,
			},
		},
		{
			name: "counters whose names OpenMetrics can't tell apart or lack",
			state: func(s *metric.Snapshot) {
				s.Self = []metric.SelfMetric{{Name: "x_total", Value: 1}, {Name: "x", Labels: []metric.Dimension{{Name: "a", Value: "b"}}}, {Name: "_total"}}
			},
			want: []string{`x_total 1`},
		},
		{
			name: "odd names and labels",
			state: func(s *metric.Snapshot) {
				s.Self = []metric.SelfMetric{{Name: "9 lives\xff", Help: "a\xffb\nc", Kind: metric.Gauge, Value: math.Inf(1), Labels: []metric.Dimension{
					{Name: "__name__", Value: "v\xff"}, {Name: "", Value: "e"}, {Name: "a-b", Value: "1"}, {Name: "a b", Value: "2"},
				}}}
			},
			want: []string{`_9_lives_{_="e",_name__="v` + "\ufffd" + `",a_b="1"} +Inf`},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &metric.Snapshot{}
			test.state(s)
			page := scrapeSnapshot(t, s, acceptText, test.names...)
			parseText(t, page)
			checkOpenMetrics(t, scrapeSnapshot(t, s, acceptOpenMetrics, test.names...))
			var got []string
			for line := range strings.Lines(page) {
				if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "enawatch_") {
					got = append(got, strings.TrimSuffix(line, "\n"))
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("series (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzSnapshot scrapes snapshots whose every string is hostile.
func FuzzSnapshot(f *testing.F) {
	f.Add([]byte("rx_bytes\x00tx\x00queue_0_rx_rx_cnt\x00simulated\x00__name__\x00\xff\xfe\x00le\x00a: b"))
	f.Add([]byte("x\x00x_total\x00X\x00x\x00ena_x\x00ena_x_total\x00info\x00interface_info\x00_"))
	f.Add([]byte("enawatch_build_info\x00enawatch_build\x00node_ethtool_info\x00\"\\\n\x00 x "))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := hostileSnapshot(data)
		srv := mustNew(t, options(s, allNames...))
		parseText(t, scrape(t, srv.http.Handler, acceptText))
		checkOpenMetrics(t, scrape(t, srv.http.Handler, acceptOpenMetrics))
	})
}

// hostileSnapshot makes a snapshot of the strings in data, which NULs separate.
// They are used again and again, so that every clash comes up.
func hostileSnapshot(data []byte) *metric.Snapshot {
	words := strings.Split(string(data), "\x00")
	at := 0
	word := func() string {
		at++
		return words[(at*7+at/len(words))%len(words)]
	}
	s := &metric.Snapshot{Resource: metric.Resource{Host: word(), InstanceID: word(), Simulated: len(data)%2 == 1}}
	for range min(len(words), 20) {
		s.Resource.Dimensions = append(s.Resource.Dimensions, metric.Dimension{Name: word(), Value: word()})
		s.Self = append(s.Self, metric.SelfMetric{
			Name: word(), Help: word(), Kind: metric.Kind(at % 2), Value: math.NaN(),
			Labels: []metric.Dimension{{Name: word(), Value: word()}, {Name: word(), Value: word()}},
		})
	}
	for range 3 {
		i := metric.InterfaceState{
			Interface: metric.Interface{Name: word(), MAC: word(), BusInfo: word(), ENI: word(), DriverVersion: word(), Link: word()},
			Driver:    metric.Driver{Name: word(), Version: word(), FirmwareVersion: word(), ExpansionROMVersion: word(), BusInfo: word()},
			Verdict:   word(), Reason: word(),
		}
		for n := range min(len(words), 50) {
			i.Raw = append(i.Raw, metric.RawStat{Name: word(), Value: math.MaxUint64 - uint64(n)})
			i.Totals = append(i.Totals, metric.Total{Name: word(), Help: word(), Kind: metric.Kind(n % 2), Unit: metric.Unit(word()), Value: math.MaxUint64})
		}
		s.Interfaces = append(s.Interfaces, i)
	}
	return s
}

// largeSnapshot is a host of four interfaces with 400 stats each.
func largeSnapshot() *metric.Snapshot {
	s := &metric.Snapshot{Resource: metric.Resource{Host: "host"}}
	small := twoInterfaces()
	for n := range 4 {
		i := small.Interfaces[0]
		i.Name = fmt.Sprintf("ens%d", 5+n)
		i.MAC = fmt.Sprintf("0a:00:00:00:00:%02x", n)
		i.Raw = nil
		for q := range 16 {
			for k := range 25 {
				i.Raw = append(i.Raw, metric.RawStat{Name: fmt.Sprintf("queue_%d_rx_stat_%d", q, k), Value: uint64(q * k)})
			}
		}
		i.Totals = nil
		for k := range 40 {
			i.Totals = append(i.Totals, metric.Total{Name: fmt.Sprintf("stat_%d", k), Help: "A stat.", Value: uint64(k)})
		}
		s.Interfaces = append(s.Interfaces, i)
	}
	return s
}

// TestScrapeKeepsNothing scrapes a snapshot that nothing else holds.
func TestScrapeKeepsNothing(t *testing.T) {
	next := largeSnapshot()
	raw := weak.Make(&next.Interfaces[0].Raw[0])
	labels := weak.Make(next)
	o := options(nil, allNames...)
	o.Snapshot = func() *metric.Snapshot {
		s := next
		next = nil
		return s
	}
	srv := mustNew(t, o)
	if page := scrape(t, srv.http.Handler, acceptText); !strings.Contains(page, "queue_15_rx_stat_24") {
		t.Fatal("the scrape lacks a stat")
	}
	runtime.GC()
	if raw.Value() != nil || labels.Value() != nil {
		t.Error("the snapshot is still reachable after the scrape")
	}
	runtime.KeepAlive(srv)
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

func BenchmarkScrape(b *testing.B) {
	s := largeSnapshot()
	for _, names := range [][]string{{"native"}, {"node_exporter"}, {"showmax"}, allNames} {
		for _, encoding := range []string{"identity", "gzip"} {
			b.Run(strings.Join(names, "+")+"/"+encoding, func(b *testing.B) {
				h := mustNew(b, options(s, names...)).http.Handler
				r := httptest.NewRequest("GET", "/metrics", bytes.NewReader(nil))
				r.Header.Set("Accept", acceptOpenMetrics)
				r.Header.Set("Accept-Encoding", encoding)
				b.ReportAllocs()
				for b.Loop() {
					h.ServeHTTP(discard{http.Header{}}, r)
				}
			})
		}
	}
}
