package emf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/agent/sink/awsclient/logs"
)

// logsVersion is that of the encoding below. Members may be added to it without
// a new version if older programs may ignore them.
const logsVersion = 1

// logsRequest is one call of PutLogEvents as it waits in the spool: a line of
// JSON, and then the documents, each on a line.
type logsRequest struct {
	Version int               `json:"v"`
	Group   string            `json:"group"`
	Stream  string            `json:"stream"`
	Time    int64             `json:"t"` // of all events, in ms since 1970
	Entity  *awsclient.Entity `json:"entity,omitempty"`

	events [][]byte // documents without their newlines
}

// encode returns r with other documents.
func (r *logsRequest) encode(documents []byte) []byte {
	head, _ := json.Marshal(r) // nothing in it can be refused
	return slices.Concat(head, []byte("\n"), documents)
}

// decodeLogs reads what encode wrote.
func decodeLogs(data []byte) (*logsRequest, error) {
	head, documents, _ := bytes.Cut(data, []byte("\n"))
	var r logsRequest
	if err := json.Unmarshal(head, &r); err != nil {
		return nil, fmt.Errorf("read a spooled request: %w", err)
	}
	switch {
	case r.Version != logsVersion:
		return nil, fmt.Errorf("read a spooled request: its version %d is not %d: another version of this program wrote it", r.Version, logsVersion)
	case r.Group == "" || r.Stream == "" || r.Time < 0:
		return nil, errors.New("read a spooled request: it has no log group, no log stream or no time")
	}
	if err := whole(documents); err != nil {
		return nil, err.Err
	}
	for line := range bytes.Lines(documents) {
		line = line[:len(line)-1]
		if len(line) == 0 {
			return nil, errors.New("read a spooled request: a document is empty")
		}
		r.events = append(r.events, line)
	}
	return &r, nil
}

// input returns r as PutLogEvents takes it.
func (r *logsRequest) input() *logs.PutLogEventsInput {
	in := &logs.PutLogEventsInput{LogGroupName: r.Group, LogStreamName: r.Stream, Entity: (*logs.Entity)(r.Entity)}
	for _, e := range r.events {
		in.LogEvents = append(in.LogEvents, logs.Event{Timestamp: r.Time, Message: string(e)})
	}
	return in
}

// Split halves a request; it returns nil if there is only one document in it, or
// none that can be read.
func (s *Logs) Split(data []byte) []sink.Request {
	r, err := decodeLogs(data)
	if err != nil {
		return nil
	}
	parts := split(documentsOf(data))
	for i := range parts {
		parts[i].Data = r.encode(parts[i].Data)
	}
	return parts
}

// Describe names what is in a request.
func (s *Logs) Describe(data []byte) string {
	r, err := decodeLogs(data)
	if err != nil {
		return fmt.Sprintf("%d bytes that are no request of this program", len(data))
	}
	return fmt.Sprintf("%s for log group %.80q, log stream %.80q", describe(documentsOf(data)), r.Group, r.Stream)
}

// documentsOf returns what follows the first line.
func documentsOf(data []byte) []byte {
	_, documents, _ := bytes.Cut(data, []byte("\n"))
	return documents
}
