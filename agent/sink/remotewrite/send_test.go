package remotewrite

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/test/awsfake"
)

// request returns one sample of two series, as it waits in the spool.
func request(at time.Time) []byte {
	return encode(at.UnixMilli(), []*series{
		{labels: []label{{"__name__", "a"}}, value: 1}, {labels: []label{{"__name__", "b"}}, value: 2},
	}).Data
}

// receiver answers as a test says, and notes which versions it was sent.
type receiver struct {
	*httptest.Server
	versions []string
	header   http.Header // of the last request
}

func newReceiver(t *testing.T, answer http.HandlerFunc) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.versions = append(r.versions, q.Header.Get("X-Prometheus-Remote-Write-Version"))
		r.header = q.Header
		io.Copy(io.Discard, q.Body)
		answer(w, q)
	}))
	t.Cleanup(r.Close)
	return r
}

func plain(url string) Options { return Options{URL: url, Names: []string{"native"}} }

// The version is found out once: by the headers, not by the status.
func TestVersions(t *testing.T) {
	only1 := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.Header.Get("Content-Type"), "v2") {
				w.WriteHeader(status)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}
	}
	both := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(written, "2")
		w.WriteHeader(http.StatusNoContent)
	}
	for name, tt := range map[string]struct {
		version Version
		answer  http.HandlerFunc
		want    []string
		spoken  Version
	}{
		"2.0":                         {Auto, both, []string{"2.0.0", "2.0.0"}, V2},
		"Prometheus 2 stores nothing": {Auto, only1(204), []string{"2.0.0", "0.1.0", "0.1.0"}, V1},
		"Cortex":                      {Auto, only1(415), []string{"2.0.0", "0.1.0", "0.1.0"}, V1},
		"one that can't read it":      {Auto, only1(400), []string{"2.0.0", "0.1.0", "0.1.0"}, V1},
		"1.0 by configuration":        {V1, both, []string{"0.1.0", "0.1.0"}, V1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, tt.answer)
			o := plain(r.URL)
			o.Version = tt.version
			s := newSink(t, o)
			for range 2 {
				if err := s.Deliver(t.Context(), request(time.Now())); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tt.want, r.versions); diff != "" || s.speaks() != tt.spoken {
				t.Errorf("speaks %d; (-want +got):\n%s", s.speaks(), diff)
			}
		})
	}
}

// A receiver that spoke 2.0 yesterday may be replaced by one that does not.
func TestReceiverRolledBack(t *testing.T) {
	for _, tt := range []struct {
		name    string
		version Version
		status  int
		written string
		ok      bool
	}{
		{"says nothing of what it wrote", Auto, 204, "", true},
		{"wrote nothing", Auto, 204, "0", true},
		{"wrote half", Auto, 200, "1", true},
		{"can't be told", Auto, 200, "many", true},
		{"refuses the type", Auto, 415, "", true},
		{"2.0 by configuration", V2, 204, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rolledBack := false
			r := newReceiver(t, func(w http.ResponseWriter, q *http.Request) {
				switch {
				case !rolledBack:
					w.Header().Set(written, "2")
				case strings.Contains(q.Header.Get("Content-Type"), "v2"):
					if tt.written != "" {
						w.Header().Set(written, tt.written)
					}
					w.WriteHeader(tt.status)
				}
			})
			o := plain(r.URL)
			o.Version = tt.version
			s := newSink(t, o)
			if err := s.Deliver(t.Context(), request(time.Now())); err != nil || s.speaks() != V2 {
				t.Fatalf("speaks %d, %v", s.speaks(), err)
			}
			rolledBack = true
			err := s.Deliver(t.Context(), request(time.Now()))
			if (err == nil) != tt.ok || tt.ok && s.speaks() != V1 {
				t.Errorf("speaks %d, %v", s.speaks(), err)
			}
		})
	}
}

// While the receiver is down, nothing is concluded of what it speaks.
func TestVersionWhileDown(t *testing.T) {
	down := true
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		if down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.Header().Set(written, "2")
	})
	s := newSink(t, plain(r.URL))
	if err := s.Deliver(t.Context(), request(time.Now())); err == nil {
		t.Error("status 502 is a success")
	}
	down = false
	if err := s.Deliver(t.Context(), request(time.Now())); err != nil || s.speaks() != V2 {
		t.Errorf("speaks %d, %v", s.speaks(), err)
	}
}

