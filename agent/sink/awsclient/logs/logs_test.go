package logs_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/agent/sink/awsclient/logs"
	"github.com/enawatch/enawatch/test/awsfake"
)

// client is one of the stand-in, with whatever change makes of its options.
func client(t *testing.T, url string, change ...func(*awsclient.Options)) pair {
	t.Helper()
	key := awsfake.DefaultCredential
	o := awsclient.Options{
		Sink: "emf", Service: "CloudWatch Logs", Region: "us-east-1", Endpoint: url, DisableIMDS: true,
		Credentials: credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, key.SessionToken),
	}
	for _, f := range change {
		f(&o)
	}
	owner, err := awsclient.New(o)
	if err != nil {
		t.Fatal(err)
	}
	cfg, failure := owner.Load(t.Context())
	if failure != nil {
		t.Fatal(failure)
	}
	return pair{owner: owner, ours: logs.New(t.Context(), owner, cfg, url)}
}

func start(t *testing.T, o awsfake.Options) *awsfake.Server {
	t.Helper()
	s, err := awsfake.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// group makes a group, and returns what that came to, nil for success.
func (p pair) group(t *testing.T) (*awsclient.Exchange, *sink.Error) {
	t.Helper()
	x, err := p.call(t.Context(), "CreateLogGroup", &logs.CreateLogGroupInput{LogGroupName: "g"}, nil)
	if err == nil {
		return x, nil
	}
	return x, x.Classify(err, "CreateLogGroup", "allow it", p.ours.Credentials)
}

// TestOperations: what the stand-in stores and returns, which knows the API.
func TestOperations(t *testing.T) {
	s := start(t, awsfake.Options{})
	p := client(t, s.URL())
	at := time.Now().UnixMilli()
	for _, step := range []struct {
		operation string
		in        any
	}{
		{"CreateLogGroup", &logs.CreateLogGroupInput{LogGroupName: "g", LogGroupClass: logs.ClassStandard, Tags: map[string]string{"a": "b"}}},
		{"PutRetentionPolicy", &logs.PutRetentionPolicyInput{LogGroupName: "g", RetentionInDays: 7}},
		{"CreateLogStream", &logs.CreateLogStreamInput{LogGroupName: "g", LogStreamName: "s"}},
		{"PutLogEvents", &logs.PutLogEventsInput{LogGroupName: "g", LogStreamName: "s", LogEvents: []logs.Event{{Timestamp: at, Message: `{"<é>":"\n"}`}}}},
	} {
		if _, err := p.call(t.Context(), step.operation, step.in, nil); err != nil {
			t.Fatalf("%s: %v", step.operation, err)
		}
	}
	if e := s.Logs.Events("g", "s"); len(e) != 1 || e[0].Message != `{"<é>":"\n"}` || e[0].Timestamp.UnixMilli() != at {
		t.Errorf("%+v", e)
	}
	var page logs.DescribeLogGroupsOutput
	if _, err := p.call(t.Context(), "DescribeLogGroups", &logs.DescribeLogGroupsInput{LogGroupNamePrefix: "g", Limit: 1}, &page); err != nil {
		t.Fatal(err)
	}
	const arn = "arn:aws:logs:us-east-1:123456789012:log-group:g"
	want := []logs.LogGroup{{LogGroupName: "g", LogGroupArn: arn, LogGroupClass: "STANDARD", RetentionInDays: 7, StoredBytes: 39}}
	if diff := cmp.Diff(want, page.LogGroups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	var tags logs.ListTagsForResourceOutput
	if _, err := p.call(t.Context(), "ListTagsForResource", &logs.ListTagsForResourceInput{ResourceArn: arn}, &tags); err != nil || tags.Tags["a"] != "b" {
		t.Errorf("%v, %v", tags, err)
	}
	x, err := p.call(t.Context(), "CreateLogGroup", &logs.CreateLogGroupInput{LogGroupName: "g"}, nil)
	own, ok := errors.AsType[*logs.Error](err)
	if !ok || !logs.Is(err, logs.AlreadyExists) || logs.Is(err, logs.NotFound) || own.RequestID != x.Header.Get("X-Amzn-Requestid") || own.RequestID == "" ||
		err.Error() != "ResourceAlreadyExistsException: The specified log group already exists (request "+own.RequestID+")" {
		t.Errorf("%v", err)
	}
}

// TestClock: one refusal is enough to learn how far the clocks are apart, and so
// is one more when they come together again.
func TestClock(t *testing.T) {
	var ahead atomic.Int64
	s := start(t, awsfake.Options{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	p := client(t, s.URL())
	for _, by := range []time.Duration{time.Hour, 0, -2 * time.Hour} {
		ahead.Store(int64(by))
		x, e := p.group(t)
		if e == nil || e.Kind != sink.Credentials || e.Remedy != awsclient.RemedyClock || x.Stale(e) {
			t.Errorf("%v: %v", by, e)
		}
		if _, e := p.group(t); e != nil && !logs.Is(e, logs.AlreadyExists) {
			t.Errorf("%v: %v", by, e)
		}
	}
}

// TestFaults: what is no answer of the service, or comes too late.
func TestFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		fault     awsfake.Fault
		kind      sink.Kind
		ambiguous bool
		text      string
	}{
		"throttled":  {awsfake.Fault{Kind: awsfake.Throttle, RetryAfter: 7 * time.Second}, sink.Throttled, false, "CreateLogGroup: ThrottlingException"},
		"reset":      {awsfake.Fault{Kind: awsfake.Reset, Store: true}, sink.Transient, true, "send to 127.0.0.1"},
		"cut":        {awsfake.Fault{Kind: awsfake.Cut, Store: true}, sink.Transient, true, "CreateLogGroup: the answer broke off or is not CloudWatch Logs's"},
		"page":       {awsfake.Fault{Kind: awsfake.HTML, Status: 200}, sink.Transient, true, "CreateLogGroup: the answer broke off or is not CloudWatch Logs's"},
		"bad page":   {awsfake.Fault{Kind: awsfake.HTML, Status: 503}, sink.Transient, true, "503 Service Unavailable, but not in CloudWatch Logs's words"},
		"large page": {awsfake.Fault{Kind: awsfake.HTML, Status: 413}, sink.TooLarge, false, "413 Request Entity Too Large, but not in"},
		"denied":     {awsfake.Fault{Kind: awsfake.Status, Status: 400, Code: "AccessDeniedException", Message: "no " + awsfake.DefaultCredential.SecretAccessKey}, sink.Credentials, false, "CreateLogGroup: AccessDeniedException: no ***: allow it"},
		"poison":     {awsfake.Fault{Kind: awsfake.Status, Status: 400, Code: "InvalidParameterException"}, sink.Poisoned, false, "CreateLogGroup: InvalidParameterException"},
		"failure":    {awsfake.Fault{Kind: awsfake.Status, Status: 500}, sink.Transient, true, "CreateLogGroup: InternalServerException"},
		"hang":       {awsfake.Fault{Kind: awsfake.Hang}, sink.Transient, true, "no answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, awsfake.Options{})
			if err := s.Faults.Add(awsfake.Rule{Faults: []awsfake.Fault{tt.fault}}); err != nil {
				t.Fatal(err)
			}
			p := client(t, s.URL(), func(o *awsclient.Options) {
				if name == "hang" {
					o.Timeout = time.Second
				}
			})
			_, e := p.group(t)
			if e == nil || e.Kind != tt.kind || e.Ambiguous != tt.ambiguous || e.RetryAfter != tt.fault.RetryAfter || !strings.Contains(e.Error(), tt.text) {
				t.Errorf("%+v: %v", e, e)
			}
		})
	}
}

// TestUnsent: without credentials or an endpoint nothing is sent, and the error
// says so as it is.
func TestUnsent(t *testing.T) {
	for want, change := range map[string]func(*awsclient.Options){
		"get AWS credentials: failed to refresh cached credentials, none": func(o *awsclient.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, errors.New("none") })
		},
		"endpoint: give a URL as https://HOST, with a port if need be: look at AWS_ENDPOINT_URL": func(*awsclient.Options) {
			t.Setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "s3cret@nowhere")
		},
		"endpoint: it can't be combined with FIPS or dual-stack": func(o *awsclient.Options) {
			t.Setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "https://own.example")
			o.FIPS = true
		},
	} {
		p := client(t, "", change)
		p.ours.HTTP = roundTripper(func(*http.Request) (*http.Response, error) { panic("sent") })
		if x, e := p.group(t); e == nil || e.Kind != sink.Credentials || e.Ambiguous || !strings.HasPrefix(e.Error(), want) || !x.Stale(e) {
			t.Errorf("%v, want %s", e, want)
		}
		t.Setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "")
	}
	p := client(t, "http://127.0.0.1:1")
	if _, err := p.call(t.Context(), "PutLogEvents", func() {}, nil); err == nil || !strings.HasPrefix(err.Error(), "write the input of PutLogEvents") {
		t.Error(err)
	}
}

