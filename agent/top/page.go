package top

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/live"
)

// page is a screen while it is drawn.
type page struct {
	screen *Screen
	lines  []string
	extra  int // lines of the detail that not every interface has
}

// style is what a line looks like, as the parameters of an SGR sequence.
type style string

const (
	plain  style = ""
	bold   style = "1"
	faint  style = "2"
	invert style = "7"
	alarm  style = "1;31"
	caring style = "33"
)

// printable keeps what others named from commanding the terminal: a process may call
// itself anything, and so may an incident that somebody sends.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, line)
}

// add appends a line, cut to the width.
func (p *page) add(st style, format string, args ...any) {
	line := printable(fmt.Sprintf(format, args...))
	if utf8.RuneCountInString(line) > p.screen.Width {
		line = string([]rune(line)[:max(0, p.screen.Width-1)]) + "…"
	}
	switch {
	case st == invert:
		line += strings.Repeat(" ", max(0, p.screen.Width-utf8.RuneCountInString(line)))
	case !p.screen.Color && st != bold:
		st = plain
	}
	if st != plain {
		line = "\x1b[" + string(st) + "m" + line + "\x1b[0m"
	}
	p.lines = append(p.lines, line)
}

func (p *page) head(d *live.Document) {
	who := d.Host
	if d.InstanceID != "" {
		who += " (" + d.InstanceID + ")"
	}
	if d.Simulated {
		who += " SIMULATED"
	}
	at := int64(0)
	if n := len(d.Times); n > 0 {
		at = d.Times[n-1]
	}
	state := "live"
	if p.screen.Paused {
		state = "PAUSED"
	}
	p.add(bold, "enawatch  %s  %s %s  by %s", who, p.screen.clock(at), state, orders[p.screen.Order])
	p.add(faint, "from %s", p.screen.Source)
	if p.screen.Trouble != "" {
		p.add(alarm, "! %s", p.screen.Trouble)
	}
	p.headroom(d.Headroom)
	p.senders(d.LinkLocal)
	p.sinks(d.Sinks)
}

// senders says who sends to link-local services, where that is counted.
func (p *page) senders(l *live.LinkLocal) {
	if l == nil {
		return
	}
	var list []string
	for _, s := range l.Senders {
		list = append(list, fmt.Sprintf("%s %s", s.Name, number(s.Packets)))
	}
	if l.Others > 0 {
		list = append(list, "others "+number(l.Others))
	}
	if len(list) == 0 {
		list = append(list, "nobody that is known")
	}
	p.extra = 1
	p.add(plain, "link-local, last minute: %s", strings.Join(list, ", "))
}

// budget says what an interface uses of its packets to link-local services.
func (p *page) budget(d *live.Document, i live.Interface) {
	if d.LinkLocal == nil {
		return
	}
	for _, b := range d.LinkLocal.Interfaces {
		if b.MAC != i.MAC || b.Name != i.Name {
			continue
		}
		text := fmt.Sprintf("  link-local budget: %.1f%% used, %s packets in the fullest second of a minute", b.Used, number(b.PeakPPS))
		var services []string
		for _, s := range b.Services {
			services = append(services, s.Name+" "+number(s.Packets))
		}
		if len(services) > 0 {
			text += "; " + strings.Join(services, ", ")
		}
		if b.Unanswered > 0 {
			text += fmt.Sprintf("; %s DNS queries unanswered", number(b.Unanswered))
		}
		switch {
		case b.Used > 100:
			p.add(alarm, "%s", text)
		case b.Used >= 80:
			p.add(caring, "%s", text)
		default:
			p.add(plain, "%s", text)
		}
	}
}

func (p *page) headroom(h *live.Headroom) {
	switch {
	case h == nil:
		p.add(faint, "connections left: no driver here reports them")
	case h.SecondsLeft > 0 && h.SecondsLeft < 900:
		p.add(alarm, "! connections left: %s, %+.1f/s: full in %s at this pace", number(h.Available), h.Slope, span(h.SecondsLeft))
	case h.SecondsLeft > 0:
		p.add(plain, "connections left: %s, %+.1f/s: full in %s at this pace", number(h.Available), h.Slope, span(h.SecondsLeft))
	default:
		p.add(plain, "connections left: %s", number(h.Available))
	}
}

func (p *page) sinks(sinks []live.Sink) {
	var list []string
	st := plain
	for _, s := range sinks {
		text := s.Name + " ok"
		switch {
		case s.Problem != "":
			text, st = s.Name+" FAILING", alarm
		case s.Dropped > 0:
			text, st = fmt.Sprintf("%s dropped %.0f", s.Name, s.Dropped), alarm
		case s.Delivered == 0:
			text = s.Name + " nothing yet"
		}
		if s.Waiting > 0 {
			text += fmt.Sprintf(" (%.0f wait)", s.Waiting)
		}
		list = append(list, text)
	}
	if len(list) > 0 {
		p.add(st, "sinks: %s", strings.Join(list, ", "))
	}
}

// columns are the titles of allowances in the table.
var columns = map[ena.Stat]string{
	ena.BWInAllowanceExceeded: "BW_IN", ena.BWOutAllowanceExceeded: "BW_OUT", ena.PPSAllowanceExceeded: "PPS",
	ena.ConntrackAllowanceExceeded: "CONNTR", ena.LinklocalAllowanceExceeded: "LINKLO",
}

