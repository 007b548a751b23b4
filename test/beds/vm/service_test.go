//go:build beds

package vm

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/enawatch/enawatch/test/awsfake"
	"github.com/enawatch/enawatch/test/beds/bed"
)

// imds is the address of IMDS, where the stand-in for all of AWS listens;
// elsewhere is one that is not link-local, private or this host.
const imds, elsewhere = "169.254.169.254", "192.0.2.1"

// emulated is a drop-in that makes up for the emulated processor, of which the
// unit's share would be a hundredth of a real one.
const emulated = "/etc/systemd/system/enawatch.service.d/emulated.conf"

// TestService installs the package in systemd 252, where the limits that a container
// can't have are in force, beside network devices whose driver is ena.
func TestService(t *testing.T) {
	if !Inside() {
		deb, _ := bed.Packages(t)
		Machine{Memory: 768, Files: map[string]string{
			"enawatch.deb": deb, "private.conf": filepath.Join(bed.Root(), "systemd", "enawatch.service.d", "private.conf"),
		}}.Run(t, "./test/beds/vm")
		return
	}
	s := newService(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"ready after the first reading", s.ready},
		{"publishes", s.publishes},
		{"limits", s.limits},
		{"addresses", s.addresses},
		{"hot attach", s.hotAttach},
		{"reset", s.reset},
		{"driver reload", s.reload},
		{"kill -9", s.kill},
		{"conservation", s.conservation},
		{"memory limit", s.memoryLimit},
		{"processor limit", s.processor},
	} {
		if !t.Run(step.name, step.run) {
			break // what follows builds on it
		}
	}
}

// service is the unit under test, and what happened to the counters.
type service struct {
	aws   *awsfake.Server
	added map[string]float64
}

func newService(t *testing.T) *service {
	// A listener elsewhere, to which the service must not get.
	for _, address := range []string{imds, elsewhere} {
		bed.Run(t, "ip", "addr", "add", address+"/32", "dev", "lo")
	}
	other, err := net.Listen("tcp", elsewhere+":80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	aws, err := awsfake.New(awsfake.Options{Instance: awsfake.Instance{
		ID: "i-0123456789abcdef0", Type: "m5.large", AvailabilityZone: "us-east-1a", ZoneID: "use1-az1", Role: "node",
		ENIs: []awsfake.ENI{
			{ID: "eni-0000000000000005a", MAC: "06:00:00:00:00:05"}, {ID: "eni-0000000000000006a", MAC: "06:00:00:00:00:06", DeviceNumber: 1},
			{ID: "eni-0000000000000007a", MAC: "06:00:00:00:00:07", DeviceNumber: 2},
		},
	}})
	if err == nil {
		err = aws.Listen(net.JoinHostPort(imds, "80"))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { aws.Close() })

	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.Command("sh", "-c", "systemctl status --no-pager --lines=0 enawatch; journalctl --no-pager --unit=enawatch --lines=60").CombinedOutput()
			t.Logf("%s", out)
		}
	})
	Load(t, 5, 6)
	up(t, 5, 6)
	// dpkg keeps a configuration that is there.
	write(t, "/etc/enawatch/enawatch.yaml", "publish_interval: 5s\nsinks:\n  cloudwatch: {endpoint: http://"+imds+", publish_jitter: 0s}\n", 0o644)
	write(t, emulated, "[Service]\nCPUQuota=\nTimeoutStartSec=10min\n", 0o644)
	bed.Run(t, "dpkg", "--install", "--force-confold", "/bed/enawatch.deb")
	return &service{aws: aws, added: map[string]float64{}}
}

func up(t *testing.T, slots ...int) {
	t.Helper()
	for _, n := range slots {
		bed.Run(t, "ip", "link", "set", fmt.Sprintf("ens%d", n), "up")
	}
}

// property returns a property of the unit.
func property(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(bed.Run(t, "systemctl", "show", "--value", "--property="+name, "enawatch"))
}

