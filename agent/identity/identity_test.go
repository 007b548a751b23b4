package identity

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// wantFacts are what the fake tells.
var wantFacts = []Fact{
	{"host", "web-1", Config},
	{"instance_id", "i-0123456789abcdef0", IMDS},
	{"instance_type", "c7i.large", IMDS},
	{"region", "us-east-1", IMDS},
	{"zone", "us-east-1a", IMDS},
	{"zone_id", "use1-az1", IMDS},
	{"account_id", "123456789012", IMDS},
	{"image_id", "ami-0123456789abcdef0", IMDS},
}

// lines returns the errors' texts and checks what holds for each of them.
func lines(t *testing.T, errs []error) []string {
	t.Helper()
	var texts []string
	for _, err := range errs {
		text := err.Error()
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) || len(text) > 500 {
			t.Errorf("not one short line: %q", text)
		}
		if strings.Contains(text, secret) {
			t.Errorf("holds the token: %q", text)
		}
		texts = append(texts, text)
	}
	return texts
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// The requests at the start are counted, because they come out of the budget
// that the agent watches.
func TestFindAsksLittle(t *testing.T) {
	f := newFake(t)
	r := New(options(t, f.listen()))
	host, enis, errs := r.Find(t.Context(), mac1)
	diff(t, "facts", wantFacts, host.Facts())
	diff(t, "ENIs", []ENI{eni(mac1, 0)}, enis)
	diff(t, "errors", []string(nil), lines(t, errs))
	diff(t, "requests", []string{
		"PUT api/token",
		"GET dynamic/instance-identity/document",
		"GET meta-data/placement/availability-zone-id",
		"GET meta-data/tags/instance",
		"GET meta-data/network/interfaces/macs/",
		"GET meta-data/network/interfaces/macs/02:00:00:00:00:01/interface-id",
		"GET meta-data/network/interfaces/macs/02:00:00:00:00:01/device-number",
		"GET meta-data/network/interfaces/macs/02:00:00:00:00:01/network-card",
		"GET meta-data/network/interfaces/macs/02:00:00:00:00:01/subnet-id",
		"GET meta-data/network/interfaces/macs/02:00:00:00:00:01/vpc-id",
		"GET meta-data/network/interfaces/macs/02:00:00:00:00:01/vpc-ipv4-cidr-block",
	}, f.asked())
	f.mu.Lock()
	defer f.mu.Unlock()
	diff(t, "connections", 1, f.conns[http.StateNew])
}

// A connection that is kept open costs packets.
func TestRoundsLeaveNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		start(t, f, mac1, "06:00:00:00:00:00")
		pass(10 * time.Second)
		f.mu.Lock()
		defer f.mu.Unlock()
		diff(t, "connections, opened and closed", []int{4, 4}, []int{f.conns[http.StateNew], f.conns[http.StateClosed]})
	})
}

func TestFindTags(t *testing.T) {
	tests := []struct {
		name string
		tags map[string]string
		want []Fact
		asks int // requests for single tags
	}{
		{"none of ours", map[string]string{"Name": "x", "aws:autoscaling:groupName2": "y"}, nil, 0},
		{"Auto Scaling", map[string]string{"aws:autoscaling:groupName": "web (blue)"}, []Fact{{"auto_scaling_group", "web (blue)", IMDS}}, 1},
		{"managed nodegroup", map[string]string{
			"aws:autoscaling:groupName": "eks-ng-1", "eks:cluster-name": "prod", "aws:eks:cluster-name": "prod", "eks:nodegroup-name": "ng",
		}, []Fact{{"auto_scaling_group", "eks-ng-1", IMDS}, {"cluster", "prod", IMDS}, {"nodegroup", "ng", IMDS}}, 3},
		{"self-managed", map[string]string{"aws:eks:cluster-name": "prod"}, []Fact{{"cluster", "prod", IMDS}}, 1},
		{"Karpenter", map[string]string{"eks:eks-cluster-name": "prod"}, []Fact{{"cluster", "prod", IMDS}}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			for key, value := range tt.tags {
				f.tag(key, value)
			}
			host, _, errs := New(options(t, f.listen())).Find(t.Context())
			diff(t, "facts", append(wantFacts[:len(wantFacts):len(wantFacts)], tt.want...), host.Facts())
			diff(t, "errors", []string(nil), lines(t, errs))
			diff(t, "number of requests", 4+tt.asks, len(f.asked()))
		})
	}
}

