package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/metric"
)

var start0 = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// window is minute n, in which the interface ens6 exceeded allowances.
func window(n int, exceeded map[string]float64) *metric.Batch {
	b := &metric.Batch{
		Start: start0.Add(time.Duration(n) * time.Minute), Length: time.Minute,
		Interfaces: []metric.Interface{{Name: "ens5"}, {Name: "ens6", ENI: "eni-6", Pods: &metric.Pods{
			Names: []string{"kube-system/coredns-1", "a/1", "a/2", "a/3", "a/4", "a/5"}, DNS: []string{"kube-system/coredns-1"}, Omitted: 2,
		}}},
	}
	for name, v := range exceeded {
		b.Series = append(b.Series,
			metric.Series{Name: name + "_allowance_exceeded", Interface: -1, Samples: []float64{v}},
			metric.Series{Name: name + "_allowance_exceeded", Interface: 1, Detail: true, Samples: []float64{0, v / 2, v / 2}})
	}
	return b
}

// logs is a buffer that several goroutines write to.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func options(l *logs) Options {
	return Options{
		Node: "node-1", Instance: "enawatch-x", RecoverAfter: 2 * time.Minute,
		Thresholds: map[string]int{"linklocal": 10, "pps": 1}, Log: slog.New(slog.NewTextHandler(l, nil)),
	}
}