func TestAnswers(t *testing.T) {
	const outOfOrder = "out of order sample"
	tests := []struct {
		name    string
		status  int
		body    string
		header  http.Header
		alone   bool // the request holds one series
		kind    sink.Kind
		retryIn time.Duration
		text    string
	}{
		{name: "throttled", status: 429, header: http.Header{"Retry-After": {"17"}}, kind: sink.Throttled, retryIn: 17 * time.Second, text: "status 429"},
		{name: "down", status: 503, header: http.Header{"Retry-After": {"3"}}, kind: sink.Transient, retryIn: 3 * time.Second, text: "status 503"},
		{name: "broken", status: 500, kind: sink.Transient, text: "status 500"},
		{name: "one of several", status: 400, body: outOfOrder, kind: sink.Poisoned, text: outOfOrder},
		{name: "out of order", status: 400, body: outOfOrder, alone: true, kind: sink.TooOld, text: outOfOrder},
		{name: "out of bounds", status: 400, body: "out of bounds", alone: true, kind: sink.TooOld, text: "out of bounds"},
		{name: "too old", status: 400, body: "user=1: err: timestamp too old: 5", alone: true, kind: sink.TooOld, text: "too old"},
		{name: "duplicate", status: 400, body: "duplicate sample for timestamp", alone: true, kind: sink.Poisoned, text: "duplicate"},
		{name: "unprocessable", status: 422, body: "max series", alone: true, kind: sink.Poisoned, text: "max series"},
		{name: "too large", status: 413, kind: sink.TooLarge, text: "status 413"},
		{name: "no tenant", status: 401, body: "no org id\n", kind: sink.Credentials, text: "no org id: set auth, or the header that names the tenant"},
		{name: "no such place", status: 404, body: "page not found", kind: sink.Transient, text: "look at url"},
		{name: "moved", status: 302, header: http.Header{"Location": {"/login"}}, kind: sink.Transient, text: "look at url"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
				for name, values := range tt.header {
					w.Header()[name] = values
				}
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
			})
			o := plain(r.URL)
			o.Version = V1
			s := newSink(t, o)
			data := request(time.Now())
			if tt.alone {
				data = s.Split(data)[0].Data
			}
			err := s.Deliver(t.Context(), data)
			e, ok := err.(*sink.Error)
			if !ok {
				t.Fatalf("%T: %v", err, err)
			}
			if e.Kind != tt.kind || e.RetryAfter != tt.retryIn || e.Ambiguous || !strings.Contains(e.Error(), tt.text) || strings.Contains(e.Error(), "\n") {
				t.Errorf("%v, retry after %v, ambiguous %v: %v", e.Kind, e.RetryAfter, e.Ambiguous, e)
			}
			if len(r.versions) != 1 {
				t.Errorf("%d requests", len(r.versions))
			}
		})
	}
}

