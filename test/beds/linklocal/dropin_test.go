//go:build beds

package linklocal

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/enawatch/enawatch/test/beds/bed"
	"github.com/enawatch/enawatch/test/linklocaltest"
)

// The unit with its drop-in for link-local counts, in a Debian whose first process
// is systemd: the agent has the three capabilities and no other, and counts what
// another unit sends.
func TestDropIn(t *testing.T) {
	dir := os.Getenv(insideVariable)
	if dir == "" {
		t.Setenv("ENAWATCH_BED_DEBIAN", filepath.Join(bed.Tools(t, "debian"), "debian-12"))
		underRig(t, "card.yaml")
		return
	}
	linklocaltest.Run(t, "ip", "addr", "add", "10.9.0.10/24", "dev", "ens5")
	linklocaltest.Run(t, "ip", "link", "set", "ens5", "up")
	linklocaltest.Run(t, "ip", "route", "add", "169.254.169.123/32", "dev", "ens5")
	linklocaltest.Run(t, "ip", "neigh", "add", "169.254.169.123", "lladdr", "02:00:00:00:00:77", "dev", "ens5")
	run := boot(t, dir)
	var pid string
	bed.Eventually(t, "the service is active", func() bool {
		state := run("systemctl", "show", "--property", "ActiveState,MainPID", "enawatch")
		_, pid, _ = strings.Cut(state, "MainPID=")
		pid, _, _ = strings.Cut(pid, "\n")
		return strings.Contains(state, "ActiveState=active")
	})
	scrape := (&agent{}).scrape
	bed.Eventually(t, "the interface is counted", func() bool {
		return strings.Contains(scrape(), `enawatch_linklocal_packets_total{interface="ens5"`)
	})
	status := run("cat", "/proc/"+pid+"/status")
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if want := fmt.Sprintf("%s:\t%016x\n", set, uint64(capabilities)); !strings.Contains(status, want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	if strings.Contains(status, "Uid:\t0") || !strings.Contains(status, "NoNewPrivs:\t1\n") || !strings.Contains(status, "Seccomp:\t2\n") {
		t.Errorf("it is root or has no sandbox:\n%s", status)
	}
	// It stays: a unit that is gone has no name any more.
	run("systemd-run", "--unit=clock", "bash", "-c", "for n in {1..25}; do echo >/dev/udp/169.254.169.123/123; done; sleep 600")
	bed.Eventually(t, "the packets and their sender are on /metrics", func() bool {
		var packets, sender bool
		for line := range strings.Lines(scrape()) {
			packets = packets || strings.HasPrefix(line, "enawatch_linklocal_packets_total{") && strings.Contains(line, `service="ntp"`) && strings.HasSuffix(line, "} 25\n")
			sender = sender || strings.HasPrefix(line, "enawatch_linklocal_sender_packets{") && strings.Contains(line, `sender="clock.service"`) && strings.HasSuffix(line, "} 25\n")
		}
		return packets && sender
	})
	if log := run("journalctl", "--no-pager", "--unit", "enawatch", "--priority", "warning", "--output", "cat"); strings.Contains(log, "link-local") {
		t.Errorf("complaints:\n%s", log)
	}
}

// boot boots a Debian with the agent as a service, and returns what runs a program
// in it. Its changes are in memory, and go with the mount namespace.
func boot(t *testing.T, dir string) (run func(args ...string) string) {
	t.Helper()
	memory := filepath.Join(dir, "memory")
	root := filepath.Join(memory, "root")
	if err := os.Mkdir(memory, 0o755); err != nil {
		t.Fatal(err)
	}
	linklocaltest.Run(t, "mount", "-t", "tmpfs", "tmpfs", memory)
	linklocaltest.Run(t, "mkdir", filepath.Join(memory, "upper"), filepath.Join(memory, "work"), root)
	linklocaltest.Run(t, "mount", "-t", "overlay", "overlay", "-o",
		fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%[2]s/work", os.Getenv("ENAWATCH_BED_DEBIAN"), memory), root)
	units := filepath.Join(root, "etc/systemd/system")
	systemd := filepath.Join(bed.Root(), "systemd")
	linklocaltest.Run(t, "install", "-D", "-m", "755", filepath.Join(dir, "enawatch"), filepath.Join(root, "usr/bin/enawatch"))
	linklocaltest.Run(t, "install", "-D", "-m", "644", filepath.Join(systemd, "enawatch.service"), filepath.Join(units, "enawatch.service"))
	linklocaltest.Run(t, "install", "-D", "-m", "644", filepath.Join(systemd, "enawatch.service.d/linklocal.conf"), filepath.Join(units, "enawatch.service.d/linklocal.conf"))
	linklocaltest.Run(t, "mkdir", "-p", filepath.Join(root, "etc/enawatch"), filepath.Join(units, "multi-user.target.wants"))
	linklocaltest.Run(t, "ln", "-s", "../enawatch.service", filepath.Join(units, "multi-user.target.wants/enawatch.service"))
	for _, unit := range []string{"console-getty", "apt-daily", "apt-daily-upgrade"} {
		linklocaltest.Run(t, "ln", "-sf", "/dev/null", filepath.Join(units, unit+".service"))
	}
	if err := os.WriteFile(filepath.Join(root, "etc/enawatch/enawatch.yaml"), []byte("identity: {mode: static, host: node-1}\nsinks:\n  prometheus: {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	nspawn := exec.Command("systemd-nspawn", "--quiet", "--directory", root, "--machine", filepath.Base(dir), "--boot",
		"--register=no", "--keep-unit", "--console=read-only", "--capability=CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN", "--system-call-filter=bpf")
	nspawn.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	nspawn.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := nspawn.Start(); err != nil {
		t.Fatal(err)
	}
	leader := ""
	run = func(args ...string) string {
		c := exec.Command("nsenter", append([]string{"--target", leader, "--all", "--"}, args...)...)
		c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
		out, _ := c.CombinedOutput() // it may be too early; who asks sees what is missing
		return string(out)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("/metrics:\n%s\nthe journal:\n%s", (&agent{}).scrape(), run("journalctl", "--no-pager", "--lines", "100"))
		}
		run("systemctl", "poweroff")
		_ = nspawn.Wait()
	})
	bed.Eventually(t, "systemd is up", func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", nspawn.Process.Pid))
		if leader, _, _ = strings.Cut(string(children), " "); leader == "" {
			return false
		}
		state := strings.TrimSpace(run("systemctl", "is-system-running"))
		return state == "running" || state == "degraded"
	})
	return run
}
