package remotewrite

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/enawatch/enawatch/agent/pattern"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 16 << 10

// maxSecret bounds what is read of a file that holds a password or token.
const maxSecret = 64 << 10

// written is the header by which a receiver of 2.0 says how much it has stored.
const written = "X-Prometheus-Remote-Write-Samples-Written"

// answer is what a receiver said.
type answer struct {
	exchange *awsclient.Exchange
	body     string // one line, without secrets
}

// send brings a message to the receiver, whose form of 2.0 is data.
func (s *Sink) send(ctx context.Context, m *message, data []byte) *sink.Error {
	if s.speaks() != V1 {
		a, err := s.post(ctx, data, V2)
		switch {
		case err != nil:
			return err
		case a.stored(m):
			s.settleOn(V2)
			return nil
		case s.o.Version == V2 || !a.foreign():
			return s.classify(a, m)
		}
		// It takes 1.0 or nothing; it may be an older one than yesterday's.
	}
	now := s.o.Now()
	described := map[string]bool{} // in this request
	a, err := s.post(ctx, m.v1(func(family string) bool {
		due := !described[family] && now.Sub(s.described[family]) >= describeEvery
		if due {
			described[family] = true
		}
		return due
	}), V1)
	if err != nil {
		return err
	}
	if status := a.exchange.Status(); status/100 != 2 {
		return s.classify(a, m)
	}
	for family := range described {
		s.described[family] = now
	}
	s.settleOn(V1)
	return nil
}

func (s *Sink) speaks() Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

func (s *Sink) settleOn(v Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version = v
}

// stored reports whether a receiver of 2.0 took everything.
func (a *answer) stored(m *message) bool {
	n, err := strconv.Atoi(a.exchange.Header.Get(written))
	return a.exchange.Status()/100 == 2 && err == nil && n >= len(m.series)
}

// foreign reports whether the answer to a message of 2.0 may be that of a
// receiver which does not know it: Prometheus up to 2.53 answers 204 and stores
// nothing, others 415 or that they can't read it.
func (a *answer) foreign() bool {
	switch status := a.exchange.Status(); status {
	case http.StatusBadRequest, http.StatusNotAcceptable, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return a.exchange.Header.Get(written) == ""
	default:
		return status/100 == 2
	}
}

