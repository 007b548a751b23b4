package awsclient

import (
	"strings"
	"testing"
)

func TestFirstLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "no reason given",
		" \n ":                             "no reason given",
		"one\ntwo":                         "one",
		"\r\none\r\ntwo":                   "one",
		"so. The Canonical String is: tok": "so.",
		"a\tb\x00c\x7fd":                   "a?b?c?d",
		"a\xffb":                           "a?b",
		strings.Repeat("ä", 200):           strings.Repeat("ä", 150),
		"x" + strings.Repeat("ä", 150):     "x" + strings.Repeat("ä", 149) + "?",
	} {
		if got := FirstLine(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
