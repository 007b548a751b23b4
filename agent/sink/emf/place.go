package emf

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/enawatch/enawatch/agent/metric"
)

// maxPlace is how long the names of a log group and a log stream may be, in
// characters (API_PutLogEvents).
const maxPlace = 512

// Placeholders in the names of log groups and log streams.
const (
	instancePlaceholder = "{instance_id}"
	hostPlaceholder     = "{host}"
)

// checkPlace reports what CloudWatch Logs would refuse of the templates of a
// group's and a stream's name.
func checkPlace(group, stream string) error {
	plain := expand(group, "x", "x")
	switch {
	case plain == "" || len(plain) > maxPlace || strings.ContainsFunc(plain, notInGroup):
		return fmt.Errorf("log group: the name must be 1 to %d of A-Z, a-z, 0-9 and -_./#, or %s or %s", maxPlace, instancePlaceholder, hostPlaceholder)
	case strings.HasPrefix(plain, "aws/"):
		return errors.New("log group: names that begin with aws/ are reserved: choose another")
	}
	plain = expand(stream, "x", "x")
	if plain == "" || utf8.RuneCountInString(plain) > maxPlace || strings.ContainsFunc(plain, notInStream) || strings.ContainsAny(plain, "{}") {
		return fmt.Errorf("log stream: the name must be 1 to %d characters without : * { and }, or %s or %s", maxPlace, instancePlaceholder, hostPlaceholder)
	}
	return nil
}

func notInGroup(r rune) bool {
	return r > '~' || !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./#", r))
}

func notInStream(r rune) bool {
	return r == ':' || r == '*' || unicode.IsControl(r) || r == utf8.RuneError
}

func expand(template, instance, host string) string {
	return strings.NewReplacer(instancePlaceholder, instance, hostPlaceholder, host).Replace(template)
}

// place returns the names of group and stream for a host. What its names have
// that CloudWatch Logs does not take becomes "_".
func place(group, stream string, r *metric.Resource) (string, string) {
	instance := r.InstanceID
	if instance == "" {
		instance = r.Host
	}
	return fit(expand(group, instance, r.Host), notInGroup), fit(expand(stream, instance, r.Host), notInStream)
}

// fit replaces what is bad in a name, and cuts what is too long.
func fit(name string, bad func(rune) bool) string {
	runes := []rune(name)
	for i, r := range runes {
		if bad(r) {
			runes[i] = '_'
		}
	}
	return string(runes[:min(len(runes), maxPlace)])
}