func open(t *testing.T, a *apiserver, o Options) *Sink {
	s := start(o, a.client())
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

func TestStartUpdateEnd(t *testing.T) {
	a := newAPIServer(t)
	s := open(t, a, options(&logs{}))
	s.Publish(window(0, map[string]float64{"linklocal": 8, "bw_in": 1000})) // below the threshold, and of no interest
	s.Publish(window(1, map[string]float64{"linklocal": 1800}))
	a.wait(1)
	want := []object{{
		"apiVersion": "v1", "kind": "Event", "metadata": object{"name": "node-1.linklocalexceeded.19dafe65c60", "namespace": "default"},
		"involvedObject": object{"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "node-1"},
		"type":           "Warning", "reason": "LinkLocalExceeded", "count": 1.0,
		"firstTimestamp": "2026-11-23T08:01:00Z", "lastTimestamp": "2026-11-23T08:02:00Z",
		"message": "packets per second to DNS, IMDS and NTP exceeded since 2026-11-23T08:01:00Z: 1800 packets were queued or dropped in all; " +
			"1800 packets in 2 of the last 60 seconds; 1800 on ens6 (eni-6) with pods kube-system/coredns-1, a/1, a/2, a/3, a/4 and 3 more, " +
			"of which the cluster's DNS is kube-system/coredns-1. Remedy: spread CoreDNS over more nodes, or run NodeLocal DNSCache.",
		"source": object{"component": "enawatch", "host": "node-1"}, "reportingComponent": "enawatch", "reportingInstance": "enawatch-x",
	}}
	want[0]["metadata"].(object)["name"] = eventName("node-1", "LinkLocalExceeded", start0.Add(time.Minute))
	if diff := cmp.Diff(want, a.all()); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	s.Publish(window(2, map[string]float64{"linklocal": 200}))
	a.wait(1)
	s.Publish(window(3, nil)) // hysteresis: not over yet
	s.Publish(window(4, map[string]float64{"linklocal": 9}))
	a.wait(1)
	got := a.all()
	if len(got) != 2 || got[0]["count"] != 2.0 || got[0]["lastTimestamp"] != "2026-11-23T08:03:00Z" || !strings.Contains(got[0]["message"].(string), "2000 packets were") {
		t.Errorf("after the update and the end: %v", got)
	}
	if e := got[1]; e["type"] != "Normal" || e["reason"] != "LinkLocalRecovered" ||
		e["message"] != "packets per second to DNS, IMDS and NTP is within the allowance again: exceeded from 2026-11-23T08:01:00Z to 2026-11-23T08:03:00Z, 2000 packets in all." {
		t.Errorf("the end: %v", e)
	}
	s.Publish(window(9, map[string]float64{"linklocal": 10, "pps": 1})) // another incident, and another allowance
	a.wait(2)
	if got := a.all(); len(got) != 4 || got[2]["count"] != 1.0 || strings.Contains(got[2]["message"].(string), "2010") {
		t.Errorf("the next incidents: %v", got)
	}
}

// Who spends what an Event is about is named in it, if that is known.
func TestCulprits(t *testing.T) {
	senders := []metric.Sender{{Name: "kube-system/coredns-1/coredns", Packets: 1500}, {Name: "chronyd.service", Packets: 9}, {Name: "process dig", Packets: 2}, {Name: "x", Packets: 1}}
	owners := []metric.ConntrackOwner{{Owner: "shop/cart", Entries: 120_000}}
	tests := map[string]string{
		"linklocal": "of this node, most is from kube-system/coredns-1/coredns (1500 packets), chronyd.service (9 packets), process dig (2 packets). Remedy:",
		"conntrack": "of this node, most is from shop/cart (120000 connections). Remedy:",
		"pps":       "",
	}
	for name, want := range tests {
		a := newAPIServer(t)
		o := options(&logs{})
		o.Thresholds = map[string]int{name: 1}
		s := open(t, a, o)
		b := window(0, map[string]float64{name: 5})
		b.Senders, b.ConntrackOwners = senders, owners
		s.Publish(b)
		a.wait(1)
		message := a.all()[0]["message"].(string)
		if want == "" && strings.Contains(message, "most is from") || !strings.Contains(message, want) {
			t.Errorf("%s: %s, want %q", name, message, want)
		}
	}
}

func TestCondition(t *testing.T) {
	a := newAPIServer(t)
	o := options(&logs{})
	o.Condition = true
	s := open(t, a, o)
	is := func(want string) {
		t.Helper()
		a.set(func() {
			if got := fmt.Sprint(a.node["type"], a.node["status"], a.node["reason"], a.node["lastTransitionTime"]); got != want {
				t.Errorf("condition %s, want %s", got, want)
			}
		})
	}
	s.Publish(window(0, nil))
	a.wait(1)
	is("NetworkAllowanceHealthyTrueWithinAllowances2026-11-23T08:01:00Z")
	s.Publish(window(1, map[string]float64{"pps": 3}))
	a.wait(2)
	is("NetworkAllowanceHealthyFalsePPSExceeded2026-11-23T08:02:00Z")
	s.Publish(window(2, nil))
	s.Publish(window(3, nil))
	a.wait(2)
	is("NetworkAllowanceHealthyTrueWithinAllowances2026-11-23T08:04:00Z")
}

// What goes wrong once is made good, and nothing is told twice.
func TestFaults(t *testing.T) {
	tests := []struct {
		name   string
		before func(*apiserver)
		want   string // the answers to what tells of a start
		log    string
	}{
		{"server error", func(a *apiserver) { a.answer = []int{500} }, "POST 500 POST 200", "HTTP 500"},
		{"busy", func(a *apiserver) { a.answer = []int{429}; a.header.Set("Retry-After", "1") }, "POST 429 POST 200", "HTTP 429"},
		{"answer lost", func(a *apiserver) { a.lose = true }, "POST 0 POST 409", "EOF"},
		{"refused for good", func(a *apiserver) { a.answer = []int{422} }, "POST 422", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newAPIServer(t)
			tt.before(a)
			l := &logs{}
			s := open(t, a, options(l))
			s.Publish(window(1, map[string]float64{"pps": 7}))
			want := strings.Fields(tt.want)
			if tt.name == "answer lost" { // the handler is gone before it can tell
				want = want[2:]
			}
			if got := strings.Join(a.wait(len(want)/2), " "); got != strings.Join(want, " ") {
				t.Errorf("%s, want %s", got, strings.Join(want, " "))
			}
			if n := len(a.all()); n > 1 {
				t.Errorf("%d Events, want one at most", n)
			}
			if tt.log != "" && strings.Count(l.String(), tt.log) == 0 {
				t.Errorf("the log does not say %q:\n%s", tt.log, l.String())
			}
			if strings.Contains(l.String(), "first") || strings.Contains(l.String(), "Bearer") {
				t.Errorf("the log holds the token:\n%s", l.String())
			}
		})
	}
}

// The kubelet renews the token; a request with the old one is refused.
func TestExpiredTokenAndExpiredEvent(t *testing.T) {
	a := newAPIServer(t)
	s := open(t, a, options(&logs{}))
	s.Publish(window(1, map[string]float64{"pps": 7}))
	a.wait(1)
	a.set(func() { a.token = "second" })
	s.Publish(window(2, map[string]float64{"pps": 7}))
	if got := a.wait(1)[0]; got != "PATCH 401" {
		t.Errorf("with the old token: %s", got)
	}
	a.setToken("second")
	for a.wait(1)[0] != "PATCH 200" { // an attempt may have been under way
	}
	// The API server forgets an Event after an hour.
	a.set(func() { clear(a.events); a.order = nil })
	s.Publish(window(3, map[string]float64{"pps": 7}))
	if got := strings.Join(a.wait(2), " "); got != "PATCH 404 POST 200" {
		t.Errorf("after the Event expired: %s", got)
	}
	if got := a.all(); len(got) != 1 || got[0]["count"] != 3.0 {
		t.Errorf("the Event that was made again: %v", got)
	}
}

// While the API server is down for an hour of incidents, requests become rare
// and nothing piles up; then it learns of the newest state.
func TestDown(t *testing.T) {
	a := newAPIServer(t) // its certificate and token
	synctest.Test(t, func(t *testing.T) {
		l := &logs{}
		api := a.client()
		if _, err := api.credentials(); err != nil {
			t.Fatal(err)
		}
		server := &line{down: true}
		api.http.Transport = server
		o := options(l)
		o.Condition = true
		s := start(o, api)
		defer s.Close(context.Background())
		for n := range 60 {
			exceeded := map[string]float64{"pps": float64(n), "linklocal": 50}
			if n%10 > 4 {
				exceeded = nil
			}
			s.Publish(window(n, exceeded))
			time.Sleep(time.Minute)
		}
		if list, _ := server.set(false); len(list) > 40 {
			t.Errorf("%d requests in an hour to a server that is down", len(list))
		}
		if n := strings.Count(l.String(), "level=WARN"); n != 1 {
			t.Errorf("%d complaints, want one:\n%s", n, l.String())
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if list, made := server.set(false); made != 4 {
			t.Errorf("%d Events made, want the start and the end of two allowances: %v", made, list)
		}
	})
}

// A storm stays within the budget.
func TestBudget(t *testing.T) {
	a := newAPIServer(t)
	synctest.Test(t, func(t *testing.T) {
		api := a.client()
		if _, err := api.credentials(); err != nil {
			t.Fatal(err)
		}
		server := &line{}
		api.http.Transport = server
		o := options(&logs{})
		o.RecoverAfter, o.UpdateEvery = time.Minute, 0
		s := start(o, api)
		defer s.Close(context.Background())
		for n := range 600 { // a window each second
			exceeded := map[string]float64{"pps": 1, "linklocal": 10}
			if n%2 == 1 {
				exceeded = nil
			}
			s.Publish(window(n, exceeded))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		list, _ := server.set(false)
		if most := burst + 600/int(refill/time.Second) + 1; len(list) > most || len(list) < most-5 {
			t.Errorf("%d requests in ten minutes, the budget is %d", len(list), most)
		}
	})
}

// Updates that come oftener than the budget allows hold up no start and no end.
func TestStartsAndEndsGoFirst(t *testing.T) {
	a := newAPIServer(t)
	synctest.Test(t, func(t *testing.T) {
		api := a.client()
		if _, err := api.credentials(); err != nil {
			t.Fatal(err)
		}
		server := &line{}
		api.http.Transport = server
		o := options(&logs{})
		o.RecoverAfter, o.UpdateEvery = time.Minute, time.Second
		s := start(o, api)
		defer s.Close(context.Background())
		made := func() (n int) { // Events; what else is sent are updates
			list, _ := server.set(false)
			for _, r := range list {
				if strings.HasPrefix(r, http.MethodPost) {
					n++
				}
			}
			return n
		}
		for n := range 200 { // a window each second
			exceeded := map[string]float64{"pps": 1}
			if n >= 100 && n < 140 {
				exceeded["linklocal"] = 10
			}
			s.Publish(window(n, exceeded))
			time.Sleep(time.Second)
			synctest.Wait()
			switch soon := int(refill/time.Second) + 2; n {
			case 100 + soon:
				if made() != 2 {
					t.Errorf("%d Events at second %d, want the second's start", made(), n)
				}
			case 140 + soon:
				if made() != 3 {
					t.Errorf("%d Events at second %d, want the second's end", made(), n)
				}
			}
		}
	})
}

// line leads to a server that is down, or takes everything.
type line struct {
	mu   sync.Mutex
	down bool
	list []string
	made int
}

func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, r.Method+" "+r.URL.Path)
	if l.down {
		return nil, errors.New("no route to host")
	}
	if r.Method == http.MethodPost {
		l.made++
	}
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

// set lifts the server up or takes it down, and returns what was asked of it.
func (l *line) set(down bool) (list []string, made int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	return l.list, l.made
}

func TestNotInACluster(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := inCluster(t.TempDir()); err == nil || !strings.Contains(err.Error(), "this is no pod") {
		t.Errorf("error %v", err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "1")
	if _, err := inCluster(t.TempDir()); err == nil || !strings.Contains(err.Error(), "automountServiceAccountToken") {
		t.Errorf("error %v", err)
	}
}

// What hurts again while the cluster is being told that it is over is an incident of
// its own, with its own packets from the first on.
func TestHurtsAgainWhileTheEndIsTold(t *testing.T) {
	i := &incident{allowance: &allowances[len(allowances)-1], threshold: 1}
	i.observe(window(1, map[string]float64{"linklocal": 100}), time.Minute)
	first := i.report(options(&logs{})).(*eventReport)
	first.told(start0)
	i.observe(window(2, nil), time.Minute)
	end := i.report(options(&logs{})).(*eventReport)
	i.observe(window(3, map[string]float64{"linklocal": 7}), time.Minute)
	end.told(start0)
	if at := start0.Add(3 * time.Minute); !end.end || i.packets != 7 || i.windows != 1 || !i.since.Equal(at) || i.event != "" || !i.dirty {
		t.Errorf("an end %t; then %v packets in %d windows since %v, Event %q, to be told %t", end.end, i.packets, i.windows, i.since, i.event, i.dirty)
	}
}
