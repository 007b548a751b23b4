package doctor

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
)

var update = flag.Bool("update", false, "write the golden files")

// reading is one whose driver has the stats up to last.
func reading(last ena.Stat) Reading {
	r := Reading{Interface: metric.Interface{Name: "ens5", DriverVersion: "2.13.3g"}}
	for s := ena.Stat(0); s <= last; s++ {
		r.Has.Add(s)
	}
	return r
}

func TestEachSetup(t *testing.T) {
	now := time.Unix(1_795_000_000, 0)
	suspect := reading(ena.ConntrackAllowanceAvailable)
	suspect.Verdict, suspect.Reason = ena.Suspect, ena.AdminNoAnswer
	agent := func(s live.Sink) []Check {
		return Agent(&live.Document{Version: "1.2.3", Times: []int64{now.Unix()}, Interfaces: make([]live.Interface, 2), Sinks: []live.Sink{s}}, nil, now)
	}
	ago := func(d time.Duration) float64 { return float64(now.Add(-d).Unix()) }
	for name, tt := range map[string]struct {
		checks []Check
		want   Level
	}{
		"well":             {append(Interfaces([]Reading{reading(ena.ConntrackAllowanceAvailable)}), agent(live.Sink{Name: "cloudwatch", Delivered: 9, LastSuccess: ago(time.Minute)})...), OK},
		"no-interface":     {Interfaces(nil), Failed},
		"no-answer":        {Interfaces([]Reading{suspect}), Failed},
		"no-connections":   {Interfaces([]Reading{reading(ena.LinklocalAllowanceExceeded)}), Warning},
		"old-driver":       {Interfaces([]Reading{{Interface: metric.Interface{Name: "ens5", DriverVersion: "2.1.0"}}}), Failed},
		"no-agent":         {Agent(nil, errors.New("ask the agent: connection refused"), now), Failed},
		"agent-stands":     {Agent(&live.Document{Times: []int64{now.Unix() - 300}}, nil, now), Failed},
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
			for _, c := range tt.checks {
				if (c.Remedy == "") != (c.Level == OK) {
					t.Errorf("%s is %s and its remedy is %q", c.Name, c.Level, c.Remedy)
				}
			}
			var text strings.Builder
			if err := Write(&text, tt.checks); err != nil {
				t.Fatal(err)
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
		})
	}
}
