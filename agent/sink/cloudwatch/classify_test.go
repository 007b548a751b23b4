package cloudwatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/test/awsfake"
)

// outcome is what an error comes to, for tables.
type outcome struct {
	kind      sink.Kind
	ambiguous bool
}

// asError checks the form that every error has: one line, no secret.
func asError(t *testing.T, err error, secrets ...string) *sink.Error {
	t.Helper()
	e, ok := errors.AsType[*sink.Error](err)
	if !ok {
		t.Fatalf("%T is no *sink.Error: %v", err, err)
	}
	text := e.Error()
	if strings.ContainsAny(text, "\n\r") || len(text) > 700 {
		t.Errorf("not one line: %q", text)
	}
	for _, secret := range append(secrets, awsfake.DefaultCredential.SecretAccessKey) {
		if strings.Contains(text, secret) {
			t.Errorf("%q holds a secret", text)
		}
	}
	return e
}

// TestFaults lets the stand-in fail in each of its ways, and holds what the sink
// makes of it against what happened. The texts are in testdata/faults.golden.
func TestFaults(t *testing.T) {
	type fault = awsfake.Fault
	status := func(n int, code string) fault {
		return fault{Kind: awsfake.Status, Status: n, Code: code, Message: "as told"}
	}
	html := func(n int) fault { return fault{Kind: awsfake.HTML, Status: n} }
	tests := []struct {
		fault awsfake.Fault
		want  outcome
	}{
		{fault{Kind: awsfake.Refuse, Delay: time.Hour}, outcome{sink.Transient, true}}, // resets the open connection first
		{fault{Kind: awsfake.Reset}, outcome{sink.Transient, true}},
		{fault{Kind: awsfake.Drop}, outcome{sink.Transient, true}},
		{fault{Kind: awsfake.Cut}, outcome{sink.Transient, true}},
		{fault{Kind: awsfake.Hang}, outcome{sink.Transient, true}},
		{fault{Kind: awsfake.Throttle, RetryAfter: 7 * time.Second}, outcome{sink.Throttled, false}},
		{fault{Kind: awsfake.ExpiredToken}, outcome{sink.Credentials, false}},
		{status(400, ""), outcome{sink.Poisoned, false}},
		{status(400, "InvalidParameterValue"), outcome{sink.Poisoned, false}},
		{status(400, "InvalidParameterCombination"), outcome{sink.Poisoned, false}},
		{status(400, "MissingParameter"), outcome{sink.Poisoned, false}},
		{status(400, "MalformedInput"), outcome{sink.Poisoned, false}},
		{status(400, "LimitExceededFault"), outcome{sink.Throttled, false}},
		{status(400, "ThrottlingException"), outcome{sink.Throttled, false}},
		{status(400, "RequestTimeoutException"), outcome{sink.Transient, false}},
		{status(400, "RequestAbortedException"), outcome{sink.Transient, true}},
		{status(401, "NotAuthorized"), outcome{sink.Credentials, false}},
		{status(402, "PaymentRequired"), outcome{sink.Transient, false}},
		{status(403, ""), outcome{sink.Credentials, false}},
		{status(403, "OptInRequired"), outcome{sink.Credentials, false}},
		{status(403, "UnrecognizedClientException"), outcome{sink.Credentials, false}},
		{status(403, "InvalidSignatureException"), outcome{sink.Credentials, false}},
		{status(404, "InvalidAction"), outcome{sink.Transient, false}},
		{status(413, ""), outcome{sink.TooLarge, false}},
		{status(429, ""), outcome{sink.Throttled, false}},
		{status(500, ""), outcome{sink.Transient, true}},
		{status(500, "InternalServiceFault"), outcome{sink.Transient, true}},
		{status(502, ""), outcome{sink.Transient, true}},
		{fault{Kind: awsfake.Status, Status: 503, RetryAfter: time.Minute}, outcome{sink.Transient, false}},
		{html(200), outcome{sink.Transient, true}},
		{html(302), outcome{sink.Transient, false}},
		{html(403), outcome{sink.Transient, false}},
		{html(407), outcome{sink.Transient, false}},
		{html(413), outcome{sink.TooLarge, false}},
		{html(429), outcome{sink.Throttled, false}},
		{html(502), outcome{sink.Transient, true}},
		{html(503), outcome{sink.Transient, true}},
		{html(504), outcome{sink.Transient, true}},
	}
	var texts strings.Builder
	for _, tt := range tests {
		name := strings.TrimSpace(fmt.Sprintf("%s %d %s", tt.fault.Kind, tt.fault.Status, tt.fault.Code))
		t.Run(name, func(t *testing.T) {
			server := startFake(t, awsfake.Options{})
			if err := server.Faults.Add(awsfake.Rule{Faults: []awsfake.Fault{tt.fault}}); err != nil {
				t.Fatal(err)
			}
			s := newSink(t, server)
			if tt.fault.Kind == awsfake.Hang {
				s = newSink(t, server, func(o *Options) { o.Timeout = 300 * time.Millisecond })
			}
			r := one(t, s, eventful())
			e := asError(t, s.Deliver(t.Context(), r.Data))
			if got := (outcome{e.Kind, e.Ambiguous}); got != tt.want {
				t.Errorf("%v, ambiguous %v, want %v, %v: %v", got.kind, got.ambiguous, tt.want.kind, tt.want.ambiguous, e)
			}
			if e.RetryAfter != tt.fault.RetryAfter {
				t.Errorf("retry after %v, want %v", e.RetryAfter, tt.fault.RetryAfter)
			}
			text := strings.ReplaceAll(e.Error(), server.Addr(), "ENDPOINT")
			fmt.Fprintf(&texts, "%s\n  %v, ambiguous %v, retry after %v\n  %s\n", name, e.Kind, e.Ambiguous, e.RetryAfter, text)
			if tt.fault.Kind == awsfake.Refuse {
				// Now nobody listens: nothing can have arrived.
				e := asError(t, s.Deliver(t.Context(), r.Data))
				if e.Kind != sink.Transient || e.Ambiguous || !strings.Contains(e.Error(), "connection refused") {
					t.Errorf("refused: %v, ambiguous %v: %v", e.Kind, e.Ambiguous, e)
				}
				return
			}
			// The next attempt finds the service well.
			deliver(t, s, r)
		})
	}
	golden(t, "faults.golden", texts.String())
}