// Every way in which IMDS can fail has its line and ends in time.
func TestFindFails(t *testing.T) {
	status := func(code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(code)
			io.WriteString(w, "<html>\nno such thing</html>")
			return true
		}
	}
	onGet := func(fault func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool { return r.Method == http.MethodGet && fault(w, r) }
	}
	hang := func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	}
	long := func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
		for range 4 << 20 / 1024 {
			if _, err := w.Write(bytes.Repeat([]byte("i"), 1024)); err != nil {
				break
			}
		}
		return true
	}
	headers := func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", strings.Repeat("3", 1<<20))
		return true
	}
	drop := func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
	const (
		silent = "in a pod set hostNetwork or raise the hop limit to 2, or set identity.instance_id and identity.mode: static"
		off    = "set its HttpEndpoint to enabled, or set identity.instance_id and identity.mode: static"
		alien  = "check AWS_EC2_METADATA_SERVICE_ENDPOINT, or set identity.instance_id and identity.mode: static"
	)
	tests := []struct {
		name  string
		fault func(http.ResponseWriter, *http.Request) bool
		want  string
		is    error
		asks  int
		took  time.Duration
	}{
		{"black hole", hang, "IMDS does not answer (imds: it takes the connection and sends no token within 1s): " + silent, ErrNoAnswer, 1, time.Second},
		{"hang after the token", onGet(hang), "IMDS does not answer (imds: no HTTP within 1s): " + silent, ErrNoAnswer, 2, time.Second},
		{"dropped", drop, "IMDS does not answer (imds: no HTTP within 1s): " + silent, ErrNoAnswer, 1, 0},
		{"throttled", onGet(status(429)), "IMDS does not answer (imds: HTTP 429): " + silent, ErrNoAnswer, 2, 0},
		{"unavailable", status(503), "IMDS does not answer (imds: HTTP 503): " + silent, ErrNoAnswer, 1, 0},
		{"off", status(403), "IMDS is off for this instance (imds: HTTP 403): " + off, ErrOff, 1, 0},
		{"token refused", onGet(status(401)), "IMDS is off for this instance (imds: HTTP 401): " + off, ErrOff, 2, 0},
		{"version 1 only", status(404), "what answers is no IMDSv2 (imds: HTTP 404): " + alien, errAlien, 1, 0},
		{"version 1 only, with 405", status(405), "what answers is no IMDSv2 (imds: HTTP 405): " + alien, errAlien, 1, 0},
		{"no document", onGet(status(404)), "what answers is no IMDSv2 (imds: HTTP 404): " + alien, errAlien, 2, 0},
		{"HTML", status(200), "what answers is no IMDSv2 (imds: HTTP 200): " + alien, errAlien, 1, 0},
		{"HTML document", onGet(status(200)), "what answers is no IMDSv2 (imds: HTTP 200): " + alien, errAlien, 2, 0},
		{"megabytes of token", long, "what answers is no IMDSv2 (imds: over 32768 bytes): " + alien, errAlien, 1, 0},
		{"megabyte of headers", headers, "IMDS does not answer (imds: no HTTP within 1s): " + silent, ErrNoAnswer, 1, 0},
		{"megabytes of document", onGet(long), "what answers is no IMDSv2 (imds: over 32768 bytes): " + alien, errAlien, 2, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				o := options(t, "http://imds")
				o.transport = f.pipe()
				f.fault = tt.fault
				start := time.Now()
				host, enis, errs := New(o).Find(t.Context(), mac1)
				diff(t, "took", tt.took, time.Since(start))
				diff(t, "facts", wantFacts[:1], host.Facts())
				diff(t, "ENIs", []ENI(nil), enis)
				diff(t, "errors", []string{tt.want}, lines(t, errs))
				if !errors.Is(errs[0], tt.is) {
					t.Errorf("error is not %v", tt.is)
				}
				diff(t, "number of requests", tt.asks, len(f.asked()))
			})
		})
	}
}

func TestFindRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, _, errs := New(options(t, "http://"+l.Addr().String())).Find(t.Context(), mac1)
	diff(t, "errors", []string{"IMDS does not answer (" + l.Addr().String() + ": connection refused): " +
		"in a pod set hostNetwork or raise the hop limit to 2, or set identity.instance_id and identity.mode: static"}, lines(t, errs))
}

// A slow IMDS costs the start 2 seconds, and what it has said by then counts.
func TestFindSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.fault = func(http.ResponseWriter, *http.Request) bool {
			<-time.After(450 * time.Millisecond)
			return false
		}
		o := options(t, "http://imds")
		o.transport = f.pipe()
		start := time.Now()
		host, _, errs := New(o).Find(t.Context(), mac1)
		diff(t, "took", 2*time.Second, time.Since(start))
		diff(t, "facts", wantFacts, host.Facts())
		if len(errs) != 1 || !errors.Is(errs[0], ErrNoAnswer) {
			t.Errorf("errors are %v, want that IMDS does not answer", errs)
		}
	})
}

// Whoever answers in the place of IMDS can't send the agent elsewhere.
func TestFindFollowsNoRedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect was followed")
	}))
	defer elsewhere.Close()
	f := newFake(t)
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
			return true
		}
		return false
	}
	_, _, errs := New(options(t, f.listen())).Find(t.Context())
	if len(errs) != 1 || !errors.Is(errs[0], errAlien) {
		t.Errorf("errors are %v, want that this is no IMDS", errs)
	}
}

// What can't be true is left out, and said.
func TestFindStripsAnswers(t *testing.T) {
	f := newFake(t)
	f.values["dynamic/instance-identity/document"] = `{"instanceId": "i-1/../../x", "region": "US EAST",
		"availabilityZone": "us-east-1a", "accountId": "123", "instanceType": "c7i.large\nx"}`
	f.values["meta-data/placement/availability-zone-id"] = "<html>" + strings.Repeat("x", 1000)
	f.tag("eks:cluster-name", "名前")
	host, enis, errs := New(options(t, f.listen())).Find(t.Context(), mac1)
	diff(t, "facts", []Fact{{"host", "web-1", Config}, {"zone", "us-east-1a", IMDS}}, host.Facts())
	diff(t, "ENIs", []ENI{eni(mac1, 0)}, enis)
	diff(t, "errors", []string{
		`"i-1/../../x" is no instance_id, so imds is not believed: set identity.instance_id`,
		`"c7i.large\nx" is no instance_type, so imds is not believed: set identity.instance_type`,
		`"US EAST" is no region, so imds is not believed: set identity.region`,
		`"<html>` + strings.Repeat("x", 34) + `" is no zone_id, so imds is not believed: set identity.zone_id`,
		`"123" is no account_id, so imds is not believed: set identity.account_id`,
		`"\u540d\u524d" is no cluster, so imds is not believed: set identity.cluster`,
	}, lines(t, errs))
}

func TestLogValue(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	host, _, _ := New(Options{Static: true, Host: Host{Hostname: "web-1"}, Sys: t.TempDir(), Getenv: env("AWS_REGION=eu-west-1")}).Find(t.Context())
	log.Info("this host", "is", host)
	diff(t, "log", "level=INFO msg=\"this host\" is.host=\"web-1 (config)\" is.region=\"eu-west-1 (environment)\"\n", b.String())
}

// body is one whose WriteTo fails, as that of smithy-go does once it is closed.
type body struct{ io.Reader }

func (body) WriteTo(io.Writer) (int64, error) { return 0, io.EOF }
func (body) Close() error                     { return nil }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestDoorHidesBody(t *testing.T) {
	u := &url.URL{Scheme: "http", Host: "imds"}
	c := newClient(u, roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Body != nil && r.Body != http.NoBody {
			t.Errorf("the request has a body of type %T", r.Body)
		}
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	}))
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPut, u.String(), body{strings.NewReader("")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.door.Do(r); err != nil {
		t.Fatal(err)
	}
}