// Credentials of other receivers than AMP, and what must not be repeated of
// them.
func TestCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("s3cret\n")
	for name, tt := range map[string]struct {
		set  func(*Options)
		want string
	}{
		"basic":             {func(o *Options) { o.Auth, o.User, o.Password = Basic, "me", "s3cret" }, "Basic bWU6czNjcmV0"},
		"basic, from file":  {func(o *Options) { o.Auth, o.User, o.PasswordFile = Basic, "me", file }, "Basic bWU6czNjcmV0"},
		"bearer":            {func(o *Options) { o.Auth, o.Token = Bearer, "s3cret" }, "Bearer s3cret"},
		"bearer, from file": {func(o *Options) { o.Auth, o.TokenFile = Bearer, file }, "Bearer s3cret"},
		"none":              {func(*Options) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, func(w http.ResponseWriter, q *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				io.WriteString(w, "you said s3cret, "+q.Header.Get("Authorization")+" of "+q.Header.Get("X-Scope-OrgID"))
			})
			o := plain(r.URL)
			o.Headers = map[string]string{"X-Scope-OrgID": "tenant-1"}
			tt.set(&o)
			s := newSink(t, o)
			err := s.Deliver(t.Context(), request(time.Now()))
			if e, ok := err.(*sink.Error); !ok || e.Kind != sink.Credentials || o.Auth != "" && strings.Contains(e.Error(), "s3cret") ||
				strings.Contains(e.Error(), "bWU6czNjcmV0") || strings.Contains(e.Error(), "tenant-1") {
				t.Errorf("%v", err)
			}
			if got := r.header.Get("Authorization"); got != tt.want {
				t.Errorf("Authorization: %s", got)
			}
			if got := r.header.Get("X-Scope-OrgID"); got != "tenant-1" {
				t.Errorf("X-Scope-OrgID: %s", got)
			}
		})
	}
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(written, "2") })
	o := plain(r.URL)
	o.Auth, o.TokenFile = Bearer, file
	s := newSink(t, o)
	for _, text := range []string{"", "two\nlines"} {
		write(text)
		e, ok := s.Deliver(t.Context(), request(time.Now())).(*sink.Error)
		if !ok || e.Kind != sink.Credentials || !strings.Contains(e.Error(), file) {
			t.Errorf("%q: %v", text, e)
		}
	}
	write("renewed")
	if err := s.Deliver(t.Context(), request(time.Now())); err != nil || r.header.Get("Authorization") != "Bearer renewed" {
		t.Errorf("%v, %s", err, r.header.Get("Authorization"))
	}
}

// What a family is, is said once in a request of 1.0, again after an attempt
// that failed, and then a minute later.
func TestMetadata(t *testing.T) {
	now, status, described := time.Now(), http.StatusServiceUnavailable, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err == nil {
			body, err = snappy.Decode(nil, body)
		}
		for described = 0; err == nil && len(body) > 0; {
			number, _, n := protowire.ConsumeField(body)
			if err = protowire.ParseError(n); err == nil {
				body = body[n:]
			}
			if number == v1Metadata {
				described++
			}
		}
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(status)
	}))
	defer server.Close()
	o := plain(server.URL)
	o.Version, o.Now = V1, func() time.Time { return now }
	s := newSink(t, o)
	deliver := func() error {
		return s.Deliver(t.Context(), encode(now.UnixMilli(), []*series{
			{labels: []label{{"__name__", "a"}, {"device", "ens5"}}}, {labels: []label{{"__name__", "a"}, {"device", "ens6"}}},
			{labels: []label{{"__name__", "b"}}},
		}).Data)
	}
	for _, step := range []struct {
		status, want int
		later        time.Duration
	}{{503, 2, 0}, {200, 2, 0}, {200, 0, 15 * time.Second}, {200, 2, 50 * time.Second}} {
		status, now = step.status, now.Add(step.later)
		if err := deliver(); (err == nil) != (status == 200) {
			t.Fatal(err)
		}
		if described != step.want {
			t.Errorf("%+v: %d families are described", step, described)
		}
	}
}

func TestPatience(t *testing.T) {
	for age, want := range map[time.Duration]time.Duration{
		20 * time.Second: 5 * time.Second, time.Minute: 15 * time.Second, 10 * time.Minute: 15 * time.Second,
	} {
		o := plain("http://127.0.0.1:1/write")
		o.MaxAge = age
		if got := newSink(t, o).Patience(); got != want {
			t.Errorf("samples good for %v: a pause of up to %v, want %v", age, got, want)
		}
	}
}

// A receiver that asks for a certificate.
func TestMutualTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(written, "2")
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	save := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	o := plain(server.URL)
	e, ok := newSink(t, o).Deliver(t.Context(), request(time.Now())).(*sink.Error)
	if !ok || !strings.Contains(e.Error(), "ca_file") {
		t.Errorf("of an authority that is not known: %v", e)
	}
	o.CAFile = save("ca.pem", "CERTIFICATE", pair.Certificate[0])
	if err := newSink(t, o).Deliver(t.Context(), request(time.Now())); err == nil { // with an alert or a reset
		t.Error("without a certificate it is taken")
	}
	o.CertFile, o.KeyFile = o.CAFile, save("key.pem", "PRIVATE KEY", key)
	if err := newSink(t, o).Deliver(t.Context(), request(time.Now())); err != nil {
		t.Error(err)
	}
	o.KeyFile = o.CAFile
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "cert_file and key_file: ") {
		t.Errorf("a key that is none: %v", err)
	}
}

