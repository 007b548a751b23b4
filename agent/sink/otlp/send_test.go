package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/test/awsfake"
)

// answering returns a receiver that gives one answer, and what it was sent last.
func answering(t *testing.T, status int, header map[string]string, body string) (*httptest.Server, *http.Request) {
	t.Helper()
	var got http.Request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		got = *r
		got.Body = io.NopCloser(bytes.NewReader(sent))
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s, &got
}

// deliver sends one window.
func deliver(t *testing.T, s *Sink) *sink.Error {
	t.Helper()
	err := s.Deliver(t.Context(), pack(t, s, everything(0))[0].Data)
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*sink.Error](err)
	if !ok {
		t.Fatalf("%v is no *sink.Error", err)
	}
	return e
}

// status returns a google.rpc.Status, or with another number the like.
func status(number protowire.Number, message string) string {
	b := protowire.AppendTag(nil, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(number))
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	return string(protowire.AppendString(b, message))
}

// partial returns an ExportMetricsServiceResponse of a partial success.
func partial(rejected protowire.Number, message string) string {
	b := protowire.AppendTag(nil, 1, protowire.BytesType)
	return string(protowire.AppendString(b, status(rejected, message)))
}

func TestRequest(t *testing.T) {
	for _, plain := range []bool{false, true} {
		receiver, got := answering(t, 200, nil, "")
		s := newSink(t, Options{Endpoint: receiver.URL + "/base/", Plain: plain, Headers: map[string]string{"x-key": "hush"}})
		if e := deliver(t, s); e != nil {
			t.Fatal(e)
		}
		body, _ := io.ReadAll(got.Body)
		if !plain {
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if body, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if want := pack(t, s, everything(0))[0].Data; !bytes.Equal(body, want) {
			t.Error("the body is not the request")
		}
		if got.Method != http.MethodPost || got.URL.Path != "/base/v1/metrics" || got.Header.Get("Content-Type") != "application/x-protobuf" ||
			got.Header.Get("X-Key") != "hush" || got.Header.Get("User-Agent") != "enawatch/v1.2.3" || (got.Header.Get("Content-Encoding") == "gzip") == plain {
			t.Errorf("%s %s %v", got.Method, got.URL, got.Header)
		}
	}
}

func TestWithPath(t *testing.T) {
	for endpoint, want := range map[string]string{
		"http://h:4318":             "http://h:4318/v1/metrics",
		"http://h:4318/":            "http://h:4318/v1/metrics",
		"https://h/otlp/v1/metrics": "https://h/otlp/v1/metrics",
		"https://h/api/v1/otlp":     "https://h/api/v1/otlp/v1/metrics",
	} {
		if got := withPath(endpoint); got != want {
			t.Errorf("%s becomes %s, not %s", endpoint, got, want)
		}
	}
}

// Every answer that is no success, and what it means.
func TestRefusals(t *testing.T) {
	proto := map[string]string{"Content-Type": protobuf}
	for _, tt := range []struct {
		name      string
		status    int
		header    map[string]string
		body      string
		kind      sink.Kind
		ambiguous bool
		after     time.Duration
		text      string
	}{
		{"bad data", 400, proto, status(3, "no metric for you"), sink.Poisoned, false, 0, "no metric for you"},
		{"bad data, in JSON", 400, map[string]string{"Content-Type": "application/json"}, `{"code":3,"message":"no"}`, sink.Poisoned, false, 0, "no"},
		{"no key", 401, nil, "", sink.Credentials, false, 0, "look at the headers"},
		{"wrong key", 403, map[string]string{"Content-Type": "text/plain"}, "key hush-hush is unknown", sink.Credentials, false, 0, "key *** is unknown"},
		{"no such path", 404, nil, "", sink.Transient, false, 0, "look at the endpoint"},
		{"another protocol", 415, nil, "", sink.Transient, false, 0, "look at the endpoint"},
		{"too large", 413, nil, "", sink.TooLarge, false, 0, "413"},
		{"throttled", 429, map[string]string{"Retry-After": "7"}, "", sink.Throttled, false, 7 * time.Second, "429"},
		{"unavailable", 503, map[string]string{"Content-Type": protobuf, "Retry-After": "9"}, status(14, "queue is full"), sink.Transient, false, 9 * time.Second, "queue is full"},
		{"unavailable, says a proxy", 503, map[string]string{"Content-Type": "text/html"}, "<html>", sink.Transient, true, 0, "503"},
		{"bad gateway", 502, nil, "", sink.Transient, true, 0, "502"},
		{"gateway timeout", 504, nil, "", sink.Transient, true, 0, "504"},
		{"internal", 500, proto, status(13, "oops"), sink.Transient, true, 0, "oops"},
		{"redirected", 302, map[string]string{"Location": "/login"}, "", sink.Transient, false, 0, "look at the endpoint"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			receiver, _ := answering(t, tt.status, tt.header, tt.body)
			e := deliver(t, newSink(t, Options{Endpoint: receiver.URL, Headers: map[string]string{"X-Key": "hush-hush"}}))
			if e == nil {
				t.Fatal("no error")
			}
			if e.Kind != tt.kind || e.Ambiguous != tt.ambiguous || e.RetryAfter != tt.after || !strings.Contains(e.Error(), tt.text) {
				t.Errorf("%v, ambiguous %t, after %v: %v", e.Kind, e.Ambiguous, e.RetryAfter, e)
			}
			if text := e.Error(); strings.Contains(text, "hush") || strings.ContainsAny(text, "\n") {
				t.Errorf("the error shows too much: %v", text)
			}
		})
	}
}

