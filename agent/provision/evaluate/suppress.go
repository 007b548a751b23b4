package evaluate

import (
	"time"

	"github.com/enawatch/enawatch/agent/provision"
)

// Suppression is why a composite alarm takes no actions: the API's
// ActionsSuppressedBy. It is "" if nothing keeps it from them.
type Suppression string

const (
	// ByWaitPeriod: it waits for its suppressor to go into ALARM.
	ByWaitPeriod Suppression = "WaitPeriod"
	// ByAlarm: its suppressor is in ALARM.
	ByAlarm Suppression = "Alarm"
	// ByExtensionPeriod: its suppressor was in ALARM a moment ago.
	ByExtensionPeriod Suppression = "ExtensionPeriod"
)

// composite is a composite alarm, with what keeps it from the actions of its last
// transition.
type composite struct {
	provision.CompositeAlarm
	by    Suppression
	until time.Time // the end of a period
}

// suppress says of the transition of an alarm with a suppressor, if it has one
// now, whether it takes actions; of an earlier one, that it does (User Guide,
// "Suppressing composite alarm actions", with its six examples). Each transition
// discards what period there is and begins a WaitPeriod.
func (c *composite) suppress(changed []Transition, state State, suppressor bool, now time.Time) []Transition {
	seconds := func(n int32) time.Time { return now.Add(time.Duration(n) * time.Second) }
	held := c.by != ""
	switch {
	case len(changed) > 0 && !suppressor:
		c.by, c.until = ByWaitPeriod, seconds(c.ActionsSuppressorWaitPeriod)
	case len(changed) > 0 || held && suppressor:
		c.by = ByAlarm
	case c.by == ByAlarm:
		c.by, c.until = ByExtensionPeriod, seconds(c.ActionsSuppressorExtensionPeriod)
	}
	if c.by != ByAlarm && !now.Before(c.until) {
		c.by = ""
	}
	switch {
	case len(changed) > 0:
		changed[0].SuppressedBy = c.by
	case held && c.by == "":
		changed = []Transition{{At: now, Alarm: c.AlarmName, From: state, To: state}}
	}
	return changed
}
