package awsfake

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kind is a way to fail.
type Kind string

const (
	// Refuse resets the connection and closes the listener for Fault.Delay:
	// connecting gets ECONNREFUSED.
	Refuse Kind = "refuse"
	// Reset ends the connection with a TCP reset, without an answer.
	Reset Kind = "reset"
	// Drop closes the connection in good order, without an answer.
	Drop Kind = "drop"
	// Cut sends the headers and half of the body, then resets.
	Cut Kind = "cut"
	// Hang never answers; it ends when the client leaves.
	Hang Kind = "hang"
	// Slow carries the request out, waits for Fault.Delay, then answers.
	Slow Kind = "slow"
	// Status answers with Fault.Status and the error that the service gives
	// with it, or Fault.Code.
	Status Kind = "status"
	// HTML answers with Fault.Status (503 if 0) and a page, as a load balancer
	// in front of a service does.
	HTML Kind = "html"
	// Throttle answers with the status and code with which the service
	// throttles.
	Throttle Kind = "throttle"
	// Skew serves with the server's clock off by Fault.Skew.
	Skew Kind = "skew"
	// ExpiredToken answers that the session token has expired.
	ExpiredToken Kind = "expired-token"
)

// kinds lists every Kind and whether Fault.Store means something for it.
var kinds = map[Kind]bool{
	Refuse: true, Reset: true, Drop: true, Cut: true, Hang: true, HTML: true,
	Status: true, Slow: false, Throttle: false, Skew: false, ExpiredToken: false,
}

// Fault is one failure.
type Fault struct {
	Kind Kind
	// Store carries the request out before failing: what the client cannot
	// tell from a request that never arrived. It applies to Refuse, Reset,
	// Drop, Cut, Hang, HTML and Status.
	Store bool
	// Status is the HTTP status of Status and HTML.
	Status int
	// Code and Message replace the error of a Status fault.
	Code, Message string
	// RetryAfter is sent with Status, HTML and Throttle if it is not zero.
	RetryAfter time.Duration
	// Delay is how long Slow waits and how long Refuse lasts, in real time.
	Delay time.Duration
	// Skew is how far the clock is ahead.
	Skew time.Duration
}

// Rule says which requests fail, and how.
type Rule struct {
	// Service is the name in the journal ("cloudwatch", "logs", "prometheus",
	// "otlp", "imds", "sts", "container"), or "" for all.
	Service string
	// Operation is a name as in the journal ("PutMetricData"), a prefix that
	// ends with "*", or "" for all.
	Operation string
	// After is how many requests pass first.
	After int
	// Times is how many requests fail: as many as there are faults if 0, all
	// if negative.
	Times int
	// Probability is that of failing, for each request; 0 means always. With
	// a probability, Times 0 means all, and faults are drawn instead of taken
	// in turn.
	Probability float64
	// Faults are taken in turn, from the start again after the last.
	Faults []Fault
	// Choose, if not nil, replaces Probability and Faults: it returns nil to
	// let a request pass. It must not call the Server.
	Choose func(*Request) *Fault

	seen, failed int
}

// validate refuses rules that would never do anything.
func (r *Rule) validate() error {
	if r.Choose == nil && len(r.Faults) == 0 {
		return fmt.Errorf("a rule for %q %q has no faults", r.Service, r.Operation)
	}
	if r.Probability < 0 || r.Probability > 1 {
		return fmt.Errorf("probability %v is not between 0 and 1", r.Probability)
	}
	for i, f := range r.Faults {
		stores, ok := kinds[f.Kind]
		if !ok {
			return fmt.Errorf("fault %d: there is no kind %q", i, f.Kind)
		}
		if f.Store && !stores {
			return fmt.Errorf("fault %d: %q does not take store", i, f.Kind)
		}
		if f.Kind == Status && (f.Status < 200 || f.Status > 599) {
			return fmt.Errorf("fault %d: status %d is not between 200 and 599", i, f.Status)
		}
	}
	return nil
}

// Faults is the script of failures.
type Faults struct {
	mu    sync.Mutex
	rules []*Rule
	rng   *rand.Rand
}

func newFaults(seed uint64) *Faults {
	return &Faults{rng: rand.New(rand.NewPCG(seed, seed))}
}

