package identity

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	secret = "AQAAAtokenThatNobodyMayLog=="
	mac1   = "02:00:00:00:00:01"
	mac2   = "02:00:00:00:00:02"
)

// fake is IMDSv2. Like the real one, it answers only requests with its token.
type fake struct {
	t *testing.T
	// fault answers in place of the fake if it returns true.
	fault func(http.ResponseWriter, *http.Request) bool

	mu       sync.Mutex
	values   map[string]string    // below /latest/
	visible  map[string]time.Time // MACs that are hidden until then
	requests []string
	conns    map[http.ConnState]int
}

// newFake describes an instance with the ENIs of mac1 and mac2, whose tags are
// hidden.
func newFake(t *testing.T) *fake {
	f := &fake{t: t, conns: map[http.ConnState]int{}, visible: map[string]time.Time{}, values: map[string]string{
		"dynamic/instance-identity/document": `{"accountId": "123456789012", "architecture": "x86_64",
			"availabilityZone": "us-east-1a", "imageId": "ami-0123456789abcdef0", "instanceId": "i-0123456789abcdef0",
			"instanceType": "c7i.large", "pendingTime": "2026-11-01T00:00:00Z", "region": "us-east-1", "version": "2017-09-30"}`,
		"meta-data/placement/availability-zone-id": "use1-az1",
	}}
	f.attach(mac1, 0, time.Time{})
	f.attach(mac2, 1, time.Time{})
	return f
}

func (f *fake) attach(mac string, device int, visible time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := "meta-data/network/interfaces/macs/" + mac + "/"
	maps.Copy(f.values, map[string]string{
		at + "interface-id":  fmt.Sprintf("eni-%017x", device+1),
		at + "device-number": fmt.Sprint(device),
		at + "subnet-id":     "subnet-0123456789abcdef0",
		at + "vpc-id":        "vpc-0123456789abcdef0",

		at + "vpc-ipv4-cidr-block": "10.20.0.0/16",
	})
	f.visible[mac] = visible
}

// eni is the one that attach makes.
func eni(mac string, device int) ENI {
	return ENI{
		MAC: mac, ID: fmt.Sprintf("eni-%017x", device+1), DeviceNumber: device,
		SubnetID: "subnet-0123456789abcdef0", VPCID: "vpc-0123456789abcdef0",
		Resolver: netip.MustParseAddr("10.20.0.2"),
	}
}

func (f *fake) tag(key, value string) { f.values["meta-data/tags/instance/"+key] = value }

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/latest/"))
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 || r.Header.Get("X-Forwarded-For") != "" {
		f.t.Errorf("%s %s has a body or was forwarded", r.Method, r.URL.Path)
	}
	if f.fault != nil && f.fault(w, r) {
		return
	}
	if r.URL.Path == "/latest/api/token" && r.Method == http.MethodPut {
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"))
		fmt.Fprint(w, secret)
		return
	}
	if r.Header.Get("X-Aws-Ec2-Metadata-Token") != secret {
		f.t.Errorf("%s %s comes without the token", r.Method, r.URL.Path)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if text := f.get(strings.TrimPrefix(r.URL.Path, "/latest/")); text != "" {
		fmt.Fprint(w, text)
		return
	}
	http.NotFound(w, r)
}

// get returns a value, or the list of what is below a path.
func (f *fake) get(path string) string {
	names := map[string]bool{}
	for p, value := range f.values {
		if rest, ok := strings.CutPrefix(p, "meta-data/network/interfaces/macs/"); ok && time.Now().Before(f.visible[rest[:17]]) {
			continue
		}
		if p == path {
			return value
		}
		if rest, ok := strings.CutPrefix(p, strings.TrimSuffix(path, "/")+"/"); ok {
			name, _, below := strings.Cut(rest, "/")
			if below {
				name += "/"
			}
			names[name] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), "\n")
}

// asked returns the requests since it was last called.
func (f *fake) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	requests := f.requests
	f.requests = nil
	return requests
}

// count counts connections by each state that they were in.
func (f *fake) count(_ net.Conn, s http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns[s]++
}

// listen serves the fake on loopback and returns its endpoint.
func (f *fake) listen() string {
	s := httptest.NewUnstartedServer(f)
	s.Config.ConnState = f.count
	s.Start()
	f.t.Cleanup(s.Close)
	return s.URL
}

// pipe serves the fake in memory, so that inside of a synctest bubble time can
// pass while a connection waits.
func (f *fake) pipe() http.RoundTripper {
	l := pipeListener{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: f, ConnState: f.count}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(l); err != http.ErrServerClosed {
			f.t.Errorf("serve: %v", err)
		}
	}()
	f.t.Cleanup(func() {
		if err := server.Shutdown(context.Background()); err != nil {
			f.t.Error(err)
		}
		<-served
	})
	transport := newTransport()
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case l.conns <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return transport
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l pipeListener) Close() error   { close(l.closed); return nil }
func (l pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// options are those of a host that is known by the fake at endpoint only.
func options(t *testing.T, endpoint string) Options {
	return Options{
		Host:   Host{Hostname: "web-1"},
		Sys:    t.TempDir(),
		Getenv: env("AWS_EC2_METADATA_SERVICE_ENDPOINT=" + endpoint),
	}
}

func env(variables ...string) func(string) string {
	return func(name string) string {
		for _, v := range variables {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		return ""
	}
}