// A request that a receiver fails at again and again is halved in the end, and
// does not hold up the others for ever.
func TestPatienceEnds(t *testing.T) {
	receiver, _ := answering(t, 500, nil, "")
	s := newSink(t, Options{Endpoint: receiver.URL})
	for i := range patience {
		if e := deliver(t, s); e.Kind != sink.Transient {
			t.Fatalf("attempt %d: %v", i, e.Kind)
		}
	}
	if e := deliver(t, s); e.Kind != sink.Poisoned {
		t.Errorf("after %d attempts: %v", patience, e.Kind)
	}
	other := pack(t, s, batch(1, counter("tx_timeout", -1, 1)))[0].Data
	if e, _ := errors.AsType[*sink.Error](s.Deliver(t.Context(), other)); e.Kind != sink.Transient {
		t.Errorf("another request: %v", e.Kind)
	}
}

func TestPartialSuccess(t *testing.T) {
	jsonType := map[string]string{"Content-Type": "application/json"}
	protoType := map[string]string{"Content-Type": protobuf}
	for _, tt := range []struct {
		name     string
		header   map[string]string
		body     string
		rejected float64
		log      string
	}{
		{"nothing", protoType, "", 0, ""},
		{"rejected", protoType, partial(3, "too many labels"), 3, "too many labels"},
		{"rejected, in JSON", jsonType, `{"partialSuccess":{"rejectedDataPoints":"4","errorMessage":"no"}}`, 4, "why=no"},
		{"more than there are", protoType, partial(1<<30, "x"), maxPoints, "why=x"},
		{"less than none", protoType, partial(-3, "x"), 0, "remark=x"},
		{"a remark", protoType, partial(0, "use another name"), 0, "use another name"},
		{"nonsense", protoType, "\x0a\xff", 0, ""},
		{"nonsense, in JSON", jsonType, "{", 0, ""},
		{"half an answer", protoType, partial(3, "x")[:5], 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			receiver, _ := answering(t, 200, tt.header, tt.body)
			s := newSink(t, Options{Endpoint: receiver.URL, Log: slog.New(slog.NewTextHandler(&log, nil))})
			for range 2 {
				if e := deliver(t, s); e != nil {
					t.Fatal(e)
				}
			}
			if got := s.SelfMetrics()[0].Value; got != 2*tt.rejected {
				t.Errorf("%v points are counted as rejected", got)
			}
			if n := strings.Count(log.String(), "\n"); !strings.Contains(log.String(), tt.log) || (tt.log == "") != (n == 0) || n > 1 {
				t.Errorf("the log says %q", log.String())
			}
		})
	}
}

// Whether a receiver may have taken what it did not answer.
func TestNetworkErrors(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	e := deliver(t, newSink(t, Options{Endpoint: "http://" + gone.Addr().String()}))
	if e.Kind != sink.Transient || e.Ambiguous {
		t.Errorf("refused: %v, ambiguous %t: %v", e.Kind, e.Ambiguous, e)
	}
	dumb := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer dumb.Close()
	e = deliver(t, newSink(t, Options{Endpoint: dumb.URL}))
	if e.Kind != sink.Transient || !e.Ambiguous {
		t.Errorf("no answer: %v, ambiguous %t: %v", e.Kind, e.Ambiguous, e)
	}
	if e, _ := errors.AsType[*sink.Error](newSink(t, Options{}).Deliver(t.Context(), []byte("x"))); e.Kind != sink.Poisoned {
		t.Errorf("a request that can't be read: %v", e.Kind)
	}
}

func TestTLS(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.StartTLS()
	defer secure.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if e := deliver(t, newSink(t, Options{Endpoint: secure.URL, Account: awsclient.Options{CAFile: ca}})); e != nil {
		t.Error(e)
	}
	e := deliver(t, newSink(t, Options{Endpoint: secure.URL}))
	if e == nil || e.Ambiguous || !strings.Contains(e.Error(), "ca_file") {
		t.Errorf("an unknown authority: %v", e)
	}
}

