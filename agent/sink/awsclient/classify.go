package awsclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/enawatch/enawatch/agent/sink"
)

// fault is what an error code means. Its texts must not change from one attempt
// to the next, so that a fault that lasts is logged once.
type fault struct {
	kind   sink.Kind
	remedy string
	// signed faults have another cause if the clocks are apart.
	signed bool
	// ambiguous is true if the request may have been carried out.
	ambiguous bool
}

const (
	remedyKey = "the access key does not exist or is not active: give another, or let the host have a role"
	remedySig = "the secret access key is not that of the access key, or a proxy changes requests: give the right one"
	remedyEnd = "the session token has expired: renew it, or let the host have a role, which renews its own"
	remedyOpt = "the account or its access key may not use this service in this region: activate it"
)

// faults lists error codes without the suffixes Exception and Fault (Common
// Errors in the CloudWatch API reference; aws/retry/standard.go in the SDK for
// what is throttling).
var faults = map[string]fault{
	"Throttling":                    {kind: sink.Throttled},
	"Throttled":                     {kind: sink.Throttled},
	"RequestThrottled":              {kind: sink.Throttled},
	"TooManyRequests":               {kind: sink.Throttled},
	"RequestLimitExceeded":          {kind: sink.Throttled},
	"BandwidthLimitExceeded":        {kind: sink.Throttled},
	"LimitExceeded":                 {kind: sink.Throttled},
	"SlowDown":                      {kind: sink.Throttled},
	"PriorRequestNotComplete":       {kind: sink.Throttled},
	"EC2Throttled":                  {kind: sink.Throttled},
	"TransactionInProgress":         {kind: sink.Throttled},
	"ProvisionedThroughputExceeded": {kind: sink.Throttled},

	"UnrecognizedClient":         {kind: sink.Credentials, remedy: remedyKey},
	"InvalidClientTokenId":       {kind: sink.Credentials, remedy: remedyKey},
	"InvalidAccessKeyId":         {kind: sink.Credentials, remedy: remedyKey},
	"MissingAuthenticationToken": {kind: sink.Credentials, remedy: remedyKey},
	"SignatureDoesNotMatch":      {kind: sink.Credentials, remedy: remedySig, signed: true},
	"InvalidSignature":           {kind: sink.Credentials, remedy: remedySig, signed: true},
	"IncompleteSignature":        {kind: sink.Credentials, remedy: remedySig, signed: true},
	"AuthFailure":                {kind: sink.Credentials, remedy: remedySig, signed: true},
	"RequestExpired":             {kind: sink.Credentials, remedy: RemedyClock, signed: true},
	"RequestTimeTooSkewed":       {kind: sink.Credentials, remedy: RemedyClock, signed: true},
	"RequestInTheFuture":         {kind: sink.Credentials, remedy: RemedyClock, signed: true},
	"ExpiredToken":               {kind: sink.Credentials, remedy: remedyEnd, signed: true},
	"TokenRefreshRequired":       {kind: sink.Credentials, remedy: remedyEnd, signed: true},
	"OptInRequired":              {kind: sink.Credentials, remedy: remedyOpt},
	"AccessDenied":               {kind: sink.Credentials},
	"NotAuthorized":              {kind: sink.Credentials},
	"UnauthorizedOperation":      {kind: sink.Credentials},

	"RequestTimeout":        {kind: sink.Transient},
	"RequestAborted":        {kind: sink.Transient, ambiguous: true},
	"RequestEntityTooLarge": {kind: sink.TooLarge},
}

// RemedyClock is what to do about a clock that is off.
const RemedyClock = "set the host's clock, and keep it so with chrony and the time service at 169.254.169.123"

// faultOf returns what an error code means, together with the HTTP status.
func faultOf(code string, status int) fault {
	code = strings.TrimSuffix(strings.TrimSuffix(code, "Exception"), "Fault")
	if f, ok := faults[code]; ok {
		return f
	}
	switch {
	case status == http.StatusTooManyRequests:
		return fault{kind: sink.Throttled}
	case status == http.StatusRequestEntityTooLarge:
		return fault{kind: sink.TooLarge}
	case status == http.StatusServiceUnavailable:
		// "A temporary failure of the server", which did not begin with it.
		return fault{}
	case status >= http.StatusInternalServerError:
		// InternalServiceFault is "some unknown error, exception, or failure":
		// nothing says that the data were not stored before it.
		return fault{ambiguous: true}
	case status == http.StatusBadRequest:
		return fault{kind: sink.Poisoned}
	}
	// Whatever else an account or endpoint lacks, the data can wait for it.
	return fault{remedy: "look at the account, the region and the endpoint"}
}

