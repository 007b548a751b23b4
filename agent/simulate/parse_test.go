package simulate

import (
	"strings"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
)

const oneDevice = "devices: [{name: ens5, driver: 2.17.0}]\n"

func TestParseErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "f.yaml:1: empty: a scenario has devices and steps"},
		{"devices: [", "f.yaml: yaml: line 1: did not find expected node content"},
		{oneDevice + "---\na: 1", "f.yaml:2: a second document: keep one"},
		{"- 1", "f.yaml:1: a scenario must be a mapping of keys to values"},
		{"steps: []", "f.yaml:1: a scenario needs devices"},
		{oneDevice + "step: []", `f.yaml:2: unknown key "step" in a scenario; known are description, devices, end, kernel, repeat, steps`},
		{oneDevice + oneDevice, `f.yaml:2: key "devices" is there twice: remove one`},
		{oneDevice + "kernel: 6.1", "f.yaml:2: want one of new, old"},
		{oneDevice + "repeat: 1ms", "f.yaml:2: repeat after 1s or more"},
		{oneDevice + "repeat: often", "f.yaml:2: want a duration, such as 1500ms or 3s, up to 1000h0m0s"},
		{oneDevice + "end: {at: 0s}", "f.yaml:2: end needs either at, a time after the start, or reads, a number of readings"},
		{oneDevice + "end: {at: 1s, reads: 1}", "f.yaml:2: end needs either at, a time after the start, or reads, a number of readings"},
		{"devices: 3", "f.yaml:1: devices must be a list"},
		{"devices: [{name: ens5}]", "f.yaml:1: a device needs a name and a driver"},
		{"devices: [{name: a/b, driver: 2.17.0}]", "f.yaml:1: want a name for a network device, such as ens5: 15 letters, digits, dots or dashes at most"},
		{"devices: [{name: ens5, driver: 2.5}]", "f.yaml:1: want one of 2.13.3, 2.17.0, 2.2.10, 2.8.1, upstream-6.1, upstream-6.12"},
		{"devices: [{name: ens5, driver: 2.2.10, mac: 1}]", `f.yaml:1: want a MAC address of one station, such as "06:00:00:00:00:05"`},
		{"devices: [{name: ens5, driver: 2.2.10, bus: 1}]", `f.yaml:1: want a PCI address, such as "0000:00:05.0"`},
		{"devices: [{name: ens5, driver: 2.2.10, queues: 129}]", "f.yaml:1: want a whole number from 1 to 128"},
		{"devices: [{name: ens5, driver: 2.2.10, srd: true}]", "f.yaml:1: driver 2.2.10 has no such stats: turn off customer_metrics, srd or phc"},
		{"devices: [{name: ens5, driver: 2.17.0, srd: yes}]", "f.yaml:1: want true or false"},
		{"devices: [{name: ens5, driver: 2.17.0, version: 01234567890123456789012345678901}]", "f.yaml:1: a driver's version has 31 bytes at most"},
		{"devices:\n- {name: a, driver: 2.17.0}\n- {name: a, driver: 2.17.0}", "f.yaml:3: device a has the name, mac or bus of device a"},
		{"devices:\n- {name: a, driver: 2.17.0}\n- {name: b, driver: 2.17.0}\nsteps:\n- {at: 1s, device: a, rename: b}", "f.yaml:1: both device a and device b are called b"},
		{"devices: [{name: ens5, driver: 2.2.10, initial: {conntrack_allowance_available: 1}}]", `f.yaml:1: device ens5 has no stat "conntrack_allowance_available": its driver and options decide which there are`},
		{oneDevice + "steps:\n- {at: 1s}", "f.yaml:3: a step does one thing: add, rate, set, fault, reset, queues, rename, detach, attach or kernel"},
		{oneDevice + "steps:\n- {at: 1s, detach: true, attach: true}", "f.yaml:3: a step does one thing: add, rate, set, fault, reset, queues, rename, detach, attach or kernel"},
		{oneDevice + "steps:\n- {detach: true}", "f.yaml:3: a step happens at one time: at, after or read"},
		{oneDevice + "steps:\n- {at: 1s, read: 1, detach: true}", "f.yaml:3: a step happens at one time: at, after or read"},
		{oneDevice + "steps:\n- {after: 1s, detach: true}", "f.yaml:3: the first step can't be after another: use at or read"},
		{oneDevice + "steps:\n- {at: 1s, detach: false}", "f.yaml:3: want true"},
		{oneDevice + "steps:\n- {at: 1s, of: ens5, detach: true}", "f.yaml:3: of goes with read"},
		{oneDevice + "steps:\n- {read: 0, detach: true}", "f.yaml:3: want a whole number from 1 to 1000000"},
		{oneDevice + "steps:\n- {at: 1s, device: ens6, detach: true}", `f.yaml:3: no device "ens6": name one as it is called in devices`},
		{oneDevice + "steps:\n- {at: 1s, add: {}}", "f.yaml:3: want stats and numbers, as in {bw_in_allowance_exceeded: 5}"},
		{oneDevice + "steps:\n- {at: 1s, add: {tx: 1}}", `f.yaml:3: device ens5 has no stat "tx": its driver and options decide which there are`},
		{oneDevice + "steps:\n- {at: 1s, add: {queue_2_tx_cnt: 1}}", `f.yaml:3: device ens5 has no stat "queue_2_tx_cnt": its driver and options decide which there are`},
		{oneDevice + "steps:\n- {at: 1s, add: {conntrack_allowance_available: 1}}", "f.yaml:3: conntrack_allowance_available: counters take add and rate, gauges take set"},
		{oneDevice + "steps:\n- {at: 1s, set: {bw_in_allowance_exceeded: 1}}", "f.yaml:3: bw_in_allowance_exceeded: counters take add and rate, gauges take set"},
		{oneDevice + "steps:\n- {at: 1s, add: {bw_in_allowance_exceeded: -1}}", "f.yaml:3: want a whole number from 0 to 1000000000000"},
		{oneDevice + "steps:\n- {at: 1s, rate: {bw_in_allowance_exceeded: 1}}", "f.yaml:3: rate and for go together"},
		{oneDevice + "steps:\n- {at: 1s, add: {bw_in_allowance_exceeded: 1}, for: 1s}", "f.yaml:3: rate and for go together"},
		{oneDevice + "steps:\n- {at: 1s, rate: {bw_in_allowance_exceeded: 1}, for: 3}", "f.yaml:3: want a duration, such as 1500ms or 3s, up to 1000h0m0s"},
		{oneDevice + "steps:\n- {read: 1, rate: {bw_in_allowance_exceeded: 1}, for: 3s}", "f.yaml:3: want a whole number from 1 to 1000000"},
		{oneDevice + "steps:\n- {at: 1s, fault: {admin: dead}}", "f.yaml:3: want one of error, lag, stopped, timeout"},
		{oneDevice + "steps:\n- {at: 1s, fault: some}", "f.yaml:3: a fault must be a mapping of keys to values"},
		{oneDevice + "steps:\n- {at: 1s, fault: {delay: 2m}}", "f.yaml:3: delay a reading by 1m0s at most"},
		{oneDevice + "steps:\n- {at: 1s, reset: now}", "f.yaml:3: want one of admin-timeout, device-request, keep-alive, tx-timeout"},
		{oneDevice + "repeat: 5s\nsteps:\n- {read: 1, detach: true}", "f.yaml:4: with repeat, every step is by at"},
		{oneDevice + "repeat: 5s\nsteps:\n- {at: 6s, detach: true}", "f.yaml:4: this step is later than repeat"},
		{oneDevice + "repeat: 5s\nsteps:\n- {at: 4s, rate: {bw_in_allowance_exceeded: 1}, for: 2s}", "f.yaml:4: this rate lasts longer than repeat"},
		{"devices:\n- {name: a, driver: 2.17.0}\n- {name: b, driver: 2.17.0}\nsteps:\n- {at: 1s, detach: true}", "f.yaml:5: say which device: there are 2"},
		{"devices: &d [{name: ens5, driver: 2.17.0}]\nsteps: *d", "f.yaml:2: steps must be a list"},
		{strings.Repeat("#", maxFile+1), "f.yaml: larger than 1048576 bytes"},
	}
	for _, tt := range tests {
		_, err := Parse("f.yaml", []byte(tt.text))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s\ngot  %v\nwant %s", tt.text[:min(len(tt.text), 200)], err, tt.want)
		}
	}
}