// table shows the newest second of each interface, as many as there is room for.
func (p *page) table(rows []live.Interface) {
	p.add(plain, "")
	head := fmt.Sprintf("  %-12s", "INTERFACE")
	for _, s := range allowances {
		head += fmt.Sprintf(" %7s", columns[s])
	}
	wide := max(0, p.screen.Width-len(head)-2)
	p.add(bold, "%s  %s", head, "DROPPED OR QUEUED, BY SECOND"[:min(wide, 28)])
	room := max(1, p.screen.Height-len(p.lines)-len(allowances)-7-p.extra)
	first := max(0, min(p.screen.Selected-room/2, len(rows)-room))
	for n := first; n < min(first+room, len(rows)); n++ {
		p.row(rows[n], n == p.screen.Selected, wide)
	}
	switch {
	case len(rows) == 0 && p.screen.Filter != "":
		p.add(plain, "  no interface matches %q", p.screen.Filter)
	case len(rows) == 0:
		p.add(plain, "  this host has no ENA interface")
	case len(rows) > room:
		p.add(faint, "  %d of %d interfaces", room, len(rows))
	}
}

func (p *page) row(i live.Interface, selected bool, wide int) {
	mark, st := " ", plain
	line := fmt.Sprintf("%-12.12s", i.Name)
	all := live.Values{}
	for _, s := range allowances {
		a, ok := allowanceOf(i, s)
		if !ok {
			line += fmt.Sprintf(" %7s", "-")
			continue
		}
		line += fmt.Sprintf(" %7s", written(a, short))
		if now(a) > 0 {
			mark, st = "!", alarm
		}
		all = add(all, a.Values)
	}
	if i.Verdict != "valid" && !i.Left {
		mark, st = "?", caring
	}
	if i.Left {
		mark, st = "x", faint
	}
	pointer := " "
	if selected {
		pointer, st = ">", invert
	}
	p.add(st, "%s%s%s  %s", pointer, mark, line, sparkline(all, wide))
}

// add adds two lists of values up, second by second.
func add(a, b live.Values) live.Values {
	if len(a) == 0 {
		return slices.Clone(b)
	}
	for n := range min(len(a), len(b)) {
		switch {
		case a[n] == live.NoValue:
			a[n] = b[n]
		case b[n] != live.NoValue:
			a[n] = uint32(min(uint64(a[n])+uint64(b[n]), uint64(live.NoValue-1)))
		}
	}
	return a
}

// detail shows one interface in full.
func (p *page) detail(d *live.Document, i live.Interface) {
	p.add(plain, "")
	about := []string{i.MAC}
	if i.ENI != "" {
		about = append(about, i.ENI)
	}
	about = append(about, "driver "+i.Driver)
	if i.Link == "down" {
		about = append(about, "link down")
	}
	verdict := i.Verdict
	if i.Left {
		verdict = "detached"
	}
	p.add(bold, "%s  %s  %s", i.Name, verdict, strings.Join(about, ", "))
	if i.Reason != "" && i.Verdict != "valid" {
		p.add(caring, "  not believed: %s", i.Reason)
	}
	if len(i.Pods) > 0 {
		p.add(plain, "  pods: %s", strings.Join(i.Pods, ", "))
	}
	p.budget(d, i)
	wide := max(0, p.screen.Width-57)
	p.add(faint, "  %-10s %9s %9s %8s %13s  %s", "ALLOWANCE", "NOW/S", "WORST/S", "AT", "SINCE START", "LAST SECONDS"[:min(wide, 12)])
	for _, s := range allowances {
		a, ok := allowanceOf(i, s)
		if !ok {
			p.add(faint, "  %-10s %9s  this driver does not have it", s.Entry().Allowance, "-")
			continue
		}
		st := plain
		if now(a) > 0 {
			st = alarm
		}
		p.add(st, "  %-10s %9s %9s %8s %13s  %s", s.Entry().Allowance, written(a, number), number(a.Worst), p.screen.clock(a.WorstAt), number(a.Sum), sparkline(a.Values, wide))
	}
}

// events shows the newest events in what room is left above the last line.
func (p *page) events(d *live.Document) {
	room := p.screen.Height - len(p.lines) - 2
	if room < 1 || len(d.Events) == 0 {
		return
	}
	p.add(plain, "")
	for _, e := range d.Events[max(0, len(d.Events)-room):] {
		p.add(faint, "%s %-14s %s %s", p.screen.clock(int64(e.At)), e.Kind, e.Interface+e.Sink, e.Text)
	}
}

func (p *page) help() {
	p.add(plain, "")
	for _, line := range []string{
		"up, down, j, k   choose an interface", "s                sort by name, now, worst second, total",
		"/                filter by name, MAC, ENI or pod; Enter keeps it, Esc drops it",
		"p, space         pause", "?, h             this help", "q, Ctrl-C        leave", "",
		"! exceeds an allowance now   ? readings are not believed   x detached",
		"Sparklines: one second a character, a dot is a second without a value.",
		"Worst is of the last half hour; since start is since the agent started.",
	} {
		p.add(plain, "  %s", line)
	}
}

// finish fills or cuts the page to the height, with the keys in its last line.
func (p *page) finish() []string {
	s := p.screen
	height := max(2, s.Height)
	if len(p.lines) > height-1 {
		p.lines = p.lines[:height-1]
	}
	for len(p.lines) < height-1 {
		p.lines = append(p.lines, "")
	}
	switch {
	case s.Typing:
		p.add(plain, "filter: %s_", s.Filter)
	case s.Filter != "":
		p.add(faint, "q quit  s sort  / filter: %s  p pause  ? help", s.Filter)
	default:
		p.add(faint, "q quit  up/down choose  s sort  / filter  p pause  ? help")
	}
	return p.lines
}
