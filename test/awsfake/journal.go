package awsfake

import (
	"net/http"
	"sync"
	"time"
)

// Request is one request to a service, as the server saw it.
type Request struct {
	// Seq counts requests from 1.
	Seq int `json:"seq"`
	// At is when it had arrived, by the server's clock.
	At        time.Time `json:"at"`
	Service   string    `json:"service"`
	Operation string    `json:"operation"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	// AccessKeyID signed the request; "" if nobody did or the signature was
	// refused.
	AccessKeyID string      `json:"access_key_id,omitempty"`
	Header      http.Header `json:"header"`
	// WireBytes is the length of the body as it was sent.
	WireBytes int `json:"wire_bytes"`
	// Body is what the body holds once it is decompressed; as sent if it
	// could not be.
	Body []byte `json:"body,omitempty"`
	// Fault is the kind of the fault that met it, or "".
	Fault Kind `json:"fault,omitempty"`
	// Items counts what the request brought: data, log events, samples, points.
	Items int `json:"items,omitempty"`
	// Stored says that the request was carried out and changed something.
	Stored bool `json:"stored"`
	// Status is the HTTP status that was sent, or 0 if nothing whole was.
	Status int `json:"status"`
	// Code is the error code that was sent.
	Code string `json:"code,omitempty"`
	// Answered says that the whole answer was handed to the network.
	Answered bool `json:"answered"`
}

// Journal lists the requests in the order of their arrival.
type Journal struct {
	mu    sync.Mutex
	seq   int
	lines []*Request
}

// Requests returns copies of the requests to a service and operation; "" means
// all.
func (j *Journal) Requests(service, operation string) []Request {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []Request
	for _, q := range j.lines {
		if (service == "" || q.Service == service) && (operation == "" || q.Operation == operation) {
			out = append(out, *q)
		}
	}
	return out
}

// Ambiguous says that the request was stored, but the client was not told so:
// it got an error or nothing, and if it tries again the same is stored twice.
func (q *Request) Ambiguous() bool {
	return q.Stored && !(q.Answered && q.Status/100 == 2)
}

// Ambiguous counts the ambiguous requests to a service and the items in them.
func (j *Journal) Ambiguous(service string) (requests, items int) {
	for _, q := range j.Requests(service, "") {
		if q.Ambiguous() {
			requests++
			items += q.Items
		}
	}
	return requests, items
}

func (j *Journal) reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = nil
}

func (j *Journal) open(service string, c *call) *Request {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	q := &Request{
		Seq: j.seq, At: c.now, Service: service, Operation: c.operation,
		Method: c.r.Method, Path: c.r.URL.RequestURI(), Header: c.r.Header.Clone(),
		WireBytes: len(c.body), Body: c.body,
	}
	j.lines = append(j.lines, q)
	return q
}

func (j *Journal) faulted(q *Request, f *Fault) {
	j.mu.Lock()
	defer j.mu.Unlock()
	q.Fault = f.Kind
}

func (j *Journal) signedBy(q *Request, key *Credential) {
	j.mu.Lock()
	defer j.mu.Unlock()
	q.AccessKeyID = key.AccessKeyID
}

func (j *Journal) performed(q *Request, a answer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	q.Stored = a.stored
	if a.decoded != nil {
		q.Body = a.decoded
	}
	q.Items = a.items
}

func (j *Journal) answered(q *Request, status int, code string, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	q.Status, q.Code, q.Answered = status, code, ok
}
