package evaluate_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/provision"
	"github.com/enawatch/enawatch/agent/provision/evaluate"
	"github.com/enawatch/enawatch/agent/simulate"
	"github.com/enawatch/enawatch/agent/window"
)

const instance = "i-0123456789abcdef0"

// windows keeps what an agent publishes, with the ENIs that IMDS would name.
type windows []*metric.Batch

func (w *windows) Publish(b *metric.Batch) {
	for i := range b.Interfaces {
		b.Interfaces[i].ENI = fmt.Sprintf("eni-%017x", i+1)
	}
	*w = append(*w, b)
}

// run has an agent read a scenario for each of the times, one after the other,
// with pauses between in which there is none, and publish windows of a length. It
// begins on a minute.
func run(scenario string, publish, pause time.Duration, times ...time.Duration) (out windows, err error) {
	s, err := simulate.Parse("test.yaml", []byte(scenario))
	if err != nil {
		return nil, err
	}
	kernel, store := simulate.New(s, simulate.SystemClock{}), &agent.Memory{}
	for i, d := range times {
		if i > 0 {
			<-time.After(pause)
		}
		a, err := agent.New(agent.Options{
			Kernel: kernel, Clock: window.SystemClock(), Log: slog.New(slog.DiscardHandler),
			Resource: metric.Resource{Host: "host", InstanceID: instance},
			Sample:   max(time.Second, publish/60), Publish: publish, Sparse: true,
			Want: func(metric.Interface) bool { return true }, Queues: func(ena.Stat) bool { return false },
			Store: store, Outputs: []agent.Output{&out},
		})
		if err != nil {
			return nil, err
		}
		ctx, stop := context.WithTimeout(context.Background(), d)
		a.Run(ctx, time.Second)
		stop()
	}
	return out, nil
}

// options are those of an agent with the defaults.
func options(level string, scopes ...provision.Scope) provision.Options {
	i := slices.IndexFunc(provision.Levels, func(l provision.Level) bool { return l.Name == level })
	return provision.Options{
		Name: "ena", Namespace: "ENA", Interval: time.Minute, Scopes: scopes, Level: provision.Levels[i],
		Instances: []string{instance}, ConntrackLeft: provision.DefaultConntrackLeft,
		ConntrackCapacity: 130_000, ConntrackPercent: provision.DefaultConntrackPercent,
		Groups: []provision.GroupOf{{{Name: "AutoScalingGroupName", Value: "web"}}},
	}
}

// world is what is around the agents of a test. Times are since the first window.
type world struct {
	// delay is how late data arrive.
	delay time.Duration
	// EC2 has a status of the instance from up until down.
	up, down time.Duration
	// before is true if an agent with nothing to say was there before.
	before bool
	// after is how long it goes on when the last window has ended.
	after time.Duration
	// others is how many instances without an agent the group has besides.
	others float64
}

// usual is a world in which nothing happens but to the agent.
var usual = world{up: -history, down: 24 * time.Hour, before: true}

// history is how long alarms have been there before the first window.
const history = 30 * time.Minute

