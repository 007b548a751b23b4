package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/enawatch/enawatch/test/awsfake"
)

// An agent that hears of its instance's end, by the metadata service at its real
// address, sends what it has read by then: not when the window of an hour would
// have ended, and not when it is this host's turn.
func TestNotice(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]string{
		"spot":        `{"action": "terminate", "time": "2026-11-26T08:22:00Z"}`,
		"autoscaling": "Terminated",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r noticeResult
			runErrand(t, errand{Do: "notice", Dir: t.TempDir(), Script: name, Output: end}, &r, "--scenario", "../enasim/testdata/scenarios/one-second-bursts.yaml")
			if r.Before != 0 || r.After == 0 {
				t.Errorf("%d requests before the notice, %d after, want none and some\n%s", r.Before, r.After, r.Log)
			}
		})
	}
}

type noticeResult struct {
	Before, After int // requests of PutMetricData
	Log           string
}

func givenNotice(e errand) {
	must(shell("ip addr add "+imdsAddress+"/32 dev lo", ""))
	instance := awsfake.Instance{Role: "node", LifecycleState: "InService"}
	aws, err := awsfake.New(awsfake.Options{Instance: instance})
	must(err)
	must(aws.Listen(net.JoinHostPort(imdsAddress, "80")))
	c := exec.Command(e.Agent, "run", "--sinks.cloudwatch", "--sinks.cloudwatch.endpoint", aws.URL(), "--sample-interval", "36s", "--publish-interval", "1h",
		"--lifecycle.poll", "1s", "--state-dir", e.Dir, "--sinks.prometheus.listen", agentAddress)
	c.Env = []string{"AWS_REGION=us-east-1"}
	var log bytes.Buffer
	c.Stderr = &log
	must(c.Start())
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	await(ctx, "http://"+agentAddress+"/readyz")
	puts := func() int { return len(aws.Journal.Requests("cloudwatch", "PutMetricData")) }
	asked := func() int { return len(aws.Journal.Requests("imds", "meta-data/autoscaling/target-lifecycle-state")) }
	until(ctx, func() bool { return asked() > 1 })
	r := noticeResult{Before: puts()}
	if e.Script == "spot" {
		instance.SpotAction = e.Output
	} else {
		instance.LifecycleState = e.Output
	}
	aws.IMDS.SetInstance(instance)
	until(ctx, func() bool { return puts() > 0 })
	r.After = puts()
	must(c.Process.Signal(syscall.SIGTERM))
	must(c.Wait())
	r.Log = log.String()
	must(json.NewEncoder(os.Stdout).Encode(r))
}

// until waits for a condition, or for ctx to end.
func until(ctx context.Context, holds func() bool) {
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for !holds() && ctx.Err() == nil {
		<-poll.C
	}
}
