package incident

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/enawatch/enawatch/agent/live"
)

// Bounds of a file that Parse accepts: a day of seconds, with room for clocks that
// jump, of more interfaces than an instance has.
const (
	maxFile       = 1 << 30
	maxDaySeconds = 200_000
)

// Parse reads an incident that record export or the live page has written. An
// error says in one line what is wrong with it, and where.
func Parse(in io.Reader) (*live.Document, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxFile:
		return nil, fmt.Errorf("it is larger than %d MiB", maxFile>>20)
	case len(bytes.TrimSpace(text)) == 0:
		return nil, errors.New("it is empty")
	}
	d := &live.Document{}
	var members map[string]json.RawMessage
	err = json.Unmarshal(text, &members)
	if err == nil {
		for _, name := range []string{"times", "interfaces", "events", "step"} {
			if _, ok := members[name]; !ok {
				return nil, fmt.Errorf("it has no member %q: give a file that enawatch record export or the live page has written", name)
			}
		}
		err = json.Unmarshal(text, d)
	}
	if err != nil {
		return nil, located(text, err)
	}
	return d, check(d)
}

// located says where in the text an error of JSON is.
func located(text []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	at := int64(-1)
	switch {
	case errors.As(err, &syntax):
		at = syntax.Offset
	case errors.As(err, &kind):
		at = kind.Offset
		err = fmt.Errorf("%s where a %s belongs", kind.Value, kind.Type)
		if kind.Field != "" {
			err = fmt.Errorf("%s: %w", kind.Field, err)
		}
	}
	if at < 0 || at > int64(len(text)) {
		return fmt.Errorf("it is no incident: %w", err)
	}
	before := text[:at]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - (bytes.LastIndexByte(before, '\n') + 1)
	return fmt.Errorf("it is no incident: line %d, column %d: %w", line, column, err)
}

// check says what of a document contradicts itself.
func check(d *live.Document) error {
	n := len(d.Times)
	switch {
	case d.Step < 1 || d.Step > 3600:
		return fmt.Errorf("step is %v: it must be 1 to 3600 seconds", d.Step)
	case n > maxDaySeconds:
		return fmt.Errorf("times has %d seconds: at most %d are read", n, maxDaySeconds)
	case len(d.Interfaces) > maxInterfaces:
		return fmt.Errorf("interfaces has %d: at most %d are read", len(d.Interfaces), maxInterfaces)
	}
	for k, t := range d.Times {
		if t < 0 || t > 1<<33 {
			return fmt.Errorf("times[%d] is %d: it must be Unix seconds", k, t)
		}
	}
	quiet := int64(0)
	for k, q := range d.Quiet {
		if q[0] > q[1] || q[0] < 0 || q[1] > 1<<33 {
			return fmt.Errorf("quiet[%d] is %v: it must be a span of Unix seconds", k, q)
		}
		if quiet += q[1] - q[0]; quiet > maxDaySeconds {
			return fmt.Errorf("quiet has more than %d seconds", maxDaySeconds)
		}
	}
	for k, i := range d.Interfaces {
		if len(i.States) != n {
			return fmt.Errorf("interfaces[%d].states has %d letters for %d times", k, len(i.States), n)
		}
		if at := strings.IndexFunc(i.States, func(c rune) bool { return !strings.ContainsRune(".bvsgm", c) }); at >= 0 {
			return fmt.Errorf("interfaces[%d].states[%d] is %q: it must be one of . b v s g m", k, at, i.States[at])
		}
		var err error
		each(&i, func(name string, v live.Values) {
			if len(v) != n && err == nil {
				err = fmt.Errorf("interfaces[%d]: %.80q has %d values for %d times", k, name, len(v), n)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
