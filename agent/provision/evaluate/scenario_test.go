package evaluate_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

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
// with pauses between in which there is none. It begins on a minute.
func run(scenario string, pause time.Duration, times ...time.Duration) (out windows, err error) {
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
			Sample:   time.Second, Publish: time.Minute, Sparse: true,
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
	}
}

// raised returns which alarms went into ALARM, and their contributors, over the
// windows and after minutes more. Data arrive late by delay. EC2 has a status of
// the instance for as long as running.
func raised(t *testing.T, o provision.Options, w windows, delay, running time.Duration, after int) []string {
	t.Helper()
	set, err := provision.Alarms(o)
	if err != nil {
		t.Fatal(err)
	}
	e, err := evaluate.New(set)
	if err != nil {
		t.Fatal(err)
	}
	e.Metrics.Delay = delay
	begin := w[0].Start.Truncate(time.Minute)
	for at := begin.Add(-10 * time.Minute); at.Before(begin.Add(running)); at = at.Add(time.Minute) {
		e.Metrics.Put(provision.Metric{
			Namespace: "AWS/EC2", MetricName: "StatusCheckFailed", Dimensions: []provision.Dimension{{Name: "InstanceId", Value: instance}},
		}, at, time.Minute, 0)
		e.Metrics.Put(provision.Metric{
			Namespace: "AWS/AutoScaling", MetricName: "GroupInServiceInstances", Dimensions: []provision.Dimension{{Name: "AutoScalingGroupName", Value: "web"}},
		}, at, time.Minute, 1)
	}
	for _, b := range w {
		e.Metrics.Add("ENA", b, []metric.Dimension{{Name: "AutoScalingGroupName", Value: "web"}})
	}
	// The alarms were there before, on an agent that had nothing to say.
	quiet := metric.Batch{
		Length: time.Minute, Resource: w[0].Resource,
		Series: []metric.Series{{Name: window.Heartbeat.Name, Interface: -1, Whole: true, Samples: []float64{60}}},
	}
	for i := range 10 {
		quiet.Start = begin.Add(-time.Duration(i+1) * time.Minute)
		e.Metrics.Add("ENA", &quiet, []metric.Dimension{{Name: "AutoScalingGroupName", Value: "web"}})
	}
	if _, err := e.Until(begin); err != nil {
		t.Fatal(err)
	}
	last := w[len(w)-1]
	changes, err := e.Until(last.Start.Add(last.Length).Add(time.Duration(after) * time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range changes {
		if c.To != evaluate.Alarm {
			continue
		}
		name := strings.ReplaceAll(strings.TrimPrefix(c.Alarm, "ena-"), instance, "HOST")
		if c.Contributor != "" {
			name += " " + strings.ReplaceAll(c.Contributor, instance, "HOST")
		}
		if c.Suppressed {
			name += " (suppressed)"
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// steady is an interface on which a counter grows in n seconds of each minute.
func steady(counter string, n int) string {
	return fmt.Sprintf("repeat: 60s\ndevices: [{name: ens5, driver: 2.17.0, initial: {conntrack_allowance_available: 120000}}]\n"+
		"steps: [{at: 5s, rate: {%s: 40}, for: %ds}]\n", counter, n)
}

// Each alarm is raised when it must be, and no other is.
func TestScenarios(t *testing.T) {
	everything := []provision.Scope{provision.PerHost, provision.Fleet, provision.Group}
	const running = time.Hour
	tests := []struct {
		name, level, scenario string
		pause                 time.Duration
		times                 []time.Duration
		delay                 time.Duration
		want                  []string
	}{
		{
			name: "one second of a minute", level: "any", scenario: steady("pps_allowance_exceeded", 1), times: []time.Duration{5 * time.Minute},
			want: []string{"HOST-network-allowance", "HOST-pps-exceeded", "fleet-pps-exceeded", "fleet-pps-exceeded HOST", "web-pps-exceeded"},
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
				w, err := run(tt.scenario, tt.pause, tt.times...)
				if err != nil {
					t.Fatal(err)
				}
				o := options(tt.level, everything...)
				o.Groups = []provision.GroupOf{{{Name: "AutoScalingGroupName", Value: "web"}}}
				if diff := cmp.Diff(tt.want, raised(t, o, w, tt.delay, running, 0)); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}

// An agent that is gone is missed while its instance runs, and not when both are.
func TestAgentMissing(t *testing.T) {
	const quiet = "devices: [{name: ens5, driver: 2.17.0, initial: {conntrack_allowance_available: 120000}}]\n"
	for _, tt := range []struct {
		name    string
		running time.Duration
		delay   time.Duration
		want    []string
	}{
		{"the agent stops", time.Hour, 0, []string{"HOST-agent-missing", "HOST-agent-silent", "web-agents-missing"}},
		{"the instance is terminated", 5 * time.Minute, 0, []string{"HOST-agent-silent", "HOST-instance-gone"}},
		{"the instance is terminated, EC2 knows it late", 7 * time.Minute, time.Minute, []string{"HOST-agent-silent", "HOST-instance-gone"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, err := run(quiet, 0, 5*time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				o := options("any", provision.PerHost, provision.Fleet, provision.Group)
				o.Groups = []provision.GroupOf{{{Name: "AutoScalingGroupName", Value: "web"}}}
				if diff := cmp.Diff(tt.want, raised(t, o, w, tt.delay, tt.running, 20)); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}
