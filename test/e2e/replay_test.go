package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/provision"
	"github.com/enawatch/enawatch/agent/provision/evaluate"
	"github.com/enawatch/enawatch/agent/simulate"
	"github.com/enawatch/enawatch/test/awsfake"
)

const instanceID = "i-0123456789abcdef0"

// The alarms that each scenario sets off at the level "any", written down by what
// the scenario says of its counters: the allowances that are exceeded, and of
// link-local traffic the interfaces.
var alarmsOf = map[string]struct {
	allowances, linklocal []string
}{
	"admin-queue-failure":     {[]string{"bw-out"}, nil},
	"conntrack-exhaustion":    {[]string{"conntrack"}, nil},
	"device-reset":            {[]string{"bw-in", "pps"}, nil},
	"dns-burst":               {[]string{"bw-out"}, []string{"05"}},
	"hot-attach":              {[]string{"bw-in", "pps"}, []string{"06"}},
	"admin-frozen-stale":      {[]string{"bw-out"}, nil},
	"admin-frozen-zeros":      {[]string{"bw-in"}, []string{"05"}},
	"blocked-device":          {[]string{"bw-in"}, nil},
	"detach-reattach":         {[]string{"bw-in"}, []string{"06"}},
	"enodev":                  {[]string{"bw-in"}, nil},
	"hot-attach.yaml":         {[]string{"bw-in"}, []string{"06"}},
	"one-second-bursts":       {[]string{"bw-in", "pps"}, []string{"05"}},
	"queue-change-new-kernel": {[]string{"bw-in"}, []string{"05"}},
	"queue-change-old-kernel": {[]string{"bw-in"}, []string{"05"}},
	"rename":                  {[]string{"bw-in"}, nil},
	"stack-garbage":           {[]string{"bw-in", "pps"}, nil},
	"stack-garbage-error":     {[]string{"bw-in", "pps"}, nil},
	"steady-growth":           {[]string{"bw-in", "bw-out", "conntrack", "pps"}, []string{"05", "06"}},
	"true-reset":              {[]string{"bw-in", "pps"}, nil},
	"zero-glitch":             {[]string{"bw-in"}, []string{"05"}},
	"everything-exceeded":     {[]string{"bw-in", "bw-out", "conntrack", "pps"}, []string{"05"}},
}

// What the real binary records of each scenario sets off the alarms that the
// scenario must, and the same ones as what it published.
func TestReplayOfEachScenario(t *testing.T) {
	t.Parallel()
	paths := map[string]string{"everything-exceeded": "testdata/everything-exceeded.yaml"}
	for _, l := range simulate.Scenarios() {
		paths[l.Name] = l.Name
	}
	files, err := filepath.Glob("../enasim/testdata/scenarios/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".yaml")
		if paths[name] != "" {
			name += ".yaml"
		}
		paths[name] = f
	}
	if len(paths) != len(alarmsOf) {
		t.Errorf("%d scenarios, and the alarms of %d are written down", len(paths), len(alarmsOf))
	}
	for name, path := range paths {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if path == name {
				path = once(t, name)
			}
			var lines []json.RawMessage
			runErrand(t, errand{Do: "record", Dir: dir}, &lines, "--scenario", path, "--stop-when-done")
			file := filepath.Join(dir, "incident.json")
			run(t, "record", "export", "--state-dir", dir, "--output", file)
			scope := []string{"--scope", "host,fleet", "--name", "ena", "--threshold"}
			got := alarmsIn(t, run(t, append([]string{"replay", file, "--json"}, append(scope, "any")...)...))
			if diff := cmp.Diff(wanted(t, name), got); diff != "" {
				t.Errorf("alarms (-want +replayed)\n%s", diff)
			}
			if diff := cmp.Diff(evaluated(t, lines), got); diff != "" {
				t.Errorf("alarms (-what was published +replayed)\n%s", diff)
			}
			if got := alarmsIn(t, run(t, append([]string{"replay", file, "--json"}, append(scope, "sustained")...)...)); len(got) > 0 {
				t.Errorf("a minute sets off what must last for three: %v", got)
			}
		})
	}
}

