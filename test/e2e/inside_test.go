package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"
)

// insideVariable makes the test binary a child of the rig, inside its network
// namespace. Its value is an errand.
const insideVariable = "E2E_INSIDE"

// errand is what the test binary does inside a rig.
type errand struct {
	Do    string // a key of errands
	Agent string // path of the program under test
	Dir   string // state directory
	Seed  uint64
	// Script is what is done to Dir first.
	Script string
	Output string // sinks.emf.output, with DIR and PORT
	// Variable is one of the agent's environment; Mounts is true for a mount
	// namespace of its own.
	Variable string
	Mounts   bool
}

var errands = map[string]func(errand){
	"readers":    compareReaders,
	"soak":       soak,
	"disk":       onBadDisk,
	"imds":       besideIMDS,
	"black hole": inBlackHole,
	"outage":     throughOutage,
	"emf":        toReceiver,
	"killed":     killBetween,
	"example":    runExample,
	"otlp":       toOTLP,
	"push":       pushing,
	"deploy":     publishEverything,
	"record":     recordIncident,
	"reload":     reloading,
	"notice":     givenNotice,
}

func inside(text string) {
	var e errand
	must(json.Unmarshal([]byte(text), &e))
	errands[e.Do](e)
}

// runErrand runs e in a rig of its own, and unmarshals what it prints into out.
func runErrand(t *testing.T, e errand, out any, rig ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	e.Agent = agentPath
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	rig = append(rig, "--")
	if e.Mounts {
		rig = append(rig, "unshare", "--mount", "--propagation", "private")
	}
	c := exec.Command(rigPath, append(rig, self)...)
	// What answers as IMDS inside a rig is the test's own.
	c.Env = append(os.Environ(), insideVariable+"="+string(text), "AWS_EC2_METADATA_DISABLED=false")
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if err := json.Unmarshal(stdout.Bytes(), out); err != nil {
		t.Fatalf("%v in %s", err, stdout.String())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("stderr:\n%s", stderr.String())
		}
	})
}

const (
	agentAddress        = "127.0.0.1:9109"
	nodeExporterAddress = "127.0.0.1:9100"
)

// readers is what three programs say of the same devices at the same moment.
type readers struct {
	Agent, NodeExporter, Ethtool string
}

// compareReaders runs agent and node_exporter, asks both and ethtool, and prints
// what they said.
func compareReaders(e errand) {
	// node_exporter ends with the context; the agent is asked to, below.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var programs []*exec.Cmd
	for _, args := range [][]string{
		{e.Agent, "run", "--identity.mode", "static", "--state-dir", e.Dir, "--sinks.prometheus.listen", agentAddress, "--sinks.emf=false", "--log.level", "warn"},
		{"prometheus-node-exporter", "--collector.disable-defaults", "--collector.ethtool",
			"--collector.ethtool.device-include=^ens[0-9]+$", "--web.listen-address=" + nodeExporterAddress, "--log.level=error"},
	} {
		c := exec.CommandContext(ctx, args[0], args[1:]...)
		c.Stderr = os.Stderr
		c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
		must(c.Start())
		programs = append(programs, c)
	}
	await(ctx, "http://"+agentAddress+"/readyz")
	await(ctx, "http://"+nodeExporterAddress+"/metrics")
	var r readers
	r.Agent = await(ctx, "http://"+agentAddress+"/metrics")
	r.NodeExporter = await(ctx, "http://"+nodeExporterAddress+"/metrics")
	out, err := exec.Command("ethtool", "-S", "ens5").Output()
	must(err)
	r.Ethtool = string(out)
	must(json.NewEncoder(os.Stdout).Encode(r))
	cancel()
	for _, c := range programs {
		c.Wait() // they were interrupted: how they end says nothing
	}
}

// await asks until the answer is 200, and returns it.
func await(ctx context.Context, url string) string {
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		must(err)
		if response, err := http.DefaultClient.Do(request); err == nil {
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err == nil && response.StatusCode == http.StatusOK {
				return string(body)
			}
		}
		select {
		case <-ctx.Done():
			must(fmt.Errorf("%s does not answer", url))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
