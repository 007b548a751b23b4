package top

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/live"
)

var update = flag.Bool("update", false, "write the golden files")

const moment = 1_795_000_000

// trouble is a document of four interfaces: one exceeds an allowance, one can't
// be believed, one left, one has an old driver.
func trouble() *live.Document {
	d := &live.Document{Host: "node-1", InstanceID: "i-0123456789abcdef0", Step: 1,
		Headroom: &live.Headroom{Available: 42_000, Slope: -120, SecondsLeft: 350},
		Sinks:    []live.Sink{{Name: "cloudwatch", Waiting: 3, Problem: "access denied"}, {Name: "emf", Delivered: 12}},
		Events: []live.Event{
			{Seq: 1, At: moment - 50, Kind: "attach", Interface: "ens5", Text: "reading an ENA interface"},
			{Seq: 2, At: moment - 2, Kind: "publish_failed", Sink: "cloudwatch", Text: "access denied"},
		},
	}
	values := func(f func(n int) uint32) (v live.Values) {
		for n := range 60 {
			v = append(v, f(n))
		}
		return v
	}
	zero := values(func(int) uint32 { return 0 })
	burst := values(func(n int) uint32 { return uint32(max(0, n-50)) * 90 })
	for n := range 60 {
		d.Times = append(d.Times, moment-59+int64(n))
	}
	row := func(name, verdict string, linklocal live.Values, worst, sum uint64) live.Interface {
		i := live.Interface{Name: name, MAC: "06:00:00:00:00:" + name[3:], Driver: "2.13.3g", Verdict: verdict}
		for _, s := range allowances {
			i.Allowances = append(i.Allowances, live.Allowance{Name: s.String(), Values: zero})
		}
		last := &i.Allowances[len(i.Allowances)-1]
		last.Values, last.Worst, last.Sum = linklocal, worst, sum
		if worst > 0 {
			last.WorstAt = moment
		}
		return i
	}
	a := row("ens05", "valid", burst, 810, 1_234_567)
	a.Pods = []string{"kube-system/coredns-5d78c9869d-x2x7k"}
	b := row("ens06", "suspect", values(func(n int) uint32 {
		if n > 40 {
			return live.NoValue
		}
		return 7
	}), 7, 280)
	b.Reason = "an admin command was never completed"
	c := row("ens07", "valid", zero, 0, 0)
	c.Left = true
	old := row("ens10", "valid", zero, 0, 0)
	old.Allowances = nil
	d.Interfaces = []live.Interface{old, a, b, c}
	return d
}

func TestScreens(t *testing.T) {
	screens := map[string]Screen{
		"80x24":          {Width: 80, Height: 24, Order: ByNow},
		"80x24-colour":   {Width: 80, Height: 24, Order: ByNow, Color: true},
		"120x40":         {Width: 120, Height: 40, Selected: 1},
		"suspect":        {Width: 80, Height: 24, Filter: "ens06"},
		"old-driver":     {Width: 80, Height: 24, Filter: "ens10", Typing: true},
		"by-pod":         {Width: 80, Height: 24, Filter: "CoreDNS", Paused: true},
		"no-match":       {Width: 80, Height: 24, Filter: "eth9"},
		"help":           {Width: 80, Height: 24, Help: true},
		"agent-is-gone":  {Width: 80, Height: 24, Trouble: "ask the agent: connection refused"},
		"very-small":     {Width: 30, Height: 8},
		"smaller-than-a": {Width: 3, Height: 2},
	}
	for name, s := range screens {
		t.Run(name, func(t *testing.T) {
			s.Zone, s.Source = time.UTC, "the agent at http://127.0.0.1:9109"
			lines := s.Draw(trouble())
			if len(lines) != s.Height {
				t.Errorf("%d lines on a screen of %d", len(lines), s.Height)
			}
			for _, line := range lines {
				if n := utf8.RuneCountInString(visible(line)); n > s.Width {
					t.Errorf("%d columns on a screen of %d: %q", n, s.Width, line)
				}
			}
			golden(t, name, strings.Join(lines, "\n")+"\n")
		})
	}
}

