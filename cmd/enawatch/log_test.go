package main

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/config"
)

// Loggers that were made before a reload log as the new configuration says.
func TestTurnout(t *testing.T) {
	var out strings.Builder
	turnout := newTurnout(newHandler(&out, config.Log{Level: "warn", Format: "text"}))
	log := slog.New(turnout).With("sink", "emf")
	group := log.WithGroup("g").With("a", 1)
	log.Info("left out")
	log.Warn("one")
	turnout.set(newHandler(&out, config.Log{Level: "info", Format: "json"}))
	log.Info("two")
	group.Info("three", "b", 2)
	var got []string
	for line := range strings.Lines(out.String()) {
		_, rest, _ := strings.Cut(line, "level")
		got = append(got, strings.TrimSpace(rest))
	}
	want := []string{`=WARN msg=one sink=emf`, `":"INFO","msg":"two","sink":"emf"}`, `":"INFO","msg":"three","sink":"emf","g":{"a":1,"b":2}}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
