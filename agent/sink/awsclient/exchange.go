package awsclient

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"
)

// HTTPClient sends requests; those of the SDK and of package net/http do.
type HTTPClient interface {
	Do(*http.Request) (*http.Response, error)
}

// Exchange is one request to a service and its answer, as seen by HTTP. Make an
// operation of the SDK go through it by its option HTTPClient.
type Exchange struct {
	// Owner is the client with whose configuration the request is made, and
	// HTTP is that configuration's HTTPClient.
	Owner *Client
	HTTP  HTTPClient
	// Header is that of the answer, nil without one.
	Header http.Header

	host string
	// server is the URL of the service without a path, and peer the address of
	// whom the request went to; "" before.
	server, peer string
	// sent is true once the request's head was written: from then on the
	// service may have taken the request.
	sent atomic.Bool
	// The answer's status and time of arrival; 0 without one.
	status int
	at     time.Time
}

// Do sends a request.
//
// It hides that the body has a method WriteTo. That of smithy-go v1.28.8
// (transport/http/internal/io/safe.go) returns io.EOF once the body is closed,
// which the SDK does as soon as the answer's head is there. If package net/http
// then still looks whether the body has more than it promised, it takes that for
// a failure and closes the connection before the answer's body is read: a
// request that the service has taken looks like one that failed.
func (x *Exchange) Do(r *http.Request) (*http.Response, error) {
	trace := &httptrace.ClientTrace{
		WroteHeaders: func() { x.sent.Store(true) },
		GotConn:      func(i httptrace.GotConnInfo) { x.peer = i.Conn.RemoteAddr().String() },
	}
	x.host, x.server = r.URL.Host, r.URL.Scheme+"://"+r.URL.Host
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
	if r.Body != nil {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	resp, err := x.HTTP.Do(r)
	if err == nil {
		x.status, x.Header, x.at = resp.StatusCode, resp.Header, time.Now()
	}
	return resp, err
}

// Age returns how old t was when the answer came, by the clock of the service.
func (x *Exchange) Age(t time.Time) time.Duration {
	skew, _ := x.Skew()
	return x.at.Add(skew).Sub(t)
}

// Skew returns how far the clock of the service is ahead of this host's, to the
// second; false without an answer that says.
func (x *Exchange) Skew() (time.Duration, bool) {
	date, err := http.ParseTime(x.Header.Get("Date"))
	if err != nil || x.Header.Get("Age") != "" { // the answer of a cache
		return 0, false
	}
	return date.Sub(x.at).Round(time.Second), true
}

// maxRetryAfter keeps a destination's wish within reason.
const maxRetryAfter = 15 * time.Minute

// RetryAfter returns how long the service asks to be left alone, or 0.
func (x *Exchange) RetryAfter() time.Duration {
	value := x.Header.Get("Retry-After")
	wait := maxRetryAfter
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		skew, _ := x.Skew()
		wait = at.Sub(x.at.Add(skew))
	} else {
		return 0
	}
	return min(max(wait, 0), maxRetryAfter)
}