// stepClock goes on by a second whenever it is asked, and never waits.
type stepClock struct{ now time.Time }

func (c *stepClock) Now() time.Time      { c.now = c.now.Add(time.Second); return c.now }
func (c *stepClock) Sleep(time.Duration) {}

// FuzzParse plays whatever parses.
func FuzzParse(f *testing.F) {
	for _, l := range Scenarios() {
		text, err := embedded.ReadFile(embeddedFolder + "/" + l.Name + suffix)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(oneDevice + "kernel: old\nsteps:\n- {read: 2, fault: {admin: timeout, delay: 3s, errno: ENODEV}}\n- {after: 1s, queues: 3}\n- {read: 3, rename: eth0}\nend: {reads: 2}")
	f.Add(oneDevice + "steps:\n- {read: 2, rate: {queue_*_tx_cnt: 1000000000000}, for: 9}\n- {at: 999h, kernel: old}\nend: {at: 3s}")
	b, err := ena.NewBuffer()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("fuzz.yaml", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "fuzz.yaml:") || strings.Contains(err.Error(), "\n") {
				t.Errorf("bad error: %v", err)
			}
			return
		}
		m := New(s, &stepClock{})
		for range 5 {
			for _, d := range s.devices {
				for name := range d.names {
					m.Stats(name, 0, b)
					m.StatNames(name)
				}
			}
			m.Advance()
			m.Events(func(ena.LinkEvent) {})
		}
		m.Ledger()
	})
}
