//go:build beds

package bed

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Host is a Debian that systemd-nspawn boots, in the network namespace of the
// test. Its changes are in memory.
type Host struct {
	t    *testing.T // of the step that is under way
	dir  string     // of what the test brings
	root string

	nspawn *exec.Cmd
	log    bytes.Buffer
	leader string // the process that is number 1 in the container
}

// NewHost lays a file system in memory over a Debian that test/beds/tool builds.
// Both go with the mount namespace.
func NewHost(t *testing.T, dir, debian string) *Host {
	t.Helper()
	memory := filepath.Join(dir, "memory")
	h := &Host{t: t, dir: dir, root: filepath.Join(memory, "root")}
	if err := os.Mkdir(memory, 0o755); err != nil {
		t.Fatal(err)
	}
	Run(t, "mount", "-t", "tmpfs", "tmpfs", memory)
	for _, name := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(memory, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	Run(t, "mount", "-t", "overlay", "overlay", "-o",
		fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%[2]s/work", filepath.Join(Tools(t, debian), debian+"-12"), memory), h.root)
	for _, unit := range []string{"console-getty", "apt-daily", "apt-daily-upgrade"} {
		if err := os.Symlink("/dev/null", h.Path("/etc/systemd/system/"+unit+".service")); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// Step runs a part of the story; the next ones need it.
func (h *Host) Step(name string, f func(t *testing.T)) {
	outer := h.t
	outer.Run(name, func(t *testing.T) {
		h.t = t
		f(t)
	})
	h.t = outer
	if outer.Failed() {
		out, _ := h.Try("sh", "-c", "journalctl --no-pager --lines 200 --output short-precise; tail -n 50 /var/log/enawatch.* /var/log/cloud-init-output.log")
		outer.Fatalf("the journal at the end:\n%s", out)
	}
}

// Boot boots systemd.
func (h *Host) Boot() {
	h.t.Helper()
	h.BootInit(func() bool {
		state, _ := h.Try("systemctl", "is-system-running")
		return state == "running" || state == "degraded"
	})
}

// BootInit boots whichever init the Debian has, and waits until it is up.
func (h *Host) BootInit(up func() bool) {
	h.t.Helper()
	h.nspawn = exec.Command("systemd-nspawn", "--quiet", "--directory", h.root, "--machine", filepath.Base(h.dir), "--boot",
		"--register=no", "--keep-unit", "--console=read-only")
	h.nspawn.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	h.nspawn.Stdout, h.nspawn.Stderr = &h.log, &h.log
	if err := h.nspawn.Start(); err != nil {
		h.t.Fatal(err)
	}
	pid := h.nspawn.Process.Pid
	Eventually(h.t, "the host is up", func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
		if h.leader, _, _ = strings.Cut(string(children), " "); h.leader == "" {
			return false
		}
		return up()
	})
}

// PowerOff ends the container as its init does.
func (h *Host) PowerOff() {
	h.Run("poweroff")
	if err := h.nspawn.Wait(); err != nil {
		h.t.Logf("systemd-nspawn: %v\n%s", err, &h.log)
	}
}

// Try runs a program in the container and returns what it writes.
func (h *Host) Try(args ...string) (string, error) {
	c := exec.Command("nsenter", append([]string{"--target", h.leader, "--all", "--"}, args...)...)
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"}
	out, err := c.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Run is try for what must succeed.
func (h *Host) Run(args ...string) string {
	h.t.Helper()
	out, err := h.Try(args...)
	if err != nil {
		h.t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return out
}

// Path is where a file of the container is on this host.
func (h *Host) Path(name string) string { return filepath.Join(h.root, name) }

// Exists says whether a file is there.
func (h *Host) Exists(name string) bool {
	_, err := os.Lstat(h.Path(name))
	return err == nil
}

// Read returns a file, nothing if it is not there.
func (h *Host) Read(name string) string {
	text, err := os.ReadFile(h.Path(name))
	if err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
	return string(text)
}

// Write writes a file that all can read.
func (h *Host) Write(name, text string) {
	h.t.Helper()
	path := h.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// Put brings a file of the test into the container.
func (h *Host) Put(name, to string) {
	text, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil {
		h.t.Fatal(err)
	}
	h.Write(to, string(text))
}

// Property is what systemd says of the service.
func (h *Host) Property(name string) string {
	return h.Run("systemctl", "show", "--value", "--property", name, "enawatch")
}

// Micros is a property that is a time.
func (h *Host) Micros(name string) time.Duration {
	n, _ := strconv.ParseInt(h.Property(name), 10, 64)
	return time.Duration(n) * time.Microsecond
}

// Journal is what the service and systemd say of it.
func (h *Host) Journal() string {
	return h.Run("journalctl", "--no-pager", "--unit", "enawatch", "--output", "cat")
}

// Active waits until the service is.
func (h *Host) Active(when string) {
	h.t.Helper()
	Eventually(h.t, "the service is active: "+when, func() bool { return h.Property("ActiveState") == "active" })
}

// Restarted waits until another process than before is ready.
func (h *Host) Restarted(before, why string) {
	h.t.Helper()
	Eventually(h.t, "the service is active again: "+why, func() bool {
		return h.Property("ActiveState") == "active" && h.Property("MainPID") != before
	})
}

// Counter is what /metrics says of the agent: the sum of the series that begin
// with name, or -1 if it does not answer.
func (h *Host) Counter(name string) float64 {
	answer, err := http.Get("http://127.0.0.1:9109/metrics")
	if err != nil {
		return -1
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return -1
	}
	var sum float64
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			at := strings.LastIndexByte(rest, ' ')
			value, _ := strconv.ParseFloat(strings.TrimSpace(rest[at+1:]), 64)
			sum += value
		}
	}
	return sum
}

// Reversion makes a package of another version of one.
func (h *Host) Reversion(deb, other, version string) {
	h.Run("sh", "-ec", `rm -rf /srv/deb; dpkg-deb --raw-extract "$0" /srv/deb; sed -i "s/^Version: .*/Version: $2/" /srv/deb/DEBIAN/control; dpkg-deb -Znone --build /srv/deb "$1"`,
		deb, other, version)
}
