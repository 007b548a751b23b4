package otlp

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/enawatch/enawatch/agent/sink"
)

// What a person can do. The texts must not change from one attempt to the next,
// so that a fault that lasts is logged once.
const (
	remedyRole    = "attach a role to the instance or the pod, or set AWS_PROFILE or AWS_ACCESS_KEY_ID"
	remedyPolicy  = `give the identity that enawatch has on this host the action cloudwatch:PutMetricData on "*"`
	remedyKey     = "give an access key that is active, with its own secret, or let the host have a role"
	remedyExpired = "the session token has expired: renew it, or let the host have a role, which renews its own"
	remedyClock   = "set the host's clock, and keep it so with chrony and the time service at 169.254.169.123"
	remedyHeaders = "give the token or password that the collector wants as one of the sink's headers"
	remedyPath    = "look at the endpoint: is it an OTLP/HTTP receiver with a pipeline for metrics?"
	remedyBetween = "look for a proxy, firewall or load balancer on the way, and at the endpoint"
)

// classify says what an answer means, or an error without or within one; nil if
// the request was taken.
func (x *exchange) classify(err error) *sink.Error {
	e := &sink.Error{RetryAfter: x.retryAfter()}
	if x.status == 0 {
		e.Ambiguous = x.sent.Load()
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			e.Remedy = "if the certificate is of an authority of your own, name that as ca_file; if not, look at the host's clock"
		}
		e.Err = &failure{fmt.Sprintf("send to %s: %s", x.host, cause(err)), err}
		return e
	}
	e.Err = &failure{fmt.Sprintf("%s answers %d: %s", x.host, x.status, oneLine(x.text())), err}
	switch {
	case x.status/100 == 2:
		return x.taken(e, err)
	case x.service.credentials != nil && x.amazon(e):
	case x.status == http.StatusBadRequest:
		e.Kind = sink.Poisoned
	case x.status == http.StatusUnauthorized || x.status == http.StatusForbidden:
		e.Kind, e.Remedy = sink.Credentials, remedyHeaders
	case x.status == http.StatusRequestEntityTooLarge:
		e.Kind = sink.TooLarge
	case x.status == http.StatusTooManyRequests:
		e.Kind = sink.Throttled
	case x.status == http.StatusServiceUnavailable && x.known():
		// Nothing was taken, and it can be later.
	case x.status >= http.StatusInternalServerError:
		// Nothing says that the points were not stored before it; a proxy says so
		// too if the destination took the request and the connection then broke.
		e.Ambiguous = true
		if !x.known() {
			e.Remedy = remedyBetween
		} else if x.service.credentials == nil {
			x.internal = x.status == http.StatusInternalServerError
		}
	default: // the data can wait until somebody mends it
		e.Remedy = remedyPath
	}
	return e
}

// taken reads the answer to a request that was taken, at least in part.
func (x *exchange) taken(e *sink.Error, err error) *sink.Error {
	var ok bool
	x.rejected, x.message, ok = partialSuccess(x.body)
	switch media := x.media(); {
	case err != nil:
		// Whoever gave it may have meant to say more.
		e.Err = &failure{fmt.Sprintf("%s answers %d, but the answer broke off", x.host, x.status), err}
	case media == mediaProtobuf && !ok, media == "text/html":
		e.Err = &failure{fmt.Sprintf("%s answers %d, but not in the words of OTLP", x.host, x.status), nil}
		e.Remedy = remedyBetween
	default:
		if media != mediaProtobuf { // a receiver may say what it likes
			x.rejected, x.message = 0, ""
		} else if x.rejected > 0 || x.message != "" {
			x.message = oneLine(x.redact(x.message))
		}
		return nil
	}
	e.Ambiguous = true
	return e
}

// amazon says what an error of AWS means that is not clear from the status alone.
func (x *exchange) amazon(e *sink.Error) bool {
	code := x.code()
	skew, _ := x.skew()
	switch is := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(code, w) {
				return true
			}
		}
		return false
	}; {
	case is("Throttl", "TooManyRequests", "LimitExceeded", "SlowDown"):
		e.Kind = sink.Throttled
		return true
	case is("Signature", "RequestExpired", "RequestTimeTooSkewed", "ExpiredToken") && skew.Abs() > maxSkew:
		// Later signatures are given the right time.
		x.mistimed = true
		e.Remedy = remedyClock
	case is("ExpiredToken"):
		e.Remedy = remedyExpired
	case is("AccessDenied", "NotAuthorized"):
		e.Remedy = remedyPolicy
	case is("Signature", "UnrecognizedClient", "InvalidClientTokenId", "MissingAuthenticationToken", "OptInRequired"):
		e.Remedy = remedyKey
	case x.status == http.StatusUnauthorized || x.status == http.StatusForbidden:
		e.Remedy = remedyPolicy
	default:
		return false
	}
	e.Kind = sink.Credentials
	return true
}