// group reads a file of the unit's cgroup.
func group(t *testing.T, file string) string {
	t.Helper()
	return strings.TrimSpace(read(t, filepath.Join("/sys/fs/cgroup", property(t, "ControlGroup"), file)))
}

// ready: when the start is over, which the installation did, every device has
// answered.
func (s *service) ready(t *testing.T) {
	bed.Run(t, "systemctl", "start", "enawatch")
	for _, slot := range []int{5, 6} {
		if n := Stat(t, slot, "ena_admin_q_completed_cmd"); n == 0 {
			t.Errorf("the service is ready, but ens%d was not read", slot)
		}
	}
}

func (s *service) publishes(t *testing.T) {
	s.drop(t, 5, "pps_allowance_exceeded", 7)
	s.drop(t, 6, "linklocal_allowance_exceeded", 3)
}

func (s *service) hotAttach(t *testing.T) {
	Attach(t, 7)
	up(t, 7)
	s.drop(t, 7, "bw_in_allowance_exceeded", 11)
}

func (s *service) reset(t *testing.T) {
	Control(t, 5, "reset wd_expired")
	s.drop(t, 5, "pps_allowance_exceeded", 2)
}

// reload loads the driver anew.
func (s *service) reload(t *testing.T) {
	Unload(t)
	Load(t, 5, 6, 7)
	up(t, 5, 6, 7)
	s.drop(t, 5, "pps_allowance_exceeded", 4)
	s.drop(t, 7, "bw_in_allowance_exceeded", 5)
}

// limits of the unit are those of the kernel, and far from what it takes.
func (s *service) limits(t *testing.T) {
	if got, want := group(t, "memory.max"), property(t, "MemoryMax"); got != want || got == "infinity" {
		t.Errorf("memory.max is %s, MemoryMax %s", got, want)
	}
	if got, want := group(t, "pids.max"), property(t, "TasksMax"); got != want {
		t.Errorf("pids.max is %s, TasksMax %s", got, want)
	}
	peak, _ := strconv.Atoi(group(t, "memory.peak"))
	limit, _ := strconv.Atoi(property(t, "MemoryMax"))
	t.Logf("memory.max %d MiB, memory.peak %.1f MiB", limit>>20, float64(peak)/(1<<20))
	if peak == 0 || peak > limit/2 {
		t.Errorf("it took %d bytes of %d", peak, limit)
	}
}

// processor: the unit's share is the kernel's limit, also for one who is greedy.
func (s *service) processor(t *testing.T) {
	if err := os.Remove(emulated); err != nil {
		t.Fatal(err)
	}
	bed.Run(t, "systemctl", "daemon-reload")
	bed.Eventually(t, "the unit's CPUQuota is in force", func() bool {
		var quota, period float64
		fmt.Sscan(group(t, "cpu.max"), &quota, &period)
		return fmt.Sprintf("%gms", 1000*quota/period) == property(t, "CPUQuotaPerSecUSec")
	})
	t.Logf("cpu.max %s", group(t, "cpu.max"))
	before := group(t, "cpu.stat")
	greedy := s.inGroup(t, "timeout", "2", "sh", "-c", "while :; do :; done")
	if err := greedy.Run(); err == nil {
		t.Error("it ended by itself")
	}
	throttled := regexp.MustCompile(`nr_throttled (\d+)`)
	from, _ := strconv.Atoi(throttled.FindStringSubmatch(before)[1])
	to, _ := strconv.Atoi(throttled.FindStringSubmatch(group(t, "cpu.stat"))[1])
	if to <= from {
		t.Errorf("throttled in %d periods before, %d after", from, to)
	}
}

// drop has a device drop packets and waits until CloudWatch has them all.
func (s *service) drop(t *testing.T, slot int, counter string, n int) {
	t.Helper()
	Control(t, slot, fmt.Sprintf("add %s %d", counter, n))
	s.added[counter] += float64(n)
	s.arrives(t, counter)
}

