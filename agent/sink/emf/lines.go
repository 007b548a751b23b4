package emf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
)

const (
	// maxRequest bounds the documents of one request, in bytes, with eventCost
	// for each: what PutLogEvents takes, and reason enough elsewhere.
	maxRequest = 1 << 20
	eventCost  = 26
	// maxEvents is how many documents one request has.
	maxEvents = 10_000
)

// packer turns windows into requests that are documents, each on a line: what
// files and sockets carry. The sinks of these have one name and one encoding, so
// that what waits is delivered even if the output is another one by then.
type packer struct {
	// group and stream are templates of LogGroupName and LogStreamName; if group
	// is "", the documents do not have them.
	group, stream string
	// most is how many documents a request has at most.
	most int

	mu  sync.Mutex // guards what follows
	enc *Encoder
	buf []byte
}

func newPacker(o Options) (*packer, error) {
	e, err := NewEncoder(o.Namespace, o.Interval)
	if err != nil {
		return nil, err
	}
	if o.Shape != "" {
		if err := e.SetShape(o.Shape); err != nil {
			return nil, err
		}
	}
	return &packer{enc: e, most: maxEvents}, nil
}

// forAgent makes the documents tell the CloudWatch agent where to write them to.
func (p *packer) forAgent(o Options) error {
	p.group, p.stream = o.LogGroup, o.LogStream
	if p.group == "" {
		p.group = DefaultLogGroup
	}
	if p.stream == "" {
		p.stream = DefaultLogStream
	}
	return checkPlace(p.group, p.stream)
}

// Name returns "emf".
func (*packer) Name() string { return "emf" }

// Pack turns a window into requests. The error names the series that can't be
// published; the requests hold everything else.
func (p *packer) Pack(b *metric.Batch) ([]sink.Request, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.group != "" {
		p.enc.group, p.enc.stream = place(p.group, p.stream, &b.Resource)
	}
	text, errs := p.enc.encode(p.buf[:0], b)
	p.buf = text
	var requests []sink.Request
	start, end, documents, points := 0, 0, 0, 0
	flush := func() {
		if documents > 0 {
			requests = append(requests, sink.Request{Data: slices.Clone(text[start:end]), Points: points})
		}
		start, documents, points = end, 0, 0
	}
	for _, l := range p.enc.lines {
		// A newline is not sent to CloudWatch Logs.
		if size := l.end - start + (documents+1)*(eventCost-1); size > maxRequest || documents == p.most {
			flush()
		}
		end = l.end
		documents++
		points += l.metrics
	}
	flush()
	if len(errs) > 1 {
		return requests, fmt.Errorf("%w (and %d more errors)", errs[0], len(errs)-1)
	}
	return requests, errors.Join(errs...)
}

// Split halves a request; it returns nil if there is only one document in it.
func (p *packer) Split(data []byte) []sink.Request { return split(data) }

func split(data []byte) []sink.Request {
	lines := bytes.SplitAfter(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	if len(lines) < 2 {
		return nil
	}
	half := 0
	for _, l := range lines[:len(lines)/2] {
		half += len(l)
	}
	return []sink.Request{request(data[:half]), request(data[half:])}
}

// request counts the metrics in documents.
func request(data []byte) sink.Request {
	r := sink.Request{Data: slices.Clone(data)}
	for line := range bytes.Lines(data) {
		_, names := read(line)
		r.Points += len(names)
	}
	return r
}

// read returns the time and the metrics of a document, as far as it is one.
func read(line []byte) (at time.Time, metrics []string) {
	var d struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct{ Metrics []struct{ Name string } }
		} `json:"_aws"`
	}
	if err := json.Unmarshal(line, &d); err != nil {
		return time.Time{}, nil
	}
	for _, directive := range d.AWS.CloudWatchMetrics {
		for _, m := range directive.Metrics {
			metrics = append(metrics, m.Name)
		}
	}
	return time.UnixMilli(d.AWS.Timestamp).UTC(), metrics
}

// Describe names what is in a request.
func (p *packer) Describe(data []byte) string { return describe(data) }

func describe(data []byte) string {
	const most = 3
	documents := 0
	var at time.Time
	var names []string
	for line := range bytes.Lines(data) {
		t, metrics := read(line)
		if documents == 0 {
			at = t
		}
		documents++
		for _, n := range metrics {
			names = append(names, fmt.Sprintf("%.80q", n))
		}
	}
	if rest := len(names) - most; rest > 0 {
		names = append(names[:most], fmt.Sprintf("%d more", rest))
	}
	return fmt.Sprintf("EMF of %s (lines: %d): %s", at.Format(time.RFC3339), documents, strings.Join(names, ", "))
}

// whole reports as an error what is not one or more whole lines.
func whole(data []byte) *sink.Error {
	if len(data) == 0 || data[len(data)-1] != '\n' {
		return &sink.Error{Kind: sink.Poisoned, Err: fmt.Errorf("read a spooled request: %d bytes that are no EMF documents", len(data))}
	}
	return nil
}