// TestHeaders: who asks is told, in a form that every header may have; a redirect
// takes neither the signature nor the data elsewhere.
func TestHeaders(t *testing.T) {
	var agents []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was sent elsewhere", r.Method) }))
	t.Cleanup(elsewhere.Close)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agents = append(agents, r.Header.Get("User-Agent"))
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(s.Close)
	for _, app := range []string{"", "a b\n(é)/1"} {
		t.Setenv("AWS_SDK_UA_APP_ID", app)
		if _, e := client(t, s.URL).group(t); e == nil || e.Kind != sink.Transient || !strings.Contains(e.Error(), "answers 307 Temporary Redirect, but not in CloudWatch Logs's words") {
			t.Errorf("%v", e)
		}
	}
	if diff := cmp.Diff([]string{"enawatch app/enawatch", "enawatch app/a-b-----1"}, agents); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestLongAnswer: what is read of an answer has a bound.
func TestLongAnswer(t *testing.T) {
	p := client(t, "http://logs.invalid")
	p.ours.HTTP = roundTripper(func(*http.Request) (*http.Response, error) {
		body := io.MultiReader(strings.NewReader(`{"message":"`), endless{})
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(body)}, nil
	})
	if _, e := p.group(t); e == nil || !e.Ambiguous || !strings.Contains(errors.Unwrap(errors.Unwrap(e)).Error(), "too long") {
		t.Errorf("%v", e)
	}
}

