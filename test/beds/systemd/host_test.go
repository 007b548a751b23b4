//go:build beds

package systemd

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

	"github.com/enawatch/enawatch/test/beds/bed"
)

// host is a Debian that systemd-nspawn boots, in the network namespace of the
// test. Its changes are in memory.
type host struct {
	t    *testing.T // of the step that is under way
	dir  string     // of what the test brings
	root string

	nspawn *exec.Cmd
	log    bytes.Buffer
	leader string // the process that is number 1 in the container
}

// newHost lays a file system in memory over Debian's. Both go with the mount
// namespace.
func newHost(t *testing.T, dir string) *host {
	memory := filepath.Join(dir, "memory")
	h := &host{t: t, dir: dir, root: filepath.Join(memory, "root")}
	if err := os.Mkdir(memory, 0o755); err != nil {
		t.Fatal(err)
	}
	bed.Run(t, "mount", "-t", "tmpfs", "tmpfs", memory)
	for _, name := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(memory, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	bed.Run(t, "mount", "-t", "overlay", "overlay", "-o",
		fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%[2]s/work", os.Getenv("ENAWATCH_BED_DEBIAN"), memory), h.root)
	for _, unit := range []string{"console-getty", "apt-daily", "apt-daily-upgrade"} {
		if err := os.Symlink("/dev/null", h.path("/etc/systemd/system/"+unit+".service")); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// step runs a part of the story; the next ones need it.
func (h *host) step(name string, f func(t *testing.T)) {
	outer := h.t
	outer.Run(name, func(t *testing.T) {
		h.t = t
		f(t)
	})
	h.t = outer
	if outer.Failed() {
		out, _ := h.try("journalctl", "--no-pager", "--lines", "200", "--output", "short-precise")
		outer.Fatalf("the journal at the end:\n%s", out)
	}
}

func (h *host) boot() {
	h.nspawn = exec.Command("systemd-nspawn", "--quiet", "--directory", h.root, "--machine", filepath.Base(h.dir), "--boot",
		"--register=no", "--keep-unit", "--console=read-only")
	h.nspawn.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	h.nspawn.Stdout, h.nspawn.Stderr = &h.log, &h.log
	if err := h.nspawn.Start(); err != nil {
		h.t.Fatal(err)
	}
	pid := h.nspawn.Process.Pid
	bed.Eventually(h.t, "the host is up", func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
		if h.leader, _, _ = strings.Cut(string(children), " "); h.leader == "" {
			return false
		}
		state, _ := h.try("systemctl", "is-system-running")
		return state == "running" || state == "degraded"
	})
}

func (h *host) powerOff() {
	h.run("systemctl", "poweroff")
	if err := h.nspawn.Wait(); err != nil {
		h.t.Logf("systemd-nspawn: %v\n%s", err, &h.log)
	}
}

// try runs a program in the container and returns what it writes.
func (h *host) try(args ...string) (string, error) {
	c := exec.Command("nsenter", append([]string{"--target", h.leader, "--all", "--"}, args...)...)
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"}
	out, err := c.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// run is try for what must succeed.
func (h *host) run(args ...string) string {
	h.t.Helper()
	out, err := h.try(args...)
	if err != nil {
		h.t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return out
}

func (h *host) path(name string) string { return filepath.Join(h.root, name) }

func (h *host) exists(name string) bool {
	_, err := os.Lstat(h.path(name))
	return err == nil
}

func (h *host) read(name string) string {
	text, err := os.ReadFile(h.path(name))
	if err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
	return string(text)
}

func (h *host) write(name, text string) {
	h.t.Helper()
	path := h.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// put brings a file of the test into the container.
func (h *host) put(name, to string) {
	text, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil {
		h.t.Fatal(err)
	}
	h.write(to, string(text))
}

// property is what systemd says of the service.
func (h *host) property(name string) string {
	return h.run("systemctl", "show", "--value", "--property", name, "enawatch")
}

// micros is a property that is a time.
func (h *host) micros(name string) time.Duration {
	n, _ := strconv.ParseInt(h.property(name), 10, 64)
	return time.Duration(n) * time.Microsecond
}

// journal is what the service and systemd say of it.
func (h *host) journal() string {
	return h.run("journalctl", "--no-pager", "--unit", "enawatch", "--output", "cat")
}

// active waits until the service is.
func (h *host) active(when string) {
	h.t.Helper()
	bed.Eventually(h.t, "the service is active: "+when, func() bool { return h.property("ActiveState") == "active" })
}

// restarted waits until another process than before is ready.
func (h *host) restarted(before, why string) {
	h.t.Helper()
	bed.Eventually(h.t, "the service is active again: "+why, func() bool {
		return h.property("ActiveState") == "active" && h.property("MainPID") != before
	})
}

// counter is what /metrics says of the agent: the sum of the series that begin
// with name, or -1 if it does not answer.
func (h *host) counter(name string) float64 {
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

// reversion makes a package of another version of one.
func (h *host) reversion(deb, other, version string) {
	h.run("sh", "-ec", `rm -rf /root/deb; dpkg-deb --raw-extract "$0" /root/deb; sed -i "s/^Version: .*/Version: $2/" /root/deb/DEBIAN/control; dpkg-deb -Znone --build /root/deb "$1"`,
		deb, other, version)
}