// Classify says what an error of an operation means that was signed with
// credentials. permission says what to do if the identity may not call it. What is
// classified already, since nothing was sent, stays as it is.
func (x *Exchange) Classify(err error, operation, permission string, credentials aws.Credentials) *sink.Error {
	if e, ok := errors.AsType[*sink.Error](err); ok {
		return e
	}
	e := &sink.Error{RetryAfter: x.RetryAfter()}
	api, isAPI := errors.AsType[smithy.APIError](err)
	switch {
	case x.status == 0:
		none := x.Unanswered(err)
		e.Ambiguous, e.Remedy, e.Err = none.Ambiguous, none.Remedy, none.Err
		if x.host == "" {
			e.Err = fail(err, "send to %s: %s", x.Owner.o.Service, cause(err))
		}
	case isAPI:
		f := faultOf(api.ErrorCode(), x.status)
		e.Kind, e.Ambiguous, e.Remedy = f.kind, f.ambiguous, f.remedy
		e.Err = fail(err, "%s: %s: %s", operation, FirstLine(api.ErrorCode()), FirstLine(redact(api.ErrorMessage(), credentials.SecretAccessKey, credentials.SessionToken)))
		switch {
		case x.mistime(f, api):
			e.Err, e.Remedy = failMistimed(err, "%s: %s: %s", operation, FirstLine(api.ErrorCode()), x.apart()), RemedyClock
		case f.kind == sink.Credentials && f.remedy == "":
			e.Remedy = permission
		case f.kind == sink.Credentials && credentials.Source != "" && !f.signed:
			e.Remedy += " (it came from " + FirstLine(credentials.Source) + ")"
		}
	default:
		x.foreign(e, err, operation)
	}
	return e
}

// Stale reports whether e, an error of the exchange, calls for another
// configuration: credentials may be found elsewhere by now. With a wrong clock
// they must not be looked for anew: the client has learned the difference and signs
// with it.
func (x *Exchange) Stale(e *sink.Error) bool {
	unsent := x.host == ""
	f, ok := errors.AsType[*failure](e.Err)
	return (e.Kind == sink.Credentials || unsent) && !(ok && f.mistimed)
}

// foreign classifies an answer that is not in the service's words: somebody
// between gave it, or it broke off.
func (x *Exchange) foreign(e *sink.Error, err error, operation string) {
	e.Err = fail(err, "%s: %s answers %d %s, but not in %s's words", operation, x.host, x.status, http.StatusText(x.status), x.Owner.o.Service)
	e.Remedy = "look for a proxy, firewall or load balancer on the way, and at the endpoint"
	switch {
	case x.status == http.StatusOK:
		e.Ambiguous, e.Remedy = true, ""
		e.Err = fail(err, "%s: the answer broke off or is not %s's", operation, x.Owner.o.Service)
	case x.status == http.StatusRequestEntityTooLarge:
		e.Kind = sink.TooLarge
	case x.status == http.StatusTooManyRequests:
		e.Kind = sink.Throttled
	case x.status >= http.StatusInternalServerError:
		// Proxies say so too if the service took the request and the
		// connection to it then broke: Envoy 503, others 502 and 504.
		e.Ambiguous = true
	}
}

// classifyLoad says what an error of load means.
func (c *Client) classifyLoad(err error) *sink.Error {
	e := &sink.Error{Kind: sink.Credentials, Err: fail(err, "%s", FirstLine(err.Error())), Remedy: "mend AWS_PROFILE, AWS_CONFIG_FILE, AWS_CA_BUNDLE or what they name"}
	if errors.Is(err, errNoRegion) {
		e.Remedy = "set the region of the " + c.o.Sink + " sink, or AWS_REGION"
	}
	return e
}

