package awsfake

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// apiError is why a request is refused. Services with a Smithy protocol send
// the name of an error shape; those with AWS Query, or compatible with it,
// send the older code.
type apiError struct {
	status  int
	shape   string
	query   string
	message string
	// unauthenticated says that the signature was refused, for which some
	// services answer 400 instead of 403.
	unauthenticated bool
	retryAfter      time.Duration
}

// Errors that every service has in common (each API reference, "Common
// Errors"). The first name is the shape, the second the code of AWS Query.
func errMissingToken() *apiError {
	return denied("MissingAuthenticationTokenException", "MissingAuthenticationToken", "Missing Authentication Token")
}

func errIncompleteSignature(message string) *apiError {
	e := denied("IncompleteSignatureException", "IncompleteSignature", message)
	e.status = http.StatusBadRequest
	return e
}

func errUnknownKey() *apiError {
	return denied("UnrecognizedClientException", "InvalidClientTokenId", "The security token included in the request is invalid.")
}

func errExpiredToken() *apiError {
	return denied("ExpiredTokenException", "ExpiredToken", "The security token included in the request is expired")
}

func errBadSignature(message string) *apiError {
	return denied("InvalidSignatureException", "SignatureDoesNotMatch", message)
}

func denied(shape, query, message string) *apiError {
	return &apiError{status: http.StatusForbidden, shape: shape, query: query, message: message, unauthenticated: true}
}

func errAccessDenied(message string) *apiError {
	return &apiError{status: http.StatusForbidden, shape: "AccessDeniedException", query: "AccessDenied", message: message}
}

func errThrottled(status int, retryAfter time.Duration) *apiError {
	return &apiError{status: status, shape: "ThrottlingException", query: "Throttling", message: "Rate exceeded", retryAfter: retryAfter}
}

func errTooLarge(size, limit int) *apiError {
	return &apiError{
		status: http.StatusRequestEntityTooLarge,
		shape:  "RequestEntityTooLargeException", query: "RequestEntityTooLarge",
		message: "Request size " + strconv.Itoa(size) + " exceeded " + strconv.Itoa(limit) + " bytes",
	}
}

func errSerialization(message string) *apiError {
	return &apiError{status: http.StatusBadRequest, shape: "SerializationException", query: "MalformedInput", message: message}
}

func errUnknownOperation(operation string) *apiError {
	return &apiError{status: http.StatusNotFound, shape: "UnknownOperationException", query: "InvalidAction", message: "The action " + operation + " is not valid for this web service."}
}

// errOfStatus is what a service says when it is told to answer with a status.
func errOfStatus(status int) *apiError {
	e := &apiError{status: status, message: http.StatusText(status)}
	switch {
	case status == http.StatusForbidden:
		return errAccessDenied("User is not authorized to perform this action because no identity-based policy allows it")
	case status == http.StatusRequestEntityTooLarge:
		e.shape, e.query = "RequestEntityTooLargeException", "RequestEntityTooLarge"
	case status == http.StatusTooManyRequests:
		return errThrottled(status, 0)
	case status == http.StatusServiceUnavailable:
		e.shape, e.query = "ServiceUnavailableException", "ServiceUnavailable"
	case status >= http.StatusInternalServerError:
		e.shape, e.query = "InternalServiceFault", "InternalServiceError"
	default:
		e.shape, e.query = "ValidationException", "ValidationError"
	}
	return e
}

// errOfCode is an error that a test names itself. Either spelling will do.
func errOfCode(status int, code, message string) *apiError {
	if message == "" {
		message = http.StatusText(status)
	}
	e := &apiError{status: status, shape: code, query: code, message: message}
	if trimmed, ok := strings.CutSuffix(code, "Exception"); ok {
		e.query = trimmed
	}
	return e
}

// headers returns the headers that depend on the error alone.
func (e *apiError) headers() http.Header {
	h := http.Header{}
	if e.retryAfter > 0 {
		// Retry-After counts whole seconds.
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.retryAfter.Seconds()))))
	}
	return h
}
