package awsfake_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/smithy-go"

	"github.com/enawatch/enawatch/test/awsfake"
)

// frozen is the server's time in tests that need an exact one. It is real, so
// that the SDK, which signs with the real time, is within the skew allowed.
var frozen = time.Now().UTC().Truncate(time.Millisecond)

func start(t *testing.T, o awsfake.Options) *awsfake.Server {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return frozen }
	}
	s, err := awsfake.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// hidesWriterTo keeps net/http from the body's WriteTo, with which smithy-go
// v1.28.8 can end a connection while its answer is being read.
type hidesWriterTo struct{ c *http.Client }

func (h hidesWriterTo) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return h.c.Do(r)
}

// httpClient returns a client with connections of its own, and without proxy.
func httpClient(t *testing.T, s *awsfake.Server) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	if s.CA != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: s.CA.Pool()}
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// provider is the SDK's form of a key.
func provider(c awsfake.Credential) aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
}

func cloudWatch(t *testing.T, s *awsfake.Server, change ...func(*cloudwatch.Options)) *cloudwatch.Client {
	t.Helper()
	return cloudwatch.New(cloudwatch.Options{
		Region:                      "us-east-1",
		BaseEndpoint:                aws.String(s.URL()),
		Credentials:                 provider(awsfake.DefaultCredential),
		HTTPClient:                  hidesWriterTo{httpClient(t, s)},
		Retryer:                     aws.NopRetryer{},
		RequestMinCompressSizeBytes: 1024,
	}, change...)
}

func logs(t *testing.T, s *awsfake.Server, change ...func(*cloudwatchlogs.Options)) *cloudwatchlogs.Client {
	t.Helper()
	return cloudwatchlogs.New(cloudwatchlogs.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(s.URL()),
		Credentials:  provider(awsfake.DefaultCredential),
		HTTPClient:   hidesWriterTo{httpClient(t, s)},
		Retryer:      aws.NopRetryer{},
	}, change...)
}

// quickRetryer is the SDK's own, without its waits.
func quickRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
}

// reply is what a raw request got.
type reply struct {
	status int
	header http.Header
	body   string
}

// post sends a request that is signed by hand; service "" leaves it unsigned.
func post(t *testing.T, s *awsfake.Server, service, path string, body []byte, header map[string]string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	if service != "" {
		sign(t, r, body, awsfake.DefaultCredential, service, "us-east-1", frozen)
	}
	return sendRequest(t, s, r)
}

func sign(t *testing.T, r *http.Request, body []byte, key awsfake.Credential, service, region string, at time.Time) {
	t.Helper()
	sum := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey, SessionToken: key.SessionToken}
	if err := v4.NewSigner().SignHTTP(context.Background(), creds, r, hex.EncodeToString(sum[:]), service, region, at); err != nil {
		t.Fatal(err)
	}
}

func sendRequest(t *testing.T, s *awsfake.Server, r *http.Request) reply {
	t.Helper()
	resp, err := httpClient(t, s).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

// code returns the error code that the SDK made of an error, "" for none.
func code(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatalf("the SDK found no error code in: %v", err)
	}
	return api.ErrorCode()
}

func status(err error) int {
	var resp interface{ HTTPStatusCode() int }
	if errors.As(err, &resp) {
		return resp.HTTPStatusCode()
	}
	return 0
}