// TestAmbiguous: whatever the stand-in stored without being able to say so is
// called ambiguous, and what it refused in its own words is not.
func TestAmbiguous(t *testing.T) {
	for _, f := range []awsfake.Fault{
		{Kind: awsfake.Refuse, Store: true}, {Kind: awsfake.Reset, Store: true}, {Kind: awsfake.Drop, Store: true},
		{Kind: awsfake.Cut, Store: true}, {Kind: awsfake.Hang, Store: true}, {Kind: awsfake.Slow, Delay: time.Hour},
		{Kind: awsfake.HTML, Store: true}, {Kind: awsfake.HTML, Status: 504, Store: true},
		{Kind: awsfake.Status, Status: 500, Store: true}, {Kind: awsfake.Status, Status: 504, Store: true},
	} {
		server := startFake(t, awsfake.Options{})
		if err := server.Faults.Add(awsfake.Rule{Faults: []awsfake.Fault{f}}); err != nil {
			t.Fatal(err)
		}
		s := newSink(t, server)
		if f.Kind == awsfake.Hang || f.Kind == awsfake.Slow {
			s = newSink(t, server, func(o *Options) { o.Timeout = 300 * time.Millisecond })
		}
		e := asError(t, s.Deliver(t.Context(), one(t, s, eventful()).Data))
		if requests, _ := server.Journal.Ambiguous("cloudwatch"); (requests > 0) != e.Ambiguous || e.Kind != sink.Transient {
			t.Errorf("%+v: %v, ambiguous %v, but %d requests were stored without an answer", f, e.Kind, e.Ambiguous, requests)
		}
	}
}

