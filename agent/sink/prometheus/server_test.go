package prometheus

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/enawatch/enawatch/agent/metric"
)

// start starts a server that the end of the test shuts down.
func start(t *testing.T, o Options) *Server {
	t.Helper()
	s := mustNew(t, o)
	if err := s.Listen(nil); err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestRoutes(t *testing.T) {
	tests := []struct {
		method, path string
		code         int
		body         string // part of it, or "" for none
	}{
		{"GET", "/metrics", 200, "enawatch_build_info{"},
		{"HEAD", "/metrics", 200, ""},
		{"GET", "/healthz", 200, "ok\n"},
		{"HEAD", "/healthz", 200, ""},
		{"GET", "/readyz", 200, "ok\n"},
		{"GET", "/", 200, "the live page"},
		{"HEAD", "/", 200, ""},
		{"POST", "/metrics", 405, "Method Not Allowed"},
		{"PUT", "/healthz", 405, "Method Not Allowed"},
		{"DELETE", "/readyz", 405, "Method Not Allowed"},
		{"OPTIONS", "/", 405, "Method Not Allowed"},
		{"GET", "/favicon.ico", 404, "not found"},
		{"GET", "/metrics/", 404, "not found"},
	}
	o := options(twoInterfaces())
	page := http.NewServeMux()
	page.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the live page") })
	o.Page = page
	s := start(t, o)
	for _, test := range tests {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), test.method, "http://"+s.Addr().String()+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != test.code || !strings.Contains(string(body), test.body) || test.body == "" && len(body) > 0 {
				t.Errorf("status %d, want %d with %q; body:\n%s", resp.StatusCode, test.code, test.body, body)
			}
			if allow := resp.Header.Get("Allow"); test.code == 405 && allow != "GET, HEAD" {
				t.Errorf("Allow: %q", allow)
			}
			if got := resp.Header.Get("X-Content-Type-Options"); got != "nosniff" {
				t.Errorf("X-Content-Type-Options: %q", got)
			}
			if got := resp.Header.Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'none'") {
				t.Errorf("Content-Security-Policy: %q", got)
			}
		})
	}
}

func TestProbes(t *testing.T) {
	o := options(twoInterfaces())
	o.Health = func() error { return errors.New("no reading for 12s") }
	o.Ready = func() error { return errors.New("no interface yet") }
	h := mustNew(t, o).http.Handler
	for path, want := range map[string]string{"/healthz": "no reading for 12s\n", "/readyz": "no interface yet\n"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 503 || w.Body.String() != want {
			t.Errorf("%s: status %d, %q; want 503, %q", path, w.Code, w.Body, want)
		}
	}
}

func TestNewErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name string
		set  func(o *Options)
		want string
	}{
		{"unknown name set", func(o *Options) { o.Names = []string{"native", "nodeexporter"} },
			`sinks.prometheus.names: there is no name set "nodeexporter"; use any of native, node_exporter, showmax`},
		{"no address", func(o *Options) { o.Listen = "" }, "write HOST:PORT, as in 127.0.0.1:9109"},
		{"port alone", func(o *Options) { o.Listen = "9109" }, "sinks.prometheus.listen: address 9109: missing port in address; write"},
		{"no web configuration", func(o *Options) { o.WebConfigFile = filepath.Join(dir, "missing.yml") },
			"sinks.prometheus.web_config_file: open " + filepath.Join(dir, "missing.yml")},
		{"unknown key", func(o *Options) { o.WebConfigFile = write("key.yml", "tls_server_confg: {}\nusers: {}\n") },
			"field tls_server_confg not found"},
		{"no certificate", func(o *Options) {
			o.WebConfigFile = write("cert.yml", "tls_server_config: {cert_file: no.pem, key_file: no.key}\n")
		}, "no.pem"},
		{"password not hashed", func(o *Options) { o.WebConfigFile = write("user.yml", "basic_auth_users: {scraper: secret}\n") }, "hash"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := options(twoInterfaces())
			test.set(&o)
			_, err := New(o)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "sinks.prometheus.") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v; want one line with %q", err, test.want)
			}
		})
	}
}

