//go:build beds

// Package linklocal runs the real binary as a user without any right but CAP_BPF,
// CAP_NET_ADMIN and CAP_PERFMON on a host whose card has a budget: a limit of nft
// stands for the Nitro card, and what it drops is what the driver's counter shows. Behind it
// are real resolvers. Link-local addresses are in namespaces that have no way out.
package linklocal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/test/beds/bed"
	"github.com/enawatch/enawatch/test/linklocaltest"
)

// insideVariable says that this is the run in the rig, and where its files are.
const insideVariable = "LINKLOCAL_BED_INSIDE"

func TestMain(m *testing.M) {
	if text := os.Getenv(sendVariable); text != "" {
		if err := send(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if errno, err := strconv.Atoi(os.Getenv(refuseVariable)); err == nil {
		fmt.Fprintln(os.Stderr, execWithoutBPF(unix.Errno(errno)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// The user of the agent, and the capabilities that it has: bits of CAP_NET_ADMIN,
// CAP_PERFMON and CAP_BPF.
const (
	agentUser    = 65532
	capabilities = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_PERFMON | 1<<unix.CAP_BPF
)

const agentAddress = "127.0.0.1:9109"

// Three senders in cgroups as the kubelet's two drivers and systemd make them.
const (
	podUID, otherUID = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
	corednsID        = "aaaaaaaabbbbbbbbccccccccddddddddaaaaaaaabbbbbbbbccccccccdddddddd"
	cartID           = "eeeeeeeebbbbbbbbccccccccddddddddeeeeeeeebbbbbbbbccccccccdddddddd"
)

var (
	corednsCgroup = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + strings.ReplaceAll(podUID, "-", "_") + ".slice/cri-containerd-" + corednsID + ".scope"
	cartCgroup    = "kubepods/besteffort/pod" + otherUID + "/" + cartID
	unitCgroup    = "system.slice/chronyd.service"
)

func TestCard(t *testing.T) {
	if dir := os.Getenv(insideVariable); dir != "" {
		behindTheCard(t, dir)
		return
	}
	underRig(t, "card.yaml")
}

// underRig runs the calling test on the devices of a scenario, inside the rig.
func underRig(t *testing.T, scenario string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ewll")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "dropped")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(bed.Build(t, "./cmd/enawatch"), filepath.Join(dir, "enawatch")); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(bed.Build(t, "./test/enasim"), "--scenario", "testdata/"+scenario, "--adds", pipe, "--", self, "-test.run=^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), insideVariable+"="+dir, "AWS_EC2_METADATA_DISABLED=true")
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

// What is sent, by the second in which it is: 200, 900 and 1500 queries a second.
const (
	unitSecond, cartSecond = 0, 2 // and the one after
	tcpSecond              = 4
	culpritSecond          = 5 // and the two after
	ownSeconds             = 9 // of this test's senders, and one of silence
	perfSecond             = 9
	perfTCPSecond          = 10
	perf6Second            = 11
	allSeconds             = 12
)

// queries are those over UDP.
const queries = 2*200 + 2*900 + 3*(1500+100+50) + 2*150

// senders are what sends.
func senders(t *testing.T, dir, root string) []sender {
	many := func(s slot, first, seconds int64) (all []slot) {
		for k := range seconds {
			s.Second = first + k
			all = append(all, s)
		}
		return all
	}
	return []sender{
		{Cgroup: filepath.Join(root, unitCgroup), Slots: many(slot{To: resolver, Count: 200, Name: "ntp.example.com"}, unitSecond, 2)},
		{Cgroup: filepath.Join(root, cartCgroup), Slots: append(many(slot{To: resolver6, Count: 900, Name: "missing.test"}, cartSecond, 2),
			many(slot{To: resolver6, Count: 100, Name: "cart.example.com"}, culpritSecond, 3)...)},
		{Cgroup: root, Slots: append(many(slot{To: resolver, Count: 10, Name: "tcp.example.com", TCP: true}, tcpSecond, 1),
			many(slot{To: resolver, Count: 50, Name: "dig.example.com"}, culpritSecond, 3)...)},
		{Cgroup: root, Slots: many(slot{To: resolver6, Count: 10, Name: "tcp.example.com", TCP: true}, tcpSecond, 1)},
		{Cgroup: root, Slots: []slot{
			dnsperf(t, dir, perfSecond, resolver, 150, "udp", perfPort),
			dnsperf(t, dir, perfTCPSecond, resolver, 100, "tcp", perfPort+1),
			dnsperf(t, dir, perf6Second, resolver6, 150, "udp", perfPort+2),
		}},
		{Cgroup: filepath.Join(root, corednsCgroup), Slots: many(slot{To: resolver, Count: 1500, Name: "api.example.com"}, culpritSecond, 3)},
	}
}

// behindTheCard sends, and holds what the agent says against what the card's
// namespace counted and what was seen on the wire, second by second.
func behindTheCard(t *testing.T, dir string) {
	root := makeCgroups(t)
	card := wireCard(t)
	stopFollowing := followDrops(t, card, filepath.Join(dir, "dropped"))
	agent := startAgent(t, dir, root, ",+bpf,+net_admin,+perfmon", `enawatch_linklocal_packets_total{interface="ens5"`)
	wire := listen(t)

	var begins []func(int64) func()
	for _, s := range senders(t, dir, root) {
		begins = append(begins, s.start(t))
	}
	begin := time.Now().Unix() + 1
	var waits []func()
	for _, f := range begins {
		waits = append(waits, f(begin))
	}
	for _, wait := range waits {
		wait()
	}

	var counted map[string]uint64
	bed.Eventually(t, "the agent counts every packet that reached the card", func() bool {
		counted = card.counters(t)
		return agent.sum("enawatch_linklocal_packets_total", `service="dns"`) == counted["arrived"] &&
			agent.sum("enawatch_dns_unanswered_total", "") == queries-counted["answered"]
	})
	stopFollowing()
	bed.Eventually(t, "the record is written", func() bool { return len(agent.documents(t, dir).records) > 0 })
	agent.holdsOnly(t)
	log := agent.stop(t)
	wire.end(t)
	said := agent.documents(t, dir)

	if n := uint64(len(wire.sent)); counted["dropped"] == 0 || counted["arrived"] != n || n < queries+2*10*5 {
		t.Fatalf("the card's namespace counted %v, %d packets were on the wire", counted, n)
	}
	t.Logf("the card: %v", counted)
	if got := agent.final["enawatch_dns_queries_total"]; got != queries {
		t.Errorf("%d queries of DNS over UDP, sent were %d", got, queries)
	}
	if got := agent.final["enawatch_dns_answers_total"]; got != counted["answered"] {
		t.Errorf("%d answers, the resolvers gave %d", got, counted["answered"])
	}
	said.check(t, wire, begin, counted)
	var incident struct{ Records []metric.Record }
	if err := json.Unmarshal([]byte(bed.Run(t, filepath.Join(dir, "enawatch"), "record", "export", "--state-dir", filepath.Join(dir, "state"))), &incident); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(said.records, incident.Records); diff != "" {
		t.Errorf("the state file's records (-EMF +state file)\n%s", diff)
	}
	if n := strings.Count(log, "an allowance was exceeded: what was known"); n != len(said.records) {
		t.Errorf("%d records in the log, %d in EMF", n, len(said.records))
	}
}

// makeCgroups makes the senders' cgroups below a root of this test.
func makeCgroups(t *testing.T) (root string) {
	t.Helper()
	return linklocaltest.Cgroup(t, corednsCgroup, cartCgroup, unitCgroup)
}

// agent is the program under test.
type agent struct {
	cmd   *exec.Cmd
	log   *bytes.Buffer
	final map[string]uint64 // sums of /metrics, as of the last look
}

// startAgent starts it with some capabilities, by a program if wrap has one, and waits
// until /metrics has a text.
func startAgent(t *testing.T, dir, root, have, until string, wrap ...string) *agent {
	t.Helper()
	state, logs := filepath.Join(dir, "state"), filepath.Join(dir, "log")
	for _, d := range []string{state, filepath.Join(logs, "pods", "kube-system_coredns-5d78_"+podUID), filepath.Join(logs, "containers")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(logs, "containers", "coredns-5d78_kube-system_coredns-"+corednsID+".log"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "enawatch.yaml")
	if err := os.WriteFile(config, []byte(`
publish_interval: 10s
state_dir: `+state+`
identity: {mode: static, host: node-1}
linklocal: {enabled: true, dns_names: true, cgroup: `+root+`, kubelet_logs: `+logs+`}
conntrack: {enabled: true}
log: {format: json}
sinks:
  emf: {output: "file://`+state+`/emf.jsonl"}
  prometheus: {listen: "`+agentAddress+`"}
`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(state, agentUser, agentUser); err != nil {
		t.Fatal(err)
	}
	a := &agent{log: &bytes.Buffer{}, final: map[string]uint64{}}
	user := strconv.Itoa(agentUser)
	args := append(wrap, "setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--bounding-set=-all"+have,
		"--inh-caps=-all"+have, "--ambient-caps=-all"+have, filepath.Join(dir, "enawatch"), "run", "--config", config)
	a.cmd = exec.Command(args[0], args[1:]...)
	a.cmd.Stderr = a.log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = a.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("the agent's log:\n%s", a.log)
		}
	})
	bed.Eventually(t, "the agent's metrics have "+until, func() bool { return strings.Contains(a.scrape(), until) })
	return a
}

func (a *agent) scrape() string {
	resp, err := http.Get("http://" + agentAddress + "/metrics")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body) // what is there is enough
	return string(text)
}

// sum adds up the samples of a metric with a label, and notes those of all.
func (a *agent) sum(name, label string) (n uint64) {
	clear(a.final)
	for line := range strings.Lines(a.scrape()) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		v, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil {
			continue
		}
		of, labels, _ := strings.Cut(series, "{")
		a.final[of] += uint64(v)
		if of == name && strings.Contains(labels, label) {
			n += uint64(v)
		}
	}
	return n
}

// holdsOnly checks that the agent is no root and has no other capability.
func (a *agent) holdsOnly(t *testing.T) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d", agentUser), fmt.Sprintf("CapEff:\t%016x", uint64(capabilities)), fmt.Sprintf("CapBnd:\t%016x", uint64(capabilities))} {
		if !strings.Contains(string(status), want+"\n") {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
}

// stop ends the agent and returns its log.
func (a *agent) stop(t *testing.T) string {
	t.Helper()
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Wait(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	return a.log.String()
}

// documents reads what the agent wrote.
func (a *agent) documents(t *testing.T, dir string) (d documents) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "state", "emf.jsonl"))
	if err != nil {
		return d
	}
	d.senders = map[string]uint64{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var one document
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			t.Fatalf("%v in %s", err, lines.Text())
		}
		d.add(&one)
	}
	return d
}
