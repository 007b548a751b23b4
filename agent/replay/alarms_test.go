package replay_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/provision"
	"github.com/enawatch/enawatch/agent/provision/evaluate"
	"github.com/enawatch/enawatch/agent/replay"
)

// bursts is an incident of a number of minutes, in each of which the first seconds
// exceed an allowance.
func bursts(minutes, seconds int) *live.Document {
	const noon = 1_795_003_200
	n := int64(60 * minutes)
	values := make([]uint32, n)
	states := make([]byte, n)
	for k := range values {
		states[k] = byte(live.Valid)
		if k%60 < seconds {
			values[k] = 9
		}
	}
	return document(until(noon+1, n), string(states), values...)
}

func TestAlarms(t *testing.T) {
	died := bursts(2, 0)
	died.Times[len(died.Times)-1] += 600
	died.Started = []int64{died.Times[0], died.Times[len(died.Times)-1]}
	tests := []struct {
		name, level string
		doc         *live.Document
		want        []string
	}{
		// One minute of the last five; then what is missing is taken for no burst.
		{"one burst, any", "any", bursts(1, 1), []string{
			"12:01 linklocal-exceeded ALARM", "12:01 network-allowance ALARM WaitPeriod", "12:02 network-allowance ALARM",
			"12:06 linklocal-exceeded OK", "12:06 network-allowance OK WaitPeriod", "12:07 network-allowance OK",
		}},
		{"one burst, sustained", "sustained", bursts(1, 20), nil},
		{"two minutes, sustained", "sustained", bursts(2, 20), nil},
		// Three of the last five minutes that have data, of seven.
		{"five minutes, sustained", "sustained", bursts(5, 20), []string{
			"12:03 linklocal-exceeded ALARM", "12:03 network-allowance ALARM WaitPeriod", "12:04 network-allowance ALARM",
			"12:10 linklocal-exceeded OK", "12:10 network-allowance OK WaitPeriod", "12:11 network-allowance OK",
		}},
		{"nine seconds of five minutes, sustained", "sustained", bursts(5, 9), nil},
		// The last heartbeat is that of 12:01.
		{"no agent for ten minutes", "any", died, []string{
			"12:09 agent-silent ALARM", "12:09 agent-missing ALARM WaitPeriod", "12:11 agent-missing ALARM",
			"12:12 agent-silent OK", "12:12 agent-missing OK WaitPeriod", "12:14 agent-missing OK",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := provision.Options{Name: "ena", Namespace: "ENA", Interval: time.Minute, Scopes: []provision.Scope{provision.PerHost}, Instances: []string{tt.doc.InstanceID}}
			for _, l := range provision.Levels {
				if l.Name == tt.level {
					o.Level = l
				}
			}
			set, err := provision.Alarms(o)
			if err != nil {
				t.Fatal(err)
			}
			windows, err := replay.Windows(tt.doc, options(time.Minute, true))
			if err != nil {
				t.Fatal(err)
			}
			changes, _, err := replay.Alarms(windows, set, replay.World{Namespace: "ENA"})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range changes {
				if c.From == evaluate.Insufficient && c.To == evaluate.OK {
					continue
				}
				text := c.At.UTC().Format("15:04 ") + c.Alarm[len("ena-"+tt.doc.InstanceID+"-"):] + " " + string(c.To)
				if c.SuppressedBy != "" {
					text += " " + string(c.SuppressedBy)
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
