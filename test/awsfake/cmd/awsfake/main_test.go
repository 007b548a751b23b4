package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRun starts the command, finds both endpoints and stops it.
func TestRun(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	out, w := io.Pipe()
	stop := make(chan os.Signal)
	done := make(chan error, 1)
	go func() {
		done <- run([]string{"--tls", "--ca", ca, "--listen", "127.0.0.1:0"}, w, stop)
		w.Close()
	}()
	lines := bufio.NewScanner(out)
	next := func() string {
		if !lines.Scan() {
			t.Fatalf("the command ended: %v", <-done)
		}
		return lines.Text()
	}
	service, control := next(), next()

	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in the file")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport}
	status := func(method, url string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := status(http.MethodGet, service+"/latest/meta-data/"); got != http.StatusUnauthorized {
		t.Errorf("the service: status %d", got)
	}
	// The control API answers while the services do not.
	if got := status(http.MethodPost, control+"/_fake/refuse?for=1h"); got != http.StatusNoContent {
		t.Errorf("refuse: status %d", got)
	}
	if _, err := c.Get(service + "/latest/meta-data/"); err == nil {
		t.Error("the service still answers")
	}
	if got := status(http.MethodGet, control+"/_fake/requests"); got != http.StatusOK {
		t.Errorf("requests: status %d", got)
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRunErrors(t *testing.T) {
	for _, args := range [][]string{
		{"--nonsense"},
		{"--listen", "nowhere"},
		{"--control", "nowhere"},
		{"--ca", "file"},
		{"--tls", "--ca", filepath.Join(t.TempDir(), "none", "ca.pem")},
	} {
		if err := run(args, io.Discard, nil); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", args, err)
		}
	}
}
