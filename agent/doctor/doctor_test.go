package doctor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
)

var update = flag.Bool("update", false, "write the golden files")

// reading is one whose driver has the stats up to last.
func reading(last ena.Stat) Reading {
	r := Reading{Interface: metric.Interface{Name: "ens5", DriverVersion: "2.13.3g"}, Values: map[ena.Stat]uint64{}}
	for s := ena.Stat(0); s <= last; s++ {
		r.Values[s] = 0
	}
	return r
}

// golden compares checks, as they look in a terminal of 80 columns, with a file.
func golden(t *testing.T, name string, checks []Check) {
	t.Helper()
	for _, c := range checks {
		if (c.Remedy == "") != (c.Level == OK) {
			t.Errorf("%s is %s and its remedy is %q", c.Name, c.Level, c.Remedy)
		}
	}
	var text strings.Builder
	r := &Report{W: &text, Width: 80}
	r.Add(checks)
	if err := r.End(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		if n := utf8.RuneCountInString(line); n > 81 && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("a line has %d characters: %s", n-1, line)
		}
	}
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

var now = time.Unix(1_795_000_000, 0)

func ago(d time.Duration) float64 { return float64(now.Add(-d).Unix()) }

func TestDevicesAndAgent(t *testing.T) {
	devices := func(readings ...Reading) []Check {
		return Interfaces(readings, nil, func(i metric.Interface) bool { return i.Name != "ens9" })
	}
	suspect, lossy, left := reading(ena.ConntrackAllowanceAvailable), reading(ena.ConntrackAllowanceAvailable), reading(ena.ConntrackAllowanceAvailable)
	suspect.Verdict, suspect.Reason = ena.Suspect, ena.AdminNoAnswer
	lossy.Values[ena.AdminNoCompletion], lossy.Values[ena.AdminAborted] = 12, 3
	left.Interface.Name = "ens9"
	agent := func(s live.Sink) []Check {
		return Agent(&live.Document{Version: "1.2.3", Times: []int64{now.Unix()}, Interfaces: make([]live.Interface, 2), Sinks: []live.Sink{s, {Name: "state"}}}, nil, "1.2.3", now)
	}
	for name, tt := range map[string]struct {
		checks []Check
		want   Level
	}{
		"well":             {append(devices(reading(ena.ConntrackAllowanceAvailable), left), agent(live.Sink{Name: "cloudwatch", Delivered: 9, LastSuccess: ago(time.Minute)})...), OK},
		"no-interface":     {devices(), Failed},
		"no-netlink":       {Interfaces(nil, errors.New("look for ENA interfaces: socket: operation not permitted"), nil), Failed},
		"none-read":        {devices(left), Failed},
		"no-answer":        {devices(suspect), Failed},
		"lost-commands":    {devices(lossy), Warning},
		"no-connections":   {devices(reading(ena.LinklocalAllowanceExceeded)), Warning},
		"old-driver":       {devices(Reading{Interface: metric.Interface{Name: "ens5", DriverVersion: "2.1.0"}}), Failed},
		"no-agent":         {Agent(nil, errors.New("ask the agent: connection refused"), "1.2.3", now), Failed},
		"agent-stands":     {Agent(&live.Document{Times: []int64{now.Unix() - 300}}, nil, "1.2.3", now), Failed},
		"other-version":    {Agent(&live.Document{Version: "1.2.2", Times: []int64{now.Unix()}, Interfaces: make([]live.Interface, 1)}, nil, "1.2.3", now), Warning},
		"access-denied":    {agent(live.Sink{Name: "cloudwatch", Waiting: 3, Problem: "AccessDenied: allow cloudwatch:PutMetricData"}), Failed},
		"destination-late": {agent(live.Sink{Name: "cloudwatch", Waiting: 20, LastSuccess: ago(time.Hour)}), Failed},
		"dropped":          {agent(live.Sink{Name: "cloudwatch", Delivered: 9, Dropped: 4, LastSuccess: ago(time.Minute)}), Warning},
		"ambiguous":        {agent(live.Sink{Name: "cloudwatch", Delivered: 9, Ambiguous: 2, LastSuccess: ago(time.Minute)}), Warning},
		"nothing-yet":      {agent(live.Sink{Name: "emf"}), Warning},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Worst(tt.checks); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			golden(t, name, tt.checks)
		})
	}
}

// Parts run at once, are shown in order, and one that hangs is not waited for.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		part := func(name string, takes time.Duration) Part {
			return Part{name, func(context.Context) []Check {
				time.Sleep(takes) // of the bubble's time
				return []Check{fine(name, "after %s", time.Since(start))}
			}}
		}
		var shown []string
		Run(t.Context(), 5*time.Second, []Part{part("slow", 2*time.Second), part("quick", 0), part("hung", time.Hour), part("hung too", time.Hour), part("last", time.Second)}, func(checks []Check) {
			for _, c := range checks {
				shown = append(shown, fmt.Sprintf("%s %s %s: %s", time.Since(start), c.Level, c.Name, c.Found))
			}
		})
		want := []string{
			"2s ok slow: after 2s", "2s ok quick: after 0s", "6s failed hung: no answer within 5s", "6s failed hung too: no answer within 5s", "6s ok last: after 1s",
		}
		if diff := cmp.Diff(want, shown); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		time.Sleep(time.Hour) // those that hung come to their end
	})
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1400 * time.Millisecond: "1s", time.Minute: "1m", 90 * time.Second: "1m30s", time.Hour: "1h", 65 * time.Minute: "1h5m", 23 * time.Hour: "23h", 10 * time.Hour: "10h", 10*time.Hour + time.Second: "10h0m1s",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is written %q, want %q", d, got, want)
		}
	}
}

// Without a terminal, a check is a line; a broken pipe is an error.
func TestReport(t *testing.T) {
	checks := []Check{{"a", Warning, strings.Repeat("long ", 40), strings.Repeat("more ", 40)}}
	var text strings.Builder
	r := &Report{W: &text, Color: true}
	r.Add(checks)
	if err := r.End(); err != nil || strings.Count(text.String(), "\n") != 4 || !strings.HasPrefix(text.String(), "\x1b[33mwarning\x1b[0m  a: long") {
		t.Errorf("%v, %q", err, text.String())
	}
	broken := &Report{W: brokenPipe{}}
	broken.Add(checks)
	if err := broken.End(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v", err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
