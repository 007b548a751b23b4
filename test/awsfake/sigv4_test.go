package awsfake_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/enawatch/enawatch/test/awsfake"
)

// TestSignatureErrors drives the SDK with keys, regions and clocks that are
// wrong. CloudWatch gives the codes of AWS Query with 403, Logs its shapes with
// 400.
func TestSignatureErrors(t *testing.T) {
	key := awsfake.DefaultCredential
	session := awsfake.Credential{AccessKeyID: "ASIASESSION", SecretAccessKey: "secret", SessionToken: "a/b+c==", Expires: frozen.Add(time.Hour)}
	expired := awsfake.Credential{AccessKeyID: "ASIAEXPIRED", SecretAccessKey: "secret", SessionToken: "old", Expires: frozen}
	change := func(c awsfake.Credential, f func(*awsfake.Credential)) awsfake.Credential { f(&c); return c }
	tests := []struct {
		name             string
		key              awsfake.Credential
		region           string
		skew             time.Duration
		cloudWatch, logs string
		message          string
	}{
		{name: "good", key: key},
		{name: "session", key: session},
		{name: "unknown key", key: change(key, func(c *awsfake.Credential) { c.AccessKeyID = "AKIAUNKNOWN" }),
			cloudWatch: "InvalidClientTokenId", logs: "UnrecognizedClientException", message: "The security token included in the request is invalid."},
		{name: "wrong secret", key: change(key, func(c *awsfake.Credential) { c.SecretAccessKey += "x" }),
			cloudWatch: "SignatureDoesNotMatch", logs: "InvalidSignatureException", message: "The request signature we calculated does not match"},
		{name: "wrong token", key: change(session, func(c *awsfake.Credential) { c.SessionToken = "other" }),
			cloudWatch: "InvalidClientTokenId", logs: "UnrecognizedClientException"},
		{name: "no token", key: change(session, func(c *awsfake.Credential) { c.SessionToken = "" }),
			cloudWatch: "InvalidClientTokenId", logs: "UnrecognizedClientException"},
		{name: "expired token", key: expired, cloudWatch: "ExpiredToken", logs: "ExpiredTokenException", message: "is expired"},
		{name: "region", key: key, region: "eu-west-1", cloudWatch: "SignatureDoesNotMatch", logs: "InvalidSignatureException",
			message: "Credential should be scoped to a valid region, not 'eu-west-1'."},
		{name: "late", key: key, skew: time.Hour, cloudWatch: "SignatureDoesNotMatch", logs: "InvalidSignatureException", message: "Signature expired: "},
		{name: "early", key: key, skew: -time.Hour, cloudWatch: "SignatureDoesNotMatch", logs: "InvalidSignatureException", message: "Signature not yet current: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, awsfake.Options{Credentials: []awsfake.Credential{key, session, expired}})
			s.SetSkew(tt.skew)
			region := "us-east-1"
			if tt.region != "" {
				region = tt.region
			}
			cw := cloudWatch(t, s, func(o *cloudwatch.Options) { o.Region, o.Credentials = region, provider(tt.key) })
			_, err := cw.PutMetricData(t.Context(), input(func(_ *request, d *datum) { d.Timestamp = nil }))
			if got := code(t, err); got != tt.cloudWatch {
				t.Errorf("CloudWatch: code %q, want %q", got, tt.cloudWatch)
			}
			if err != nil && (status(err) != http.StatusForbidden || !strings.Contains(err.Error(), tt.message)) {
				t.Errorf("CloudWatch: %d %v", status(err), err)
			}
			l := logs(t, s, func(o *cloudwatchlogs.Options) { o.Region, o.Credentials = region, provider(tt.key) })
			_, err = l.DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{})
			if got := code(t, err); got != tt.logs {
				t.Errorf("Logs: code %q, want %q", got, tt.logs)
			}
			if err != nil && (status(err) != http.StatusBadRequest || !strings.Contains(err.Error(), tt.message)) {
				t.Errorf("Logs: %d %v", status(err), err)
			}
			if n := len(s.CloudWatch.Data(awsfake.MetricQuery{})); (n == 1) != (tt.cloudWatch == "") {
				t.Errorf("%d data were stored", n)
			}
		})
	}
}

// TestSignatureSkewBound: five minutes either way are forgiven, one second more
// is not.
func TestSignatureSkewBound(t *testing.T) {
	s := start(t, awsfake.Options{Now: func() time.Time { return frozen.Truncate(time.Second) }})
	for skew, ok := range map[time.Duration]bool{
		5 * time.Minute: true, -5 * time.Minute: true,
		5*time.Minute + time.Second: false, -5*time.Minute - time.Second: false,
	} {
		r := remoteWriteRequest(t, s, nil)
		sign(t, r, nil, awsfake.DefaultCredential, "aps", "us-east-1", frozen.Add(skew))
		if got := sendRequest(t, s, r); (got.status != http.StatusForbidden) != ok {
			t.Errorf("%v: %+v", skew, got)
		}
	}
}

// TestSkewIsCorrectedBySDK: the answer's Date lets the SDK's default client try
// again with the server's time.
func TestSkewIsCorrectedBySDK(t *testing.T) {
	s := start(t, awsfake.Options{Now: time.Now})
	s.SetSkew(time.Hour)
	c := cloudWatch(t, s, func(o *cloudwatch.Options) { o.Retryer = quickRetryer() })
	if _, err := c.PutMetricData(t.Context(), input(func(_ *request, d *datum) { d.Timestamp = nil })); err != nil {
		t.Fatal(err)
	}
	q := s.Journal.Requests("cloudwatch", "")
	if len(q) != 2 || q[0].Code != "SignatureDoesNotMatch" || q[1].Status != http.StatusOK {
		t.Errorf("%d requests, first code %q", len(q), q[0].Code)
	}
}

