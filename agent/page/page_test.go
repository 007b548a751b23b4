package page

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
)

var ens5 = metric.Interface{Name: "ens5", MAC: "06:00:00:00:00:05"}

// host is a history and its page.
type host struct {
	*httptest.Server
	history *live.History
	row     *live.Row
	now     time.Time
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{now: time.Unix(1_795_000_000, 0)}
	h.history = live.New(live.Span, time.Second, func() time.Time { return h.now })
	h.row = h.history.Add(ens5)
	h.Server = httptest.NewServer(New(&live.Source{History: h.history, Version: "1.2.3",
		Describe: func() (metric.Resource, []metric.SelfMetric) { return metric.Resource{Host: "node-1"}, nil }}))
	t.Cleanup(h.Close)
	return h
}

// second lets one pass in which a counter grew.
func (h *host) second(grew uint64) {
	r := &delta.Result{}
	r.Values[ena.LinklocalAllowanceExceeded] = grew
	r.Counted.Add(ena.LinklocalAllowanceExceeded)
	h.row.Observe(ens5, ena.Valid, "", r)
	h.now = h.now.Add(time.Second)
	h.history.EndSecond(h.now)
}

func (h *host) get(t *testing.T, path string) (int, http.Header, string) {
	t.Helper()
	resp, err := http.Get(h.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body strings.Builder
	if _, err := bufio.NewReader(resp.Body).WriteTo(&body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, body.String()
}

func TestPaths(t *testing.T) {
	h := newHost(t)
	for _, tt := range []struct {
		path, content, part string
		code                int
	}{
		{"/", "text/html; charset=utf-8", "<title>enawatch</title>", 200},
		{"/assets/page.css", "text/css; charset=utf-8", "--accent", 200},
		{"/assets/page.js", "text/javascript; charset=utf-8", "EventSource", 200},
		{"/assets/vendor/uplot-1.6.32.min.js", "text/javascript; charset=utf-8", "uPlot (v1.6.32)", 200},
		{"/assets/vendor/uplot-LICENSE.txt", "text/plain; charset=utf-8", "MIT License", 200},
		{"/assets/", "text/plain; charset=utf-8", "not found", 404},
		{"/assets/../page.go", "text/plain; charset=utf-8", "not found", 404},
		{"/api/v1/live", "application/json; charset=utf-8", `"host":"node-1"`, 200},
		{"/api/v1/live?seconds=x", "text/plain; charset=utf-8", "?seconds=60", 400},
		{"/api/v1/live?seconds=-1", "text/plain; charset=utf-8", "?seconds=60", 400},
		{"/api/v1/catalogue", "application/json; charset=utf-8", "Cache DNS on the node", 200},
		{"/api/v2", "text/plain; charset=utf-8", "not found", 404},
	} {
		code, header, body := h.get(t, tt.path)
		if code != tt.code || header.Get("Content-Type") != tt.content || !strings.Contains(body, tt.part) {
			t.Errorf("%s: status %d, %s, want %d, %s with %q; body:\n%.300s", tt.path, code, header.Get("Content-Type"), tt.code, tt.content, tt.part, body)
		}
	}
}

// What the page loads is in the program, and nothing is inline, so that the
// policy of its server can forbid all else.
func TestThePageIsWhole(t *testing.T) {
	h := newHost(t)
	_, _, page := h.get(t, "/")
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(m[1], "/") || strings.HasPrefix(m[1], "//") {
			t.Errorf("%s is elsewhere", m[1])
		} else if strings.HasPrefix(m[1], "/assets/") {
			if code, _, _ := h.get(t, m[1]); code != 200 {
				t.Errorf("%s: status %d", m[1], code)
			}
		}
	}
	if m := regexp.MustCompile(`<script>|<style| style=| on\w+="`).FindString(page); m != "" {
		t.Errorf("inline: %q", m)
	}
	_, header, _ := h.get(t, "/")
	r, err := http.NewRequest("GET", h.URL+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("If-None-Match", header.Get("ETag"))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotModified {
		t.Errorf("what the browser has is right, status %d", resp.StatusCode)
	}
}

// stream opens one and returns a function that reads the next message of it.
func (h *host) stream(t *testing.T, after string) (next func() (id string, d live.Document)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", h.URL+"/api/v1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Last-Event-ID", after)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("status %d, %s", resp.StatusCode, got)
	}
	lines := bufio.NewScanner(resp.Body)
	return func() (id string, d live.Document) {
		for lines.Scan() && lines.Text() != "" {
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(text), &d); err != nil {
					t.Fatal(err)
				}
			}
			if text, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				id = text
			}
		}
		return id, d
	}
}

func TestStreamGoesOn(t *testing.T) {
	h := newHost(t)
	for n := range 5 {
		h.second(uint64(n))
	}
	next := h.stream(t, "3-0") // it has three seconds
	id, d := next()
	if id != "5-0" || len(d.Times) != 2 || d.Interfaces[0].Allowances[0].Values[1] != 4 {
		t.Errorf("after the third second: id %s, %+v", id, d)
	}
	h.second(77)
	if id, d := next(); id != "6-0" || len(d.Times) != 1 || d.Interfaces[0].Allowances[0].Values[0] != 77 {
		t.Errorf("the next second: id %s, %+v", id, d)
	}
	// A mark of an agent that ran longer means nothing to this one.
	if id, d := h.stream(t, "900-3")(); id != "6-0" || len(d.Times) != 6 {
		t.Errorf("a mark of another agent: id %s, %d seconds", id, len(d.Times))
	}
}

func TestStreamsAreBounded(t *testing.T) {
	h := newHost(t)
	h.second(1)
	for range maxStreams {
		h.stream(t, "")()
	}
	if code, header, body := h.get(t, "/api/v1/stream"); code != 503 || header.Get("Retry-After") == "" {
		t.Errorf("one more: status %d, %s", code, body)
	}
}
