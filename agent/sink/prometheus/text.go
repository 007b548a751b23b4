package prometheus

import (
	"io"
	"math"
	"strconv"
	"strings"
)

// format is one of the forms that a page of /metrics is written in.
type format struct {
	contentType string
	open        bool // OpenMetrics 1.0, else the text format 0.0.4
}

// pieceBytes is how much of a page is written at once: that of a large host has
// megabytes.
const pieceBytes = 32 << 10

// write writes a page. It ends early if nobody takes it any more.
//
// Sources: https://prometheus.io/docs/instrumenting/exposition_formats and
// https://prometheus.io/docs/specs/om/open_metrics_spec.
func (t format) write(w io.Writer, families []*Family) {
	b := make([]byte, 0, pieceBytes+4096)
	for _, f := range families {
		b = t.appendHead(b, f)
		name := f.Name
		if t.open && f.Kind == Counter && !strings.HasSuffix(name, "_total") {
			name += "_total"
		}
		for i := range f.Series {
			b = t.appendSeries(b, name, &f.Series[i])
			if len(b) < pieceBytes {
				continue
			}
			if _, err := w.Write(b); err != nil {
				return
			}
			b = b[:0]
		}
	}
	if t.open {
		b = append(b, "# EOF\n"...)
	}
	w.Write(b)
}

// appendHead appends what a page says of a family before its series.
func (t format) appendHead(b []byte, f *Family) []byte {
	name := f.Name
	if t.open && f.Kind == Counter {
		name = strings.TrimSuffix(name, "_total")
	}
	b = append(append(append(b, "# HELP "...), name...), ' ')
	b = append(appendEscaped(b, f.Help, t.open), "\n# TYPE "...)
	b = append(append(append(b, name...), ' '), t.kind(f.Kind)...)
	if t.open && f.Unit != "" {
		b = append(append(append(append(b, "\n# UNIT "...), name...), ' '), f.Unit...)
	}
	return append(b, '\n')
}

func (t format) kind(k Kind) string {
	switch {
	case k == Counter:
		return "counter"
	case k == Gauge:
		return "gauge"
	case t.open:
		return "unknown"
	}
	return "untyped"
}

func (t format) appendSeries(b []byte, name string, s *Series) []byte {
	b = append(b, name...)
	separator := byte('{')
	for _, l := range s.Labels {
		b = append(append(append(b, separator), l.Name...), `="`...)
		b = append(appendEscaped(b, l.Value, true), '"')
		separator = ','
	}
	if len(s.Labels) > 0 {
		b = append(b, '}')
	}
	return append(t.appendValue(append(b, ' '), s.Value), '\n')
}

// appendEscaped appends a text, of which backslashes, line feeds and, if so
// asked, quotation marks are escaped.
func appendEscaped(b []byte, text string, quotes bool) []byte {
	from := 0
	for i := range len(text) {
		var by string
		switch c := text[i]; {
		case c == '\\':
			by = `\\`
		case c == '\n':
			by = `\n`
		case c == '"' && quotes:
			by = `\"`
		default:
			continue
		}
		b = append(append(b, text[from:i]...), by...)
		from = i + 1
	}
	return append(b, text[from:]...)
}

// appendValue appends a value; OpenMetrics wants each to look like a float.
func (t format) appendValue(b []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, "NaN"...)
	case math.IsInf(v, 1):
		return append(b, "+Inf"...)
	case math.IsInf(v, -1):
		return append(b, "-Inf"...)
	}
	at := len(b)
	b = strconv.AppendFloat(b, v, 'g', -1, 64)
	if t.open && !strings.ContainsAny(string(b[at:]), "e.") {
		b = append(b, ".0"...)
	}
	return b
}
