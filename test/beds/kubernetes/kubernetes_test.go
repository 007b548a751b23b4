//go:build beds

// Package kubernetes runs the chart in a real cluster: API server, controller
// manager, scheduler, kubelet and containerd, on a node whose interface is a
// scripted ENA device.
package kubernetes

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/enawatch/enawatch/test/beds/bed"
)

// inside makes the test binary a child of the rig. Its value is the cluster's
// directory.
const inside = "ENAWATCH_BED_CLUSTER"

func TestCluster(t *testing.T) {
	if dir := os.Getenv(inside); dir != "" {
		insideCluster(t, dir)
		return
	}
	tools := bed.Tools(t, "kubernetes", "containerd", "helm", "kubeconform", "prometheus")
	dir, err := os.MkdirTemp("", "ewk") // short, for unix sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	bin := filepath.Join(dir, "page-bin") // programs as the page calls them
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(images(t, dir), filepath.Join(bin, "enawatch")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(tools, "promtool3"), filepath.Join(bin, "promtool")); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(bed.Build(t, "./test/enasim"), "--scenario", "testdata/node.yaml", "--", self, "-test.run=^TestCluster$", "-test.v")
	c.Env = append(os.Environ(), inside+"="+dir, "ENAWATCH_BED_TOOLS="+tools)
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

// images puts what the node runs into a folder, as archives, and returns the agent.
func images(t *testing.T, dir string) (agent string) {
	t.Helper()
	agent = bed.Build(t, "./cmd/enawatch")
	for name, program := range map[string]string{"enawatch": agent, "pause": bed.Build(t, "./test/beds/kubernetes/pause")} {
		image(t, filepath.Join(dir, name+".tar"), "localhost/"+name+":1", program, "/usr/bin/"+name)
	}
	return agent
}

func insideCluster(t *testing.T, dir string) {
	c := startCluster(t, dir, os.Getenv("ENAWATCH_BED_TOOLS"))
	chart := filepath.Join(bed.Root(), "deploy", "helm", "enawatch")
	settings := []string{
		"-n", "enawatch", "--set", "image.repository=localhost/enawatch", "--set-string", "image.tag=1", "--set", "image.pullPolicy=Never",
		"--set", "state.path=" + c.path("state"), "--set", "config.publish_interval=2s", "--set", "config.identity.mode=static",
		"--set", "config.sinks.emf.output=stdout", "--set", "config.sinks.kubernetes.update_every=5s",
		"--set", "config.sinks.kubernetes.recover_after=10s",
		"--set", "events.condition=true", "--wait", "--timeout", "2m",
	}
	c.kubectl("create", "namespace", "enawatch")

	t.Run("pod security", func(t *testing.T) { c.podSecurity(t) })
	t.Run("install", func(t *testing.T) {
		c.helm(append([]string{"install", "enawatch", chart}, settings...)...)
	})
	if t.Failed() {
		t.Log(c.kubectl("-n", "enawatch", "describe", "pods"))
		return
	}
	pod := c.kubectl("-n", "enawatch", "get", "pods", "-l", "app.kubernetes.io/name=enawatch", "-o", "jsonpath={.items[0].metadata.name}")
	t.Run("unprivileged", func(t *testing.T) { c.unprivileged(t) })
	t.Run("publishes", func(t *testing.T) {
		c.until("a window with the drops", func() bool {
			return strings.Contains(c.logs(pod), `"pps_allowance_exceeded":[`)
		})
		if text := scrape(t); !strings.Contains(text, `node_net_ethtool{device="ens5",type="pps_allowance_exceeded"}`) {
			t.Errorf("/metrics has no drops:\n%s", text)
		}
	})
	t.Run("event and condition", func(t *testing.T) { c.eventAndCondition(t) })
	t.Run("end of an event", func(t *testing.T) { c.endOfEvent(t) })
	t.Run("an Event that is there", func(t *testing.T) { c.conflict(t) })
	t.Run("the API server hangs", func(t *testing.T) { c.hangs(t) })
	t.Run("the API server is busy", func(t *testing.T) { c.busy(t) })
	t.Run("forbidden", func(t *testing.T) { c.forbidden(t, pod) })
	t.Run("kill -9 keeps the baseline", func(t *testing.T) { c.killAgent(t, pod) })
	t.Run("upgrade", func(t *testing.T) {
		c.helm(append([]string{"upgrade", "enawatch", chart, "--set", "podLabels.team=network"}, settings...)...)
		if n := strings.TrimSpace(c.kubectl("-n", "enawatch", "get", "pods", "-l", "team=network", "-o", "name")); n == "" {
			t.Error("no pod has the new label")
		}
		// Helm has brought the right back that was taken.
		c.until("Events again", func() bool {
			return strings.Contains(scrape(t), `enawatch_kubernetes_requests_total{result="ok"}`) && c.requests(t, "ok") > 0
		})
	})
	t.Run("expired token", func(t *testing.T) { c.expired(t) })
	t.Run("link-local counts", func(t *testing.T) { c.linkLocal(t, chart, settings) })
	t.Run("uninstall", func(t *testing.T) {
		c.helm("uninstall", "enawatch", "-n", "enawatch", "--wait", "--timeout", "2m")
		if left := c.kubectl("get", "daemonset,configmap,role,rolebinding,clusterrole,clusterrolebinding,serviceaccount", "-A", "-l", "app.kubernetes.io/name=enawatch", "-o", "name"); strings.TrimSpace(left) != "" {
			t.Errorf("left behind: %s", left)
		}
	})
	t.Run("page", func(t *testing.T) { c.page(t) })
}

// podSecurity: the host's network takes a namespace that is privileged, and the
// chart's README says so.
func (c *cluster) podSecurity(t *testing.T) {
	chart := filepath.Join(bed.Root(), "deploy", "helm", "enawatch")
	manifest := c.write("manifest.yaml", c.helm("template", "enawatch", chart, "-n", "enawatch", "--set", "events.condition=true", "--set", "networkPolicy.enabled=true"))
	c.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", manifest)
	c.kubectl("label", "namespace", "enawatch", "pod-security.kubernetes.io/warn=baseline", "--overwrite")
	if out := c.kubectl("apply", "--dry-run=server", "-f", manifest); !strings.Contains(out, "hostNetwork=true") {
		t.Errorf("no warning of the host's network:\n%s", out)
	}
	c.kubectl("label", "namespace", "enawatch", "pod-security.kubernetes.io/warn=privileged", "pod-security.kubernetes.io/enforce=privileged", "--overwrite")
	if out := c.kubectl("apply", "--dry-run=server", "-f", manifest); strings.Contains(out, "Warning") {
		t.Errorf("a warning although the namespace is privileged:\n%s", out)
	}
	typo := c.write("typo.yaml", strings.Replace(string(mustRead(t, manifest)), "readOnlyRootFilesystem", "readOnlyRootFs", 1))
	if out, err := c.try(filepath.Join(c.tools, "kubectl"), "apply", "--dry-run=server", "--validate=strict", "-f", typo); err == nil || !strings.Contains(out, "unknown field") {
		t.Errorf("a typo was taken: %s", out)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (c *cluster) logs(pod string) string {
	out, _ := c.try(filepath.Join(c.tools, "kubectl"), "-n", "enawatch", "logs", pod, "-c", "enawatch")
	return out
}

// agents are the processes of the agent.
func (c *cluster) agents() (pids []int) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		if text, _ := os.ReadFile(path); string(text) != "/usr/bin/enawatch\x00run\x00--config=/etc/enawatch/enawatch.yaml\x00" {
			continue
		}
		n := 0
		fmt.Sscan(strings.Split(path, "/")[2], &n)
		if group, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", n)); strings.Contains(string(group), c.cgroup) {
			pids = append(pids, n)
		}
	}
	return pids
}

