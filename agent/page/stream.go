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
	out := h.source.Writer()
	var id []byte
	for {
		if newest := h.source.History.Mark(); newest.Tick != seen.Tick {
			if seen.Tick > newest.Tick {
				seen = live.Mark{} // of an agent before this one
			}
			_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := io.WriteString(w, "data: "); err != nil {
				return
			}
			var err error
			if seen, err = out.Write(w, int(newest.Tick-seen.Tick), seen); err != nil {
				return
			}
			id = strconv.AppendUint(append(id[:0], "id: "...), seen.Tick, 10)
			id = append(strconv.AppendUint(append(id, '-'), seen.Event, 10), "\n\n"...)
			if _, err := w.Write(id); err != nil || control.Flush() != nil {
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
