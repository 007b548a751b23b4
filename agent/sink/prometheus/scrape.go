package prometheus

import (
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/munnerz/goautoneg"
)

// serve answers a scrape.
func (g *gatherer) serve(w http.ResponseWriter, r *http.Request) {
	select {
	case g.scrapes <- struct{}{}:
		defer func() { <-g.scrapes }()
	default:
		http.Error(w, "too many scrapes at once: try again later", http.StatusServiceUnavailable)
		return
	}
	t := formatFor(r.Header.Get("Accept"))
	w.Header().Set("Content-Type", t.contentType)
	zip := acceptsGzip(r.Header.Get("Accept-Encoding"))
	if zip {
		w.Header().Set("Content-Encoding", "gzip")
	}
	if r.Method == http.MethodHead {
		return
	}
	families := g.families(g.snapshot())
	if !zip {
		t.write(w, families)
		return
	}
	z, _ := gzip.NewWriterLevel(w, gzip.StatelessCompression) // the level exists
	t.write(z, families)
	z.Close()
}

// formatFor returns the format that is wanted most: OpenMetrics, or the text
// format, which everybody who scrapes understands.
func formatFor(accept string) format {
	for _, a := range goautoneg.ParseAccept(accept) {
		version := a.Params["version"]
		switch a.Type + "/" + a.SubType {
		case "application/openmetrics-text":
			if version == "" {
				version = "0.0.1"
			}
			if version == "0.0.1" || version == "1.0.0" {
				return format{"application/openmetrics-text; version=" + version + "; charset=utf-8", true}
			}
		case "text/plain":
			if version == "" || version == "0.0.4" {
				return plain
			}
		}
	}
	return plain
}

var plain = format{contentType: "text/plain; version=0.0.4; charset=utf-8"}

// acceptsGzip reads Accept-Encoding (RFC 9110, 12.5.3).
func acceptsGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		coding, parameters, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q := strings.TrimRight(strings.TrimSpace(parameters), "0")
			return q != "q=" && q != "q=0." && q != "q=."
		}
	}
	return false
}
