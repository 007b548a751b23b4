package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/enawatch/enawatch/test/awsfake"
)

const (
	soaks    = 10 // agents
	soakTime = 56 // seconds in which counters grow, after 6 s of quiet
)

// faults are all the ways in which CloudWatch and the way to it can fail, but
// for those that refuse data for good.
var faults = []awsfake.Fault{
	{Kind: awsfake.Drop}, {Kind: awsfake.Drop, Store: true},
	{Kind: awsfake.Reset}, {Kind: awsfake.Reset, Store: true},
	{Kind: awsfake.Cut}, {Kind: awsfake.Cut, Store: true},
	{Kind: awsfake.Hang}, {Kind: awsfake.Hang, Store: true},
	{Kind: awsfake.Refuse, Delay: time.Second},
	{Kind: awsfake.Slow, Delay: 300 * time.Millisecond},
	{Kind: awsfake.Status, Status: 403}, {Kind: awsfake.Status, Status: 500}, {Kind: awsfake.Status, Status: 503},
	{Kind: awsfake.Status, Status: 429, RetryAfter: time.Second},
	{Kind: awsfake.Throttle}, {Kind: awsfake.HTML}, {Kind: awsfake.ExpiredToken}, {Kind: awsfake.Skew, Skew: time.Hour},
}

// soakResult is what one soak came to.
type soakResult struct {
	Kills, Requests, Failed int
	// Sums are what CloudWatch has, by metric; Twice is how much of that it
	// has twice, and TwiceData how many data.
	Sums, Twice map[string]float64
	TwiceData   int
	// Ambiguous is how many data the agents said they might have sent twice,
	// Dropped how many they said they gave up.
	Ambiguous, Dropped int
	Windows            int
	// OutOfOrder counts data that came after newer ones of the same agent, but
	// for those that came again.
	OutOfOrder int
}

// Ten agents, more than 500 windows, every kind of failure on the way to
// CloudWatch, and kill -9 at random moments: what CloudWatch has is what
// happened, and what it has twice was said to be in doubt.
func TestSoak(t *testing.T) {
	results := make(chan soakResult, soaks)
	t.Run("agents", func(t *testing.T) {
		for i := range soaks {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				results <- soakOnce(t, uint64(i))
			})
		}
	})
	close(results)
	var kills, windows, failed, twice int
	for r := range results {
		kills, windows, failed, twice = kills+r.Kills, windows+r.Windows, failed+r.Failed, twice+r.TwiceData
	}
	t.Logf("%d windows, %d kills, %d requests failed, %d data arrived twice", windows, kills, failed, twice)
	if windows < 300 || kills < 50 || failed < 100 || twice == 0 {
		t.Errorf("too little happened: %d windows, %d kills, %d failed requests, %d data twice", windows, kills, failed, twice)
	}
}