// TestBrokenAnswer: what breaks off is none, though it may read well so far.
func TestBrokenAnswer(t *testing.T) {
	p := client(t, "http://logs.invalid")
	p.ours.HTTP = roundTripper(func(*http.Request) (*http.Response, error) {
		body := io.MultiReader(strings.NewReader("{}"), iotest.ErrReader(io.ErrUnexpectedEOF))
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(body)}, nil
	})
	if _, e := p.group(t); e == nil || !e.Ambiguous || !errors.Is(e, io.ErrUnexpectedEOF) {
		t.Errorf("%v", e)
	}
}

// endless is an answer without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// FuzzAnswer: whatever answers, the client says what that comes to, in one line.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		"", "{}", "[]", "<html>", `{"logGroups":[{"logGroupName":"g","retentionInDays":1}]}`, `{"logGroups":{}}`,
		`{"__type":"a#ThrottlingException:http://x","message":"\n"}`, `{"code":"x","Message":"y"}`,
	} {
		f.Add(200, "", body)
		f.Add(400, "", body)
		f.Add(503, "x#AccessDeniedException:", body)
	}
	f.Fuzz(func(t *testing.T, status int, code, body string) {
		p := client(t, "http://logs.invalid")
		p.ours.HTTP = roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{"X-Amzn-Errortype": {code}}, Body: io.NopCloser(strings.NewReader(body))}, nil
		})
		var out logs.DescribeLogGroupsOutput
		x, err := p.call(t.Context(), "DescribeLogGroups", &logs.DescribeLogGroupsInput{}, &out)
		if err == nil {
			if status < 200 || status > 299 {
				t.Errorf("status %d is no success", status)
			}
			return
		}
		if e := x.Classify(err, "DescribeLogGroups", "allow it", p.ours.Credentials); e.Err == nil || strings.ContainsAny(e.Error(), "\r\n") {
			t.Errorf("%v", e)
		}
	})
}
