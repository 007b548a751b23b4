package awsclient

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

const proxyURL = "http://me:s3cret@proxy.invalid:3128"

// TestTransport holds what no request shows.
func TestTransport(t *testing.T) {
	for _, name := range []string{"NO_PROXY", "no_proxy", "http_proxy", "https_proxy"} {
		t.Setenv(name, "")
	}
	t.Setenv("HTTP_PROXY", proxyURL)
	t.Setenv("HTTPS_PROXY", proxyURL)
	c, err := New(Options{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	tr := c.http.GetTransport()
	if tr.TLSClientConfig.MinVersion != 0x0303 || tr.IdleConnTimeout != idleTimeout || tr.Protocols.HTTP2() || !tr.Protocols.HTTP1() {
		t.Errorf("TLS from %x, idle for %v, protocols %v", tr.TLSClientConfig.MinVersion, tr.IdleConnTimeout, tr.Protocols)
	}
	for address, want := range map[string]string{"https://monitoring.us-east-1.amazonaws.com": proxyURL, "http://169.254.169.254/latest/": "<nil>"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tr.Proxy(r); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s goes by %v, %v", address, got, err)
		}
	}
	if c.http.GetTimeout() != 10*time.Second {
		t.Errorf("timeout %v", c.http.GetTimeout())
	}
	if c, err := New(Options{}); err != nil || c.http.GetTimeout() != DefaultTimeout {
		t.Errorf("timeout %v, %v", c.http.GetTimeout(), err)
	}
}

// TestProxy: a proxy of the environment is used, but not for EC2's services on
// the host, and its password stays out of errors.
func TestProxy(t *testing.T) {
	proxy := &url.URL{Scheme: "http", Host: "proxy:3128"}
	choose := outsideProxy(func(*http.Request) (*url.URL, error) { return proxy, nil })
	for address, want := range map[string]*url.URL{
		"https://monitoring.us-east-1.amazonaws.com":     proxy,
		"https://10.0.0.1":                               proxy,
		"http://169.254.169.254/latest/api/token":        nil,
		"http://169.254.170.23/v1/credentials":           nil,
		"http://[fd00:ec2::254]/latest/api/token":        nil,
		"http://[fd00:ec2::23]/v1/credentials":           nil,
		"http://[fe80::1]":                               nil,
		"https://sts.us-east-1.amazonaws.com":            proxy,
		"https://169.254.169.254.monitoring.example.com": proxy,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := choose(&http.Request{URL: u}); err != nil || got != want {
			t.Errorf("%s: %v, %v", address, got, err)
		}
	}
	choose = outsideProxy(func(*http.Request) (*url.URL, error) {
		return nil, errors.New(`invalid proxy address "http://me:s3cret@proxy:port"`)
	})
	_, err := choose(&http.Request{URL: &url.URL{Scheme: "https", Host: "monitoring.us-east-1.amazonaws.com"}})
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%v", err)
	}
}