// remoteWriteRequest is a request whose body is not looked at before its
// signature is.
func remoteWriteRequest(t *testing.T, s *awsfake.Server, body []byte) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/workspaces/ws-1/api/v1/remote_write?b=2&a=1+x&a=%2F", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Odd", "  two   spaces ")
	return r
}

// TestSignatureCovers changes a signed request on its way.
func TestSignatureCovers(t *testing.T) {
	s := start(t, awsfake.Options{})
	body := []byte("payload")
	tests := []struct {
		name   string
		change func(*http.Request)
		status int // 403 unless said otherwise
		shape  string
	}{
		{"nothing", func(*http.Request) {}, http.StatusUnsupportedMediaType, "UnsupportedMediaTypeException"},
		{"body", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("Payload")) }, 0, "InvalidSignatureException"},
		{"path", func(r *http.Request) { r.URL.Path = "/workspaces/ws-2/api/v1/remote_write" }, 0, "InvalidSignatureException"},
		{"query", func(r *http.Request) { r.URL.RawQuery = "b=2&a=1" }, 0, "InvalidSignatureException"},
		{"query order", func(r *http.Request) { r.URL.RawQuery = "a=%2F&a=1%20x&b=2" }, http.StatusUnsupportedMediaType, "UnsupportedMediaTypeException"},
		{"header", func(r *http.Request) { r.Header.Set("X-Odd", "other") }, 0, "InvalidSignatureException"},
		{"host", func(r *http.Request) { r.Host = "example.com" }, 0, "InvalidSignatureException"},
		{"method", func(r *http.Request) { r.Method = http.MethodPut }, 0, "InvalidSignatureException"},
		{"date", func(r *http.Request) { r.Header.Set("X-Amz-Date", frozen.Add(time.Second).Format("20060102T150405Z")) }, 0, "InvalidSignatureException"},
		{"new X-Amz header", func(r *http.Request) { r.Header.Set("X-Amz-Meta", "v") }, 0, "InvalidSignatureException"},
		{"no date", func(r *http.Request) { r.Header.Del("X-Amz-Date") }, http.StatusBadRequest, "IncompleteSignatureException"},
		{"no signature", func(r *http.Request) { r.Header.Del("Authorization") }, 0, "MissingAuthenticationTokenException"},
		{"service", func(r *http.Request) { signAgain(t, r, body, "monitoring") }, 0, "InvalidSignatureException"},
		{"day", func(r *http.Request) {
			swap(r, frozen.Format("20060102")+"/", frozen.AddDate(0, 0, -1).Format("20060102")+"/")
		}, 0, "InvalidSignatureException"},
		{"host not signed", func(r *http.Request) { swap(r, ";host;", ";") }, 0, "InvalidSignatureException"},
		{"algorithm", func(r *http.Request) { swap(r, "AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA1 ") }, http.StatusBadRequest, "IncompleteSignatureException"},
		{"no Signature", func(r *http.Request) { swap(r, "Signature=", "Sig=") }, http.StatusBadRequest, "IncompleteSignatureException"},
		{"no equal sign", func(r *http.Request) { swap(r, "Signature=", "Signature ") }, http.StatusBadRequest, "IncompleteSignatureException"},
		{"short scope", func(r *http.Request) { swap(r, "/aws4_request", "") }, http.StatusBadRequest, "IncompleteSignatureException"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := remoteWriteRequest(t, s, body)
			sign(t, r, body, awsfake.DefaultCredential, "aps", "us-east-1", frozen)
			tt.change(r)
			want := tt.status
			if want == 0 {
				want = http.StatusForbidden
			}
			got := sendRequest(t, s, r)
			if got.status != want || got.header.Get("X-Amzn-Errortype") != tt.shape {
				t.Errorf("got %d %q %s, want %d %q", got.status, got.header.Get("X-Amzn-Errortype"), got.body, want, tt.shape)
			}
		})
	}
}

func signAgain(t *testing.T, r *http.Request, body []byte, service string) {
	r.Header.Del("Authorization")
	sign(t, r, body, awsfake.DefaultCredential, service, "us-east-1", frozen)
}

func swap(r *http.Request, from, to string) {
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
}

// TestSignatureOfOddPath: a path that needs escaping is escaped twice.
func TestSignatureOfOddPath(t *testing.T) {
	s := start(t, awsfake.Options{})
	r := remoteWriteRequest(t, s, nil)
	r.URL = &url.URL{Scheme: "http", Host: s.Addr(), Path: "/workspaces/ws 1:ü/api/v1/remote_write"}
	sign(t, r, nil, awsfake.DefaultCredential, "aps", "us-east-1", frozen)
	if got := sendRequest(t, s, r); got.status != http.StatusUnsupportedMediaType {
		t.Errorf("%+v", got)
	}
}

func TestKeysComeAndGo(t *testing.T) {
	s := start(t, awsfake.Options{})
	try := func() string {
		_, err := logs(t, s).CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{
			LogGroupName: aws.String("g"), LogGroupClass: types.LogGroupClassStandard,
		})
		return code(t, err)
	}
	s.Keys.Remove(awsfake.DefaultCredential.AccessKeyID)
	if got := try(); got != "UnrecognizedClientException" {
		t.Errorf("removed: %q", got)
	}
	s.Keys.Add(awsfake.DefaultCredential)
	if got := try(); got != "" {
		t.Errorf("added: %q", got)
	}
}
