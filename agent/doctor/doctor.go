// Package doctor finds what keeps counters from where they should go: each
// check says ok, warning or failed, and what to do.
//
// It changes nothing and stores nothing: what it asks of a destination is a
// request that is refused, or that has nothing in it. Of the link-local budget it
// takes what a start of the agent takes: a few packets.
package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Level is how well a check went.
type Level string

const (
	OK      Level = "ok"
	Warning Level = "warning"
	Failed  Level = "failed"
)

// Check is one finding.
type Check struct {
	Name  string `json:"check"`
	Level Level  `json:"level"`
	Found string `json:"found"`
	// Remedy says what to do, "" where nothing is to be done.
	Remedy string `json:"remedy,omitempty"`
}

// fine is a check with nothing to be done.
func fine(name, format string, args ...any) Check {
	return Check{Name: name, Level: OK, Found: fmt.Sprintf(format, args...)}
}

// Worst returns the worst level of checks.
func Worst(checks []Check) Level {
	worst := OK
	for _, c := range checks {
		if c.Level == Failed || c.Level == Warning && worst == OK {
			worst = c.Level
		}
	}
	return worst
}

// Part is some checks that are made together.
type Part struct {
	Name string
	// Run makes them. It may wait as long as its context lasts.
	Run func(context.Context) []Check
}

// Run makes the checks of all parts at once and hands them to show in the order
// of the parts, as soon as those before are there. A part that takes longer than
// limit has failed, and is not waited for.
func Run(ctx context.Context, limit time.Duration, parts []Part, show func([]Check)) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// One that does not heed its context gets a moment more than it.
	late := time.NewTimer(limit + time.Second)
	defer late.Stop()
	results := make([]chan []Check, len(parts))
	for i, p := range parts {
		results[i] = make(chan []Check, 1)
		go func() { results[i] <- p.Run(ctx) }()
	}
	expired := false
	for i, p := range parts {
		if !expired {
			select {
			case checks := <-results[i]:
				show(checks)
				continue
			case <-late.C:
				expired = true
			}
		}
		select {
		case checks := <-results[i]:
			show(checks)
		default:
			show([]Check{{p.Name, Failed, fmt.Sprintf("no answer within %s", limit), "look at what this host is busy with, and run doctor again"}})
		}
	}
}

// count returns "1 interface", "2 interfaces".
func count[N int | int64 | uint64](n N, what string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// span writes how long something is, to the second: "23h", "1h5m".
func span(d time.Duration) string {
	text := d.Round(time.Second).String()
	if short, ok := strings.CutSuffix(text, "m0s"); ok {
		text = strings.TrimSuffix(short+"m", "h0m")
		if strings.HasSuffix(short, "h0") {
			text += "h"
		}
	}
	return text
}