// arrives waits until CloudWatch has all of a counter.
func (s *service) arrives(t *testing.T, counter string) {
	t.Helper()
	bed.Eventually(t, fmt.Sprintf("CloudWatch has %g of %s", s.added[counter], counter), func() bool { return s.sum(counter) >= s.added[counter] })
}

// sum is what CloudWatch has of a counter, once.
func (s *service) sum(counter string) float64 {
	m := s.aws.CloudWatch.Summarize(awsfake.MetricQuery{Name: counter})
	return m.Sum - m.DuplicateSum
}

// addresses: with the drop-in for hosts that reach AWS inside their VPC alone,
// the service gets to IMDS and CloudWatch and nowhere else.
func (s *service) addresses(t *testing.T) {
	if out, err := s.connect(t, elsewhere); err != nil {
		t.Errorf("without the drop-in: %v %s", err, out)
	}
	place(t, "/etc/systemd/system/enawatch.service.d/private.conf", "/bed/private.conf")
	bed.Run(t, "systemctl", "daemon-reload")
	bed.Run(t, "systemctl", "restart", "enawatch")
	if out, err := s.connect(t, elsewhere); err == nil {
		t.Errorf("a connection to %s is let through: %s", elsewhere, out)
	}
	if out, err := s.connect(t, imds); err != nil {
		t.Errorf("a connection to %s: %v %s", imds, err, out)
	}
	s.drop(t, 5, "pps_allowance_exceeded", 5)
}

// connect makes a TCP connection as the service would: from its cgroup.
func (s *service) connect(t *testing.T, address string) (string, error) {
	t.Helper()
	out, err := s.inGroup(t, "timeout", "20", "bash", "-c", "exec 3<>/dev/tcp/"+address+"/80").CombinedOutput()
	return string(out), err
}

// inGroup returns a command that runs in the service's cgroup.
func (s *service) inGroup(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	dir, err := os.Open(filepath.Join("/sys/fs/cgroup", property(t, "ControlGroup")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	c := exec.Command(program, args...)
	c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	return c
}

// kill: what was dropped while the agent was away counts when it is back.
func (s *service) kill(t *testing.T) {
	before := property(t, "NRestarts")
	pid, err := strconv.Atoi(property(t, "MainPID"))
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.drop(t, 5, "pps_allowance_exceeded", 6)
	if after := property(t, "NRestarts"); after == before {
		t.Errorf("restarts: %s before, %s after", before, after)
	}
}

// conservation: CloudWatch has what was dropped, and nothing else.
func (s *service) conservation(t *testing.T) {
	bed.Run(t, "systemctl", "stop", "enawatch")
	for _, counter := range []string{"bw_in_allowance_exceeded", "bw_out_allowance_exceeded", "pps_allowance_exceeded", "conntrack_allowance_exceeded", "linklocal_allowance_exceeded"} {
		if got := s.sum(counter); got != s.added[counter] {
			t.Errorf("%s: CloudWatch has %v, %v happened", counter, got, s.added[counter])
		}
	}
	if len(s.added) != 3 {
		t.Errorf("dropped: %v", s.added)
	}
	bed.Run(t, "systemctl", "start", "enawatch")
}

// memoryLimit: the kernel ends a service that takes more than it may, and
// systemd starts it again.
func (s *service) memoryLimit(t *testing.T) {
	bed.Run(t, "systemctl", "set-property", "--runtime", "enawatch", "MemoryMax=3M")
	bed.Eventually(t, "the kernel kills the service", func() bool {
		return strings.Contains(bed.Run(t, "journalctl", "--no-pager", "--unit=enawatch"), "oom-kill")
	})
	bed.Run(t, "systemctl", "set-property", "--runtime", "enawatch", "MemoryMax=")
	bed.Eventually(t, "the service is back", func() bool { return property(t, "ActiveState") == "active" })
}
