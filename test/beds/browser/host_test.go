//go:build beds

package browser

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/enawatch/enawatch/test/beds/bed"
)

// interfaces is how many the host has, those of a large EKS node.
const interfaces = 16

// scenario is a host whose every interface exceeds an allowance now and then.
func scenario() string {
	var b strings.Builder
	b.WriteString("description: a large node with trouble of every kind\nrepeat: 20s\ndevices:\n")
	for n := range interfaces {
		fmt.Fprintf(&b, "- {name: ens%d, driver: 2.17.0, queues: 4, initial: {conntrack_allowance_available: 136812}}\n", n+5)
	}
	b.WriteString("steps:\n")
	stats := []string{"linklocal", "pps", "bw_out", "bw_in", "conntrack"}
	for n := range interfaces {
		for s, stat := range stats {
			fmt.Fprintf(&b, "- {at: %dms, device: ens%d, rate: {%s_allowance_exceeded: %d}, for: 1500ms}\n",
				1000+(n*700+s*2100)%16000, n+5, stat, 60+90*((n+s)%7))
		}
	}
	return b.String()
}

// agent is an enawatch that runs on simulated devices.
type agent struct {
	url string
	cmd *exec.Cmd
}

func startAgent(t *testing.T, simulate string) *agent {
	t.Helper()
	binary := bed.Build(t, "./cmd/enawatch")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	a := &agent{url: "http://" + address}
	a.cmd = exec.Command(binary, "run", "--simulate="+simulate, "--publish-interval=5s", "--sinks.prometheus.listen="+address)
	a.cmd.Env = append(os.Environ(), "AWS_EC2_METADATA_DISABLED=true")
	var log bytes.Buffer
	a.cmd.Stderr = &log
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.cmd.Process.Signal(syscall.SIGTERM)
		if err := a.cmd.Wait(); err != nil {
			t.Errorf("the agent: %v\n%s", err, &log)
		}
	})
	poll(t, "the agent answers", func() bool {
		resp, err := http.Get(a.url + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return a
}

// poll waits for a condition.
func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// memory returns the resident memory of the agent, in KiB.
func (a *agent) memory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(text)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib
}

func scenarioFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scenario.yaml")
	if err := os.WriteFile(path, []byte(scenario()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
