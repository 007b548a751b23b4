package prometheus

import (
	"compress/gzip"
	"io"
	"math"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/enawatch/enawatch/agent/metric"
)

// TestFormats asks as scrapers do.
func TestFormats(t *testing.T) {
	const (
		text  = "text/plain; version=0.0.4; charset=utf-8"
		first = "application/openmetrics-text; version=0.0.1; charset=utf-8"
		open  = "application/openmetrics-text; version=1.0.0; charset=utf-8"
	)
	for accept, want := range map[string]string{
		"":          text,
		"*/*":       text,
		"text/html": text,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": text,
		acceptText:                     text,
		"text/plain":                   text,
		acceptOpenMetrics:              open,
		"application/openmetrics-text": first,
		"application/openmetrics-text;version=2.0.0,text/plain;q=0.5": text,
		// Prometheus 2.45, and 3 with and without native histograms.
		"application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2":                                                                          open,
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1": open,
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2":     open,
		"text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4":                                                                                                                                     text,
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3,application/openmetrics-text;version=0.0.1;q=0.2":                                    text,
	} {
		h := mustNew(t, options(twoInterfaces())).http.Handler
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := w.Header().Get("Content-Type"); got != want {
			t.Errorf("Accept: %s\ngot  %s\nwant %s", accept, got, want)
		}
		if open := strings.HasSuffix(w.Body.String(), "# EOF\n"); open != (want != text) {
			t.Errorf("Accept: %s: the page is not what its type says", accept)
		}
	}
}

func TestGzip(t *testing.T) {
	h := mustNew(t, options(largeSnapshot(), allNames...)).http.Handler
	plain := scrape(t, h, acceptText)
	if len(plain) < 5*pieceBytes {
		t.Fatalf("the page has %d bytes", len(plain))
	}
	for accept, zipped := range map[string]bool{
		"": false, "gzip": true, "br, GZIP;q=0.5": true, "zstd,gzip;q=1.0": true, "gzip;q=0": false, "gzip; q=0.000": false, "identity": false, "x-gzip": false,
	} {
		for _, method := range []string{"GET", "HEAD"} {
			r := httptest.NewRequest(method, "/metrics", nil)
			r.Header.Set("Accept", acceptText)
			r.Header.Set("Accept-Encoding", accept)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if got := w.Header().Get("Content-Encoding") == "gzip"; got != zipped {
				t.Errorf("Accept-Encoding: %s: gzip %t", accept, got)
			}
			if method == "HEAD" {
				if w.Body.Len() > 0 {
					t.Errorf("HEAD: %d bytes", w.Body.Len())
				}
				continue
			}
			page := io.Reader(w.Body)
			if zipped {
				if w.Body.Len() > len(plain)/5 {
					t.Errorf("%d of %d bytes after compression", w.Body.Len(), len(plain))
				}
				z, err := gzip.NewReader(w.Body)
				if err != nil {
					t.Fatal(err)
				}
				page = z
			}
			got, err := io.ReadAll(page)
			if err != nil || string(got) != plain {
				t.Errorf("Accept-Encoding: %s: another page, or %v", accept, err)
			}
		}
	}
}

// TestValues holds the two ways of writing numbers.
func TestValues(t *testing.T) {
	for v, want := range map[float64][2]string{
		0: {"0", "0.0"}, 1: {"1", "1.0"}, -1: {"-1", "-1.0"}, 0.25: {"0.25", "0.25"}, 40211: {"40211", "40211.0"},
		9033162875551: {"9.033162875551e+12", "9.033162875551e+12"}, 1772600767.25: {"1.77260076725e+09", "1.77260076725e+09"},
		math.Inf(1): {"+Inf", "+Inf"}, math.Inf(-1): {"-Inf", "-Inf"}, 1 << 53: {"9.007199254740992e+15", "9.007199254740992e+15"},
	} {
		for i, open := range []bool{false, true} {
			if got := string(format{open: open}.appendValue(nil, v)); got != want[i] {
				t.Errorf("%v: %s, want %s", v, got, want[i])
			}
		}
	}
	if got := string(plain.appendValue(nil, math.NaN())); got != "NaN" {
		t.Errorf("NaN: %s", got)
	}
}

// TestScrapeAllocates bounds what a scrape leaves: some for each series to be
// found and sorted, none for it to be written.
func TestScrapeAllocates(t *testing.T) {
	g, err := newGatherer(&Options{Names: []string{"native", "node_exporter"}, Snapshot: largeSnapshot})
	if err != nil {
		t.Fatal(err)
	}
	families := g.families(largeSnapshot())
	series := 0
	for _, f := range families {
		series += len(f.Series)
	}
	if n := testing.AllocsPerRun(10, func() { plain.write(io.Discard, families) }); n > 2 {
		t.Errorf("writing %d series allocates %v times", series, n)
	}
	s := largeSnapshot()
	if n := testing.AllocsPerRun(10, func() { g.families(s) }); n > float64(2*series) {
		t.Errorf("finding %d series allocates %v times", series, n)
	}
}

// TestLargePage reads a page back that is written in several pieces.
func TestLargePage(t *testing.T) {
	page := scrapeSnapshot(t, largeSnapshot(), acceptText, "node_exporter")
	if len(page) < 3*pieceBytes {
		t.Fatalf("the page has %d bytes", len(page))
	}
	families := parseText(t, page)
	series := 0
	for _, f := range families {
		series += len(f.Metric)
	}
	// Four interfaces with 400 stats, a driver and a verdict; the build and the host.
	if want := 4*402 + 2; series != want || len(families) != 404 {
		t.Errorf("%d series of %d families, want %d of 404", series, len(families), want)
	}
}

// TestHelp writes help of each kind in both formats.
func TestHelp(t *testing.T) {
	for help, want := range map[string][2]string{
		"":               {"", ""},
		"a \"b\" \\c\nd": {`a "b" \\c\nd`, `a \"b\" \\c\nd`},
	} {
		s := &metric.Snapshot{Self: []metric.SelfMetric{{Name: "x", Help: help, Kind: metric.Gauge}}}
		for i, accept := range []string{acceptText, acceptOpenMetrics} {
			if page := scrapeSnapshot(t, s, accept); !strings.Contains(page, "# HELP x "+want[i]+"\n# TYPE x gauge\nx 0") {
				t.Error(page)
			}
		}
	}
}
