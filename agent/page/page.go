// Package page is the live page: what the agent remembers of the last half
// hour, in a browser, and as JSON. It only reads.
package page

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/live"
)

// Limits. Whoever can reach the port must not be able to hold the agent's memory
// or connections.
const (
	// maxStreams is how many pages are kept up to date at once. More get
	// status 503, and ask again.
	maxStreams = 8
	// writeTimeout is how long a browser may take for one second's message.
	writeTimeout = 10 * time.Second
)

//go:embed assets
var assets embed.FS

// Handler serves /, /assets/ and /api/v1/.
type Handler struct {
	source  *live.Source
	mux     *http.ServeMux
	streams chan struct{} // one in it for each stream
}

// New returns a handler of the page for what source knows.
func New(source *live.Source) *Handler {
	h := &Handler{source: source, mux: http.NewServeMux(), streams: make(chan struct{}, maxStreams)}
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // the folder is in the binary
	}
	tag := tagOf(files)
	h.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { static(w, r, files, tag, "page.html") })
	h.mux.HandleFunc("GET /assets/{name...}", func(w http.ResponseWriter, r *http.Request) { static(w, r, files, tag, r.PathValue("name")) })
	h.mux.HandleFunc("GET /api/v1/live", h.live)
	h.mux.HandleFunc("GET /api/v1/stream", h.stream)
	h.mux.HandleFunc("GET /api/v1/catalogue", h.catalogue)
	return h
}

// ServeHTTP answers GET and HEAD, and refuses other methods.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// static serves a file of the page. Browsers ask each time whether what they
// have is still right.
func static(w http.ResponseWriter, r *http.Request, files fs.FS, tag, name string) {
	if i, err := fs.Stat(files, name); err != nil || i.IsDir() {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", tag)
	http.ServeFileFS(w, r, files, name)
}

// tagOf returns an entity tag that changes with any of the files.
func tagOf(files fs.FS) string {
	sum := sha256.New()
	_ = fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			content, _ := fs.ReadFile(files, path) // it is in the binary
			fmt.Fprintf(sum, "%s %d\n", path, len(content))
			sum.Write(content)
		}
		return nil
	})
	return `"` + hex.EncodeToString(sum.Sum(nil)[:8]) + `"`
}

// live answers with a live.Document of the last seconds: all, or as many as the
// query says.
func (h *Handler) live(w http.ResponseWriter, r *http.Request) {
	seconds := int(live.Span / time.Second)
	if text := r.URL.Query().Get("seconds"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			http.Error(w, "seconds must be a whole number, as in ?seconds=60", http.StatusBadRequest)
			return
		}
		seconds = n
	}
	answerJSON(w)
	_, _ = h.source.Writer().Write(w, seconds, live.Mark{}) // an error is the browser's that went away
}

func answerJSON(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
}

// stat is a row of the catalogue.
type stat struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Unit      string `json:"unit"`
	Scope     string `json:"scope"`
	Allowance string `json:"allowance,omitempty"`
	Since     string `json:"since"`
	Meaning   string `json:"meaning"`
	Advice    string `json:"advice"`
}

// catalogue answers with what each stat means and what to do about it.
func (h *Handler) catalogue(w http.ResponseWriter, _ *http.Request) {
	list := make([]stat, 0, ena.NumStats)
	for _, e := range ena.Catalogue() {
		if !e.Internal {
			list = append(list, stat{e.Name, e.Kind.String(), string(e.Unit), e.Scope.String(), e.Allowance, e.Since, e.Meaning, e.Advice})
		}
	}
	answerJSON(w)
	_ = json.NewEncoder(w).Encode(list)
}
