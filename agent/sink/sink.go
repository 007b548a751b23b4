package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
)

// Sink is a destination of windows.
type Sink interface {
	Destination
	// Pack turns a window into requests that each fit the destination's limits.
	// A series that can never be sent is an error, beside requests for the rest.
	Pack(*metric.Batch) ([]Request, error)
}

// Sampler is a destination of snapshots, one after the other.
type Sampler interface {
	Destination
	// Sample turns a snapshot into requests that each fit the destination's
	// limits.
	Sample(*metric.Snapshot) []Request
	// End returns what is to be sent after the last snapshot.
	End() []Request
}

// Destination takes requests, which wait in the spool. Deliver is called by one
// goroutine at a time; the other methods may be called beside it.
type Destination interface {
	// Name tells sinks apart, in the spool and in what the agent says of itself.
	Name() string
	// Deliver sends one request. An error that is not an *Error is taken as
	// Transient and ambiguous.
	Deliver(ctx context.Context, data []byte) error
	// Split halves a request, so that one bad datum does not cost the others.
	// It returns nil if there is only one in it.
	Split(data []byte) []Request
	// Describe names what is in a request, in a few words, for the log.
	Describe(data []byte) string
}

// Timely is a Destination that differs from others in how it is delivered to.
type Timely interface {
	// Patience bounds how long a delivery waits before it tries again.
	Patience() time.Duration
	// Idempotent is true if what arrives twice counts once, so that no delivery
	// is ever in doubt.
	Idempotent() bool
}

// Request is what one call to a destination carries, in the sink's own encoding.
type Request struct {
	Data []byte
	// Points is how many data it carries.
	Points int
}

// Kind says what an error means for the request.
type Kind uint8

const (
	// Transient errors pass: try again later.
	Transient Kind = iota
	// Throttled is Transient, and the destination asks to be left alone.
	Throttled
	// Credentials are missing, wrong or expired, or lack a permission: nothing
	// is wrong with the request, try again when somebody has mended it.
	Credentials
	// Poisoned requests have something in them that is refused for good.
	Poisoned
	// TooLarge requests must be split.
	TooLarge
	// TooOld requests come too late for the destination.
	TooOld
)

// String names the kind as self-metrics do.
func (k Kind) String() string {
	return [...]string{"transient", "throttled", "credentials", "poisoned", "too_large", "too_old"}[k]
}

// Error is what a destination said, or failed to say.
type Error struct {
	Kind Kind
	// Ambiguous is true if the destination may have taken the request all the
	// same: it was sent, and no answer came.
	Ambiguous bool
	// All says that every part of the request would be refused alike: it is given up
	// as a whole, not halved.
	All bool
	// RetryAfter is how long the destination asked to be left alone, or 0.
	RetryAfter time.Duration
	// Remedy says what a person can do, or "".
	Remedy string
	Err    error
}

func (e *Error) Error() string {
	if e.Remedy == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%v: %s", e.Err, e.Remedy)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// asError returns err with its classification.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Kind: Transient, Ambiguous: true, Err: err}
}
