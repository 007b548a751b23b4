package awsclient

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"30":                            30 * time.Second,
		"Mon, 23 Nov 2026 11:01:00 GMT": time.Minute, // the service's clock is an hour ahead
		"Mon, 23 Nov 2026 09:01:00 GMT": 0,
		"soon":                          0,
		"-5":                            0,
		"1e9":                           0,
		"999999":                        maxRetryAfter,
		"99999999999999999999":          0,
		"Fri, 23 Nov 2035 10:01:00 GMT": maxRetryAfter,
	} {
		x := Exchange{at: at, Header: http.Header{"Date": {"Mon, 23 Nov 2026 11:00:00 GMT"}, "Retry-After": {value}}}
		if got := x.RetryAfter(); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

// TestSkew: a cache's answer has the Date of another day.
func TestSkew(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 4e8, time.UTC)
	for _, tt := range []struct {
		date, age string
		want      time.Duration
		ok        bool
	}{
		{"Mon, 23 Nov 2026 10:00:00 GMT", "", 0, true},
		{"Mon, 23 Nov 2026 11:00:00 GMT", "", time.Hour, true},
		{"Mon, 23 Nov 2026 11:00:00 GMT", "3600", 0, false},
		{"yesterday", "", 0, false},
		{"", "", 0, false},
	} {
		x := Exchange{at: at, Header: http.Header{"Date": {tt.date}, "Age": {tt.age}}}
		if got, ok := x.Skew(); got != tt.want || ok != tt.ok {
			t.Errorf("%+v: %v, %v", tt, got, ok)
		}
	}
}
