package logs

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
)

// Codes of errors that callers tell apart (CloudWatch Logs API reference).
const (
	NotFound      = "ResourceNotFoundException"
	AlreadyExists = "ResourceAlreadyExistsException"
	AccessDenied  = "AccessDeniedException"
)

// Error is an error in the service's own words. It is one of the SDK's APIError,
// too.
type Error struct {
	Code, Message string
	// RequestID is what AWS' support asks for.
	RequestID string
}

var _ smithy.APIError = (*Error)(nil)

// Error returns code, message and request.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s (request %s)", e.Code, e.Message, e.RequestID)
}

// ErrorCode returns the code.
func (e *Error) ErrorCode() string { return e.Code }

// ErrorMessage returns the message.
func (e *Error) ErrorMessage() string { return e.Message }

// ErrorFault says that it is not known whose fault it is.
func (e *Error) ErrorFault() smithy.ErrorFault { return smithy.FaultUnknown }

// Is reports whether an error has a code.
func Is(err error, code string) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == code
}

// errForeign says that an answer is not in the service's words.
var errForeign = errors.New("the answer names no error of the service")

// readError reads an answer that is no success. Its code is in a header or in
// the body, there perhaps with a namespace before it and a URL behind it (Smithy,
// "AWS JSON 1.1 protocol", operation error serialization).
func readError(h http.Header, text []byte) error {
	var body struct {
		Type    string `json:"__type"`
		Code    any    `json:"code"`
		Message string `json:"message"` // some have a capital M
	}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &body); err != nil {
			return fmt.Errorf("read an error: %w", err)
		}
	}
	other, _ := body.Code.(string)
	code, _, _ := strings.Cut(cmp.Or(h.Get("X-Amzn-Errortype"), body.Type, other), ":")
	if _, name, qualified := strings.Cut(code, "#"); qualified {
		code = name
	}
	if code == "" {
		return errForeign
	}
	return &Error{Code: code, Message: body.Message, RequestID: h.Get("X-Amzn-Requestid")}
}
