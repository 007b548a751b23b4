package live

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/event"
)

// Event is something that happened, as the log tells it.
type Event struct {
	// Seq counts events since the agent started, from 1.
	Seq uint64 `json:"seq"`
	// At is when, in Unix seconds.
	At   float64 `json:"at"`
	Kind string  `json:"kind"`
	// Interface and Sink name what it is about, or are "".
	Interface string `json:"interface,omitempty"`
	Sink      string `json:"sink,omitempty"`
	Text      string `json:"text"`
	// By is how far the clock jumped, in seconds, if that is what happened.
	By float64 `json:"by,omitempty"`
}

// maxText bounds an event's text, in bytes.
const maxText = 300

// add keeps an event. The caller holds the lock.
func (h *History) add(e Event) {
	e.Seq = h.nextSeq
	h.nextSeq++
	if len(e.Text) > maxText {
		e.Text = strings.ToValidUTF8(e.Text[:maxText-len("…")], "") + "…"
	}
	if len(h.events) < maxEvents {
		h.events = append(h.events, e)
	} else {
		h.events[(e.Seq-1)%maxEvents] = e
	}
	if e.Sink == "" {
		return
	}
	switch e.Kind {
	case event.PublishFailed:
		h.problems[e.Sink] = e.Text
	case event.PublishOK:
		delete(h.problems, e.Sink)
	}
}

// eventsAfter appends what happened after the event with the given number, oldest
// first. The caller holds the lock.
func (h *History) eventsAfter(list []Event, seq uint64) []Event {
	first := uint64(1)
	if kept := uint64(len(h.events)); h.nextSeq > kept {
		first = h.nextSeq - kept
	}
	for n := max(first, seq+1); n < h.nextSeq; n++ {
		list = append(list, h.events[(n-1)%maxEvents])
	}
	return list
}

// tellGrowth makes an event of counters of health that grow and did not in the
// reading before. The caller holds the lock.
func (h *History) tellGrowth(r *Row, result *delta.Result) {
	if r.grown == (ena.Set{}) {
		return
	}
	kind, fresh := event.Health, false
	var grew []string
	for s := range ena.Stat(ena.NumStats) {
		if !r.grown.Has(s) {
			continue
		}
		fresh = fresh || !r.unhealthy.Has(s)
		if s.Entry().Reset {
			kind = event.Reset
		}
		grew = append(grew, fmt.Sprintf("%s +%d", s, result.Values[s]))
	}
	if fresh {
		h.add(Event{At: unix(h.now()), Kind: kind, Interface: r.iface.Name, Text: strings.Join(grew, ", ")})
	}
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// Log returns a handler that passes records to next and keeps those that tell
// of an event.
func (h *History) Log(next slog.Handler) slog.Handler {
	return &handler{next: next, history: h}
}

type handler struct {
	next    slog.Handler
	history *History
	attrs   []slog.Attr // those of WithAttrs
}

// Enabled reports true: what the log leaves out may be an event.
func (l *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle keeps the record if it is an event and passes it on.
func (l *handler) Handle(ctx context.Context, r slog.Record) error {
	l.keep(r)
	if !l.next.Enabled(ctx, r.Level) {
		return nil
	}
	return l.next.Handle(ctx, r)
}

func (l *handler) keep(r slog.Record) {
	e := Event{At: unix(r.Time)}
	switch {
	case r.Level >= slog.LevelError:
		e.Kind = event.Error
	case r.Level >= slog.LevelWarn:
		e.Kind = event.Warning
	}
	var text strings.Builder
	text.WriteString(r.Message)
	take := func(a slog.Attr) bool {
		switch value := a.Value.Resolve(); a.Key {
		case event.Key:
			e.Kind = value.String()
		case "interface":
			e.Interface = value.String()
		case "sink":
			e.Sink = value.String()
		case "err", "reason", "remedy":
			fmt.Fprintf(&text, ": %s", value)
		case "by":
			if value.Kind() == slog.KindDuration {
				e.By = value.Duration().Seconds()
			}
			fmt.Fprintf(&text, " by %s", value)
		default:
			fmt.Fprintf(&text, " %s=%s", a.Key, value)
		}
		return text.Len() <= maxText
	}
	for _, a := range l.attrs {
		take(a)
	}
	r.Attrs(take)
	if e.Kind == "" {
		return
	}
	e.Text = text.String()
	l.history.mu.Lock()
	defer l.history.mu.Unlock()
	l.history.add(e)
}

// WithAttrs returns a handler whose records have these attributes.
func (l *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{l.next.WithAttrs(attrs), l.history, append(l.attrs[:len(l.attrs):len(l.attrs)], attrs...)}
}

// WithGroup returns a handler whose records are in a group in the log.
func (l *handler) WithGroup(name string) slog.Handler {
	return &handler{l.next.WithGroup(name), l.history, l.attrs}
}
