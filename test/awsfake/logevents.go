package awsfake

import (
	"slices"
	"strings"
	"time"
)

// Limits of PutLogEvents (CloudWatch Logs API reference).
const (
	maxBatchBytes  = 1048576
	eventOverhead  = 26
	maxBatchEvents = 10000
	maxEventBytes  = 1048576 // with the overhead
	maxEventAge    = 14 * 24 * time.Hour
	maxEventAhead  = 2 * time.Hour
	maxBatchSpan   = 24 * time.Hour
)

// LogEvent is one event that was accepted.
type LogEvent struct {
	Group, Stream string
	Timestamp     time.Time
	Message       string
	// Request is Request.Seq of the request that brought the event.
	Request int
	Arrived time.Time
}

type inputLogEvent struct {
	Message   *string
	Timestamp *int64
}

// rejectedLogEvents counts indices as the API does: the two ends are exclusive,
// the start is inclusive.
type rejectedLogEvents struct {
	TooNewLogEventStartIndex *int `json:"tooNewLogEventStartIndex,omitempty"`
	TooOldLogEventEndIndex   *int `json:"tooOldLogEventEndIndex,omitempty"`
	ExpiredLogEventEndIndex  *int `json:"expiredLogEventEndIndex,omitempty"`
}

type putLogEventsOutput struct {
	NextSequenceToken     string             `json:"nextSequenceToken"`
	RejectedLogEventsInfo *rejectedLogEvents `json:"rejectedLogEventsInfo,omitempty"`
	RejectedEntityInfo    *struct {
		ErrorType string `json:"errorType"`
	} `json:"rejectedEntityInfo,omitempty"`
}

