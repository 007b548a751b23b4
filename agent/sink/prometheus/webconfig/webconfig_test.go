package webconfig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// identity is a certificate of its own making, and its key, as PEM.
type identity struct{ cert, key []byte }

func newIdentity(t *testing.T, name string) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return identity{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})}
}

func (i identity) write(t *testing.T, dir, name string) {
	t.Helper()
	write(t, filepath.Join(dir, name+".pem"), i.cert)
	write(t, filepath.Join(dir, name+".key"), i.key)
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// serve serves "hello" under the configuration and returns the address.
func serve(t *testing.T, path string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello")) }),
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo),
	}
	done := make(chan error)
	go func() { done <- Serve(l, s, path, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// status asks for url as user and returns the status and headers, or the error.
func status(t *testing.T, c *tls.Config, url, user, password string) (int, http.Header, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return 0, nil, err
	}
	resp.Body.Close()
	return resp.StatusCode, resp.Header, nil
}

func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	server, good, wrongName, stranger := newIdentity(t, "server"), newIdentity(t, "scraper"), newIdentity(t, "other"), newIdentity(t, "scraper")
	server.write(t, dir, "server")
	write(t, filepath.Join(dir, "ca.pem"), append(good.cert, wrongName.cert...))
	path := filepath.Join(dir, "web.yml")
	write(t, path, []byte(`tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_ca_file: ca.pem
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [scraper]
  min_version: TLS13
`))
	url := "https://" + serve(t, path) + "/"
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(server.cert)
	for _, test := range []struct {
		name  string
		who   *identity
		taken bool
	}{
		{"allowed", &good, true},
		{"another name", &wrongName, false},
		{"another authority", &stranger, false},
		{"no certificate", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &tls.Config{RootCAs: roots}
			if test.who != nil {
				pair, err := tls.X509KeyPair(test.who.cert, test.who.key)
				if err != nil {
					t.Fatal(err)
				}
				// Sent whatever authorities the server asks for.
				c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
			}
			code, _, err := status(t, c, url, "", "")
			if got := err == nil && code == 200; got != test.taken {
				t.Errorf("status %d, error %v", code, err)
			}
		})
	}
	pair, err := tls.X509KeyPair(good.cert, good.key)
	if err != nil {
		t.Fatal(err)
	}
	old := &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if _, _, err := status(t, old, url, "", ""); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.2, with min_version TLS13: %v", err)
	}
}

// TestChangesTakeEffect changes certificate, users and headers under a server
// that runs.
func TestChangesTakeEffect(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "web.yml")
	configure := func(id identity, user, password, header string) *tls.Config {
		id.write(t, dir, "server")
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, []byte("tls_server_config: {cert_file: server.pem, key_file: server.key}\n"+
			"basic_auth_users: {"+user+": "+string(hash)+"}\nhttp_server_config: {headers: {X-Frame-Options: "+header+"}}\n"))
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(id.cert)
		return &tls.Config{RootCAs: roots}
	}
	before := configure(newIdentity(t, "a"), "ann", "one", "deny")
	url := "https://" + serve(t, path) + "/"
	want := func(c *tls.Config, user, password string, code int, header string) {
		t.Helper()
		got, h, err := status(t, c, url, user, password)
		if err != nil || got != code || code == 200 && h.Get("X-Frame-Options") != header {
			t.Errorf("%s: status %d, header %q, error %v; want %d and %q", user, got, h.Get("X-Frame-Options"), err, code, header)
		}
	}
	want(before, "ann", "one", 200, "deny")
	want(before, "ann", "two", 401, "")
	want(before, "bob", "one", 401, "")
	want(before, "", "", 401, "")
	after := configure(newIdentity(t, "b"), "ann", "two", "sameorigin")
	want(after, "ann", "two", 200, "sameorigin")
	want(after, "ann", "one", 401, "")
	if _, _, err := status(t, before, url, "ann", "two"); err == nil {
		t.Error("the old certificate is still shown")
	}
	write(t, path, []byte("basic_auth_users: {ann: two}\n"))
	if _, _, err := status(t, after, url, "ann", "two"); err == nil {
		t.Error("a configuration that can't be used lets people in")
	}
}

func TestRateLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.yml")
	write(t, path, []byte("rate_limit: {burst: 2, interval: 1h}\n"))
	url := "http://" + serve(t, path) + "/"
	for i, want := range []int{200, 200, 429} {
		if code, _, err := status(t, nil, url, "", ""); code != want {
			t.Errorf("request %d: status %d, error %v; want %d", i, code, err, want)
		}
	}
}

func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	newIdentity(t, "server").write(t, dir, "server")
	const pair = "cert_file: server.pem, key_file: server.key"
	for _, test := range []struct{ text, want string }{
		{"tls_server_confg: {}\nusers: {}", "field tls_server_confg not found"},
		{"tls_server_config: {cert_file: server.pem}", "key_file or key is missing"},
		{"tls_server_config: {client_auth_type: NoClientCert}", "cert_file or cert is missing"},
		{"tls_server_config: {" + pair + ", client_auth_type: Maybe}", `client_auth_type: "Maybe" is not known`},
		{"tls_server_config: {" + pair + ", client_ca_file: server.pem}", "set it to RequireAndVerifyClientCert"},
		{"tls_server_config: {" + pair + ", client_ca_file: server.key, client_auth_type: RequireAndVerifyClientCert}", "holds no certificate"},
		{"tls_server_config: {" + pair + ", min_version: SSL3}", `line 1: "SSL3" is no version of TLS`},
		{"tls_server_config: {" + pair + ", cipher_suites: [ROT13]}", `"ROT13" is no cipher suite`},
		{"tls_server_config: {" + pair + ", curve_preferences: [Circle]}", `"Circle" is no curve`},
		{"http_server_config: {headers: {X-Mine: a}}", `"X-Mine" can't be set`},
		{"http_server_config: {headers: {X-Frame-Options: allow}}", "takes deny or sameorigin"},
		{"rate_limit: {interval: -1s}", "can't be negative"},
		{"basic_auth_users: {ann: hunter2}", "no bcrypt hash"},
		{"basic_auth_users: hunter2", "not of the type that belongs here"},
		{"basic_auth_users: {ann: [hunter2]}", "not of the type that belongs here"},
		{strings.Repeat("#", maxFile), "larger than"},
		{"a: b: c", "mapping values are not allowed"},
	} {
		path := filepath.Join(dir, "web.yml")
		write(t, path, []byte(test.text+"\n"))
		err := Check(path)
		switch {
		case err == nil || !strings.Contains(err.Error(), test.want):
			t.Errorf("%.80s: %v; want %q", test.text, err, test.want)
		case strings.ContainsRune(err.Error(), '\n'):
			t.Errorf("%s: %v is not one line", test.text, err)
		case strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the error tells the password", test.text)
		}
	}
	for _, text := range []string{"", "{}", "tls_server_config: {" + pair + ", cipher_suites: [TLS_AES_128_GCM_SHA256], curve_preferences: [X25519, CurveP256], max_version: TLS13, prefer_server_cipher_suites: false}"} {
		path := filepath.Join(dir, "web.yml")
		write(t, path, []byte(text))
		if err := Check(path); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("tls_server_config: {cert_file: a, min_version: TLS12}\nbasic_auth_users: {a: b}\n"))
	f.Add([]byte("http_server_config: {headers: {X-Frame-Options: deny}}\nrate_limit: {burst: 1, interval: 1s}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := parse(text); err != nil && strings.ContainsRune(err.Error(), '\n') {
			t.Errorf("%q is not one line", err)
		}
	})
}
