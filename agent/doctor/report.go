package doctor

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Report writes checks for people.
type Report struct {
	W io.Writer
	// Width is that of the terminal, in characters. Without one it is 0, and each
	// check and each remedy is one line.
	Width int
	// Color marks levels by color.
	Color bool

	counts map[Level]int
	err    error
}

// indent is what stands before each line but a check's first.
const indent = "         "

// narrowest is how few characters lines are wrapped at.
const narrowest = 40

// Add writes some checks.
func (r *Report) Add(checks []Check) {
	if r.counts == nil {
		r.counts = map[Level]int{}
	}
	for _, c := range checks {
		r.counts[c.Level]++
		level := fmt.Sprintf("%-7s", c.Level)
		if r.Color {
			level = colors[c.Level] + level + "\x1b[0m"
		}
		r.write(level + "  " + r.wrap(c.Name+": "+c.Found, indent) + "\n")
		if c.Remedy != "" {
			r.write(indent + "→ " + r.wrap(c.Remedy, indent+"  ") + "\n")
		}
	}
}

var colors = map[Level]string{OK: "\x1b[32m", Warning: "\x1b[33m", Failed: "\x1b[31m"}

// End writes how many checks went how, and returns the first error of writing.
func (r *Report) End() error {
	r.write(fmt.Sprintf("\n%d failed, %s, %d ok\n", r.counts[Failed], count(r.counts[Warning], "warning"), r.counts[OK]))
	return r.err
}

func (r *Report) write(text string) {
	if r.err == nil {
		_, r.err = io.WriteString(r.W, text)
	}
}

// wrap breaks a text whose lines begin behind an indent.
func (r *Report) wrap(text, indent string) string {
	if r.Width == 0 {
		return text
	}
	width := max(r.Width, narrowest) - len(indent)
	var b strings.Builder
	used := 0
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case used+1+n > width:
			b.WriteString("\n" + indent)
			used = 0
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += n
	}
	return b.String()
}