func (c *cluster) unprivileged(t *testing.T) {
	pids := c.agents()
	if len(pids) != 1 {
		t.Fatalf("%d agents", len(pids))
	}
	status := string(mustRead(t, fmt.Sprintf("/proc/%d/status", pids[0])))
	for _, want := range []string{
		"Uid:\t65532\t65532\t65532\t65532", "Gid:\t65532\t65532\t65532\t65532", "NoNewPrivs:\t1", "Seccomp:\t2",
		"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000",
	} {
		if !strings.Contains(status, want+"\n") {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	mounts := string(mustRead(t, fmt.Sprintf("/proc/%d/mountinfo", pids[0])))
	if root := strings.Fields(strings.SplitN(mounts, "\n", 2)[0]); root[4] != "/" || !strings.HasPrefix(root[5], "ro,") {
		t.Errorf("the root is mounted %v, want read-only", root)
	}
	for line := range strings.Lines(status) {
		if strings.HasPrefix(line, "VmHWM") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// linkLocal: with linklocal.enabled the agent has the capabilities for eBPF and no
// other, under the runtime's default seccomp profile; its programs are at the
// interface and at the node's cgroups; and the state that another user had is its.
func (c *cluster) linkLocal(t *testing.T, chart string, settings []string) {
	c.helm(append([]string{"upgrade", "enawatch", chart, "--set", "linklocal.enabled=true", "--set", "linklocal.cgroup=" + c.path("cgroup2"),
		"--set", "config.conntrack.enabled=true"}, settings...)...)
	pids := c.agents()
	if len(pids) != 1 {
		t.Fatalf("%d agents", len(pids))
	}
	status := string(mustRead(t, fmt.Sprintf("/proc/%d/status", pids[0])))
	for _, want := range []string{"Uid:\t0\t0\t0\t0", "NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t000000c000001000", "CapBnd:\t000000c000001000", "CapAmb:\t0000000000000000"} {
		if !strings.Contains(status, want+"\n") {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	pod := c.kubectl("-n", "enawatch", "get", "pods", "-l", "app.kubernetes.io/name=enawatch", "-o", "jsonpath={.items[0].metadata.name}")
	defer func() {
		if t.Failed() {
			t.Logf("the agent's log:\n%s", c.logs(pod))
		}
	}()
	c.until("the interface is counted", func() bool { return strings.Contains(scrape(t), `enawatch_linklocal_packets_total{interface="ens5"`) })
	log := c.logs(pod)
	for _, unwanted := range []string{"are not counted", "is not counted", "can't be told", "can't be opened"} {
		if strings.Contains(log, unwanted) {
			t.Errorf("the log says %q:\n%s", unwanted, log)
		}
	}
	if text := scrape(t); !strings.Contains(text, `enawatch_linklocal_sender_packets{`) {
		t.Errorf("senders are not known:\n%s", text)
	}
}

func scrape(t *testing.T) string {
	t.Helper()
	return fetch(t, "/metrics")
}

// fetch asks the agent.
func fetch(t *testing.T, path string) string {
	t.Helper()
	resp, err := http.Get("http://127.0.0.1:9109" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// events returns a field of the node's Events of a reason.
func (c *cluster) events(reason, field string) string {
	return c.kubectl("get", "events", "-n", "default", "--field-selector", "involvedObject.kind=Node,source=enawatch,reason="+reason, "-o", "jsonpath={.items[*]"+field+"}")
}

func (c *cluster) eventAndCondition(t *testing.T) {
	events := c.events
	c.until("an Event", func() bool { return events("PPSExceeded", ".metadata.name") != "" })
	c.until("its update", func() bool { n := 0; fmt.Sscan(events("PPSExceeded", ".count"), &n); return n > 1 })
	if names := strings.Fields(events("PPSExceeded", ".metadata.name")); len(names) != 1 {
		t.Errorf("Events %v, want one", names)
	}
	t.Log(events("PPSExceeded", ".message"))
	if out := c.kubectl("describe", "node", nodeName); !strings.Contains(out, "PPSExceeded") || !strings.Contains(out, "NetworkAllowanceHealthy") {
		t.Errorf("kubectl describe node does not show it:\n%s", out)
	}
	condition := c.kubectl("get", "node", nodeName, "-o", `jsonpath={.status.conditions[?(@.type=="NetworkAllowanceHealthy")]['status','reason']}`)
	if condition != "False PPSExceeded" {
		t.Errorf("the condition is %s", condition)
	}
	if out := c.doctor(); !strings.Contains(out, "takes Events and the node's condition, by a dry run") {
		t.Errorf("doctor does not say that Events are allowed:\n%s", out)
	}
}

// doctor is what enawatch doctor says in the agent's pod.
func (c *cluster) doctor() string {
	out, _ := c.try(filepath.Join(c.tools, "kubectl"), "-n", "enawatch", "exec", "daemonset/enawatch", "-c", "enawatch", "--",
		"/usr/bin/enawatch", "doctor", "--config=/etc/enawatch/enawatch.yaml")
	return out
}

// endOfEvent: what is over is told by an Event of its own, of the type Normal.
func (c *cluster) endOfEvent(t *testing.T) {
	recovered := func(field string) string { return c.events("ConntrackRecovered", field) }
	c.until("the end of an Event", func() bool { return recovered(".metadata.name") != "" })
	if kind := strings.Fields(recovered(".type")); kind[0] != "Normal" {
		t.Errorf("it is of the type %s", kind)
	}
	t.Log(recovered(".message"))
}

// requests returns how many requests to the API server came to a result, as the
// agent says.
func (c *cluster) requests(t *testing.T, result string) (n int) {
	_, rest, _ := strings.Cut(scrape(t), `enawatch_kubernetes_requests_total{result="`+result+`"} `)
	fmt.Sscan(rest, &n)
	return n
}

// forbidden: without the right to make Events, the log says so once and what to
// do, requests become rare, and readings and windows go on.
func (c *cluster) forbidden(t *testing.T, pod string) {
	c.kubectl("delete", "rolebinding", "-n", "default", "-l", "app.kubernetes.io/name=enawatch")
	const line = "grant what docs/eks.md lists"
	c.until("a line in the log", func() bool { return strings.Contains(c.logs(pod), line) })
	if out := c.doctor(); !strings.Contains(out, "failed   permission kubernetes: POST /api/v1/namespaces/default/events?dryRun=All: HTTP 403") {
		t.Errorf("doctor does not say that Events are forbidden:\n%s", out)
	}
	windows := func() int { return strings.Count(c.logs(pod), `"pps_allowance_exceeded":[`) }
	before, failed := windows(), c.requests(t, "failed")
	c.until("ten windows more", func() bool { return windows() >= before+10 })
	if n := strings.Count(c.logs(pod), line); n > 2 { // of an Event made and one updated
		t.Errorf("the log says it %d times:\n%s", n, c.logs(pod))
	}
	if n := c.requests(t, "failed"); n > failed+2 {
		t.Errorf("%d requests failed in 20 s, and %d before", n-failed, failed)
	}
	for text := range strings.Lines(c.logs(pod)) {
		if strings.Contains(text, line) {
			t.Log(text)
			break
		}
	}
}

// killAgent: the container is started anew and goes on from the baseline, so
// that what happened meanwhile counts.
func (c *cluster) killAgent(t *testing.T, pod string) {
	before := strings.Count(c.logs(pod), `"pps_allowance_exceeded":[`)
	if before == 0 {
		t.Fatal("nothing was published")
	}
	if err := syscall.Kill(c.agents()[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	restarts := func() string {
		return c.kubectl("-n", "enawatch", "get", "pod", pod, "-o", `jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}`)
	}
	c.until("the container is back", func() bool { return restarts() == "1 true" })
	first := ""
	c.until("its first window", func() bool {
		for line := range strings.Lines(c.logs(pod)) {
			if first == "" && strings.Contains(line, `"pps_allowance_exceeded":[`) {
				first = line
			}
		}
		return first != ""
	})
	// Without the baseline, the first second would count nothing; with it, it
	// holds what happened while the agent was away.
	_, samples, _ := strings.Cut(first, `"pps_allowance_exceeded":[`)
	n := 0
	fmt.Sscan(samples, &n)
	if n <= 3 {
		t.Errorf("the first second after the restart counts %d packets, want more than one second's 3: %s", n, first)
	}
}
