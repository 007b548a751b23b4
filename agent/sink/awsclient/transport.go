package awsclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// idleTimeout is how long a connection outlives a request. Until the next window
// it would only cost memory, about 20 kB with TLS, and the service may have
// closed it by then; a backlog is sent over one connection.
const idleTimeout = 5 * time.Second

// newHTTPClient returns a client for the service and for those that give
// credentials. It has the SDK's own type, because the SDK changes its timeouts
// for IMDS and adds AWS_CA_BUNDLE to it.
func newHTTPClient(o *Options) (*awshttp.BuildableClient, error) {
	var roots *x509.CertPool
	if o.CAFile != "" {
		var err error
		if roots, err = x509.SystemCertPool(); err != nil {
			roots = x509.NewCertPool()
		}
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the CA file: %w", err)
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the CA file: %s has no PEM certificate", o.CAFile)
		}
	}
	client := awshttp.NewBuildableClient().WithTimeout(o.Timeout)
	return client.WithTransportOptions(func(t *http.Transport) { // TLS 1.2 or newer is its default
		t.Proxy = Proxy
		t.TLSClientConfig.RootCAs = roots
		// A handshake that goes on with the last session checks no certificates.
		t.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(2)
		t.IdleConnTimeout = idleTimeout
		// HTTP/2 would cost memory and gain nothing for one request a minute.
		t.ForceAttemptHTTP2 = false
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(true)
	}), nil
}

// privateServices is where EC2 has its IPv6 services. Those of IPv4 have
// link-local addresses.
var privateServices = netip.MustParsePrefix("fd00:ec2::/32")

// Proxy is the proxy that the environment names for a request, for
// [http.Transport]: none for EC2's services on the host itself. Errors do not
// repeat the proxy's URL.
func Proxy(r *http.Request) (*url.URL, error) { return outsideProxy(http.ProxyFromEnvironment)(r) }

// outsideProxy asks environment which proxy to use, but not for EC2's services
// on the host itself, which no proxy can reach. Errors do not repeat the
// proxy's URL, which may hold a password.
func outsideProxy(environment func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		ip, err := netip.ParseAddr(r.URL.Hostname())
		if err == nil && (ip.IsLinkLocalUnicast() || privateServices.Contains(ip)) {
			return nil, nil
		}
		proxy, err := environment(r)
		if err != nil {
			return nil, errors.New("HTTPS_PROXY or HTTP_PROXY is not a proxy's URL")
		}
		return proxy, nil
	}
}
