//go:build beds

package browser

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// agent is an enawatch that runs on the rig's devices.
type agent struct {
	url    string
	binary string
	state  string // its state directory
	pid    int
}

// startAgent runs an agent on a scenario under the rig, in whose network namespace
// it listens, and forwards a port of this host to it.
func startAgent(t *testing.T, scenario string, more ...string) *agent {
	t.Helper()
	a := &agent{binary: bed.Build(t, "./cmd/enawatch"), state: t.TempDir()}
	a.start(t, scenario, append([]string{"--publish-interval=5s", "--sinks.prometheus.listen=127.0.0.1:9109"}, more...)...)
	a.url = "http://" + forward(t, a.pid, "127.0.0.1:9109")
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

// start runs the agent under the rig.
func (a *agent) start(t *testing.T, scenario string, more ...string) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "enawatch.yaml")
	if err := os.WriteFile(config, []byte("sinks: {emf: {output: \"file://"+filepath.Join(a.state, "emf.jsonl")+"\"}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rig := exec.Command(bed.Build(t, "./test/enasim"), append([]string{"--scenario", scenario, "--", a.binary, "run", "--config", config,
		"--identity.mode=static", "--identity.instance-id=i-0123456789abcdef0", "--state-dir", a.state}, more...)...)
	rig.Env = append(os.Environ(), "AWS_EC2_METADATA_DISABLED=true")
	var log bytes.Buffer
	rig.Stderr = &log
	if err := rig.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		rig.Process.Signal(syscall.SIGTERM)
		if err := rig.Wait(); err != nil {
			t.Errorf("the agent: %v\n%s", err, &log)
		}
	})
	poll(t, "the rig runs the agent", func() bool { a.pid = childOf(rig.Process.Pid, a.binary); return a.pid != 0 })
}

// childOf returns the process that a parent runs of a program, or 0.
func childOf(parent int, program string) int {
	list, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range list {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		dir := filepath.Dir(path)
		if exe, err := os.Readlink(filepath.Join(dir, "exe")); err != nil || exe != program || len(fields) < 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(dir))
		return pid
	}
	return 0
}

// forward listens on this host and passes connections on to an address in the
// network namespace of a process. It returns its own address.
func forward(t *testing.T, pid int, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer from.Close()
				there, err := dialIn(pid, to)
				if err != nil {
					return // the browser sees that nobody answers
				}
				defer there.Close()
				go func() {
					io.Copy(there, from)
					there.(*net.TCPConn).CloseWrite()
				}()
				io.Copy(from, there)
			}()
		}
	}()
	return l.Addr().String()
}

// dialIn connects to an address in the network namespace of a process.
func dialIn(pid int, to string) (net.Conn, error) {
	type result struct {
		net.Conn
		error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err == nil {
			defer namespace.Close()
			err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			done <- result{error: err}
			return
		}
		c, err := net.Dial("tcp", to)
		done <- result{c, err}
	}()
	r := <-done
	return r.Conn, r.error
}

// inside runs a command in the network namespace of the agent.
func (a *agent) inside(t *testing.T, args ...string) string {
	t.Helper()
	return bed.Run(t, "nsenter", append([]string{"--net=" + fmt.Sprintf("/proc/%d/ns/net", a.pid)}, args...)...)
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

func scenarioFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scenario.yaml")
	if err := os.WriteFile(path, []byte(scenario()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