// post sends one body. The error says why no answer came; of the answer there is
// only the exchange then.
func (s *Sink) post(ctx context.Context, body []byte, v Version) (*answer, *sink.Error) {
	x := &awsclient.Exchange{Owner: s.aws, HTTP: s.client}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.URL, bytes.NewReader(body))
	if err != nil {
		return &answer{exchange: x}, &sink.Error{Err: fmt.Errorf("make a request: %w", err)} // options were checked: a bug
	}
	for name, value := range s.o.Headers {
		r.Header.Set(name, value)
	}
	r.Header.Set("Content-Encoding", "snappy")
	r.Header.Set("User-Agent", "enawatch/"+s.o.AgentVersion)
	if v == V2 {
		r.Header.Set("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
		r.Header.Set("X-Prometheus-Remote-Write-Version", "2.0.0")
	} else {
		r.Header.Set("Content-Type", "application/x-protobuf")
		r.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	}
	secrets, failure := s.authorize(ctx, x, r, body)
	if failure != nil {
		return &answer{exchange: x}, failure
	}
	if s.signer != nil {
		x.HTTP = s.signer.HTTP
	}
	resp, err := x.Do(r)
	if err != nil {
		return &answer{exchange: x}, x.Unanswered(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // what there is of it
	for _, value := range s.o.Headers {
		secrets = append(secrets, value)
	}
	return &answer{x, awsclient.Text(text, secrets...)}, nil
}

// authorize puts credentials on a request, and returns what must not be logged.
func (s *Sink) authorize(ctx context.Context, x *awsclient.Exchange, r *http.Request, body []byte) (secrets []string, failure *sink.Error) {
	switch s.o.Auth {
	case SigV4:
		if s.signer == nil {
			if s.signer, failure = s.aws.Signer(ctx, "aps"); failure != nil {
				return nil, failure
			}
		}
		if failure := s.signer.Sign(ctx, r, body, s.o.Now().Add(s.skew)); failure != nil {
			if x.Stale(failure) {
				s.signer = nil // credentials may be found elsewhere by the next time
			}
			return nil, failure
		}
		return []string{s.signer.Credentials.SecretAccessKey, s.signer.Credentials.SessionToken}, nil
	case Basic:
		password, failure := secret(s.o.Password, s.o.PasswordFile)
		if failure != nil {
			return nil, failure
		}
		r.SetBasicAuth(s.o.User, password)
		// What stands on the request is as good as the password.
		return []string{password, strings.TrimPrefix(r.Header.Get("Authorization"), "Basic ")}, nil
	case Bearer:
		token, failure := secret(s.o.Token, s.o.TokenFile)
		if failure != nil {
			return nil, failure
		}
		r.Header.Set("Authorization", "Bearer "+token)
		return []string{token}, nil
	}
	return nil, nil
}

// secret returns the value, or what is in the file: it may change at any time.
func secret(value, file string) (string, *sink.Error) {
	if file == "" {
		return value, nil
	}
	bad := func(err error) *sink.Error {
		return &sink.Error{Kind: sink.Credentials, Err: err, Remedy: "let enawatch read a file that holds it, in one line"}
	}
	f, err := os.Open(file)
	if err != nil {
		return "", bad(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return "", bad(err)
	}
	value = strings.TrimSpace(string(text))
	if value == "" || strings.ContainsAny(value, "\r\n\x00") {
		return "", bad(fmt.Errorf("%s is empty, or has several lines", file))
	}
	return value, nil
}

// Words by which receivers refuse a sample for its time, whatever the words
// around them: Prometheus, Cortex, Mimir, Thanos, VictoriaMetrics.
var untimely = pattern.New(`(?i)out.of.order|out.of.bounds|too.old|too.far.in.the.past|too.far.in.the.future|too.new`)

// classify says what an answer means that is no success.
func (s *Sink) classify(a *answer, m *message) *sink.Error {
	x := a.exchange
	status := x.Status()
	e := &sink.Error{RetryAfter: x.RetryAfter(), Err: fmt.Errorf("remote write: status %d %s: %s", status, http.StatusText(status), a.body)}
	switch {
	case status == http.StatusTooManyRequests:
		e.Kind = sink.Throttled
	case status >= http.StatusInternalServerError:
	case status == http.StatusRequestEntityTooLarge:
		e.Kind = sink.TooLarge
	case status == http.StatusBadRequest, status == http.StatusConflict, status == http.StatusUnprocessableEntity:
		e.Kind = sink.Poisoned
		if len(m.series) == 1 && untimely().MatchString(a.body) {
			s.overdue.note(m)
			e.Kind = sink.TooOld
		}
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		s.forbidden(e, x)
	case status == http.StatusUnsupportedMediaType && s.o.Version == V2:
		e.Remedy = "the receiver does not speak 2.0: set protocol to 1.0 or auto"
	case status/100 == 2:
		e.Err = fmt.Errorf("remote write: status %d, but not that every sample was written", status)
		e.Remedy = "the receiver does not speak 2.0: set protocol to 1.0 or auto"
	default:
		e.Remedy = "look at url, and for a proxy on the way"
	}
	return e
}

// maxSkew is how far the clocks may be apart before a signature is refused for
// it, less what an answer takes: five minutes.
const maxSkew = 4 * time.Minute

// forbidden says what to do about a lack of permission.
func (s *Sink) forbidden(e *sink.Error, x *awsclient.Exchange) {
	e.Kind = sink.Credentials
	switch s.o.Auth {
	case SigV4:
		e.Remedy = "give the identity that enawatch has on this host the action aps:RemoteWrite on the workspace (deploy/iam/amp-remote-write.json)"
		if skew, ok := x.Skew(); ok && (skew-s.skew).Abs() > maxSkew { // from the time that was signed
			s.skew, e.Remedy = skew, awsclient.RemedyClock // the next signature has the right time
			return
		}
		s.signer = nil
	case NoAuth:
		e.Remedy = "set auth, or the header that names the tenant, as headers: {X-Scope-OrgID: NAME}"
	default:
		e.Remedy = "look at the credentials of the remote_write sink"
	}
}

// newHTTPClient returns a client for receivers that are not AWS.
func newHTTPClient(o *Options) (*http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = awsclient.Proxy
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	// One request every few seconds: a connection is kept, and one is enough.
	t.MaxIdleConnsPerHost, t.MaxConnsPerHost = 1, 1
	t.ForceAttemptHTTP2 = false
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s has no PEM certificate", o.CAFile)
		}
		t.TLSClientConfig.RootCAs = roots
	}
	if o.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile); err != nil {
			return nil, fmt.Errorf("cert_file and key_file: %w", err)
		}
		// Certificates are renewed under the same name.
		t.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
			return &c, err
		}
	}
	return &http.Client{
		Transport: t, Timeout: o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// ParseVersion returns the version that is called "auto", "1.0" or "2.0".
func ParseVersion(name string) (Version, error) {
	for v, known := range []string{Auto: "auto", V1: "1.0", V2: "2.0"} {
		if name == known {
			return Version(v), nil
		}
	}
	return Auto, fmt.Errorf("protocol %s: use auto, 1.0 or 2.0", strconv.Quote(name))
}