// raised returns which alarms went into ALARM, and their contributors. A
// composite alarm that never took its actions is marked as suppressed.
func raised(t *testing.T, o provision.Options, w windows, in world) []string {
	t.Helper()
	set, err := provision.Alarms(o)
	if err != nil {
		t.Fatal(err)
	}
	e, err := evaluate.New(set)
	if err != nil {
		t.Fatal(err)
	}
	e.Metrics.Delay = in.delay
	begin, last := w[0].Start.Truncate(time.Minute), w[len(w)-1]
	end := last.Start.Add(last.Length).Add(in.after)
	group := []metric.Dimension{{Name: "AutoScalingGroupName", Value: "web"}}
	for at := begin.Add(-history); at.Before(end); at = at.Add(time.Minute) {
		if since := at.Sub(begin); since < in.up || since >= in.down {
			continue
		}
		e.Metrics.Put(provision.Metric{
			Namespace: "AWS/EC2", MetricName: "StatusCheckFailed", Dimensions: []provision.Dimension{{Name: "InstanceId", Value: instance}},
		}, at, time.Minute, 0)
		e.Metrics.Put(provision.Metric{
			Namespace: "AWS/AutoScaling", MetricName: "GroupInServiceInstances", Dimensions: []provision.Dimension{{Name: "AutoScalingGroupName", Value: "web"}},
		}, at, time.Minute, 1+in.others)
	}
	quiet := metric.Batch{
		Length: o.Interval, Resource: w[0].Resource,
		Series: []metric.Series{{Name: window.Heartbeat.Name, Interface: -1, Whole: true, Samples: []float64{o.Interval.Seconds()}}},
	}
	for quiet.Start = w[0].Start.Add(-history).Truncate(o.Interval); in.before && quiet.Start.Before(w[0].Start.Truncate(o.Interval)); quiet.Start = quiet.Start.Add(o.Interval) {
		e.Metrics.Add("ENA", &quiet, group)
	}
	for _, b := range w {
		e.Metrics.Add("ENA", b, group)
	}
	first, err := e.Until(begin.Add(-history / 2))
	if err != nil {
		t.Fatal(err)
	}
	changes, err := e.Until(end)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{} // by name: an action was taken
	for _, c := range slices.Concat(first, changes) {
		if c.To != evaluate.Alarm {
			continue
		}
		name := strings.ReplaceAll(strings.TrimPrefix(c.Alarm, "ena-"), instance, "HOST")
		if c.Contributor != "" {
			name += " " + strings.ReplaceAll(c.Contributor, instance, "HOST")
		}
		told[name] = told[name] || c.SuppressedBy == ""
	}
	var out []string
	for name, said := range told {
		if !said {
			name += " (suppressed)"
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// once is an interface on which nothing happens.
const once = "devices: [{name: ens5, driver: 2.17.0, initial: {conntrack_allowance_available: 120000}}]\n"

// steady is an interface on which a counter grows in n seconds of each minute.
func steady(counter string, n int) string {
	return fmt.Sprintf("repeat: 60s\ndevices: [{name: ens5, driver: 2.17.0, initial: {conntrack_allowance_available: 120000}}]\n"+
		"steps: [{at: 5s, rate: {%s: 40}, for: %ds}]\n", counter, n)
}

// Each alarm is raised when it must be, and no other is.
func TestScenarios(t *testing.T) {
	everything := []provision.Scope{provision.PerHost, provision.Fleet, provision.Group}
	tests := []struct {
		name, level, scenario string
		pause                 time.Duration
		times                 []time.Duration
		delay                 time.Duration
		interval              time.Duration // a minute if 0
		want                  []string
	}{
		{
			name: "one second of a minute", level: "any", scenario: steady("pps_allowance_exceeded", 1), times: []time.Duration{5 * time.Minute},
			want: []string{"HOST-network-allowance", "HOST-pps-exceeded", "fleet-pps-exceeded", "fleet-pps-exceeded HOST", "web-pps-exceeded"},
		},
		{
			name: "one second of an hour", level: "any", times: []time.Duration{10 * time.Minute}, scenario: once + "steps: [{at: 65s, add: {pps_allowance_exceeded: 9}}]\n",
			want: []string{"HOST-network-allowance", "HOST-pps-exceeded", "fleet-pps-exceeded", "fleet-pps-exceeded HOST", "web-pps-exceeded"},
		},
		{name: "one second of an hour", level: "sustained", times: []time.Duration{10 * time.Minute}, scenario: once + "steps: [{at: 65s, add: {pps_allowance_exceeded: 9}}]\n"},
		{
			name: "15 seconds of each minute, windows of five", level: "sustained", scenario: steady("bw_in_allowance_exceeded", 15),
			times: []time.Duration{30 * time.Minute}, interval: 5 * time.Minute,
			want: []string{"HOST-bw-in-exceeded", "HOST-network-allowance", "fleet-bw-in-exceeded", "fleet-bw-in-exceeded HOST", "web-bw-in-exceeded"},
		},
		{name: "15 seconds of each minute, windows of five", level: "severe", scenario: steady("bw_in_allowance_exceeded", 15), times: []time.Duration{30 * time.Minute}, interval: 5 * time.Minute},
		{
			name: "15 seconds of each minute, windows of 90 s", level: "sustained", scenario: steady("bw_in_allowance_exceeded", 15),
			times: []time.Duration{21 * time.Minute}, interval: 90 * time.Second,
			want: []string{"HOST-bw-in-exceeded", "HOST-network-allowance", "fleet-bw-in-exceeded", "fleet-bw-in-exceeded HOST", "web-bw-in-exceeded"},
		},
		{
			// No window has more than seven.
			name: "12 seconds of each minute, windows of 10 s", level: "sustained", scenario: steady("bw_in_allowance_exceeded", 12),
			times: []time.Duration{8 * time.Minute}, interval: 10 * time.Second,
			want: []string{"HOST-bw-in-exceeded", "HOST-network-allowance", "fleet-bw-in-exceeded", "fleet-bw-in-exceeded HOST", "web-bw-in-exceeded"},
		},
		{
			name: "DNS of one of two interfaces", level: "sustained", times: []time.Duration{8 * time.Minute},
			scenario: "repeat: 60s\ndevices: [{name: ens5, driver: 2.17.0, initial: {conntrack_allowance_available: 120000}}, {name: ens6, driver: 2.17.0, initial: {conntrack_allowance_available: 120000}}]\n" +
				"steps:\n- {at: 5s, device: ens5, rate: {linklocal_allowance_exceeded: 40}, for: 20s}\n- {at: 5s, device: ens6, add: {linklocal_allowance_exceeded: 1}}\n",
			want: []string{"HOST-linklocal-exceeded", "HOST-network-allowance", "fleet-linklocal-exceeded", "fleet-linklocal-exceeded HOST eni-00000000000000001", "web-linklocal-exceeded"},
		},
		{
			name: "nothing, windows of 10 s", level: "any", scenario: once, times: []time.Duration{8 * time.Minute}, interval: 10 * time.Second,
		},
		{
			name: "nothing, windows of 45 s", level: "any", scenario: once, times: []time.Duration{90 * time.Minute}, interval: 45 * time.Second,
		},
		{name: "one second of a minute", level: "sustained", scenario: steady("pps_allowance_exceeded", 1), times: []time.Duration{12 * time.Minute}},
		{
			name: "15 seconds of each minute", level: "sustained", scenario: steady("bw_in_allowance_exceeded", 15), times: []time.Duration{8 * time.Minute},
			want: []string{"HOST-bw-in-exceeded", "HOST-network-allowance", "fleet-bw-in-exceeded", "fleet-bw-in-exceeded HOST", "web-bw-in-exceeded"},
		},
		{name: "15 seconds of each minute", level: "severe", scenario: steady("bw_in_allowance_exceeded", 15), times: []time.Duration{8 * time.Minute}},
		{
			name: "45 seconds of each minute, data two minutes late", level: "severe", scenario: steady("bw_out_allowance_exceeded", 45),
			times: []time.Duration{8 * time.Minute}, delay: 2 * time.Minute,
			want: []string{"HOST-bw-out-exceeded", "HOST-network-allowance", "fleet-bw-out-exceeded", "fleet-bw-out-exceeded HOST", "web-bw-out-exceeded"},
		},
		{
			name: "DNS of one interface", level: "sustained", scenario: steady("linklocal_allowance_exceeded", 20), times: []time.Duration{8 * time.Minute},
			want: []string{"HOST-linklocal-exceeded", "HOST-network-allowance", "fleet-linklocal-exceeded", "fleet-linklocal-exceeded HOST eni-00000000000000001", "web-linklocal-exceeded"},
		},
		{
			name: "connections run out", level: "sustained",
			scenario: "repeat: 60s\ndevices: [{name: ens5, driver: 2.17.0, initial: {conntrack_allowance_available: 4000}}]\n" +
				"steps: [{at: 5s, rate: {conntrack_allowance_exceeded: 40}, for: 30s}]\n",
			times: []time.Duration{8 * time.Minute},
			want: []string{
				"HOST-conntrack-exceeded", "HOST-conntrack-low", "HOST-conntrack-percent-low", "HOST-network-allowance",
				"fleet-conntrack-exceeded", "fleet-conntrack-exceeded HOST", "fleet-conntrack-low", "fleet-conntrack-low HOST",
				"web-conntrack-exceeded", "web-conntrack-low", "web-conntrack-percent-low",
			},
		},
		{
			name: "connections get few", level: "sustained",
			scenario: "devices: [{name: ens5, driver: 2.17.0, initial: {conntrack_allowance_available: 12000}}]\n", times: []time.Duration{8 * time.Minute},
			want: []string{"HOST-conntrack-percent-low", "web-conntrack-percent-low"},
		},
		{
			name: "a burst an hour", level: "sustained",
			scenario: "devices: [{name: ens5, driver: 2.17.0, initial: {conntrack_allowance_available: 120000}}]\nsteps:\n" +
				"- {at: 65s, rate: {pps_allowance_exceeded: 9}, for: 20s}\n- {at: 605s, rate: {pps_allowance_exceeded: 9}, for: 20s}\n- {at: 1205s, rate: {pps_allowance_exceeded: 9}, for: 20s}\n",
			times: []time.Duration{30 * time.Minute},
		},
		{
			name: "the agent restarts", level: "any",
			scenario: "devices: [{name: ens5, driver: 2.17.0, initial: {bw_in_allowance_exceeded: 9999, conntrack_allowance_available: 120000}}]\n",
			pause:    20 * time.Second, times: []time.Duration{5 * time.Minute, 5 * time.Minute, 5 * time.Minute},
		},
		{
			name: "the agent is updated for three minutes, data late", level: "any",
			scenario: "devices: [{name: ens5, driver: 2.17.0, initial: {bw_in_allowance_exceeded: 9999, conntrack_allowance_available: 120000}}]\n",
			pause:    3 * time.Minute, times: []time.Duration{5 * time.Minute, 8 * time.Minute}, delay: time.Minute,
		},
		{
			name: "the device is reset", level: "any",
			scenario: "devices: [{name: ens5, driver: 2.17.0, initial: {bw_in_allowance_exceeded: 88102, pps_allowance_exceeded: 5127, conntrack_allowance_available: 130411}}]\n" +
				"steps: [{at: 130s, fault: {admin: stopped}}, {at: 132s, reset: keep-alive}]\n",
			times: []time.Duration{8 * time.Minute},
		},
		{
			name: "the admin queue fails for minutes", level: "any",
			scenario: "devices: [{name: ens5, driver: 2.8.1, initial: {bw_out_allowance_exceeded: 71520, conntrack_allowance_available: 129870}}]\n" +
				"steps: [{at: 130s, fault: {admin: error}}, {at: 250s, fault: none}]\n",
			times: []time.Duration{10 * time.Minute},
			want:  []string{"HOST-readings-suspect"},
		},
		{
			name: "what piled up while the admin queue failed comes in one second", level: "any",
			scenario: "devices: [{name: ens5, driver: 2.17.0, initial: {bw_out_allowance_exceeded: 71520, conntrack_allowance_available: 129870}}]\n" +
				"steps: [{at: 130s, fault: {admin: error}}, {at: 140s, add: {bw_out_allowance_exceeded: 500}}, {at: 190s, fault: none}]\n",
			times: []time.Duration{10 * time.Minute},
			want: []string{
				"HOST-bw-out-exceeded", "HOST-network-allowance (suppressed)", "HOST-readings-suspect",
				"fleet-bw-out-exceeded", "fleet-bw-out-exceeded HOST", "web-bw-out-exceeded",
			},
		},
		{
			name: "no interface answers", level: "sustained",
			scenario: "devices: [{name: ens5, driver: 2.8.1}]\nsteps: [{at: 1s, detach: true}]\n", times: []time.Duration{15 * time.Minute},
			want: []string{"HOST-agent-missing", "HOST-agent-silent", "fleet-agent-blind", "fleet-agent-blind HOST"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name+", "+tt.level, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := options(tt.level, everything...)
				o.Interval = cmp.Or(tt.interval, o.Interval)
				w, err := run(tt.scenario, o.Interval, tt.pause, tt.times...)
				if err != nil {
					t.Fatal(err)
				}
				in := usual
				in.delay = tt.delay
				if diff := gocmp.Diff(tt.want, raised(t, o, w, in)); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}

// An agent that is gone is missed while its instance runs, and not when both are.
func TestAgentMissing(t *testing.T) {
	const late = 24 * time.Hour
	const burst = "steps: [{at: 265s, rate: {pps_allowance_exceeded: 9}, for: 25s}]\n"
	for _, tt := range []struct {
		name string
		in   world
		want []string
		more string // of the scenario
	}{
		{"the agent stops", world{up: -history, down: late, before: true}, []string{"HOST-agent-missing", "HOST-agent-silent", "web-agents-missing"}, ""},
		{"one bad minute before the end is no three", world{up: -history, down: 5 * time.Minute, before: true}, gone, burst},
		{"the instance is terminated", world{up: -history, down: 5 * time.Minute, before: true}, gone, ""},
		{"the instance is terminated, EC2 knows it late", world{up: -history, down: 7 * time.Minute, before: true, delay: time.Minute}, gone, ""},
		{"the instance is terminated, EC2 knows it very late", world{up: -history, down: 9 * time.Minute, before: true}, gone, ""},
		{"the instance starts", world{up: -time.Minute, down: 5 * time.Minute}, gone, ""},
		{"the instance starts, its agent minutes after it", world{up: -4 * time.Minute, down: 5 * time.Minute}, gone, ""},
		{"the instance starts, its agent minutes after it, data late", world{up: -6 * time.Minute, down: 5 * time.Minute, delay: 2 * time.Minute}, gone, ""},
		{"the instance starts, its agent does not for too long", world{up: -13 * time.Minute, down: 5 * time.Minute}, []string{"HOST-agent-missing", "HOST-agent-silent", "HOST-instance-gone", "web-agents-missing"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, err := run(once+tt.more, time.Minute, 0, 5*time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				in := tt.in
				in.after = 20 * time.Minute
				o := options("sustained", provision.PerHost, provision.Fleet, provision.Group)
				if diff := gocmp.Diff(tt.want, raised(t, o, w, in)); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}

// A group misses the agent of one instance of two, however many windows are in a
// period of the alarm.
func TestOneAgentOfTwo(t *testing.T) {
	for _, interval := range []time.Duration{10 * time.Second, 45 * time.Second, time.Minute, 5 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			o := options("any", provision.Group)
			o.Interval = interval
			w, err := run(once, interval, 0, 90*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			in := usual
			in.others = 1
			if diff := gocmp.Diff([]string{"web-agents-missing"}, raised(t, o, w, in)); diff != "" {
				t.Errorf("%s (-want +got)\n%s", interval, diff)
			}
		})
	}
}

// gone is what is raised of an instance that is gone, or was: nobody is told.
var gone = []string{"HOST-agent-missing (suppressed)", "HOST-agent-silent", "HOST-instance-gone"}