// The document of these screens, as an agent sends it: test/beds/browser has the
// real program draw them in a real terminal.
func TestDocument(t *testing.T) {
	text, err := json.MarshalIndent(trouble(), "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "document", string(text)+"\n")
}

func TestReport(t *testing.T) { golden(t, "report", Report(trouble(), 100, time.UTC)) }

// A host without anything is no reason to fall over.
func TestEmptyDocument(t *testing.T) {
	s := Screen{Width: 80, Height: 24}
	if text := strings.Join(s.Draw(&live.Document{}), "\n"); !strings.Contains(text, "no ENA interface") {
		t.Error(text)
	}
}

// visible is a line without what makes it look so.
func visible(line string) string {
	for {
		at := strings.IndexByte(line, '\x1b')
		if at < 0 {
			return line
		}
		end := at + strings.IndexByte(line[at:], 'm') + 1
		line = line[:at] + line[end:]
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestOrders(t *testing.T) {
	for order, first := range map[int]string{ByName: "ens05", ByNow: "ens05", ByWorst: "ens05", ByTotal: "ens05"} {
		s := Screen{Order: order}
		d := trouble()
		if order == ByTotal {
			d.Interfaces[2].Allowances[0].Sum, first = 2_000_000, "ens06"
		}
		if order == ByWorst {
			d.Interfaces[2].Allowances[0].Worst, first = 900, "ens06"
		}
		if got := s.rows(d)[0].Name; got != first {
			t.Errorf("by %s: first is %s, want %s", orders[order], got, first)
		}
	}
}

func TestKeys(t *testing.T) {
	tests := []struct {
		keys []string
		want Screen
		quit bool
	}{
		{[]string{"j", "j", "k"}, Screen{Selected: 1}, false},
		{[]string{"\x1b[B", "\x1bOB", "\x1b[A"}, Screen{Selected: 1}, false},
		{[]string{"s", "s"}, Screen{Order: ByWorst}, false},
		{[]string{"s", "s", "s", "s"}, Screen{Order: ByName}, false},
		{[]string{"p"}, Screen{Paused: true}, false},
		{[]string{"p", " "}, Screen{}, false},
		{[]string{"/", "q", "é", "x", "\x7f", "\r"}, Screen{Filter: "qé"}, false},
		{[]string{"/", "a", "\x1b[A", "\x1b"}, Screen{}, false},
		{[]string{"/", "a", "\r", "\x1b"}, Screen{}, false},
		{[]string{"?"}, Screen{Help: true}, false},
		{[]string{"q"}, Screen{}, true},
		{[]string{"\x03"}, Screen{}, true},
		{[]string{"/", "\x03"}, Screen{Typing: true}, true},
	}
	for _, tt := range tests {
		var s Screen
		quit := false
		for _, k := range tt.keys {
			quit = s.Key(k)
		}
		if diff := cmp.Diff(tt.want, s); diff != "" || quit != tt.quit {
			t.Errorf("%q: quit %v, want %v (-want +got):\n%s", tt.keys, quit, tt.quit, diff)
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[uint64][2]string{
		0: {"0", "0"}, 999: {"999", "999"}, 1234: {"1,234", "1,234"}, 99_999: {"99,999", "99,999"},
		100_000: {"100,000", "100k"}, 12_345_678: {"12,345,678", "12M"}, 1 << 32: {"4,294,967,296", "4294M"},
	} {
		if got := [2]string{number(n), short(n)}; got != want {
			t.Errorf("%d: %v, want %v", n, got, want)
		}
	}
	if got := fmt.Sprint(sparkline(live.Values{0, live.NoValue, 1, 5, 10}, 4)); got != "·▂▅█" {
		t.Errorf("sparkline %q", got)
	}
}

// Where link-local traffic is counted, the screen says who spends the budget.
func TestLinkLocal(t *testing.T) {
	d := trouble()
	d.LinkLocal = &live.LinkLocal{
		Interfaces: []live.Budget{
			{Name: "ens05", MAC: "06:00:00:00:00:05", PeakPPS: 1100, Used: 107.4, Services: []live.Service{{Name: "dns", Packets: 51234}}, Unanswered: 3},
			{Name: "ens06", MAC: "06:00:00:00:00:06", PeakPPS: 20, Used: 2},
		},
		Senders: []live.Sender{{Name: "kube-system/coredns", Packets: 41000, PeakPPS: 900}}, Others: 12,
	}
	s := Screen{Width: 110, Height: 30, Filter: "ens05", Zone: time.UTC, Color: true}
	text := strings.Join(s.Draw(d), "\n")
	for _, want := range []string{
		"link-local, last minute: kube-system/coredns 41,000, others 12\n",
		"\x1b[1;31m  link-local budget: 107.4% used, 1,100 packets in the fullest second of a minute; dns 51,234; 3 DNS queries …\x1b[0m",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if n := strings.Count(text, "\n") + 1; n != 30 {
		t.Errorf("%d lines, want 30", n)
	}
	s.Filter = "ens06"
	if text := strings.Join(s.Draw(d), "\n"); !strings.Contains(text, "\n  link-local budget: 2.0% used, 20 packets in the fullest second of a minute\n") {
		t.Errorf("of the quiet interface:\n%s", text)
	}
	if s.Filter = "ens07"; strings.Contains(strings.Join(s.Draw(d), "\n"), "budget:") {
		t.Error("a budget of an interface that is not counted")
	}
}

// Names that others choose command no terminal.
func TestNamesCommandNothing(t *testing.T) {
	p := &page{screen: &Screen{Width: 80, Height: 24}}
	p.add(plain, "sent by %s", "\x1b]0;owned\a\x1b[2J\r\nroot# \u202e\u009b")
	if line := p.lines[0]; strings.ContainsAny(line, "\x1b\a\r\n\u202e\u009b") || !strings.Contains(line, "root# ") {
		t.Errorf("the line is %q", line)
	}
}