// Signatures: a wrong key is said, and a clock that is off is made up for once it
// is known.
func TestSignatures(t *testing.T) {
	aws, err := awsfake.Start(awsfake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer aws.Close()
	s := newSink(t, options(aws.URL()+writePath))
	aws.SetSkew(40 * time.Minute)
	now := time.Now().Add(40 * time.Minute)
	s.o.MaxAge = time.Hour
	e, ok := s.Deliver(t.Context(), request(now)).(*sink.Error)
	if !ok || e.Kind != sink.Credentials || !strings.Contains(e.Error(), "set the host's clock") {
		t.Errorf("40 minutes apart: %v", e)
	}
	if err := s.Deliver(t.Context(), request(now)); err != nil {
		t.Errorf("once that is known: %v", err)
	}
	aws.SetSkew(0)

	o := options(aws.URL() + writePath)
	o.Region = "eu-west-1"
	e, ok = newSink(t, o).Deliver(t.Context(), request(time.Now())).(*sink.Error)
	if !ok || e.Kind != sink.Credentials {
		t.Errorf("signed for another region: %v", e)
	}
}

// A role in the account that has the workspace, and the environment's credentials
// to assume it with.
func TestAssumedRole(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/metrics"
	aws, err := awsfake.Start(awsfake.Options{Roles: []awsfake.Role{{ARN: role, ExternalID: "x-1"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer aws.Close()
	t.Setenv("AWS_ENDPOINT_URL_STS", aws.URL())
	t.Setenv("AWS_ACCESS_KEY_ID", awsfake.DefaultCredential.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", awsfake.DefaultCredential.SecretAccessKey)
	o := options(aws.URL() + writePath)
	o.Credentials, o.RoleARN, o.ExternalID, o.DisableIMDS = nil, role, "x-1", true
	if err := newSink(t, o).Deliver(t.Context(), request(time.Now())); err != nil {
		t.Fatal(err)
	}
	for _, r := range aws.Journal.Requests("prometheus", "RemoteWrite") {
		if !strings.HasPrefix(r.AccessKeyID, "ASIA") {
			t.Errorf("signed with %s", r.AccessKeyID)
		}
	}
	o.ExternalID = "x-2"
	e, ok := newSink(t, o).Deliver(t.Context(), request(time.Now())).(*sink.Error)
	if !ok || e.Kind != sink.Credentials || !strings.Contains(e.Error(), "sts:AssumeRole") {
		t.Errorf("with another external id: %v", e)
	}
}

func TestOptions(t *testing.T) {
	const amp = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
	o := plain(amp)
	if err := o.complete(); err != nil || o.Auth != SigV4 || o.Region != "eu-central-1" || o.Version != V1 {
		t.Errorf("%s: %s, %s, %d, %v", amp, o.Auth, o.Region, o.Version, err)
	}
	for want, set := range map[string]func(*Options){
		"url: give a URL":          func(o *Options) { o.URL = "prometheus:9090" },
		"url: it holds a password": func(o *Options) { o.URL = "https://me:s3cret@host/" },
		"headers: content-type":    func(o *Options) { o.Headers = map[string]string{"content-type": "x"} },
		"no name set \"mine\"":     func(o *Options) { o.Names = []string{"mine"} },
		"a simulation":             func(o *Options) { o.Simulated = true },
		"ca_file: ":                func(o *Options) { o.CAFile = "/nowhere" },
	} {
		o := plain("http://127.0.0.1:1/")
		set(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("want %s: %v", want, err)
		}
	}
	for name, want := range map[string]Version{"auto": Auto, "1.0": V1, "2.0": V2} {
		if v, err := ParseVersion(name); v != want || err != nil {
			t.Errorf("%s: %d, %v", name, v, err)
		}
	}
	if _, err := ParseVersion("3.0"); err == nil {
		t.Error("there is a version 3.0")
	}
}