func TestOptions(t *testing.T) {
	for name, tt := range map[string]struct {
		o    Options
		want string
	}{
		"endpoint":      {Options{Endpoint: "ftp://h"}, "endpoint: give a URL as https://HOST"},
		"password":      {Options{Endpoint: "http://me:hush@h"}, "without user"},
		"temporality":   {Options{Temporality: "both"}, `temporality "both": give delta or cumulative`},
		"distribution":  {Options{Distribution: "p99"}, `distribution "p99": give max, histogram or none`},
		"header":        {Options{Headers: map[string]string{"a b": "hush"}}, `header "a b": give a name`},
		"value":         {Options{Headers: map[string]string{"X-Key": "hush\n"}}, "header X-Key: its value has characters"},
		"own header":    {Options{Headers: map[string]string{"content-type": "hush"}}, "header Content-Type: enawatch sets it itself"},
		"signature":     {Options{SigV4: true, Headers: map[string]string{"authorization": "hush"}}, "header Authorization: the signature is there"},
		"CA file":       {Options{Account: awsclient.Options{CAFile: "/nowhere"}}, "read the CA file"},
		"FIPS endpoint": {Options{SigV4: true, Endpoint: "https://h", Account: awsclient.Options{FIPS: true}}, "can't be combined"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tt.o)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "otlp sink: ") || strings.Contains(err.Error(), "hush") {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// Secrets in the clear are said once; on this host they go nowhere.
func TestHeadersInTheClear(t *testing.T) {
	for endpoint, warned := range map[string]bool{
		"http://collector:4318": true, "https://collector:4318": false, "http://127.0.0.1:4318": false, "http://localhost:4318": false, "http://[::1]:4318": false,
	} {
		var log bytes.Buffer
		newSink(t, Options{Endpoint: endpoint, Headers: map[string]string{"X-Key": "hush"}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if got := strings.Contains(log.String(), "in the clear"); got != warned || strings.Contains(log.String(), "hush") {
			t.Errorf("%s: %q", endpoint, log.String())
		}
	}
}

// signed returns a sink for the stand-in, which verifies signatures.
func signed(t *testing.T, aws *awsfake.Server, secret string) *Sink {
	t.Helper()
	return newSink(t, Options{Endpoint: aws.URL(), SigV4: true, Account: awsclient.Options{
		Region: "us-east-1", DisableIMDS: true,
		Credentials: credentials.NewStaticCredentialsProvider(awsfake.DefaultCredential.AccessKeyID, secret, ""),
	}})
}

func TestCloudWatch(t *testing.T) {
	aws, err := awsfake.Start(awsfake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer aws.Close()
	s := signed(t, aws, awsfake.DefaultCredential.SecretAccessKey)
	if e := deliver(t, s); e != nil {
		t.Fatal(e)
	}
	p := aws.OTLP.Points("system.network.ena.pps_allowance_exceeded")
	if len(p) != 1 || p[0].Value != 12 || !p[0].Monotonic || p[0].Temporality != "delta" || p[0].Resource["host.id"] != "i-0123456789abcdef0" || p[0].Attributes["team"] != "net" ||
		!p[0].Start.Equal(start) || !p[0].Time.Equal(start.Add(time.Minute)) {
		t.Errorf("%+v", p)
	}

	e := deliver(t, signed(t, aws, "wrong"))
	if e == nil || e.Kind != sink.Credentials || !strings.Contains(e.Error(), "secret access key") {
		t.Errorf("wrong key: %v", e)
	}

	for _, tt := range []struct {
		fault     awsfake.Fault
		kind      sink.Kind
		ambiguous bool
	}{
		{awsfake.Fault{Kind: awsfake.Throttle, RetryAfter: 3 * time.Second}, sink.Throttled, false},
		{awsfake.Fault{Kind: awsfake.Reset, Store: true}, sink.Transient, true},
		{awsfake.Fault{Kind: awsfake.HTML, Status: 503}, sink.Transient, true},
		{awsfake.Fault{Kind: awsfake.Status, Status: 413}, sink.TooLarge, false},
		{awsfake.Fault{Kind: awsfake.Status, Status: 403, Code: "AccessDeniedException"}, sink.Credentials, false},
	} {
		aws.Faults.Clear()
		if err := aws.Faults.Add(awsfake.Rule{Service: "otlp", Times: 1, Faults: []awsfake.Fault{tt.fault}}); err != nil {
			t.Fatal(err)
		}
		e := deliver(t, s)
		if e == nil || e.Kind != tt.kind || e.Ambiguous != tt.ambiguous || e.RetryAfter != tt.fault.RetryAfter {
			t.Errorf("%+v: %+v", tt.fault, e)
		}
	}
}

// A host whose clock is off is told so, and signs by CloudWatch's clock from then
// on.
func TestCloudWatchClock(t *testing.T) {
	aws, err := awsfake.Start(awsfake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer aws.Close()
	aws.SetSkew(time.Hour)
	s := signed(t, aws, awsfake.DefaultCredential.SecretAccessKey)
	if e := deliver(t, s); e == nil || e.Kind != sink.Credentials || !strings.Contains(e.Error(), "behind that of AWS") {
		t.Errorf("first: %v", e)
	}
	if e := deliver(t, s); e != nil {
		t.Errorf("second: %v", e)
	}
}

// Where CloudWatch is, follows from the region, if nobody says where it is.
func TestCloudWatchEndpoint(t *testing.T) {
	const given = "https://vpce-1.monitoring.eu-west-1.vpce.amazonaws.com"
	for _, tt := range []struct {
		account awsclient.Options
		want    string
		env     []string
	}{
		{awsclient.Options{Region: "eu-west-1"}, "https://monitoring.eu-west-1.amazonaws.com/v1/metrics", nil},
		{awsclient.Options{Region: "us-east-1", FIPS: true}, "https://monitoring-fips.us-east-1.amazonaws.com/v1/metrics", nil},
		{awsclient.Options{Region: "eu-west-1", DualStack: true}, "https://monitoring.eu-west-1.api.aws/v1/metrics", nil},
		{awsclient.Options{Region: "cn-north-1"}, "https://monitoring.cn-north-1.amazonaws.com.cn/v1/metrics", nil},
		{awsclient.Options{Region: "us-east-1"}, "https://monitoring-fips.us-east-1.amazonaws.com/v1/metrics", []string{"AWS_USE_FIPS_ENDPOINT", "true"}},
		{awsclient.Options{Region: "eu-west-1"}, given + "/v1/metrics", []string{"AWS_ENDPOINT_URL_CLOUDWATCH", given}},
		{awsclient.Options{Region: "eu-west-1"}, given + "/v1/metrics", []string{"AWS_ENDPOINT_URL", given + "/"}},
		{awsclient.Options{Region: "eu-west-1"}, "https://monitoring.eu-west-1.amazonaws.com/v1/metrics", []string{"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", given}},
	} {
		t.Run(strings.Join(tt.env, "="), func(t *testing.T) {
			if tt.env != nil {
				t.Setenv(tt.env[0], tt.env[1])
			}
			tt.account.DisableIMDS = true
			r, e := newSink(t, Options{SigV4: true, Account: tt.account}).connect(t.Context())
			if e != nil || r.url != tt.want || r.signer.Region != tt.account.Region {
				t.Errorf("%+v: %+v, %v", tt.account, r, e)
			}
		})
	}
	_, e := newSink(t, Options{SigV4: true, Account: awsclient.Options{DisableIMDS: true}}).connect(context.Background())
	if e == nil || !strings.Contains(e.Error(), "region") {
		t.Errorf("no region: %v", e)
	}
}

// In every partition it is where the SDK's own client would find it.
func TestCloudWatchEndpointsAreTheSDKs(t *testing.T) {
	found := 0
	for _, region := range []string{"us-east-1", "eu-west-1", "us-gov-west-1", "us-gov-east-1", "cn-north-1", "us-iso-east-1", "us-isob-east-1", "eusc-de-east-1"} {
		for _, fips := range []bool{false, true} {
			for _, dual := range []bool{false, true} {
				want, err := cloudwatch.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), cloudwatch.EndpointParameters{Region: &region, UseFIPS: &fips, UseDualStack: &dual})
				r, e := newSink(t, Options{SigV4: true, Account: awsclient.Options{Region: region, FIPS: fips, DualStack: dual, DisableIMDS: true}}).connect(t.Context())
				switch {
				case (err == nil) != (e == nil):
					t.Errorf("%s, FIPS %t, dual stack %t: %v, the SDK says %v", region, fips, dual, e, err)
				case err != nil:
				case r.url != want.URI.String()+"/v1/metrics":
					t.Errorf("%s, FIPS %t, dual stack %t: %s, the SDK says %s", region, fips, dual, r.url, want.URI.String())
				default:
					found++
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("%d endpoints are compared", found)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(partial(3, "x")), true)
	f.Add([]byte(status(3, "x")), false)
	f.Add([]byte(`{"partialSuccess":{}}`), true)
	s := newSink(f, Options{})
	f.Fuzz(func(_ *testing.T, body []byte, proto bool) {
		header := http.Header{"Content-Type": {"application/json"}}
		if proto {
			header.Set("Content-Type", protobuf)
		}
		s.note(header, body)
		explain(&http.Response{StatusCode: 400, Header: header}, body)
	})
}
