package otlp

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/agent/sink/wire"
)

const (
	path     = "/v1/metrics"
	protobuf = "application/x-protobuf"
	// maxAnswer is how much of an answer is read, in bytes.
	maxAnswer = 64 << 10
)

// Fields of answers: google.rpc.Status, ExportMetricsServiceResponse and its
// ExportMetricsPartialSuccess.
const (
	statusMessage   = 2
	responsePartial = 1
	partialRejected = 1
	partialMessage  = 2
)

var cloudWatch = awsclient.Service{ID: "CloudWatch", Host: signingName, PlainInGov: true}

// receiver is where requests go.
type receiver struct {
	url  string
	http awsclient.HTTPClient
	// signer signs requests to CloudWatch; nil without SigV4.
	signer *awsclient.Signer
}

// connect finds the receiver; it sends nothing to it yet.
func (s *Sink) connect(ctx context.Context) (*receiver, *sink.Error) {
	if !s.o.SigV4 {
		return &receiver{url: withPath(s.o.Endpoint), http: s.client.HTTP()}, nil
	}
	cfg, failure := s.client.Load(ctx)
	if failure != nil {
		return nil, failure
	}
	url, failure := cloudWatch.URL(ctx, cfg, s.o.Endpoint)
	if failure != nil {
		return nil, failure
	}
	return &receiver{url: withPath(url), http: cfg.HTTPClient, signer: s.client.NewSigner(cfg, signingName)}, nil
}

// withPath adds the path that OTLP gives to metrics.
func withPath(endpoint string) string {
	endpoint = strings.TrimSuffix(endpoint, "/")
	if strings.HasSuffix(endpoint, path) {
		return endpoint
	}
	return endpoint + path
}

// Deliver sends one request that Pack or Split made. An error is a *sink.Error.
func (s *Sink) Deliver(ctx context.Context, data []byte) error {
	if _, err := decode(data); err != nil {
		return &sink.Error{Kind: sink.Poisoned, Err: err}
	}
	if s.receiver == nil {
		r, failure := s.connect(ctx)
		if failure != nil {
			return failure
		}
		s.receiver = r
	}
	x := &awsclient.Exchange{Owner: s.client, HTTP: s.receiver.http}
	failure := s.exchange(ctx, x, data)
	if failure == nil {
		s.broken = persistence{}
		return nil
	}
	if s.o.SigV4 && x.Stale(failure) {
		s.receiver = nil
	}
	return failure
}

// exchange sends data through x.
func (s *Sink) exchange(ctx context.Context, x *awsclient.Exchange, data []byte) *sink.Error {
	body := s.body(data)
	r, err := s.request(ctx, body)
	if err != nil {
		return &sink.Error{Kind: sink.Transient, Err: fmt.Errorf("make a request: %w", err), Remedy: "look at the endpoint"}
	}
	var credentials aws.Credentials
	if signer := s.receiver.signer; signer != nil {
		// By CloudWatch's own clock, as far as that is known.
		if failure := signer.Sign(ctx, r, body, time.Now().Add(s.skew)); failure != nil {
			return failure
		}
		credentials = signer.Credentials
	}
	answer, err := x.Do(r)
	if err != nil {
		return x.Classify(err, operation, "", credentials)
	}
	defer answer.Body.Close()
	if skew, ok := x.Skew(); ok {
		s.skew = skew
	}
	// One that breaks off says as much as it says.
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		s.note(answer.Header, text)
		return nil
	}
	return s.refused(x, answer, text, data, credentials)
}

