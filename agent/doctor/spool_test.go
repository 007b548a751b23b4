package doctor

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/store"
)

// bounds are those of a small spool.
var bounds = Bounds{MaxBytes: 1 << 20, MaxAge: 24 * time.Hour}

// closed returns the directory of a state file that an agent left behind, in
// which requests of the sink called cloudwatch wait for as long as given, of the
// given bytes each.
func closed(t *testing.T, bytes int, waiting ...time.Duration) string {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	s.Queue("cloudwatch")
	for _, d := range waiting {
		s.Commit(make([]delta.Baseline, 1), map[string][]store.Item{"cloudwatch": {{At: now.Add(-d), Points: 1, Data: make([]byte, bytes)}}})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSpool(t *testing.T) {
	running := &live.Document{Sinks: []live.Sink{{Name: "cloudwatch", Waiting: 3, WaitingBytes: 900 << 10, OldestWaiting: ago(20 * time.Minute)}, {Name: "otlp"}}}
	held := t.TempDir()
	s, err := store.Open(held, store.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	torn := closed(t, 100, time.Minute)
	if err := os.Truncate(filepath.Join(torn, "enawatch.db"), 5000); err != nil {
		t.Fatal(err)
	}
	aside := closed(t, 100)
	if err := os.WriteFile(filepath.Join(aside, "enawatch.db.broken"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		dir  string
		d    *live.Document
		want Level
	}{
		"spool-empty":         {closed(t, 100), nil, OK},
		"spool-waits":         {closed(t, 100, 3*time.Minute, 2*time.Minute), nil, OK},
		"spool-old":           {closed(t, 100, 23*time.Hour, time.Minute), nil, Warning},
		"spool-full":          {closed(t, 300<<10, time.Hour, time.Hour, time.Minute), nil, Warning},
		"spool-of-agent":      {held, &live.Document{Sinks: []live.Sink{{Name: "otlp"}}}, OK},
		"spool-full-of-agent": {held, running, Warning},
		"spool-unanswered":    {held, nil, Failed},
		"spool-absent":        {t.TempDir(), nil, Warning},
		"spool-elsewhere":     {t.TempDir(), running, Warning},
		"spool-not-its-own":   {closed(t, 100), running, Warning},
		"spool-torn":          {torn, nil, Failed},
		"spool-set-aside":     {aside, nil, Warning},
	} {
		t.Run(name, func(t *testing.T) {
			before, err := os.ReadDir(tt.dir)
			if err != nil {
				t.Fatal(err)
			}
			checks := Spool(tt.dir, bounds, tt.d, now)
			if got := Worst(checks); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			for i := range checks {
				checks[i].Found = strings.ReplaceAll(checks[i].Found, tt.dir, "/var/lib/enawatch")
				checks[i].Remedy = strings.ReplaceAll(checks[i].Remedy, tt.dir, "/var/lib/enawatch")
			}
			golden(t, name, checks)
			if after, err := os.ReadDir(tt.dir); err != nil || len(after) != len(before) {
				t.Errorf("the directory has %d files instead of %d: %v", len(after), len(before), err)
			}
		})
	}
	if _, ok := s.Queue("cloudwatch").Oldest(); ok {
		t.Error("the agent has what it did not put there")
	}
}

// A full disk is told before the spool needs it.
func TestDisk(t *testing.T) {
	checks := disk(t.TempDir(), Bounds{MaxBytes: 1 << 60})
	if len(checks) != 1 || checks[0].Level != Warning || !strings.Contains(checks[0].Found, "left, and the spool may take 1073741824.0 GiB") {
		t.Errorf("%+v", checks)
	}
}