// putLogEvents stores the events of a batch that are neither too old nor too
// new. Anything else that is wrong fails the whole batch. The sequence token is
// ignored, so that the same batch can be stored twice.
func (l *Logs) putLogEvents(c *call, body []byte) (any, int, *apiError) {
	var in struct {
		LogGroupName, LogStreamName string
		LogEvents                   []inputLogEvent
		Entity                      *Entity
	}
	if e := decodeLogs(body, &in); e != nil {
		return nil, 0, e
	}
	if e := checkStreamName(in.LogStreamName); e != nil {
		return nil, 0, e
	}
	if e := checkBatch(in.LogEvents); e != nil {
		return nil, 0, e
	}
	g, e := l.group(in.LogGroupName)
	if e != nil {
		return nil, 0, e
	}
	stream := g.streams[in.LogStreamName]
	if stream == nil {
		return nil, 0, logsError("ResourceNotFoundException", "The specified log stream does not exist.")
	}
	from, to, rejected := acceptable(in.LogEvents, c.now, g.retention)
	if from < to {
		first, last := *in.LogEvents[from].Timestamp, *in.LogEvents[to-1].Timestamp
		if time.Duration(last-first)*time.Millisecond > maxBatchSpan {
			return nil, 0, invalidLogs("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
		}
	}
	for _, event := range in.LogEvents[from:max(from, to)] {
		stream.events = append(stream.events, LogEvent{
			Group: in.LogGroupName, Stream: in.LogStreamName,
			Timestamp: time.UnixMilli(*event.Timestamp).UTC(), Message: *event.Message,
			Request: c.record.Seq, Arrived: c.now,
		})
	}
	out := putLogEventsOutput{NextSequenceToken: "49590302240000000000000000000000000000000000000000000000"}
	if rejected != (rejectedLogEvents{}) {
		out.RejectedLogEventsInfo = &rejected
	}
	if in.Entity != nil {
		if failure := in.Entity.check(); failure != "" {
			out.RejectedEntityInfo = &struct {
				ErrorType string `json:"errorType"`
			}{failure}
		}
	}
	return out, max(0, to-from), nil
}

// checkBatch refuses a batch that breaks a limit for the whole of it.
func checkBatch(events []inputLogEvent) *apiError {
	if len(events) == 0 {
		return invalidLogs("1 validation error detected: Value '[]' at 'logEvents' failed to satisfy constraint: Member must have length greater than or equal to 1")
	}
	if len(events) > maxBatchEvents {
		return invalidLogs("1 validation error detected: Value at 'logEvents' failed to satisfy constraint: Member must have length less than or equal to %d", maxBatchEvents)
	}
	total := 0
	for i, e := range events {
		if e.Message == nil || *e.Message == "" {
			return invalidLogs("1 validation error detected: Value '' at 'logEvents.%d.member.message' failed to satisfy constraint: Member must have length greater than or equal to 1", i+1)
		}
		if e.Timestamp == nil || *e.Timestamp < 0 {
			return invalidLogs("1 validation error detected: Value at 'logEvents.%d.member.timestamp' failed to satisfy constraint: Member must have value greater than or equal to 0", i+1)
		}
		if i > 0 && *e.Timestamp < *events[i-1].Timestamp {
			return invalidLogs("Log events in a single PutLogEvents request must be in chronological order.")
		}
		size := len(*e.Message) + eventOverhead
		if size > maxEventBytes {
			return invalidLogs("Log event too large: %d bytes exceeds limit of %d", size, maxEventBytes)
		}
		total += size
	}
	if total > maxBatchBytes {
		return invalidLogs("Upload too large: %d bytes exceeds limit of %d", total, maxBatchBytes)
	}
	return nil
}

// acceptable returns the range of events that are stored, and which are not.
// Events are in order, so those refused are at the two ends.
func acceptable(events []inputLogEvent, now time.Time, retention int) (from, to int, rejected rejectedLogEvents) {
	after := func(t time.Time) int {
		i, _ := slices.BinarySearchFunc(events, t.UnixMilli(), func(e inputLogEvent, ms int64) int {
			if *e.Timestamp < ms {
				return -1
			}
			return 1
		})
		return i
	}
	if n := after(now.Add(-maxEventAge)); n > 0 {
		rejected.TooOldLogEventEndIndex = &n
		from = n
	}
	if retention > 0 {
		if n := after(now.AddDate(0, 0, -retention)); n > 0 {
			rejected.ExpiredLogEventEndIndex = &n
			from = max(from, n)
		}
	}
	to = after(now.Add(maxEventAhead + time.Millisecond))
	if to < len(events) {
		n := to
		rejected.TooNewLogEventStartIndex = &n
	}
	return from, to, rejected
}

// LogGroup describes a group that exists.
type LogGroup struct {
	Name, Class string
	// RetentionDays is 0 for a group that never expires.
	RetentionDays int
	Tags          map[string]string
	Streams       []string
}

// Groups returns the groups, sorted by name, with their streams.
func (l *Logs) Groups() []LogGroup {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []LogGroup
	for name, g := range l.groups {
		described := LogGroup{Name: name, Class: g.class, RetentionDays: g.retention, Tags: g.tags}
		for stream := range g.streams {
			described.Streams = append(described.Streams, stream)
		}
		slices.Sort(described.Streams)
		out = append(out, described)
	}
	slices.SortFunc(out, func(a, b LogGroup) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Events returns what a group and stream hold, in order of arrival within each
// stream; "" means all.
func (l *Logs) Events(group, stream string) []LogEvent {
	var out []LogEvent
	for _, g := range l.Groups() {
		if group != "" && g.Name != group {
			continue
		}
		for _, s := range g.Streams {
			if stream == "" || s == stream {
				out = append(out, l.events(g.Name, s)...)
			}
		}
	}
	return out
}

func (l *Logs) events(group, stream string) []LogEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.groups[group]; g != nil && g.streams[stream] != nil {
		return slices.Clone(g.streams[stream].events)
	}
	return nil
}

// DuplicateEvents counts events that repeat one of the same stream, timestamp
// and message.
func (l *Logs) DuplicateEvents() int {
	type identity struct {
		group, stream, message string
		at                     int64
	}
	seen := map[identity]bool{}
	n := 0
	for _, e := range l.Events("", "") {
		id := identity{e.Group, e.Stream, e.Message, e.Timestamp.UnixMilli()}
		if seen[id] {
			n++
		}
		seen[id] = true
	}
	return n
}