// Add appends rules. For each request, the first rule that has a fault for it
// wins. It returns an error, and adds none, if a rule makes no sense.
func (f *Faults) Add(rules ...Rule) error {
	for i := range rules {
		if err := rules[i].validate(); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range rules {
		f.rules = append(f.rules, &r)
	}
	return nil
}

// Clear removes all rules.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// next returns the fault for a request, or nil.
func (f *Faults) next(q *Request) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules {
		if !r.covers(q) {
			continue
		}
		r.seen++
		if r.seen <= r.After || r.spent() {
			continue
		}
		if fault := f.draw(r, q); fault != nil {
			r.failed++
			return fault
		}
	}
	return nil
}

func (r *Rule) covers(q *Request) bool {
	if r.Service != "" && r.Service != q.Service {
		return false
	}
	if prefix, ok := strings.CutSuffix(r.Operation, "*"); ok {
		return strings.HasPrefix(q.Operation, prefix)
	}
	return r.Operation == "" || r.Operation == q.Operation
}

func (r *Rule) spent() bool {
	switch {
	case r.Times < 0:
		return false
	case r.Times > 0:
		return r.failed >= r.Times
	case r.Choose != nil || r.Probability > 0:
		return false
	}
	return r.failed >= len(r.Faults)
}

func (f *Faults) draw(r *Rule, q *Request) *Fault {
	if r.Choose != nil {
		// A copy: the journal's own lines change under its lock.
		c := *q
		return r.Choose(&c)
	}
	if r.Probability == 0 {
		return &r.Faults[r.failed%len(r.Faults)]
	}
	if f.rng.Float64() >= r.Probability {
		return nil
	}
	return &r.Faults[f.rng.IntN(len(r.Faults))]
}

// fail serves a request with a fault.
func (s *Server) fail(w http.ResponseWriter, svc service, c *call, f *Fault) {
	if f.Store {
		s.perform(svc, c)
	}
	switch f.Kind {
	case Refuse:
		s.gate.shut(f.Delay)
		panic(http.ErrAbortHandler)
	case Reset:
		abort(w, true, nil)
	case Drop:
		abort(w, false, nil)
	case Cut:
		abort(w, true, halfAnswer(c))
	case Hang:
		select {
		case <-c.r.Context().Done():
		case <-s.closed:
		}
		panic(http.ErrAbortHandler)
	case Slow:
		a := s.perform(svc, c)
		if !s.wait(c.r.Context(), f.Delay) {
			panic(http.ErrAbortHandler)
		}
		s.send(w, c, a)
	case Skew:
		c.now = c.now.Add(f.Skew)
		s.send(w, c, s.perform(svc, c))
	default:
		s.send(w, c, f.answer(svc))
	}
}

// answer is what the client gets for a fault that answers.
func (f *Fault) answer(svc service) answer {
	switch f.Kind {
	case ExpiredToken:
		return svc.refusal(errExpiredToken())
	case Throttle:
		return svc.refusal(errThrottled(http.StatusTooManyRequests, f.RetryAfter))
	case HTML:
		status := f.Status
		if status == 0 {
			status = http.StatusServiceUnavailable
		}
		return htmlPage(status, f.RetryAfter)
	}
	e := errOfStatus(f.Status)
	if f.Code != "" {
		e = errOfCode(f.Status, f.Code, f.Message)
	} else if f.Message != "" {
		e.message = f.Message
	}
	e.retryAfter = f.RetryAfter
	a := svc.refusal(e)
	// The test asked for this status, whatever the service makes of the error.
	a.status = f.Status
	return a
}

func htmlPage(status int, retryAfter time.Duration) answer {
	title := strconv.Itoa(status) + " " + http.StatusText(status)
	a := answer{
		status: status,
		header: (&apiError{retryAfter: retryAfter}).headers(),
		body: []byte("<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" +
			title + "</h1></center>\r\n</body>\r\n</html>\r\n"),
	}
	a.header.Set("Content-Type", "text/html")
	return a
}

// halfAnswer is the beginning of a successful response that promises more.
func halfAnswer(c *call) []byte {
	return []byte("HTTP/1.1 200 OK\r\nDate: " + c.now.UTC().Format(http.TimeFormat) +
		"\r\nX-Amzn-Requestid: " + requestID(c.record.Seq) +
		"\r\nContent-Type: " + c.r.Header.Get("Content-Type") +
		"\r\nContent-Length: 64\r\n\r\n" + strings.Repeat(" ", 32))
}

// abort takes the connection away from the HTTP server, sends what it is given
// and closes it, with a reset if hard.
func abort(w http.ResponseWriter, hard bool, last []byte) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	// What Linux has received before a reset, it still hands to the reader.
	conn.Write(last)
	if hard {
		reset(conn)
		return
	}
	conn.Close()
}
