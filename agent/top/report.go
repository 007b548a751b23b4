package top

import (
	"strings"
	"time"

	"github.com/enawatch/enawatch/agent/live"
)

// Report returns everything that screens would show, one interface after the
// other, as plain text of the given width. zone is that of the times, nil for
// the local one.
func Report(d *live.Document, width int, zone *time.Location) string {
	s := &Screen{Width: width, Height: 1 << 16, Source: "one look", Zone: zone}
	p := &page{screen: s}
	p.head(d)
	for _, i := range s.rows(d) {
		p.detail(d, i)
	}
	for n, line := range p.lines {
		line = strings.ReplaceAll(strings.ReplaceAll(line, "\x1b[1m", ""), "\x1b[0m", "")
		p.lines[n] = strings.TrimRight(line, " ")
	}
	return strings.Join(p.lines, "\n") + "\n"
}
