package linklocal

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/enawatch/enawatch/test/linklocaltest"
)

const (
	podUID      = "11111111-2222-3333-4444-555555555555"
	containerID = "aaaaaaaabbbbbbbbccccccccddddddddaaaaaaaabbbbbbbbccccccccdddddddd"
	otherUID    = "99999999_2222_3333_4444_555555555555"
)

// Cgroups as the kubelet, with the systemd driver and with cgroupfs, and systemd
// make them.
var (
	podCgroup   = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + strings.ReplaceAll(podUID, "-", "_") + ".slice/cri-containerd-" + containerID + ".scope"
	otherCgroup = "kubepods/besteffort/pod" + strings.ReplaceAll(otherUID, "_", "-") + "/" + strings.ReplaceAll(containerID, "a", "e")
	unitCgroup  = "system.slice/chronyd.service"
)

// kubeletLogs makes a directory as the kubelet's /var/log.
func kubeletLogs(t *testing.T) string {
	t.Helper()
	logs := t.TempDir()
	for _, dir := range []string{"pods/kube-system_coredns-5d78_" + podUID, "containers"} {
		if err := os.MkdirAll(filepath.Join(logs, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(logs, "containers", "coredns-5d78_kube-system_coredns-"+containerID+".log"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return logs
}

func open(t *testing.T, o Options) *Meter {
	t.Helper()
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	m, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// until ticks until something holds. The deadline is for broken programs only.
func until(t testing.TB, m *Meter, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		m.Tick()
		if holds() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not happen", what)
		}
		<-ticker.C
	}
}

func watch(t testing.TB, m *Meter, index int) {
	t.Helper()
	m.Watch(index, "ens5")
	until(t, m, "the interface is counted", func() bool { _, ok := m.Totals(index); return ok })
}

// peakOf is the most of times in ten ticks in a row.
func peakOf(times []time.Duration) (peak int) {
	ticks := map[uint64]int{}
	for _, at := range times {
		for k := range uint64(peakTicks) {
			ticks[uint64(at/tick)+k]++
		}
	}
	for _, n := range ticks {
		peak = max(peak, n)
	}
	return peak
}

func TestCountsOfRealTraffic(t *testing.T) {
	if !inside(t) {
		return
	}
	for _, clsact := range []bool{false, true} {
		t.Run(fmt.Sprintf("clsact=%t", clsact), func(t *testing.T) { countRealTraffic(t, clsact) })
		run(t, "ip", "link", "del", "ens5")
	}
}

func countRealTraffic(t *testing.T, clsact bool) {
	index := wire(t)
	root := linklocaltest.Cgroup(t, podCgroup, otherCgroup, unitCgroup)
	m := open(t, Options{
		Cgroup: root, Logs: kubeletLogs(t), DNSNames: true, clsact: clsact,
		Resolvers: []netip.Addr{netip.MustParseAddr("10.9.0.2")},
	})
	defer func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}()
	watch(t, m, index)

	var times []time.Duration
	var waits []func() []time.Duration
	for _, b := range []burst{
		{To: "169.254.169.253:53", Count: 1500, Over: 600 * time.Millisecond, Name: "api.example.com", Cgroup: podCgroup},
		{To: "[fd00:ec2::253]:53", Count: 900, Over: 900 * time.Millisecond, Name: "missing.example.com", Cgroup: otherCgroup},
		{To: "169.254.169.123:123", Count: 200, Over: 500 * time.Millisecond, Name: "ntp", Cgroup: unitCgroup},
		{To: "10.9.0.2:53", Count: 30, Name: "late.example.com"},
		{To: "169.254.169.253:53", Count: 20, Name: "lost.example.com"},
		{To: "169.254.169.253:53", Count: 3, Name: "lost.again", Same: true},
		{To: "10.9.0.1:53", Count: 100, Name: "elsewhere.example.com"}, // no service
	} {
		b.Cgroup = filepath.Join(root, b.Cgroup)
		waits = append(waits, b.start(t))
	}
	for i, wait := range waits {
		if sent := wait(); i < len(waits)-1 {
			times = append(times, sent...)
		}
	}
	var got Totals
	until(t, m, "every answer is there and the lost are given up", func() bool {
		got, _ = m.Totals(index)
		return got.Answers >= 1500+900+30 && got.Unanswered >= 20+3
	})
	wantPackets := [NumServices]uint64{DNS: 1500 + 900 + 30 + 20 + 3, NTP: 200}
	if got.Packets != wantPackets {
		t.Errorf("packets %v, want %v", got.Packets, wantPackets)
	}
	if got.Queries != wantPackets[DNS] || got.Answers != 2430 || got.Unanswered != 23 || got.Retries != 2 || got.Unmatched != 0 {
		t.Errorf("DNS %+v: want 2453 queries, 2430 answered, 23 not, 2 retries", got)
	}
	if got.RCodes[0] != 1530 || got.RCodes[3] != 900 {
		t.Errorf("response codes %v, want 1530 of 0 and 900 of 3", got.RCodes)
	}
	var slow, all uint64
	for i, n := range got.Latencies {
		all += n
		if i > 18 { // over 2^18 us, 262 ms
			slow += n
		}
	}
	if all != 2430 || slow < 30 {
		t.Errorf("latencies %v: want 2430, of which 30 over 262 ms", got.Latencies)
	}
	// A sender that is put aside between the look at its clock and the packet
	// moves that packet to another tick.
	if want := peakOf(times); int(got.Peak) < want*95/100 || int(got.Peak) > want*105/100 {
		t.Errorf("peak %d a second, want about %d", got.Peak, want)
	}

	// Names are of the last 10 to 20 s, and all of this took less than 10.
	asked := map[string]uint64{}
	for _, q := range m.Names(10) {
		asked[q.Name] = q.Queries
	}
	if asked["lost.again."] != 3 || asked["api.example.com."] > 1500 || asked["elsewhere.example.com."] != 0 {
		t.Errorf("names %v: want 3 for lost.again., none for elsewhere.example.com.", asked)
	}

	top, others, ok := m.Top(3, history)
	if !ok {
		t.Fatal("senders are not counted")
	}
	var said []string
	for _, s := range top {
		said = append(said, fmt.Sprintf("%s: dns %d ntp %d", s.Name, s.Packets[DNS], s.Packets[NTP]))
	}
	if diff := cmp.Diff([]string{
		"kube-system/coredns-5d78/coredns: dns 1500 ntp 0",
		"pod " + strings.ReplaceAll(otherUID, "_", "-") + ": dns 900 ntp 0",
		"chronyd.service: dns 0 ntp 200",
	}, said); diff != "" {
		t.Errorf("senders (-want +got)\n%s", diff)
	}
	if others.Packets[DNS] != 53 {
		t.Errorf("others %v, want 53 of DNS", others.Packets)
	}
	if all, _, _ := m.Top(10, history); len(all) != 4 || all[3].Name.String() != "process linklocal.test" && !strings.HasPrefix(all[3].Name.String(), "process exe") {
		t.Errorf("plain processes: %+v", all)
	}
}

// A limit of 1024 packets a second stands for the card: what it drops is what
// has no answer, and who caused that is named.
func TestWhatTheCardDrops(t *testing.T) {
	if !inside(t) {
		return
	}
	index, thread := wireCard(t)
	nft := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("nsenter", append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", thread), "nft"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("nft %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	nft("add table inet card; add chain inet card in { type filter hook input priority 0; }; " +
		"add rule inet card in udp dport 53 limit rate over 1024/second burst 1024 packets counter drop")
	root := linklocaltest.Cgroup(t, podCgroup, unitCgroup)
	m := open(t, Options{Cgroup: root, Logs: kubeletLogs(t)})
	defer m.Close()
	watch(t, m, index)
	culprit := burst{To: "169.254.169.253:53", Count: 3000, Over: 400 * time.Millisecond, Name: "api.example.com", Cgroup: filepath.Join(root, podCgroup)}.start(t)
	other := burst{To: "169.254.169.253:53", Count: 200, Over: 400 * time.Millisecond, Name: "b.example.com", Cgroup: filepath.Join(root, unitCgroup)}.start(t)
	culprit()
	other()
	var got Totals
	until(t, m, "every query is answered, or dropped and given up", func() bool {
		var dropped uint64
		if _, after, ok := strings.Cut(nft("list", "chain", "inet", "card", "in"), "counter packets "); ok {
			fmt.Sscan(after, &dropped)
		}
		got, _ = m.Totals(index)
		return dropped > 0 && got.Answers+dropped == 3200 && got.Unanswered == dropped
	})
	if got.Packets[DNS] != 3200 {
		t.Errorf("%d packets, want 3200", got.Packets[DNS])
	}
	top, _, _ := m.Top(2, history)
	if len(top) != 2 || top[0].Name.String() != "kube-system/coredns-5d78/coredns" || top[0].Packets[DNS] != 3000 {
		t.Errorf("senders %+v, want CoreDNS first, with 3000", top)
	}
}

// TCP counts packets as they are on the wire, handshakes included.
func TestConnectionsAreCounted(t *testing.T) {
	if !inside(t) {
		return
	}
	index := wire(t)
	m := open(t, Options{Cgroup: linklocaltest.Cgroup(t)})
	defer m.Close()
	watch(t, m, index)
	burst{To: "169.254.169.254:80", Count: 25, TCP: true}.start(t)()
	until(t, m, "all connections are counted", func() bool {
		got, _ := m.Totals(index)
		return got.Packets[IMDS] >= 25*3 // SYN, ACK and FIN at least
	})
	m.Tick()
	got, _ := m.Totals(index)
	if all := sentBy(t); got.Total() > all { // ARP and the like are in it too
		t.Errorf("%d packets, the interface sent %d in all", got.Total(), all)
	}
}

// sentBy returns how many packets ens5 sent, as the kernel counts.
func sentBy(t *testing.T) (n uint64) {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/net/dev")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && name == "ens5" {
			fmt.Sscan(strings.Fields(rest)[9], &n)
		}
	}
	return n
}

// foreignCgroupProgram attaches a program of somebody else at a cgroup, and
// returns what counts the programs there.
func foreignCgroupProgram(t *testing.T, root string) (count func() int) {
	t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "foreign", Type: ebpf.CGroupSKB, AttachType: ebpf.AttachCGroupInetEgress, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := link.AttachCgroup(link.CgroupOptions{Path: root, Attach: ebpf.AttachCGroupInetEgress, Program: program})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dir.Close()
		l.Close()
		program.Close()
	})
	return func() int {
		q, err := link.QueryPrograms(link.QueryOptions{Target: int(dir.Fd()), Attach: ebpf.AttachCGroupInetEgress})
		if err != nil {
			t.Fatal(err)
		}
		return len(q.Programs)
	}
}