func soakOnce(t *testing.T, seed uint64) soakResult {
	dir := t.TempDir()
	scenario, ledgerPath := filepath.Join(dir, "soak.yaml"), filepath.Join(dir, "ledger.json")
	text := fmt.Sprintf(`
devices:
- {name: ens5, driver: 2.17.0, initial: {bw_in_allowance_exceeded: 11072}}
- {name: ens6, driver: upstream-6.12}
steps:
- {at: 6s, device: ens5, rate: {bw_in_allowance_exceeded: 7, linklocal_allowance_exceeded: 31}, for: %[1]ds}
- {at: 6s, device: ens6, rate: {pps_allowance_exceeded: 13, linklocal_allowance_exceeded: 5}, for: %[1]ds}
- {at: 20s, device: ens6, fault: {admin: stopped}}
- {at: 23s, device: ens6, fault: none}
- {at: 35s, device: ens5, fault: {admin: error}}
- {at: 37s, device: ens5, fault: none}
end: {at: %[2]ds}
`, soakTime, soakTime+9)
	if err := os.WriteFile(scenario, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var r soakResult
	runErrand(t, errand{Do: "soak", Dir: filepath.Join(dir, "state"), Seed: seed}, &r,
		"--scenario", scenario, "--ledger", ledgerPath, "--stop-when-done")

	ledger := readLedger(t, ledgerPath)
	for _, name := range []string{"bw_in_allowance_exceeded", "pps_allowance_exceeded", "linklocal_allowance_exceeded"} {
		var added uint64
		for _, d := range ledger.Devices {
			added += d.Stats[name].Added
		}
		if got := r.Sums[name] - r.Twice[name]; got != float64(added) || added == 0 {
			t.Errorf("%s: CloudWatch has %v, of which %v twice; %d happened", name, r.Sums[name], r.Twice[name], added)
		}
	}
	if r.TwiceData > r.Ambiguous || r.Dropped != 0 || r.OutOfOrder != 0 {
		t.Errorf("%d data arrived twice, %d were said to be in doubt; %d dropped; %d out of order", r.TwiceData, r.Ambiguous, r.Dropped, r.OutOfOrder)
	}
	return r
}

// soak runs one agent after the other against a stand-in for AWS, killing each
// after a while, until the rig asks it to stop. Then the last one may deliver
// in peace.
func soak(e errand) {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	aws, err := awsfake.Start(awsfake.Options{Seed: e.Seed})
	must(err)
	must(aws.Faults.Add(awsfake.Rule{Service: "cloudwatch", Probability: 0.4, Faults: faults}))
	rng := rand.New(rand.NewPCG(e.Seed, 1))

	var log bytes.Buffer
	var r soakResult
	// The first one lives until its baseline is on disk: what happens before
	// that is seen by nobody.
	life := 5 * time.Second
	for stop.Err() == nil {
		c := startAgent(e, aws, &log)
		select {
		case <-time.After(life):
			must(c.Process.Kill())
			r.Kills++
		case <-stop.Done():
			must(c.Process.Signal(syscall.SIGTERM))
		}
		c.Wait()
		life = time.Duration(500+rng.IntN(5000)) * time.Millisecond
	}
	aws.Faults.Clear()
	c := startAgent(e, aws, &log, "--sinks.prometheus", "--sinks.prometheus.listen", agentAddress)
	awaitEmptySpool()
	must(c.Process.Signal(syscall.SIGTERM))
	must(c.Wait())

	must(r.count(aws, log.Bytes()))
	os.Stderr.Write(log.Bytes())
	must(json.NewEncoder(os.Stdout).Encode(r))
}

func startAgent(e errand, aws *awsfake.Server, log *bytes.Buffer, args ...string) *exec.Cmd {
	c := exec.Command(e.Agent, append([]string{
		"run", "--sinks.cloudwatch", "--sinks.cloudwatch.endpoint", aws.URL(), "--sinks.cloudwatch.publish-jitter", "0s",
		"--publish-interval", "1s", "--state-dir", e.Dir, "--identity.mode", "static", "--identity.instance-id", "i-0123456789abcdef0",
		"--log.format", "json", "--sinks.emf=false",
	}, args...)...)
	c.Env = []string{
		"AWS_EC2_METADATA_DISABLED=true", "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=" + awsfake.DefaultCredential.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + awsfake.DefaultCredential.SecretAccessKey,
	}
	c.Stderr = log
	must(c.Start())
	return c
}

// awaitEmptySpool returns when the agent has nothing left to deliver.
func awaitEmptySpool() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		for line := range strings.Lines(await(ctx, "http://"+agentAddress+"/metrics")) {
			// One window a second comes and goes.
			var waiting float64
			if _, err := fmt.Sscanf(line, `enawatch_spool_items{sink="cloudwatch"} %g`, &waiting); err == nil && waiting <= 1 {
				return
			}
		}
		select {
		case <-ctx.Done():
			must(fmt.Errorf("the spool does not get empty"))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// count asks the stand-in what it has, and the logs what the agents said.
func (r *soakResult) count(aws *awsfake.Server, log []byte) error {
	r.Sums, r.Twice = map[string]float64{}, map[string]float64{}
	seen := map[string]bool{}
	newest := map[string]time.Time{}
	for _, m := range aws.CloudWatch.Metrics() {
		if seen[m.Name] {
			continue
		}
		seen[m.Name] = true
		s := aws.CloudWatch.Summarize(awsfake.MetricQuery{Name: m.Name})
		r.Sums[m.Name], r.Twice[m.Name] = s.Sum, s.DuplicateSum
		r.TwiceData += s.Duplicates
	}
	for _, d := range aws.CloudWatch.Data(awsfake.MetricQuery{Name: "heartbeat"}) {
		if newest[d.Name].After(d.Timestamp) {
			r.OutOfOrder++
		} else if d.Timestamp.After(newest[d.Name]) {
			newest[d.Name] = d.Timestamp
			r.Windows++
		}
	}
	for _, q := range aws.Journal.Requests("cloudwatch", "PutMetricData") {
		r.Requests++
		if q.Fault != "" {
			r.Failed++
		}
	}
	lines := bufio.NewScanner(bytes.NewReader(log))
	for lines.Scan() {
		var line struct {
			Msg  string `json:"msg"`
			Data int    `json:"data"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("a line of the log is no JSON: %w: %s", err, lines.Bytes())
		}
		switch {
		case strings.HasPrefix(line.Msg, "no answer"):
			r.Ambiguous += line.Data
		case strings.Contains(line.Msg, "dropped"):
			r.Dropped += line.Data
		}
	}
	return lines.Err()
}