// TestNeverSent: what fails before the request is written is not ambiguous.
func TestNeverSent(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	secure := startFake(t, awsfake.Options{TLS: true})
	for name, tt := range map[string]struct{ endpoint, want string }{
		"nobody listens":     {"http://" + closed.Addr().String(), "send to ENDPOINT: dial tcp ENDPOINT: connect: connection refused"},
		"no TLS handshake":   {"https://" + silent.Addr().String(), "send to ENDPOINT: no answer in time"},
		"unknown authority":  {secure.URL(), "send to ENDPOINT: tls: failed to verify certificate: x509: certificate signed by unknown authority: if a proxy opens TLS, name its authority as ca_file; if not, look at the host's clock and authorities"},
		"other name":         {strings.Replace(secure.URL(), "127.0.0.1", "127.0.0.2", 1), ""},
		"plain text instead": {"https://" + startFake(t, awsfake.Options{}).Addr(), "send to ENDPOINT: http: server gave HTTP response to HTTPS client"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSink(t, secure, func(o *Options) {
				if o.Endpoint = tt.endpoint; strings.HasSuffix(tt.want, "in time") {
					o.Timeout = 100 * time.Millisecond
				}
			})
			e := asError(t, s.Deliver(t.Context(), one(t, s, eventful()).Data))
			if e.Kind != sink.Transient || e.Ambiguous {
				t.Errorf("%v, ambiguous %v", e.Kind, e.Ambiguous)
			}
			_, address, _ := strings.Cut(tt.endpoint, "//")
			if got := strings.ReplaceAll(e.Error(), address, "ENDPOINT"); tt.want != "" && got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestCancelled: the shutdown ends a delivery that hangs.
func TestCancelled(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	if err := server.Faults.Add(awsfake.Rule{Choose: func(*awsfake.Request) *awsfake.Fault {
		cancel()
		return &awsfake.Fault{Kind: awsfake.Hang}
	}}); err != nil {
		t.Fatal(err)
	}
	s := newSink(t, server)
	e := asError(t, s.Deliver(ctx, one(t, s, eventful()).Data))
	if e.Kind != sink.Transient || !e.Ambiguous || !errors.Is(e, context.Canceled) {
		t.Errorf("%v, ambiguous %v: %v", e.Kind, e.Ambiguous, e)
	}
}

// TestCAFile: with its authority, the stand-in is trusted.
func TestCAFile(t *testing.T) {
	server := startFake(t, awsfake.Options{TLS: true})
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, server.CA.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSink(t, server, func(o *Options) { o.CAFile = file })
	deliver(t, s, one(t, s, eventful()))
	// The SDK's own variable works too.
	t.Setenv("AWS_CA_BUNDLE", file)
	s = newSink(t, server)
	deliver(t, s, one(t, s, eventful()))
}

// TestTimestamps: the service's clock says whether data are too old, or only
// wrong.
func TestTimestamps(t *testing.T) {
	day := 24 * time.Hour
	for name, tt := range map[string]struct {
		age  time.Duration
		want sink.Kind
		text string
	}{
		"too old":         {14*day + time.Minute, sink.TooOld, "two weeks at most"},
		"old":             {14*day - time.Minute, 0xff, ""},
		"from the future": {-3 * time.Hour, sink.Poisoned, "set the host's clock"},
		"a little ahead":  {-time.Hour, 0xff, ""},
	} {
		t.Run(name, func(t *testing.T) {
			server := startFake(t, awsfake.Options{})
			s := newSink(t, server)
			b := eventful()
			b.Start = time.Now().Add(-tt.age)
			err := s.Deliver(t.Context(), one(t, s, b).Data)
			if tt.want == 0xff {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e := asError(t, err); e.Kind != tt.want || e.Ambiguous || !e.All || !strings.Contains(e.Error(), tt.text) {
				t.Errorf("%v, ambiguous %v, all alike %v: %v", e.Kind, e.Ambiguous, e.All, e)
			}
		})
	}
}

// TestAnswers are those that the stand-in does not give.
func TestAnswers(t *testing.T) {
	secret := awsfake.DefaultCredential.SecretAccessKey
	for name, tt := range map[string]struct {
		status       int
		kind         string
		body, header string
		want         outcome
		text         string
	}{
		"empty 503":      {status: 503, want: outcome{sink.Transient, true}},
		"empty 403":      {status: 403, want: outcome{sink.Transient, false}},
		"JSON 400":       {status: 400, kind: "application/json", body: `{"__type":"x"}`, want: outcome{sink.Transient, false}},
		"code in body":   {status: 400, kind: "application/cbor", body: "\xa1\x66__type\x78\x2ccom.amazon.coral.service#ThrottlingException:x", want: outcome{sink.Throttled, false}},
		"code in header": {status: 400, kind: "application/cbor", header: "Throttling;Sender", body: "\xa1\x66__type\x65a#b:c", want: outcome{sink.Throttled, false}},
		"a secret":       {status: 403, kind: "application/cbor", header: "AccessDenied;Sender", body: "\xa1\x67message\x78" + string(rune(len(secret)+3)) + "no " + secret, want: outcome{sink.Credentials, false}, text: "AccessDenied: no ***: give"},
		"a long story":   {status: 400, kind: "application/cbor", header: "InvalidParameterValue;Sender", body: "\xa1\x67message\x79\x03\xe8" + strings.Repeat("ä\t", 333) + "x", want: outcome{sink.Poisoned, false}},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", cmp.Or(tt.kind, "text/plain"))
				if tt.kind == "application/cbor" {
					w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
				}
				if tt.header != "" {
					w.Header().Set("X-Amzn-Query-Error", tt.header)
				}
				w.WriteHeader(tt.status)
				w.Write([]byte(tt.body))
			}))
			defer server.Close()
			s := newSink(t, startFake(t, awsfake.Options{}), func(o *Options) { o.Endpoint = server.URL })
			e := asError(t, s.Deliver(t.Context(), one(t, s, eventful()).Data), secret)
			if got := (outcome{e.Kind, e.Ambiguous}); got != tt.want || !strings.Contains(e.Error(), tt.text) {
				t.Errorf("%v, ambiguous %v: %v", e.Kind, e.Ambiguous, e)
			}
		})
	}
}