// maxSkew is how far the clocks may be apart: signatures are good for five
// minutes, and the answer took some of them.
const maxSkew = 4 * time.Minute

const mediaProtobuf = "application/x-protobuf"

func (x *exchange) media() string {
	media, _, _ := mime.ParseMediaType(x.header.Get("Content-Type"))
	return media
}

// code returns the error code of AWS without its namespace, or "".
func (x *exchange) code() string {
	code, _, _ := strings.Cut(x.header.Get("X-Amzn-Errortype"), ":")
	return code[strings.LastIndexByte(code, '#')+1:]
}

// known reports whether an error is in the words of OTLP or of AWS, and not of
// somebody between.
func (x *exchange) known() bool {
	media := x.media()
	return media == mediaProtobuf || media == "application/json" || x.code() != ""
}

// text returns what an error says, without secrets that it repeats.
func (x *exchange) text() string {
	text := http.StatusText(x.status)
	switch x.media() {
	case mediaProtobuf: // google.rpc.Status: 1 code, 2 message
		if _, message, ok := fields(x.body); ok {
			text = cmp.Or(message, text)
		}
	case "application/json":
		var said struct{ Message string } // "message" as well
		if json.Unmarshal(x.body, &said) == nil {
			text = cmp.Or(said.Message, text)
		}
	case "text/plain":
		text = cmp.Or(string(x.body), text)
	}
	if code := x.code(); code != "" {
		text = code + ": " + text
	}
	return x.redact(text)
}

// redact leaves values alone that are too short to be secret.
func (x *exchange) redact(text string) string {
	for _, secret := range x.secrets {
		if len(secret) >= 6 {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}

// partialSuccess reads an ExportMetricsServiceResponse, whose field 1 is an
// ExportMetricsPartialSuccess: 1 rejected points, 2 message.
func partialSuccess(b []byte) (rejected uint64, message string, ok bool) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, "", false
		}
		value := protowire.ConsumeFieldValue(number, kind, b[n:])
		if value < 0 {
			return 0, "", false
		}
		if number == 1 && kind == protowire.BytesType {
			partial, _ := protowire.ConsumeBytes(b[n:])
			if rejected, message, ok = fields(partial); !ok {
				return 0, "", false
			}
		}
		b = b[n+value:]
	}
	return rejected, message, true
}

// fields reads a message of a number (field 1) and a text (field 2).
func fields(b []byte) (number uint64, text string, ok bool) {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, "", false
		}
		value := protowire.ConsumeFieldValue(field, kind, b[n:])
		if value < 0 {
			return 0, "", false
		}
		switch {
		case field == 1 && kind == protowire.VarintType:
			number, _ = protowire.ConsumeVarint(b[n:])
		case field == 2 && kind == protowire.BytesType:
			text, _ = protowire.ConsumeString(b[n:])
		}
		b = b[n+value:]
	}
	return number, text, true
}

// classifyConnect says what an error of connect means.
func classifyConnect(err error) *sink.Error {
	e := &sink.Error{Kind: sink.Credentials, Err: &failure{oneLine(err.Error()), err}, Remedy: "mend AWS_PROFILE, AWS_CONFIG_FILE, AWS_CA_BUNDLE or what they name"}
	if errors.Is(err, errNoRegion) {
		e.Remedy = "set the region of the otlp sink, or AWS_REGION"
	}
	return e
}

// classifyCredentials says what an error of the credential chain means. Nothing
// was sent to the destination.
func classifyCredentials(err error) *sink.Error {
	text := cause(err)
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		text = api.ErrorCode() + ": " + oneLine(api.ErrorMessage())
	}
	e := &sink.Error{Kind: sink.Credentials, Err: &failure{"get AWS credentials: " + text, err}, Remedy: remedyRole}
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, context.Canceled) {
		e.Kind = sink.Transient
	}
	return e
}

// failure is an error with a text of one line that is the same each time.
type failure struct {
	text  string
	cause error
}

func (f *failure) Error() string { return f.text }

// Unwrap returns the cause, whose text may be anything.
func (f *failure) Unwrap() error { return f.cause }

// cause returns the text of an error of the network without what differs each
// time, as the local port.
func cause(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	} else if o, ok := errors.AsType[*smithy.OperationError](err); ok {
		err = o.Err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		remote := *op
		remote.Source = nil
		err = &remote
	}
	return oneLine(err.Error())
}

// maxText bounds what is repeated of an answer, in bytes.
const maxText = 300

// oneLine makes one line of bounded length of any text. What AWS says of a bad
// signature goes on with the request as it was signed, token and all.
func oneLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	s, _, _ = strings.Cut(s, "The Canonical String")
	s = strings.TrimSpace(strings.ToValidUTF8(s[:min(len(s), maxText)], "?"))
	return cmp.Or(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s), "no reason given")
}
