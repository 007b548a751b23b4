package page

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/enawatch/enawatch/agent/live"
)

// stream sends a live.Document each second, of the seconds and events since the
// last one, as server-sent events. A browser that comes back says by
// Last-Event-ID what it has.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request) {
	select {
	case h.streams <- struct{}{}:
		defer func() { <-h.streams }()
	default:
		w.Header().Set("Retry-After", "10")
		http.Error(w, fmt.Sprintf("%d pages are open already: close one", maxStreams), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // the server's is for the request
	wake, stop := h.source.History.Watch()
	defer stop()
	seen := position(r)
	for {
		if newest := h.source.History.Mark(); newest.Tick != seen.Tick {
			if seen.Tick > newest.Tick {
				seen = live.Mark{} // of an agent before this one
			}
			_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
			var err error
			if seen, err = h.send(w, control, int(newest.Tick-seen.Tick), seen); err != nil {
				return // the browser went
			}
		}
		select {
		case <-wake:
		case <-r.Context().Done(): // the browser went, or the agent stops
			return
		}
	}
}

// position reads the mark that a browser brings: "tick-event".
func position(r *http.Request) (m live.Mark) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("after")
	}
	tick, event, _ := strings.Cut(text, "-")
	m.Tick, _ = strconv.ParseUint(tick, 10, 64)
	m.Event, _ = strconv.ParseUint(event, 10, 64)
	return m
}

// send sends one message and returns how far it goes.
func (h *Handler) send(w http.ResponseWriter, control *http.ResponseController, seconds int, after live.Mark) (live.Mark, error) {
	if _, err := io.WriteString(w, "data: "); err != nil {
		return after, err
	}
	m, err := h.source.Write(w, seconds, after)
	if err != nil {
		return after, err
	}
	if _, err := fmt.Fprintf(w, "id: %d-%d\n\n", m.Tick, m.Event); err != nil {
		return after, err
	}
	return m, control.Flush()
}
