package cloudwatch

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"

	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/test/awsfake"
)

// The race that awsclient.Exchange.Do keeps the SDK out of, in the one order in which it
// goes wrong:
//
//	writer of net/http        SDK                        server
//	body's last byte goes out
//	                                                     takes the request
//	                                                     answers with a head
//	                          has the head, closes
//	                          the request's body
//	asks the body for more
//	than it promised
//	                                                     sends the answer's body
//
// stage holds back each of them until the one before is done.

// stage is a server that counts requests, and the client's side of the race.
type stage struct {
	*httptest.Server
	taken atomic.Int32
	mu    sync.Mutex
	now   *act
}

// act is one request on the stage.
type act struct {
	bodyClosed chan struct{} // the SDK has closed the request's body
	written    chan error    // what the writer came to
	hungUp     chan struct{} // the client closed the connection
}

func newStage(t *testing.T) *stage {
	s := &stage{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		s.taken.Add(1)
		a := s.act()
		w.Header().Set("Content-Type", "application/cbor")
		w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
		w.Header().Set("Content-Length", "1")
		w.(http.Flusher).Flush()
		if err := <-a.written; err != nil {
			<-a.hungUp
		}
		w.Write([]byte{0xa0}) // an empty map
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *stage) act() *act {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Do is the HTTP client below the SDK.
func (s *stage) Do(r *http.Request) (*http.Response, error) {
	a := &act{bodyClosed: make(chan struct{}), written: make(chan error, 1), hungUp: make(chan struct{})}
	s.mu.Lock()
	s.now = a
	s.mu.Unlock()
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		WroteRequest: func(i httptrace.WroteRequestInfo) { a.written <- i.Err },
	}))
	body := &closing{ReadCloser: r.Body, closed: sync.OnceFunc(func() { close(a.bodyClosed) })}
	if w, ok := r.Body.(io.WriterTo); ok {
		r.Body = struct {
			*closing
			io.WriterTo
		}{body, w}
	} else {
		r.Body = body
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &slowWriter{Conn: c, act: a}, err
	}}
	resp, err := transport.RoundTrip(r)
	// The SDK closes the request's body as soon as this returns. That this does
	// it a moment earlier lets the writer know.
	body.Close()
	return resp, err
}

// closing tells when a body is closed.
type closing struct {
	io.ReadCloser
	closed func()
}

func (c *closing) Close() error {
	defer c.closed()
	return c.ReadCloser.Close()
}

// slowWriter returns from the write that completes a request only once the
// request's body is closed.
type slowWriter struct {
	net.Conn
	act    *act
	sent   []byte
	hangUp sync.Once
}

var contentLength = regexp.MustCompile(`(?i)\r\nContent-Length: (\d+)\r\n`)

func (c *slowWriter) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent = append(c.sent, p[:n]...)
	head, body, whole := strings.Cut(string(c.sent), "\r\n\r\n")
	if m := contentLength.FindStringSubmatch(head + "\r\n"); whole && m != nil {
		if length, _ := strconv.Atoi(m[1]); len(body) == length {
			<-c.act.bodyClosed
		}
	}
	return n, err
}

func (c *slowWriter) Close() error {
	defer c.hangUp.Do(func() { close(c.act.hungUp) })
	return c.Conn.Close()
}

// TestNoDuplicate shows that the SDK, left to itself, sends a request twice that
// was taken, and that through an exchange it does not.
func TestNoDuplicate(t *testing.T) {
	s := newSink(t, startFake(t, awsfake.Options{}), func(o *Options) { o.PerInterface = true })
	b := eventful()
	for len(b.Series) < 40 { // more than the 4 KiB that net/http gathers before it writes
		b.Series = append(b.Series, b.Series[6])
	}
	r, err := decode(one(t, s, b).Data)
	if err != nil {
		t.Fatal(err)
	}
	put := func(t *testing.T, stage *stage, client cloudwatch.HTTPClient, attempts int) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := cloudwatch.New(cloudwatch.Options{
			Region: "us-east-1", BaseEndpoint: aws.String(stage.URL), Credentials: static(awsfake.DefaultCredential),
			HTTPClient: client, DisableRequestCompression: true,
			Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts, o.Backoff = attempts, retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			}),
		}).PutMetricData(ctx, r.input())
		return err
	}
	t.Run("the SDK alone", func(t *testing.T) {
		stage := newStage(t)
		err := put(t, stage, stage, 2)
		if got := stage.taken.Load(); got != 2 || err == nil || !strings.Contains(err.Error(), "use of closed network connection") {
			t.Errorf("%d requests were taken and the SDK says %v: the SDK has changed, see if awsclient.Exchange.Do is still needed", got, err)
		}
	})
	t.Run("an exchange", func(t *testing.T) {
		stage := newStage(t)
		err := put(t, stage, &awsclient.Exchange{HTTP: stage}, 2)
		if got := stage.taken.Load(); got != 1 || err != nil {
			t.Errorf("%d requests were taken, and the SDK says %v", got, err)
		}
	})
	t.Run("the sink", func(t *testing.T) {
		stage := newStage(t)
		s := newSink(t, startFake(t, awsfake.Options{}), func(o *Options) { o.Endpoint = stage.URL })
		if s.service, err = s.connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.service.http = stage
		if err := s.Deliver(t.Context(), r.encode().Data); err != nil || stage.taken.Load() != 1 {
			t.Errorf("%d requests were taken: %v", stage.taken.Load(), err)
		}
	})
}
