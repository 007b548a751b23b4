package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/enawatch/enawatch/test/awsfake"
)

// An agent that is killed after it made a log group and before it gave it a
// retention leaves none that keeps events for ever, though its host never comes
// back: another one ends what it began.
func TestKilledBeforeTheRetention(t *testing.T) {
	t.Parallel()
	var groups []awsfake.LogGroup
	runErrand(t, errand{Do: "killed", Dir: t.TempDir()}, &groups, "--scenario", "../enasim/testdata/scenarios/steady-growth.yaml")
	if len(groups) != 2 || len(groups[0].Streams) != 0 || groups[0].RetentionDays != 0 {
		t.Fatalf("the kill was not in between: %+v", groups)
	}
	if g := groups[1]; g.RetentionDays != 30 || len(g.Streams) != 1 || g.Streams[0] != "i-0123456789abcdef1" {
		t.Errorf("another host left %+v", g)
	}
}

// killBetween kills an agent while it asks for a retention, runs another one
// until its events are there, and prints the log group as each left it.
func killBetween(e errand) {
	aws, err := awsfake.Start(awsfake.Options{})
	must(err)
	must(aws.Faults.Add(awsfake.Rule{Operation: "PutRetentionPolicy", Times: 1, Faults: []awsfake.Fault{{Kind: awsfake.Hang}}}))
	run := func(instance string, until func() bool, end os.Signal) awsfake.LogGroup {
		c := exec.Command(e.Agent, "run", "--sinks.emf.output", "logs:///ena/hosts/{instance_id}", "--sinks.emf.endpoint", aws.URL(), "--publish-interval", "1s",
			"--state-dir", filepath.Join(e.Dir, instance), "--identity.mode", "static", "--identity.instance-id", instance, "--sinks.prometheus=false")
		c.Env = awsEnvironment()
		var log bytes.Buffer
		c.Stderr = &log
		must(c.Start())
		for deadline := time.Now().Add(time.Minute); !until(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				must(errors.New(instance + " does not get so far:\n" + log.String()))
			}
		}
		must(c.Process.Signal(end))
		if err := c.Wait(); end == syscall.SIGTERM {
			must(err)
		}
		groups := aws.Logs.Groups()
		if len(groups) != 1 {
			must(errors.New("not one log group:\n" + log.String()))
		}
		return groups[0]
	}
	must(json.NewEncoder(os.Stdout).Encode([]awsfake.LogGroup{
		run("i-0123456789abcdef0", func() bool { return len(aws.Journal.Requests("logs", "PutRetentionPolicy")) > 0 }, syscall.SIGKILL),
		run("i-0123456789abcdef1", func() bool { return len(aws.Logs.Events("", "")) > 0 }, syscall.SIGTERM),
	}))
}

// awsEnvironment is what an agent is to know of the stand-in for AWS.
func awsEnvironment() []string {
	return []string{
		"AWS_EC2_METADATA_DISABLED=true", "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=" + awsfake.DefaultCredential.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + awsfake.DefaultCredential.SecretAccessKey,
	}
}
