package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestDoctor(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	text, message, code := execute(t, "doctor", "--simulate=dns-burst", "--url", s.URL)
	if code != exitFailed || !strings.Contains(text, "ok      interface ens5") || !strings.Contains(text, "failed  agent") {
		t.Errorf("exit code %d, %s:\n%s", code, message, text)
	}
}