// once writes a built-in scenario, which repeats for ever, as one that happens
// once, when an agent has begun to read for sure.
func once(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../agent/simulate/scenarios/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	const later = 25
	last := 0
	text = regexp.MustCompile(`\bat: (\d+)s`).ReplaceAllFunc(text, func(at []byte) []byte {
		var n int
		fmt.Sscanf(string(at), "at: %ds", &n)
		last = max(last, n+later)
		return fmt.Appendf(nil, "at: %ds", n+later)
	})
	text = regexp.MustCompile(`(?m)^repeat: .*$`).ReplaceAll(text, fmt.Appendf(nil, "end: {at: %ds}", last+12))
	path := filepath.Join(t.TempDir(), name+".yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a command of the program, and returns what it says.
func run(t *testing.T, args ...string) []byte {
	t.Helper()
	empty := filepath.Join(t.TempDir(), "enawatch.yaml")
	if err := os.WriteFile(empty, []byte("sinks: {emf: {}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(agentPath, append(args, "--config", empty)...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", args, err, &stderr)
	}
	return out
}

// wanted lists the alarms of a scenario, each once.
func wanted(t *testing.T, name string) (list []string) {
	t.Helper()
	of, ok := alarmsOf[name]
	if !ok {
		t.Fatalf("the alarms of scenario %s are not written down", name)
	}
	for _, a := range of.allowances {
		list = append(list, "HOST-"+a+"-exceeded", "fleet-"+a+"-exceeded", "fleet-"+a+"-exceeded HOST")
	}
	for _, n := range of.linklocal {
		list = append(list, "HOST-linklocal-exceeded", "fleet-linklocal-exceeded", "fleet-linklocal-exceeded HOST eni-0000000000000000"+n)
	}
	list = append(list, "HOST-network-allowance")
	slices.Sort(list)
	return slices.Compact(list)
}

func said(alarm, contributor string) string {
	return strings.TrimSpace(strings.ReplaceAll(strings.TrimPrefix(alarm, "ena-")+" "+contributor, instanceID, "HOST"))
}

// alarmsIn lists the alarms of a replay that took actions, or have none.
func alarmsIn(t *testing.T, text []byte) (list []string) {
	t.Helper()
	var report struct {
		Alarms []struct{ Alarm, Contributor, To, Suppressed_by string }
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	for _, a := range report.Alarms {
		if a.To == string(evaluate.Alarm) && a.Suppressed_by == "" {
			list = append(list, said(a.Alarm, a.Contributor))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// evaluated lists the alarms that the evaluator raises on what was published.
func evaluated(t *testing.T, lines []json.RawMessage) (list []string) {
	t.Helper()
	o := provision.Options{Name: "ena", Namespace: "ENA", Interval: time.Minute, Scopes: []provision.Scope{provision.PerHost, provision.Fleet},
		Level: provision.Levels[0], Instances: []string{instanceID}, ConntrackLeft: provision.DefaultConntrackLeft}
	set, err := provision.Alarms(o)
	if err != nil {
		t.Fatal(err)
	}
	e, err := evaluate.New(set)
	if err != nil {
		t.Fatal(err)
	}
	var first, last time.Time
	for _, line := range lines {
		at := putEMF(t, e, line)
		if first.IsZero() {
			first = at
		}
		last = at
	}
	host := []provision.Dimension{{Name: "InstanceId", Value: instanceID}}
	end := last.Truncate(time.Minute).Add(20 * time.Minute)
	for at := first.Truncate(time.Minute).Add(-30 * time.Minute); at.Before(end); at = at.Add(time.Minute) {
		e.Metrics.Put(provision.Metric{Namespace: "AWS/EC2", MetricName: "StatusCheckFailed", Dimensions: host}, at, time.Minute, 0)
		if at.Before(first.Truncate(time.Minute)) || at.After(last) {
			e.Metrics.Put(provision.Metric{Namespace: "ENA", MetricName: "heartbeat", Dimensions: host}, at, time.Minute, 60)
		}
	}
	if _, err := e.Until(first.Add(-15 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	changes, err := e.Until(end)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if c.To == evaluate.Alarm && c.SuppressedBy == "" {
			list = append(list, said(c.Alarm, c.Contributor))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// putEMF has CloudWatch take a line of EMF, and returns its time.
func putEMF(t *testing.T, e *evaluate.Evaluator, line []byte) time.Time {
	t.Helper()
	var root map[string]json.RawMessage
	var meta struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name string }
		}
	}
	if err := json.Unmarshal(line, &root); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(root["_aws"], &meta); err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(meta.Timestamp).UTC()
	for _, d := range meta.CloudWatchMetrics {
		for _, names := range d.Dimensions {
			id := provision.Metric{Namespace: d.Namespace}
			for _, n := range names {
				var value string
				if err := json.Unmarshal(root[n], &value); err != nil {
					t.Fatal(err)
				}
				id.Dimensions = append(id.Dimensions, provision.Dimension{Name: n, Value: value})
			}
			for _, m := range d.Metrics {
				id.MetricName = m.Name
				var values []float64
				if json.Unmarshal(root[m.Name], &values) != nil {
					values = make([]float64, 1)
					if err := json.Unmarshal(root[m.Name], &values[0]); err != nil {
						t.Fatal(err)
					}
				}
				id.Dimensions = slices.Clone(id.Dimensions)
				e.Metrics.Put(id, at, 0, values...)
			}
		}
	}
	return at
}

// recordIncident runs an agent on an instance, until the rig asks it to stop, and
// prints the lines of EMF.
func recordIncident(e errand) {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	must(shell("ip addr add "+imdsAddress+"/32 dev lo", ""))
	aws, err := awsfake.New(awsfake.Options{Instance: awsfake.Instance{
		ID: instanceID, Type: "m5.large", AvailabilityZone: "us-east-1a", ZoneID: "use1-az1", Role: "node",
		ENIs: []awsfake.ENI{{ID: "eni-000000000000000005", MAC: "06:00:00:00:00:05"}, {ID: "eni-000000000000000006", MAC: "06:00:00:00:00:06"}},
	}})
	must(err)
	must(aws.Listen(net.JoinHostPort(imdsAddress, "80")))
	c := exec.Command(e.Agent, "run", "--state-dir", e.Dir, "--sinks.emf.output", "stdout", "--sinks.prometheus=false", "--log.level", "warn")
	var stdout bytes.Buffer
	c.Stdout, c.Stderr = &stdout, os.Stderr
	must(c.Start())
	<-stop.Done()
	must(c.Process.Signal(syscall.SIGTERM))
	must(c.Wait())
	var lines []json.RawMessage
	for line := range bytes.Lines(stdout.Bytes()) {
		lines = append(lines, bytes.Clone(line))
	}
	must(json.NewEncoder(os.Stdout).Encode(lines))
}
