// Package top draws what the agent remembers as a screen of text, for
// terminals: every interface, what its allowances do now and did lately.
package top

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/live"
)

// Seconds is how many seconds a screen wants to know of.
const Seconds = 120

// Columns that rows can be sorted by, in the order that the key goes through.
const (
	ByName = iota
	ByNow
	ByWorst
	ByTotal
	numOrders
)

var orders = [numOrders]string{"name", "now", "worst second", "total"}

// Screen is what somebody chose to see.
type Screen struct {
	Width, Height int
	// Color allows colours. Nothing is said by colour alone.
	Color bool
	// Order is one of ByName to ByTotal.
	Order int
	// Filter is a part of the name, MAC, ENI or a pod of interfaces to show.
	Filter string
	// Typing says that the filter is being typed.
	Typing bool
	Paused bool
	Help   bool
	// Selected is the row that is shown in full.
	Selected int
	// Source says where the document came from, and Trouble why there is no
	// newer one.
	Source, Trouble string
	// Zone is that of the times.
	Zone *time.Location
}

// allowances are the columns, in catalogue order.
var allowances = func() (list []ena.Stat) {
	for s := ena.Stat(0); s.Exceeded(); s++ {
		list = append(list, s)
	}
	return list
}()

// Draw returns the screen's lines, no more than Height and none wider than
// Width.
func (s *Screen) Draw(d *live.Document) []string {
	p := &page{screen: s}
	p.head(d)
	if s.Help {
		p.help()
		return p.finish()
	}
	rows := s.rows(d)
	s.Selected = max(0, min(s.Selected, len(rows)-1))
	p.table(rows)
	if len(rows) > 0 {
		p.detail(d, rows[s.Selected])
	}
	p.events(d)
	return p.finish()
}

// rows returns the interfaces to show, in order.
func (s *Screen) rows(d *live.Document) []live.Interface {
	var rows []live.Interface
	for _, i := range d.Interfaces {
		if s.matches(i) {
			rows = append(rows, i)
		}
	}
	key := func(i live.Interface) (n uint64) {
		for _, a := range i.Allowances {
			if stat, ok := ena.Lookup(a.Name); !ok || !stat.Exceeded() {
				continue
			}
			switch s.Order {
			case ByNow:
				n += now(a)
			case ByWorst:
				n = max(n, a.Worst)
			case ByTotal:
				n += a.Sum
			}
		}
		return n
	}
	slices.SortStableFunc(rows, func(a, b live.Interface) int {
		return cmp.Or(cmp.Compare(key(b), key(a)), strings.Compare(a.Name, b.Name))
	})
	return rows
}

func (s *Screen) matches(i live.Interface) bool {
	for _, text := range append([]string{i.Name, i.MAC, i.ENI}, i.Pods...) {
		if strings.Contains(strings.ToLower(text), strings.ToLower(s.Filter)) {
			return true
		}
	}
	return false
}

// now is the newest value, 0 if there is none.
func now(a live.Allowance) uint64 {
	if n := len(a.Values); n > 0 && a.Values[n-1] != live.NoValue {
		return uint64(a.Values[n-1])
	}
	return 0
}

// written is the newest value as text; a question mark if that second has none.
func written(a live.Allowance, write func(uint64) string) string {
	if n := len(a.Values); n > 0 && a.Values[n-1] == live.NoValue {
		return "?"
	}
	return write(now(a))
}

func allowanceOf(i live.Interface, s ena.Stat) (live.Allowance, bool) {
	for _, a := range i.Allowances {
		if a.Name == s.String() {
			return a, true
		}
	}
	return live.Allowance{}, false
}

func (s *Screen) clock(unix int64) string {
	if unix == 0 {
		return "-"
	}
	zone := s.Zone
	if zone == nil {
		zone = time.Local
	}
	return time.Unix(unix, 0).In(zone).Format(time.TimeOnly)
}

// number writes thousands apart.
func number(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// short writes a number in at most six places.
func short(n uint64) string {
	switch {
	case n < 100_000:
		return number(n)
	case n < 10_000_000:
		return fmt.Sprintf("%dk", n/1000)
	case n < 10_000_000_000:
		return fmt.Sprintf("%dM", n/1_000_000)
	}
	return fmt.Sprintf("%dG", n/1_000_000_000)
}

func span(seconds float64) string {
	return (time.Duration(seconds) * time.Second).String()
}

// bars are the heights of a sparkline. A second without a value is a dot.
var bars = []rune("▁▂▃▄▅▆▇█")

// sparkline draws the newest values, one a character, at most width of them.
func sparkline(values live.Values, width int) string {
	values = values[max(0, len(values)-width):]
	var most uint32
	for _, v := range values {
		if v != live.NoValue {
			most = max(most, v)
		}
	}
	line := make([]rune, len(values))
	for n, v := range values {
		switch {
		case v == live.NoValue:
			line[n] = '·'
		case v == 0:
			line[n] = bars[0]
		default:
			line[n] = bars[1+uint64(v)*uint64(len(bars)-2)/uint64(most)]
		}
	}
	return string(line)
}