func TestListenErrors(t *testing.T) {
	first := start(t, options(twoInterfaces()))
	tests := []struct {
		listen string
		is     error
		remedy string
	}{
		{first.Addr().String(), syscall.EADDRINUSE, "choose another port"},
		{"192.0.2.1:0", syscall.EADDRNOTAVAIL, "choose an address of this host"}, // TEST-NET-1: bound nowhere
		{"127.0.0.1:99999", nil, "as in 127.0.0.1:9109"},
	}
	for _, test := range tests {
		o := options(twoInterfaces())
		o.Listen = test.listen
		s := mustNew(t, o)
		err := s.Listen(nil)
		if err == nil {
			t.Errorf("%s: no error", test.listen)
			s.Shutdown(t.Context())
			continue
		}
		if test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("%s: error is not %v: %v", test.listen, test.is, err)
		}
		msg := err.Error()
		if !strings.HasPrefix(msg, "sinks.prometheus.listen: ") || !strings.HasSuffix(msg, test.remedy) {
			t.Errorf("%s: %v", test.listen, err)
		}
	}
	if got := listenRemedy(syscall.EACCES); !strings.Contains(got, "CAP_NET_BIND_SERVICE") {
		t.Errorf("remedy for EACCES: %s", got)
	}
}

// writeWebConfig writes a certificate for 127.0.0.1 and a web configuration
// that wants the user "scraper" with password "opensesame". It returns the
// configuration's path and a client that trusts the certificate.
func writeWebConfig(t *testing.T) (string, *http.Client) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("opensesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"cert.pem": certPEM,
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
		"web.yml": fmt.Appendf(nil, "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"+
			"http_server_config: {headers: {X-Frame-Options: sameorigin}}\n"+
			"basic_auth_users: {scraper: %q}\n", hash),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	return filepath.Join(dir, "web.yml"), &http.Client{Transport: transport}
}

func TestTLSAndBasicAuth(t *testing.T) {
	o := options(twoInterfaces())
	var client *http.Client
	o.WebConfigFile, client = writeWebConfig(t)
	addr := start(t, o).Addr().String()
	tests := []struct {
		name, url, password string
		code                int
	}{
		{"right password", "https://" + addr + "/metrics", "opensesame", 200},
		{"wrong password", "https://" + addr + "/metrics", "guess", 401},
		{"no password", "https://" + addr + "/healthz", "", 401},
		{"no TLS", "http://" + addr + "/metrics", "opensesame", 400},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), "GET", test.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.password != "" {
				r.SetBasicAuth("scraper", test.password)
			}
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != test.code {
				t.Errorf("status %d, want %d", resp.StatusCode, test.code)
			}
			if got := resp.Header.Get("X-Frame-Options"); test.code == 200 && got != "sameorigin" {
				t.Errorf("X-Frame-Options: %q, want that of the web configuration", got)
			}
		})
	}
}

