package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/top"
)

func TestTopOnce(t *testing.T) {
	text, message, code := execute(t, "top", "--once", "--simulate=dns-burst")
	if code != 0 || !strings.Contains(text, "ens5  valid") || !strings.Contains(text, "SIMULATED") || strings.Contains(text, "\x1b") {
		t.Errorf("exit code %d, %s:\n%s", code, message, text)
	}
	text, message, code = execute(t, "top", "--once", "--json", "--simulate=dns-burst")
	var d live.Document
	if err := json.Unmarshal([]byte(text), &d); code != 0 || err != nil || len(d.Interfaces) != 1 || !d.Simulated {
		t.Errorf("exit code %d, %s, %v:\n%s", code, message, err, text)
	}
	if _, message, code := execute(t, "top", "--json"); code != exitUsage || !strings.Contains(message, "--once") {
		t.Errorf("--json alone: exit code %d, %s", code, message)
	}
}

// An agent that was named and does not answer is an error, not a reason to read
// the kernel; and no password is told.
func TestTopAsksTheAgentThatIsNamed(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	url := strings.Replace(s.URL, "//", "//user:secret@", 1)
	_, message, code := execute(t, "top", "--once", "--url", url)
	if code != exitFailed || !strings.Contains(message, "404") || strings.Contains(message, "secret") {
		t.Errorf("exit code %d, %s", code, message)
	}
}

func TestTopLoop(t *testing.T) {
	asked := 0
	f := &feed{name: "a test", next: func(context.Context) (*live.Document, error) {
		if asked++; asked > 1 {
			return nil, errors.New("the agent went away")
		}
		return &live.Document{Host: "node-1", Times: []int64{1}}, nil
	}}
	var out bytes.Buffer
	screen := &top.Screen{Source: f.name}
	size := func() (int, int, error) { return 60, 20, nil }
	if err := topLoop(t.Context(), f, screen, keys(strings.NewReader("j\x1b[B/ens\rq")), size, &out); err != nil {
		t.Fatal(err)
	}
	if screen.Filter != "ens" || screen.Width != 60 || !strings.Contains(out.String(), "node-1") {
		t.Errorf("%+v:\n%q", screen, out.String())
	}
}
