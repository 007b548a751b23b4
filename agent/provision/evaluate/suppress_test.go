package evaluate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/provision"
)

// The six examples of the User Guide, "Suppressing composite alarm actions", with
// a WaitPeriod of two minutes and an ExtensionPeriod of three; and what follows
// from its words. A letter is a minute: A is ALARM, O is OK.
func TestSuppression(t *testing.T) {
	tests := []struct{ name, alarm, suppressor, want string }{
		{"1: not suppressed after WaitPeriod", "OOAAAAA", "OOOOOOO", "2 ALARM WaitPeriod, 4 ALARM"},
		{"2: suppressed by alarm before WaitPeriod expires", "OOAAAAAAA", "OOOAAAAAA", "2 ALARM WaitPeriod"},
		{"3: transition during WaitPeriod", "OOAOOOO", "OOOOOOO", "2 ALARM WaitPeriod, 3 OK WaitPeriod, 5 OK"},
		{"4: transition while suppressed by alarm", "OOAAAAAA", "AAAAAAAA", "2 ALARM Alarm"},
		{"5: not suppressed after ExtensionPeriod", "OOAAAAAAAAA", "OOOAAAOOOOO", "2 ALARM WaitPeriod, 9 ALARM"},
		{"6: transition during ExtensionPeriod", "OOAAAAAOOOO", "OOOAAAOOOOO", "2 ALARM WaitPeriod, 7 OK WaitPeriod, 9 OK"},
		{"back and forth while suppressed", "OOAAOOOOOOO", "OAAAAAAAOOO", "2 ALARM Alarm, 4 OK Alarm"},
		{"an extension is no cover for what is new", "OOOOAAAA", "OAAOOOOO", "4 ALARM WaitPeriod, 6 ALARM"},
		{"what has been said is not repeated", "OAAAAAAAAAA", "OOOOAAOOOOO", "1 ALARM WaitPeriod, 3 ALARM"},
	}
	for _, tt := range tests {
		c := &composite{CompositeAlarm: provision.CompositeAlarm{AlarmName: "c", ActionsSuppressorWaitPeriod: 120, ActionsSuppressorExtensionPeriod: 180}}
		e := &Evaluator{states: map[string]State{"c": OK}}
		states := map[byte]State{'A': Alarm, 'O': OK}
		begin, got := time.Unix(0, 0), []string{}
		for i := range tt.alarm {
			now, state := begin.Add(time.Duration(i)*time.Minute), states[tt.alarm[i]]
			for _, c := range c.suppress(e.enter("c", state, now), state, tt.suppressor[i] == 'A', now) {
				got = append(got, strings.TrimSpace(fmt.Sprint(c.At.Sub(begin).Minutes(), " ", c.To, " ", c.SuppressedBy)))
			}
		}
		if text := strings.Join(got, ", "); text != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, text, tt.want)
		}
	}
}
