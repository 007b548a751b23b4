package pods

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// cni answers in the CNI's place, after a delay.
type cni struct {
	asked []time.Time
	delay time.Duration
	body  string
	err   error
}

func (c *cni) RoundTrip(r *http.Request) (*http.Response, error) {
	c.asked = append(c.asked, time.Now())
	select {
	case <-time.After(c.delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(c.body))}, c.err
}

func (c *cni) finder(log io.Writer) *Finder {
	f := New("127.0.0.1:1", slog.New(slog.NewTextHandler(log, nil)))
	f.introspection.client.Transport = c
	f.routes = func() (routing, error) { return routing{}, nil }
	return f
}

// The sources are asked at once, each minute, and when something happened, but
// never more often than every ten seconds.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cni{body: "{}"}
		f := c.finder(io.Discard)
		start, found := time.Now(), 0
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Second)
		defer cancel()
		go func() {
			for range 40 { // at 65 s, and a second apart from then on
				time.AfterFunc(65*time.Second, f.Look)
			}
			for i := range 30 {
				time.AfterFunc(time.Duration(66+i)*time.Second, f.Look)
			}
		}()
		f.Run(ctx, func(Map) { found++ })
		var at []string
		for _, a := range c.asked {
			at = append(at, a.Sub(start).String())
		}
		if got, want := strings.Join(at, " "), "0s 1m0s 1m10s 1m20s 1m30s 1m40s 2m40s"; got != want || found != len(at) {
			t.Errorf("asked at %s, and found %d times, want %s", got, found, want)
		}
	})
}

// An endpoint that hangs holds up nothing but this, is complained of once, and
// pods are told apart by their routes meanwhile.
func TestHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c := &cni{delay: time.Hour}
		f := c.finder(&log)
		f.routes = func() (routing, error) { return follow(node()), nil }
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		start, found := time.Now(), 0
		f.Run(ctx, func(m Map) {
			if found++; found == 1 && time.Since(start) != askLimit {
				t.Errorf("the first answer took %s", time.Since(start))
			}
			if p := m.Of(3, ""); p == nil || p.Names[0] != "10.0.1.40" {
				t.Errorf("pods of the secondary ENI: %+v", p)
			}
		})
		if n := strings.Count(log.String(), "level=WARN"); found < 9 || n != 1 {
			t.Errorf("%d answers, %d complaints:\n%s", found, n, log.String())
		}
	})
}

func TestComplaints(t *testing.T) {
	var log bytes.Buffer
	c := &cni{body: "{}"}
	f := c.finder(&log)
	f.routes = func() (routing, error) { return routing{}, errors.New("list rules: no") }
	f.ask(t.Context())
	f.ask(t.Context())
	if n := strings.Count(log.String(), "list rules: no"); n != 1 {
		t.Errorf("complained %d times, want once:\n%s", n, log.String())
	}
}

func TestEndpoint(t *testing.T) {
	body, err := os.ReadFile("testdata/v1.20-ipv6.json")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		path, want string // of the error; "" is none
	}{
		{"good", ""},
		{"missing", "HTTP 404: is it the VPC CNI's introspection?"},
		{"moved", "HTTP 302"},
		{"alien", "the answer is not the VPC CNI's"},
		{"long", "the answer is longer than 4 MiB"},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/good/v1/enis", func(w http.ResponseWriter, _ *http.Request) { w.Write(body) })
	mux.HandleFunc("/moved/v1/enis", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/good/v1/enis", http.StatusFound) })
	mux.HandleFunc("/alien/v1/enis", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") })
	mux.HandleFunc("/long/v1/enis", func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte(" "), maxAnswer+2)) })
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			i := newIntrospection(server.Listener.Addr().String())
			i.url = fmt.Sprintf("%s/%s/v1/enis", server.URL, tt.path)
			list, err := i.ask(t.Context())
			switch {
			case tt.want == "" && (err != nil || len(list) != 2):
				t.Errorf("%v, %v", list, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestUnixSocketAndAbsence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cni")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"ENIs":{}}`) })}}
	server.Start()
	if _, err := newIntrospection("unix:" + path).ask(t.Context()); err != nil {
		t.Error(err)
	}
	server.Close()
	if _, err := newIntrospection("unix:" + path).ask(t.Context()); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("a socket that is gone: %v", err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := tcp.Addr().String()
	tcp.Close()
	if _, err := newIntrospection(address).ask(t.Context()); err == nil || !strings.Contains(err.Error(), "DISABLE_INTROSPECTION") {
		t.Errorf("nothing listens: %v", err)
	}
}
