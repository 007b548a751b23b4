package awsfake_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/awsfake"
)

// TestFaults shows what the SDK makes of each fault, and what was stored.
func TestFaults(t *testing.T) {
	isReset := func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
	isEOF := func(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
	coded := func(status int, code string) func(error) bool {
		return func(err error) bool {
			var api interface{ ErrorCode() string }
			var resp *smithyhttp.ResponseError
			return errors.As(err, &api) && api.ErrorCode() == code && errors.As(err, &resp) && resp.HTTPStatusCode() == status
		}
	}
	undecodable := func(status int) func(error) bool {
		return func(err error) bool {
			var resp *smithyhttp.ResponseError
			return errors.As(err, &resp) && resp.HTTPStatusCode() == status && strings.Contains(err.Error(), "deserialization failed")
		}
	}
	tests := []struct {
		fault awsfake.Fault
		// want tells the error of the SDK; nil means none.
		want   func(error) bool
		status int
	}{
		{awsfake.Fault{Kind: awsfake.Reset}, isReset, 0},
		{awsfake.Fault{Kind: awsfake.Drop}, isEOF, 0},
		{awsfake.Fault{Kind: awsfake.Cut}, func(err error) bool { return isReset(err) && undecodable(200)(err) }, 0},
		{awsfake.Fault{Kind: awsfake.Status, Status: 400}, coded(400, "ValidationError"), 400},
		{awsfake.Fault{Kind: awsfake.Status, Status: 400, Code: "InvalidFormat"}, coded(400, "InvalidFormat"), 400},
		{awsfake.Fault{Kind: awsfake.Status, Status: 403}, coded(403, "AccessDenied"), 403},
		{awsfake.Fault{Kind: awsfake.Status, Status: 413}, coded(413, "RequestEntityTooLarge"), 413},
		{awsfake.Fault{Kind: awsfake.Status, Status: 429}, coded(429, "Throttling"), 429},
		{awsfake.Fault{Kind: awsfake.Status, Status: 500}, coded(500, "InternalServiceError"), 500},
		{awsfake.Fault{Kind: awsfake.Status, Status: 503}, coded(503, "ServiceUnavailable"), 503},
		{awsfake.Fault{Kind: awsfake.HTML}, undecodable(503), 503},
		{awsfake.Fault{Kind: awsfake.HTML, Status: 200}, undecodable(200), 200},
		{awsfake.Fault{Kind: awsfake.Throttle}, coded(400, "Throttling"), 400},
		{awsfake.Fault{Kind: awsfake.ExpiredToken}, coded(403, "ExpiredToken"), 403},
		{awsfake.Fault{Kind: awsfake.Skew, Skew: -time.Hour}, coded(403, "SignatureDoesNotMatch"), 403},
		{awsfake.Fault{Kind: awsfake.Skew, Skew: time.Minute}, nil, 200},
		{awsfake.Fault{Kind: awsfake.Slow, Delay: time.Millisecond}, nil, 200},
	}
	for _, secure := range []bool{false, true} {
		for _, tt := range tests {
			for _, store := range []bool{false, true} {
				switch tt.fault.Kind {
				case awsfake.Throttle, awsfake.ExpiredToken, awsfake.Skew, awsfake.Slow:
					if store {
						continue
					}
				}
				t.Run(faultName(tt.fault, secure, store), func(t *testing.T) {
					s := start(t, awsfake.Options{TLS: secure})
					fault := tt.fault
					fault.Store = store
					if err := s.Faults.Add(awsfake.Rule{Service: "cloudwatch", Operation: "PutMetricData", Faults: []awsfake.Fault{fault}}); err != nil {
						t.Fatal(err)
					}
					c := cloudWatch(t, s)
					_, err := c.PutMetricData(t.Context(), input(nil))
					if (tt.want == nil) != (err == nil) || err != nil && !tt.want(err) {
						t.Errorf("the SDK says: %v", err)
					}
					q := s.Journal.Requests("cloudwatch", "")[0]
					stored := store || tt.want == nil
					if q.Fault != fault.Kind || q.Status != tt.status || q.Stored != stored || q.Answered != (tt.status > 0) {
						t.Errorf("journal: fault %q, status %d, stored %v, answered %v", q.Fault, q.Status, q.Stored, q.Answered)
					}
					// HTML with 200 looks like success to whoever counts statuses,
					// but it is not the service's answer; the journal goes by the
					// status.
					if want := stored && tt.status/100 != 2; q.Ambiguous() != want {
						t.Errorf("ambiguous is %v, want %v", q.Ambiguous(), want)
					}
					if n := len(s.CloudWatch.Data(awsfake.MetricQuery{})); (n == 1) != stored {
						t.Errorf("%d data stored", n)
					}
					// The script is at its end. A new client, since the SDK's
					// keeps the server's time in mind.
					if _, err := cloudWatch(t, s).PutMetricData(t.Context(), input(nil)); err != nil {
						t.Errorf("after the fault: %v", err)
					}
				})
			}
		}
	}
}

func faultName(f awsfake.Fault, secure, store bool) string {
	name := string(f.Kind)
	if f.Status > 0 {
		name += http.StatusText(f.Status)
	}
	if secure {
		name += "/tls"
	}
	if store {
		name += "/stored"
	}
	return name + f.Code
}

// TestFaultHang: the request stays open until the client gives up.
func TestFaultHang(t *testing.T) {
	for _, store := range []bool{false, true} {
		s := start(t, awsfake.Options{})
		if err := s.Faults.Add(awsfake.Rule{Faults: []awsfake.Fault{{Kind: awsfake.Hang, Store: store}}}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // within which a loaded machine sends it
		defer cancel()
		_, err := cloudWatch(t, s).PutMetricData(ctx, input(nil))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		requests, items := s.Journal.Ambiguous("cloudwatch")
		if (requests == 1 && items == 1) != store {
			t.Errorf("stored %v: %d requests and %d items are ambiguous", store, requests, items)
		}
	}
}

// TestCloseEndsHangs: nothing outlives the server.
func TestCloseEndsHangs(t *testing.T) {
	s := start(t, awsfake.Options{})
	met := make(chan struct{})
	err := s.Faults.Add(awsfake.Rule{Choose: func(*awsfake.Request) *awsfake.Fault {
		close(met)
		return &awsfake.Fault{Kind: awsfake.Hang}
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := cloudWatch(t, s)
	done := make(chan error)
	go func() {
		_, err := c.PutMetricData(t.Context(), input(nil))
		done <- err
	}()
	<-met
	s.Close()
	if err := <-done; err == nil {
		t.Error("a hanging request succeeded")
	}
	s.Close() // A second time does nothing.
}

// TestFaultSlow: a client that does not wait gets nothing, and the request was
// stored all the same.
func TestFaultSlow(t *testing.T) {
	s := start(t, awsfake.Options{})
	if err := s.Faults.Add(awsfake.Rule{Faults: []awsfake.Fault{{Kind: awsfake.Slow, Delay: time.Hour}}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // within which a loaded machine sends it
	defer cancel()
	if _, err := cloudWatch(t, s).PutMetricData(ctx, input(nil)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if q := s.Journal.Requests("", "")[0]; !q.Ambiguous() {
		t.Errorf("stored %v, answered %v", q.Stored, q.Answered)
	}
}

// TestRetryAfter reaches the client with every kind that can carry it.
func TestRetryAfter(t *testing.T) {
	s := start(t, awsfake.Options{})
	err := s.Faults.Add(awsfake.Rule{Faults: []awsfake.Fault{
		{Kind: awsfake.Status, Status: 429, RetryAfter: 1500 * time.Millisecond},
		{Kind: awsfake.Throttle, RetryAfter: time.Minute},
		{Kind: awsfake.HTML, RetryAfter: 3 * time.Second},
		{Kind: awsfake.Throttle},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 4 {
		got = append(got, post(t, s, "aps", "/workspaces/ws-1/api/v1/remote_write", nil, nil).header.Get("Retry-After"))
	}
	if diff := cmp.Diff([]string{"2", "60", "3", ""}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestThrottleStatus: each service has its own way.
func TestThrottleStatus(t *testing.T) {
	s := start(t, awsfake.Options{})
	if err := s.Faults.Add(awsfake.Rule{Times: -1, Faults: []awsfake.Fault{{Kind: awsfake.Throttle}}}); err != nil {
		t.Fatal(err)
	}
	_, err := logs(t, s).CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s")})
	if code(t, err) != "ThrottlingException" || status(err) != 400 {
		t.Errorf("Logs: %v", err)
	}
	if r := post(t, s, "aps", "/workspaces/ws-1/api/v1/remote_write", nil, nil); r.status != 429 {
		t.Errorf("remote write: %+v", r)
	}
	if r := post(t, s, "monitoring", "/v1/metrics", nil, nil); r.status != 429 {
		t.Errorf("OTLP: %+v", r)
	}
}

// codes runs requests against rules and returns the statuses, 200 as 0.
func statuses(t *testing.T, n int, rules ...awsfake.Rule) []int {
	t.Helper()
	s := start(t, awsfake.Options{Seed: 7})
	if err := s.Faults.Add(rules...); err != nil {
		t.Fatal(err)
	}
	c := cloudWatch(t, s)
	var out []int
	for range n {
		_, err := c.PutMetricData(t.Context(), input(nil))
		out = append(out, status(err))
	}
	return out
}

func TestFaultRules(t *testing.T) {
	answer := func(statuses ...int) []awsfake.Fault {
		var out []awsfake.Fault
		for _, s := range statuses {
			out = append(out, awsfake.Fault{Kind: awsfake.Status, Status: s})
		}
		return out
	}
	tests := []struct {
		name  string
		rules []awsfake.Rule
		want  []int
	}{
		{"in turn, once", []awsfake.Rule{{Faults: answer(500, 503)}}, []int{500, 503, 0, 0, 0}},
		{"again and again", []awsfake.Rule{{Times: -1, Faults: answer(500, 503)}}, []int{500, 503, 500, 503, 500}},
		{"three times", []awsfake.Rule{{Times: 3, Faults: answer(500)}}, []int{500, 500, 500, 0, 0}},
		{"after two", []awsfake.Rule{{After: 2, Faults: answer(500)}}, []int{0, 0, 500, 0, 0}},
		{"second rule when the first is spent", []awsfake.Rule{{Faults: answer(500)}, {Faults: answer(503)}}, []int{500, 503, 0, 0, 0}},
		{"other service", []awsfake.Rule{{Service: "logs", Times: -1, Faults: answer(500)}}, []int{0, 0, 0, 0, 0}},
		{"other operation", []awsfake.Rule{{Operation: "ListMetrics", Times: -1, Faults: answer(500)}}, []int{0, 0, 0, 0, 0}},
		{"prefix", []awsfake.Rule{{Operation: "Put*", Faults: answer(500)}}, []int{500, 0, 0, 0, 0}},
		{"other prefix", []awsfake.Rule{{Operation: "Get*", Faults: answer(500)}}, []int{0, 0, 0, 0, 0}},
		{"function", []awsfake.Rule{{Choose: func(q *awsfake.Request) *awsfake.Fault {
			if q.Seq%2 == 1 {
				return nil
			}
			return &answer(503)[0]
		}}}, []int{0, 503, 0, 503, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, statuses(t, 5, tt.rules...)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}

	random := awsfake.Rule{Probability: 0.5, Faults: answer(500, 503)}
	first := statuses(t, 100, random)
	if diff := cmp.Diff(first, statuses(t, 100, random)); diff != "" {
		t.Errorf("the same seed gave other faults:\n%s", diff)
	}
	count := map[int]int{}
	for _, s := range first {
		count[s]++
	}
	if count[0] < 30 || count[0] > 70 || count[500] < 10 || count[503] < 10 {
		t.Errorf("of 100 requests, half of which should fail: %v", count)
	}
}

func TestFaultRulesRefused(t *testing.T) {
	s, err := awsfake.New(awsfake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	good := awsfake.Rule{Faults: []awsfake.Fault{{Kind: awsfake.Reset}}}
	for name, r := range map[string]awsfake.Rule{
		"no faults":   {},
		"kind":        {Faults: []awsfake.Fault{{Kind: "explode"}}},
		"status":      {Faults: []awsfake.Fault{{Kind: awsfake.Status}}},
		"store":       {Faults: []awsfake.Fault{{Kind: awsfake.Throttle, Store: true}}},
		"probability": {Probability: 1.5, Faults: good.Faults},
	} {
		if err := s.Faults.Add(good, r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// A good rule in bad company was not added either.
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/latest/meta-data/", nil))
	if w.Code != http.StatusUnauthorized {
		t.Errorf("status %d", w.Code)
	}
}

// TestFaultsWithoutListener: on a plain handler, a broken connection is
// http.ErrAbortHandler.
func TestFaultsWithoutListener(t *testing.T) {
	for _, kind := range []awsfake.Kind{awsfake.Refuse, awsfake.Reset, awsfake.Drop, awsfake.Cut} {
		s, err := awsfake.New(awsfake.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Faults.Add(awsfake.Rule{Faults: []awsfake.Fault{{Kind: kind}}}); err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if r := recover(); r != http.ErrAbortHandler {
					t.Errorf("%s: panicked with %v", kind, r)
				}
			}()
			s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/latest/meta-data/", nil))
			t.Errorf("%s: answered", kind)
		}()
	}
}

// TestReset: all is forgotten but the keys.
func TestReset(t *testing.T) {
	s := start(t, awsfake.Options{})
	c := cloudWatch(t, s, func(o *cloudwatch.Options) {})
	put := func() {
		t.Helper()
		if _, err := c.PutMetricData(t.Context(), input(nil)); err != nil {
			t.Fatal(err)
		}
	}
	put()
	if err := s.Faults.Add(awsfake.Rule{Times: -1, Faults: []awsfake.Fault{{Kind: awsfake.Reset}}}); err != nil {
		t.Fatal(err)
	}
	s.Reset()
	if len(s.CloudWatch.Metrics())+len(s.Journal.Requests("", "")) != 0 {
		t.Error("something is left")
	}
	put()
	if got := s.CloudWatch.Summarize(awsfake.MetricQuery{}); got.Data != 1 || got.Duplicates != 0 {
		t.Errorf("after the reset: %+v", got)
	}
}