// The programs of others stay, and what a killed agent left is replaced.
func TestOthersStay(t *testing.T) {
	if !inside(t) {
		return
	}
	index := wire(t)
	foreign, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "foreign", Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: foreign, Attach: ebpf.AttachTCXEgress})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	onTCX := func() (n int) {
		q, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: ebpf.AttachTCXEgress})
		if err != nil {
			t.Fatal(err)
		}
		return len(q.Programs)
	}
	root := linklocaltest.Cgroup(t)
	onCgroup := foreignCgroupProgram(t, root)
	m := open(t, Options{Cgroup: root})
	watch(t, m, index)
	if n := onCgroup(); n != 2 {
		t.Errorf("%d programs at the cgroup, want the other one and ours", n)
	}
	if n := onTCX(); n != 2 {
		t.Errorf("%d programs by tcx, want the other one and ours", n)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if n := onTCX(); n != 1 {
		t.Errorf("%d programs by tcx are left, want the other one", n)
	}
	if n := onCgroup(); n != 1 {
		t.Errorf("%d programs at the cgroup are left, want the other one", n)
	}

	holder := startHolder(t, index, root, false)
	if n := onTCX(); n != 2 {
		t.Errorf("%d programs by tcx while an agent counts, want 2", n)
	}
	if n := onCgroup(); n != 2 {
		t.Errorf("%d programs at the cgroup while an agent counts, want 2", n)
	}
	_ = holder.Process.Kill()
	_ = holder.Wait() // it was killed: that is what it says
	deadline := time.Now().Add(30 * time.Second)
	for (onTCX() != 1 || onCgroup() != 1) && time.Now().Before(deadline) {
		runtime.Gosched() // the kernel closes its files a moment later
	}
	if n := onTCX(); n != 1 {
		t.Errorf("%d programs by tcx are left by a killed agent, want the other one alone", n)
	}
	if n := onCgroup(); n != 1 {
		t.Errorf("%d programs at the cgroup are left by a killed agent, want the other one alone", n)
	}

	filters := func() string {
		out, err := exec.Command("tc", "filter", "show", "dev", "ens5", "egress").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	run(t, "tc", "qdisc", "add", "dev", "ens5", "clsact")
	run(t, "tc", "filter", "add", "dev", "ens5", "egress", "prio", "7", "bpf", "bytecode", "1,6 0 0 4294967295")
	killed := open(t, Options{Cgroup: root, clsact: true}) // and never closed, as by kill -9
	watch(t, killed, index)
	next := open(t, Options{Cgroup: root, clsact: true})
	watch(t, next, index)
	if got := strings.Count(filters(), "handle 0xe7a"); got != 1 {
		t.Errorf("%d filters of enawatch, want 1:\n%s", got, filters())
	}
	burst{To: "169.254.169.253:53", Count: 10, Name: "a.b"}.start(t)()
	until(t, next, "the next agent counts", func() bool { got, _ := next.Totals(index); return got.Packets[DNS] == 10 })
	next.Unwatch(index)
	until(t, next, "its filter is taken off", func() bool { return !strings.Contains(filters(), "enawatch") })
	if !strings.Contains(filters(), "bytecode") {
		t.Errorf("the filter of someone else is gone:\n%s", filters())
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
	run(t, "ip", "link", "del", "ens5")
}

// An interface that goes away and one that returns are told apart, and a rename
// changes nothing.
func TestInterfacesComeAndGo(t *testing.T) {
	if !inside(t) {
		return
	}
	index := wire(t)
	m := open(t, Options{Cgroup: linklocaltest.Cgroup(t)})
	defer m.Close()
	watch(t, m, index)
	burst{To: "169.254.169.253:53", Count: 5, Name: "a.b"}.start(t)()
	run(t, "ip", "link", "set", "ens5", "down")
	run(t, "ip", "link", "set", "ens5", "name", "ens9")
	run(t, "ip", "link", "set", "ens9", "up")
	run(t, "ip", "route", "add", "169.254.169.253/32", "via", "10.9.0.1", "dev", "ens9")
	burst{To: "169.254.169.253:53", Count: 5, Name: "a.b"}.start(t)()
	until(t, m, "packets after the rename are counted", func() bool { got, _ := m.Totals(index); return got.Packets[DNS] == 10 })
	run(t, "ip", "link", "del", "ens9")
	m.Unwatch(index)
	until(t, m, "the interface is left", func() bool { _, ok := m.Totals(index); return !ok })
	again := wire(t)
	watch(t, m, again)
	burst{To: "169.254.169.253:53", Count: 4, Name: "a.b"}.start(t)()
	until(t, m, "the new one is counted", func() bool { got, _ := m.Totals(again); return got.Packets[DNS] == 4 })
}

func TestTicksAllocateNothing(t *testing.T) {
	if !inside(t) {
		return
	}
	index := wire(t)
	m := open(t, Options{Cgroup: linklocaltest.Cgroup(t)})
	defer m.Close()
	watch(t, m, index)
	burst{To: "169.254.169.253:53", Count: 10, Name: "a.b"}.start(t)()
	until(t, m, "packets are counted", func() bool { got, _ := m.Totals(index); return got.Answers == 10 })
	if names := m.Names(10); len(names) != 1 || names[0].Queries != 10 || !strings.HasPrefix(names[0].Name, "#") {
		t.Errorf("names %v, want a hash with 10 queries", names)
	}
	if n := testing.AllocsPerRun(50, m.Tick); n != 0 {
		t.Errorf("%v allocations a tick, want 0", n)
	}
}

// Without the right to use BPF there is one line that says what to do.
func TestWithoutTheRight(t *testing.T) {
	if want := os.Getenv(wantVariable); want != "" {
		m, err := Open(Options{Cgroup: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
		switch {
		case want == "nothing" && err != nil:
			t.Errorf("error %v, want none", err)
		case want == "nothing":
			_ = m.Close()
		case err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n"):
			t.Errorf("error %v, want one line with %q", err, want)
		}
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for have, want := range map[string]string{
		"":                          "give the agent CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
		",+bpf,+net_admin":          "give the agent CAP_PERFMON besides",
		",+bpf,+net_admin,+perfmon": "nothing",
	} {
		c := exec.Command("setpriv", "--bounding-set=-all"+have, "--inh-caps=-all"+have, self, "-test.run=^TestWithoutTheRight$")
		c.Env = append(os.Environ(), wantVariable+"="+want)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("with %q: %v\n%s", have, err, out)
		}
	}
}

// A kernel that is built without BPF, or that a container may not ask for it, is
// told of in one line. That of the kernel is played by seccomp, which answers
// bpf(2) as such a kernel does.
func TestWithoutBPF(t *testing.T) {
	if errno, err := strconv.Atoi(os.Getenv(refuseVariable)); err == nil {
		runtime.LockOSThread() // and all threads get the filter
		if err := linklocaltest.RefuseBPF(unix.Errno(errno)); err != nil {
			t.Fatal(err)
		}
		want := os.Getenv(wantVariable)
		if _, err := Open(Options{Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
		return
	}
	for errno, want := range map[unix.Errno]string{
		unix.ENOSYS: "this kernel lacks what is needed: it takes Linux 5.10 or later with BPF on",
		unix.EPERM:  "BPF is not permitted",
	} {
		c := exec.Command("/proc/self/exe", "-test.run=^TestWithoutBPF$")
		c.Env = append(os.Environ(), fmt.Sprintf("%s=%d", refuseVariable, errno), wantVariable+"="+want)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", errno, err, out)
		}
	}
}

// Without the kernel's BTF everything works: the programs read packets only.
func TestWithoutBTF(t *testing.T) {
	if os.Getenv(rigVariable) != t.Name() {
		c := exec.Command("unshare", "--mount", "--net", "--kill-child", "sh", "-c", `mount -t tmpfs tmpfs /sys/kernel/btf && exec "$0" "$@"`,
			"/proc/self/exe", "-test.run=^"+t.Name()+"$")
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		c.Args[len(c.Args)-2] = self
		c.Env = append(os.Environ(), rigVariable+"="+t.Name())
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err == nil {
		t.Fatal("the kernel's BTF is there")
	}
	index := wire(t)
	root := linklocaltest.Cgroup(t)
	m := open(t, Options{Cgroup: root})
	defer m.Close()
	watch(t, m, index)
	burst{To: "169.254.169.253:53", Count: 10, Name: "a.b", Cgroup: root}.start(t)()
	until(t, m, "packets are counted", func() bool { got, _ := m.Totals(index); return got.Answers == 10 })
	if top, _, ok := m.Top(1, history); !ok || len(top) != 1 || top[0].Packets[DNS] != 10 {
		t.Errorf("senders %+v, %t", top, ok)
	}
}
