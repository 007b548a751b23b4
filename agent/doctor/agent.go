package doctor

import (
	"fmt"
	"time"

	"github.com/enawatch/enawatch/agent/live"
)

// late is how long a destination may go without success: several windows.
const late = 10 * time.Minute

// Agent checks the agent that answered with d, or that did not, for the reason
// unreached. version is that of the program that asks.
func Agent(d *live.Document, unreached error, version string, now time.Time) []Check {
	if unreached != nil {
		return []Check{{"agent", Failed, unreached.Error(), "start it (systemctl start enawatch) and read its log; if it listens elsewhere, name it by --url"}}
	}
	c := fine("agent", "version %s runs and reads %s", d.Version, count(len(d.Interfaces), "interface"))
	switch n := len(d.Times); {
	case n == 0 || now.Sub(time.Unix(d.Times[n-1], 0)).Abs() > time.Minute:
		c = Check{"agent", Failed, "it answers, but its newest reading is older than a minute", "read its log: the kernel may hold up its readings, or this host's clock was set"}
	case d.Version != version:
		c = Check{"agent", Warning, fmt.Sprintf("version %s runs, and this is %s", d.Version, version), "restart it, if it was updated (systemctl restart enawatch)"}
	}
	checks := []Check{c}
	for _, s := range d.Sinks {
		if s.Name != "state" { // the agent's own file, of which Spool tells
			checks = append(checks, publishes(s, now))
		}
	}
	return checks
}

// publishes checks how one sink fares.
func publishes(s live.Sink, now time.Time) Check {
	name := "sink " + s.Name
	since := "never"
	if s.LastSuccess > 0 {
		since = span(now.Sub(time.Unix(int64(s.LastSuccess), 0))) + " ago"
	}
	switch {
	case s.Problem != "":
		return Check{name, Failed, fmt.Sprintf("%s (last success %s, %s)", s.Problem, since, waiting(s)), "mend what it says: what waits is delivered then"}
	case s.LastSuccess > 0 && s.Waiting > 0 && now.Sub(time.Unix(int64(s.LastSuccess), 0)) > late:
		return Check{name, Failed, fmt.Sprintf("%s, last success %s", waiting(s), since), "see the agent's log"}
	case s.Dropped > 0:
		return Check{name, Warning, fmt.Sprintf("%.0f data were dropped since the agent started", s.Dropped), "see the agent's log for why; docs/delivery.md says what each reason means"}
	case s.Ambiguous > 0:
		return Check{name, Warning, fmt.Sprintf("%.0f data may count twice: no answer came", s.Ambiguous), "nothing, if it does not repeat: the way to the destination cuts connections"}
	case s.Delivered == 0:
		return Check{name, Warning, "nothing was delivered yet", "wait for the end of a window, then look again"}
	case s.LastSuccess == 0: // a destination without a spool says nothing of when
		return fine(name, "%.0f delivered", s.Delivered)
	}
	return fine(name, "%.0f data delivered, the last %s; %s", s.Delivered, since, waiting(s))
}

func waiting(s live.Sink) string {
	switch s.Waiting {
	case 0:
		return "nothing waits"
	case 1:
		return "1 request waits"
	}
	return fmt.Sprintf("%.0f requests wait", s.Waiting)
}