// TestWebConfigGoneBad breaks the web configuration between New and Start.
func TestWebConfigGoneBad(t *testing.T) {
	var log bytes.Buffer
	o := options(twoInterfaces())
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	o.WebConfigFile, _ = writeWebConfig(t)
	s := mustNew(t, o)
	if err := os.WriteFile(o.WebConfigFile, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(nil); err != nil {
		t.Fatal(err)
	}
	s.Start()
	<-s.done
	if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "web.yml: line 1") {
		t.Errorf("log:\n%s", &log)
	}
	if conn, err := net.Dial("tcp", s.Addr().String()); err == nil {
		conn.Close()
		t.Error("the port is still open")
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// slowServer starts a server whose scrapes wait until release is closed. Each
// sends on scraping when it starts to wait.
func slowServer(t *testing.T) (s *Server, scraping chan struct{}, release chan struct{}) {
	t.Helper()
	o := options(nil)
	scraping, release = make(chan struct{}), make(chan struct{})
	o.Snapshot = func() *metric.Snapshot {
		scraping <- struct{}{}
		<-release
		return twoInterfaces()
	}
	s = mustNew(t, o)
	if err := s.Listen(nil); err != nil {
		t.Fatal(err)
	}
	s.Start()
	return s, scraping, release
}

// get returns the status of a GET, or 0 if there is no answer.
func get(s *Server, path string) int {
	resp, err := http.Get("http://" + s.Addr().String() + path)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestScrapesAreBounded(t *testing.T) {
	s, scraping, release := slowServer(t)
	codes := make(chan int, maxScrapes)
	for range maxScrapes {
		go func() { codes <- get(s, "/metrics") }()
		<-scraping
	}
	if code := get(s, "/metrics"); code != 503 {
		t.Errorf("one scrape too many: status %d, want 503", code)
	}
	if code := get(s, "/healthz"); code != 200 {
		t.Errorf("/healthz beside the scrapes: status %d", code)
	}
	close(release)
	for range maxScrapes {
		if code := <-codes; code != 200 {
			t.Errorf("scrape: status %d", code)
		}
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestShutdownWaitsForScrapes(t *testing.T) {
	s, scraping, release := slowServer(t)
	code := make(chan int, 1)
	go func() { code <- get(s, "/metrics") }()
	<-scraping
	stopped := make(chan error)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	<-s.done // Not listening any more.
	select {
	case err := <-stopped:
		t.Fatalf("Shutdown returned before the scrape: %v", err)
	default:
	}
	close(release)
	if c := <-code; c != 200 {
		t.Errorf("scrape: status %d", c)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestShutdownGivesUp(t *testing.T) {
	s, scraping, release := slowServer(t)
	code := make(chan int, 1)
	go func() { code <- get(s, "/metrics") }()
	<-scraping
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v, want context.Canceled", err)
	}
	if c := <-code; c != 0 {
		t.Errorf("scrape: status %d, want none", c)
	}
	close(release)
}

func TestShutdownWithoutStart(t *testing.T) {
	if err := mustNew(t, options(twoInterfaces())).Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// A stream that is open does not hold up the end.
func TestShutdownEndsStreams(t *testing.T) {
	o := options(twoInterfaces())
	open := make(chan struct{})
	o.Page = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(open)
		<-r.Context().Done()
	})
	s := mustNew(t, o)
	if err := s.Listen(nil); err != nil {
		t.Fatal(err)
	}
	s.Start()
	go func() {
		if resp, err := http.Get("http://" + s.Addr().String() + "/stream"); err == nil {
			resp.Body.Close()
		}
	}()
	<-open
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

// A server that becomes another one answers as that would, ends the streams of
// what it was, and keeps connections. One with another address it does not become.
func TestBecome(t *testing.T) {
	open, ended := make(chan struct{}), make(chan struct{})
	o := options(twoInterfaces())
	o.Page = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(open)
		<-r.Context().Done()
		close(ended)
	})
	s := start(t, o)
	go get(s, "/stream")
	<-open
	o = options(nil)
	o.Listen = "localhost:0"
	if s.Become(mustNew(t, o)) {
		t.Error("it becomes a server of another address")
	}
	o = options(nil)
	o.Ready = func() error { return errors.New("the second") }
	next := mustNew(t, o)
	if err := next.Listen(s); err != nil {
		t.Fatal(err)
	}
	if got := get(s, "/readyz"); got != http.StatusOK {
		t.Errorf("before: status %d", got)
	}
	if !s.Become(next) {
		t.Error("it does not become a server of the same address")
	}
	<-ended
	if got := get(s, "/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("after: status %d", got)
	}
}

// A server that shares the port of another keeps it open when the old one is
// shut down. Whoever was not started leaves it alone.
func TestSharedPort(t *testing.T) {
	first := start(t, options(twoInterfaces()))
	o := options(nil)
	o.Ready = func() error { return errors.New("the second") }
	o.WebConfigFile = filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(o.WebConfigFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	never := mustNew(t, o)
	if err := never.Listen(first); err != nil {
		t.Fatal(err)
	}
	second := mustNew(t, o)
	if err := second.Listen(first); err != nil {
		t.Fatal(err)
	}
	if err := never.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := get(first, "/readyz"); got != http.StatusOK {
		t.Errorf("before: status %d", got)
	}
	if err := first.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Nobody accepts connections now, and nobody is refused.
	conn, err := net.Dial("tcp", first.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	second.Start()
	if got := get(second, "/readyz"); got != http.StatusServiceUnavailable || second.Addr().String() != first.Addr().String() {
		t.Errorf("after: status %d of %v", got, second.Addr())
	}
	if err := second.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", second.Addr().String()); err == nil {
		conn.Close()
		t.Error("the port is still open")
	}
}