// ClassifyCredentials says what an error of the credential chain means. Nothing
// was sent to the service; x has the answer of whoever gives credentials.
func (x *Exchange) ClassifyCredentials(err error) *sink.Error {
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && answer.Response != nil {
		x.status, x.Header, x.at = answer.HTTPStatusCode(), answer.Response.Header, time.Now()
	}
	e := &sink.Error{Kind: sink.Credentials, RetryAfter: x.RetryAfter(), Err: fail(err, "get AWS credentials: %s", FirstLine(err.Error()))}
	operation, isOperation := errors.AsType[*smithy.OperationError](err)
	api, isAPI := errors.AsType[smithy.APIError](err)
	switch {
	case isOperation && operation.ServiceID == "ec2imds":
		// The last of the chain: all others had nothing to say.
		reason := "EC2 gives this host no role"
		if x.status != http.StatusNotFound {
			reason = "the instance metadata service has none: " + cause(err)
		}
		if _, ok := errors.AsType[net.Error](err); ok {
			e.Kind = sink.Transient
		}
		e.Err = fail(err, "no AWS credentials in the environment and the shared files, and %s", reason)
		e.Remedy = "attach a role to the instance or the pod, or set AWS_PROFILE or AWS_ACCESS_KEY_ID"
	case isAPI:
		e.Err = fail(err, "get AWS credentials: %s: %s", FirstLine(api.ErrorCode()), FirstLine(api.ErrorMessage()))
		switch f := faultOf(api.ErrorCode(), x.status); {
		case x.mistime(f, api):
			e.Err, e.Remedy = failMistimed(err, "get AWS credentials: %s: %s", FirstLine(api.ErrorCode()), x.apart()), RemedyClock
		case f.kind == sink.Throttled || x.status >= http.StatusInternalServerError:
			e.Kind = f.kind
		case f.kind == sink.Credentials && f.remedy != "":
			e.Remedy = f.remedy
		case x.Owner.o.RoleARN != "":
			e.Remedy = "let the host's own identity call sts:AssumeRole on " + x.Owner.o.RoleARN + ", and let that role trust it, with the same external id"
		default:
			e.Remedy = "look at the role, and at whom it trusts"
		}
	case isOperation:
		// The service that gives credentials did not answer.
		e.Kind, e.Remedy = sink.Transient, remedyOf(err)
		e.Err = fail(err, "get AWS credentials: %s: %s", operation.Service(), cause(err))
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		e.Kind, e.Err = sink.Transient, fail(err, "get AWS credentials: %s", cause(err))
	}
	return e
}

// remedyOf returns what a person can do about an error of the network, or "".
func remedyOf(err error) string {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "if a proxy opens TLS, name its authority as ca_file; if not, look at the host's clock and authorities"
	}
	return ""
}

// maxSkew is how far the clocks may be apart: signatures are good for five
// minutes, and the answer took some of them.
const maxSkew = 4 * time.Minute

// mistime reports whether a signature was refused because of its time.
func (x *Exchange) mistime(f fault, api smithy.APIError) bool {
	skew, _ := x.Skew()
	message := api.ErrorMessage()
	return f.signed && (skew.Abs() > maxSkew ||
		strings.HasPrefix(message, "Signature expired") || strings.HasPrefix(message, "Signature not yet current"))
}

// apart says how far the clocks are apart, to the minute. A client signs by what
// it learned of that from the answer before, so that a clock which is set right
// costs one more refusal.
func (x *Exchange) apart() string {
	skew, _ := x.Skew()
	minutes := strings.TrimSuffix(skew.Abs().Round(time.Minute).String(), "0s")
	switch {
	case skew > maxSkew:
		return "the host's clock is " + minutes + " behind that of AWS"
	case skew < -maxSkew:
		return "the host's clock is " + minutes + " ahead of that of AWS"
	}
	return "the host's clock was set since the last request"
}

// failure is an error with a text of one line that is the same each time.
type failure struct {
	text  string
	cause error
	// mistimed is true if the host's clock is to blame.
	mistimed bool
}

func (f *failure) Error() string { return f.text }

// Unwrap returns the cause, whose text may be anything.
func (f *failure) Unwrap() error { return f.cause }

// fail returns an error that err is the cause of.
func fail(err error, format string, args ...any) error {
	return &failure{text: fmt.Sprintf(format, args...), cause: err}
}

// failMistimed is fail for a signature that was refused because of its time.
func failMistimed(err error, format string, args ...any) error {
	return &failure{fmt.Sprintf(format, args...), err, true}
}

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
	return FirstLine(err.Error())
}

// maxText bounds what is repeated of an answer, in bytes.
const maxText = 300

// FirstLine makes one line of bounded length of any text. What a service says
// of a bad signature goes on with the request as it was signed, token and all:
// that begins on another line, and is cut off here too if it does not.
func FirstLine(s string) string {
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

// redact takes the secrets that signed a request out of what an answer repeats.
func redact(s string, secrets ...string) string {
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "***")
		}
	}
	return s
}