// body returns data as it is sent.
func (s *Sink) body(data []byte) []byte {
	if s.o.Plain {
		return data
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(data) // to memory
	z.Close()
	return packed.Bytes()
}

// request returns the request with that body, not signed.
func (s *Sink) request(ctx context.Context, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.receiver.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = s.o.header()
	r.Header.Set("Content-Type", protobuf)
	if !s.o.Plain {
		r.Header.Set("Content-Encoding", "gzip")
	}
	return r, nil
}

// signingName is what CloudWatch is called in a signature.
const signingName = "monitoring"

const (
	operation  = "export metrics"
	permission = `give the identity that enawatch has on this host the action cloudwatch:PutMetricData on "*" (deploy/iam/cloudwatch-put-metric-data.json, without its condition)`
)

// refused says what an answer means that is not a success.
//
// The specification of OTLP wants 429, 502, 503 and 504 tried again, and nothing
// else. This sink tries 500 again too, some times: what a receiver does once, it
// may not do again, and a window lost is worse than one late.
func (s *Sink) refused(x *awsclient.Exchange, answer *http.Response, body, data []byte, credentials aws.Credentials) *sink.Error {
	code, message, own := explain(answer, body)
	for _, secret := range s.o.Headers {
		if secret != "" {
			message = strings.ReplaceAll(message, secret, "***")
		}
	}
	e := x.Classify(&smithy.GenericAPIError{Code: code, Message: message}, operation, permission, credentials)
	status := answer.StatusCode
	switch {
	case status >= http.StatusInternalServerError:
		// A proxy may say so though the receiver has taken the request.
		e.Ambiguous = e.Ambiguous || !own
		if status == http.StatusInternalServerError || status == http.StatusNotImplemented {
			if s.broken.again(data) > patience {
				e.Kind, e.Remedy = sink.Poisoned, "look at the receiver's log"
			}
		}
	case s.o.SigV4:
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired:
		e.Kind, e.Remedy = sink.Credentials, "look at the headers of the otlp sink, and at what the receiver asks for"
	case e.Remedy != "": // of any other status: nothing is wrong with the data
		e.Remedy = "look at the endpoint of the otlp sink: is it one of OTLP over HTTP, with protobuf?"
	}
	return e
}

// explain returns what an answer says: a code and a message, and whether a
// receiver of OTLP says so, or CloudWatch, rather than somebody on the way.
func explain(answer *http.Response, body []byte) (code, message string, own bool) {
	code, _, _ = strings.Cut(answer.Header.Get("X-Amzn-Errortype"), ":")
	media, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	switch media {
	case protobuf:
		_, text := lastField(body, statusMessage)
		message, own = string(text), true
	case "application/json":
		var status struct{ Message string }
		own = json.Unmarshal(body, &status) == nil && status.Message != ""
		message = status.Message
	case "text/plain":
		message = string(body)
	}
	return cmp.Or(code, strings.TrimSpace(fmt.Sprintf("%d %s", answer.StatusCode, http.StatusText(answer.StatusCode)))), message, own || code != ""
}

// note keeps what a success says of points that were not taken after all: an
// ExportMetricsServiceResponse. They must not be sent again.
func (s *Sink) note(header http.Header, body []byte) {
	var rejected uint64
	var message string
	if media, _, _ := mime.ParseMediaType(header.Get("Content-Type")); media == "application/json" {
		var response struct {
			PartialSuccess struct {
				RejectedDataPoints uint64 `json:",string"`
				ErrorMessage       string
			}
		}
		_ = json.Unmarshal(body, &response) // what can't be read rejects nothing
		rejected, message = response.PartialSuccess.RejectedDataPoints, response.PartialSuccess.ErrorMessage
	} else {
		_, partial := lastField(body, responsePartial)
		_, text := lastField(partial, partialMessage)
		rejected, _ = lastField(partial, partialRejected)
		message = string(text)
	}
	if int64(rejected) < 0 {
		rejected = 0
	}
	rejected = min(rejected, maxPoints) // no request has more
	if rejected == 0 && message == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rejected += rejected
	if message = awsclient.FirstLine(message); message == s.remark {
		return
	}
	s.remark = message
	if rejected > 0 {
		s.log.Error("the receiver took a request, but not all of its points: those are lost", "rejected", rejected, "why", message)
	} else {
		s.log.Warn("the receiver took a request, and has a remark", "remark", message)
	}
}

// patience is how often a request may meet an error of the receiver's own before
// it is taken for the cause, and halved. With the pauses between, that is some
// minutes.
const patience = 10

// persistence counts how often one request has failed in a row.
type persistence struct {
	request uint64
	times   int
}

func (p *persistence) again(data []byte) int {
	h := fnv.New64a()
	h.Write(data)
	if id := h.Sum64(); id != p.request {
		*p = persistence{request: id}
	}
	p.times++
	return p.times
}

// lastField returns the last field of that number in a message, as wire.Fields gives
// it, up to where the message can't be read.
func lastField(message []byte, number protowire.Number) (n uint64, b []byte) {
	_ = wire.Fields(message, func(at protowire.Number, value uint64, text []byte) error {
		if at == number {
			n, b = value, text
		}
		return nil
	})
	return n, b
}
