package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/awsfake"
)

// imdsResult is what an agent beside an IMDS did.
type imdsResult struct {
	// Dimensions are the sets under which each metric arrived.
	Dimensions map[string][]string
	// Start is how long the agent took to run.
	Start     time.Duration
	Requests  int // to IMDS
	Unsecured int // of them, without a token
	Log       string
}

// With IMDS at its own address, the host and its ENIs are known from the first
// window on, an ENI that is attached later is known when IMDS knows it, and the
// instance's role signs.
func TestIMDSNamesTheHost(t *testing.T) {
	t.Parallel()
	var r imdsResult
	runErrand(t, errand{Do: "imds", Dir: t.TempDir()}, &r,
		"--scenario", "../enasim/testdata/scenarios/hot-attach.yaml", "--stop-when-done")
	want := map[string][]string{
		"heartbeat":                    {"InstanceId=i-0123456789abcdef0"},
		"bw_in_allowance_exceeded":     {"InstanceId=i-0123456789abcdef0"},
		"linklocal_allowance_exceeded": {"InstanceId=i-0123456789abcdef0,NetworkInterfaceId=eni-0000000000000006a"},
	}
	for name, sets := range want {
		// A window that ends before IMDS knows the new ENI names its interface.
		got := slices.DeleteFunc(r.Dimensions[name], func(set string) bool { return strings.HasSuffix(set, ",interface=ens6") })
		if diff := cmp.Diff(sets, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s\n%s", name, diff, r.Log)
		}
	}
	if r.Unsecured != 0 || r.Requests > 60 {
		t.Errorf("%d requests to IMDS, %d without a token", r.Requests, r.Unsecured)
	}
}

// Where IMDS is a black hole, the agent starts all the same.
func TestBlackHoleDoesNotHoldUpTheStart(t *testing.T) {
	t.Parallel()
	var r imdsResult
	runErrand(t, errand{Do: "black hole", Dir: t.TempDir()}, &r,
		"--scenario", "../enasim/testdata/scenarios/steady-growth.yaml", "--stop-when-done")
	// The SDK gives up a request after 5 s, and the agent makes several.
	if r.Start == 0 || r.Start > 15*time.Second {
		t.Errorf("the start took %v: IMDS held it up\n%s", r.Start, r.Log)
	}
	if !strings.Contains(r.Log, "IMDS does not answer") {
		t.Errorf("the log does not say so:\n%s", r.Log)
	}
}

const imdsAddress = "169.254.169.254"

// besideIMDS puts a stand-in for AWS at the address of IMDS, in the rig's
// network namespace.
func besideIMDS(e errand) {
	must(shell("ip addr add "+imdsAddress+"/32 dev lo", ""))
	aws, err := awsfake.New(awsfake.Options{Instance: awsfake.Instance{
		ID: "i-0123456789abcdef0", Type: "m5.large", AvailabilityZone: "us-east-1a", ZoneID: "use1-az1", Role: "node",
		ENIs: []awsfake.ENI{
			{ID: "eni-0000000000000005a", MAC: "06:00:00:00:00:05"},
			{ID: "eni-0000000000000006a", MAC: "06:00:00:00:00:06", DeviceNumber: 1},
		},
	}})
	must(err)
	must(aws.Listen(net.JoinHostPort(imdsAddress, "80")))
	r := runBeside(e, aws.URL())
	r.Dimensions = map[string][]string{}
	for _, m := range aws.CloudWatch.Metrics() {
		var parts []string
		for _, d := range m.Dimensions {
			parts = append(parts, d.Name+"="+d.Value)
		}
		r.Dimensions[m.Name] = append(r.Dimensions[m.Name], strings.Join(parts, ","))
	}
	r.Requests, r.Unsecured = len(aws.Journal.Requests("imds", "")), aws.IMDS.Refused()
	must(json.NewEncoder(os.Stdout).Encode(r))
}

// inBlackHole routes the address of IMDS to a link where nobody answers.
func inBlackHole(e errand) {
	must(shell("ip link add hole type veth peer name bottom && ip link set hole up && ip link set bottom up && ip addr add 169.254.1.1/16 dev hole", ""))
	must(json.NewEncoder(os.Stdout).Encode(runBeside(e, "http://127.0.0.1:1")))
}

// runBeside runs an agent that finds out by itself who it is, until the rig
// asks it to stop.
func runBeside(e errand, endpoint string) (r imdsResult) {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	var log bytes.Buffer
	c := exec.Command(e.Agent, "run", "--sinks.cloudwatch", "--sinks.cloudwatch.endpoint", endpoint, "--sinks.cloudwatch.publish-jitter", "0s",
		"--publish-interval", "5s", "--state-dir", e.Dir, "--log.format", "json")
	c.Env = []string{"AWS_REGION=us-east-1"}
	c.Stderr = &log
	began := time.Now()
	must(c.Start())
	<-stop.Done()
	must(c.Process.Signal(syscall.SIGTERM))
	must(c.Wait())
	r.Log = log.String()
	for line := range strings.Lines(r.Log) {
		var entry struct {
			Time time.Time
			Msg  string
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "enawatch is running" {
			r.Start = entry.Time.Sub(began)
		}
	}
	return r
}
