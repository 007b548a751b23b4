// Package doctor finds what keeps counters from where they should go: each
// check says ok, warning or failed, and what to do.
package doctor

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
)

// Level is how well a check went.
type Level string

const (
	OK      Level = "ok"
	Warning Level = "warning"
	Failed  Level = "failed"
)

// Check is one line of the report.
type Check struct {
	Name  string `json:"check"`
	Level Level  `json:"level"`
	Found string `json:"found"`
	// Remedy says what to do, "" where nothing is to be done.
	Remedy string `json:"remedy,omitempty"`
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

// Write writes checks as a table, each remedy under its line.
func Write(w io.Writer, checks []Check) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range checks {
		fmt.Fprintf(t, "%s\t%s\t%s\n", c.Level, c.Name, c.Found)
		if c.Remedy != "" {
			fmt.Fprintf(t, "\t\t→ %s\n", c.Remedy)
		}
	}
	return t.Flush()
}

// Reading is one interface and what a reading of it said.
type Reading struct {
	Interface metric.Interface
	Verdict   ena.Verdict
	Reason    ena.Reason
	Has       ena.Set // stats that its driver lists
}

// Interfaces checks drivers and readings.
func Interfaces(readings []Reading) []Check {
	if len(readings) == 0 {
		return []Check{{"interfaces", Failed, "this host has no ENA interface", "enawatch reads the ena driver only: is this a Nitro instance, in the host's network namespace?"}}
	}
	var checks []Check
	for _, r := range readings {
		name := "interface " + r.Interface.Name
		if r.Verdict != ena.Valid {
			checks = append(checks, Check{name, Failed, fmt.Sprintf("the reading is %s: %s", r.Verdict, r.Reason),
				"the device does not answer its driver: look at dmesg for \"ena\"; if it stays, update the driver or stop and start the instance"})
			continue
		}
		checks = append(checks, driver(name, r))
	}
	return checks
}

// driver says which allowances the driver does not tell of.
func driver(name string, r Reading) Check {
	var missing []string
	level, since := OK, ""
	for s, e := range ena.Catalogue() {
		if e.Allowance == "" || r.Has.Has(ena.Stat(s)) {
			continue
		}
		missing = append(missing, e.Name)
		if ena.Stat(s).Exceeded() {
			level, since = Failed, e.Since
		} else if level == OK {
			level, since = Warning, e.Since
		}
	}
	if level == OK {
		return Check{Name: name, Level: OK, Found: "driver " + r.Interface.DriverVersion + " has every allowance, and the device answers"}
	}
	return Check{name, level, fmt.Sprintf("driver %s lacks %s", r.Interface.DriverVersion, strings.Join(missing, ", ")), "update the ENA driver or the kernel: they come with " + since}
}

// late is how long a destination may go without success: several windows.
const late = 10 * time.Minute

// Agent checks the agent that answered with d, or that did not, for the reason
// unreached.
func Agent(d *live.Document, unreached error, now time.Time) []Check {
	if unreached != nil {
		return []Check{{"agent", Failed, unreached.Error(), "start it (systemctl start enawatch) and read its log; if it listens elsewhere, name it by --url"}}
	}
	c := Check{Name: "agent", Level: OK, Found: fmt.Sprintf("version %s runs and reads %d interfaces", d.Version, len(d.Interfaces))}
	if n := len(d.Times); n == 0 || now.Sub(time.Unix(d.Times[n-1], 0)).Abs() > time.Minute {
		c = Check{"agent", Failed, "it answers, but its newest reading is older than a minute", "read its log: the kernel may hold up its readings, or this host's clock was set"}
	}
	checks := []Check{c}
	for _, s := range d.Sinks {
		checks = append(checks, destination(s, now))
	}
	return checks
}

// destination checks how one sink fares.
func destination(s live.Sink, now time.Time) Check {
	name := "sink " + s.Name
	since := "never"
	if s.LastSuccess > 0 {
		since = now.Sub(time.Unix(int64(s.LastSuccess), 0)).Round(time.Second).String() + " ago"
	}
	switch {
	case s.Problem != "":
		return Check{name, Failed, fmt.Sprintf("%s (last success %s, %.0f requests wait)", s.Problem, since, s.Waiting), "mend what it says: what waits is delivered then"}
	case s.LastSuccess > 0 && s.Waiting > 0 && now.Sub(time.Unix(int64(s.LastSuccess), 0)) > late:
		return Check{name, Failed, fmt.Sprintf("%.0f requests wait, last success %s", s.Waiting, since), "see the agent's log"}
	case s.Dropped > 0:
		return Check{name, Warning, fmt.Sprintf("%.0f data were dropped since the agent started", s.Dropped), "see the agent's log for why; docs/delivery.md says what each reason means"}
	case s.Ambiguous > 0:
		return Check{name, Warning, fmt.Sprintf("%.0f data may count twice: no answer came", s.Ambiguous), "nothing, if it does not repeat: the way to the destination cuts connections"}
	case s.Delivered == 0:
		return Check{name, Warning, "nothing was delivered yet", "wait for the end of a window, then look again"}
	}
	return Check{Name: name, Level: OK, Found: fmt.Sprintf("%.0f delivered, %.0f wait", s.Delivered, s.Waiting)}
}
