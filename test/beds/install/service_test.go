//go:build beds

package install

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/systemd"
	"github.com/enawatch/enawatch/test/beds/bed"
)

// program is where docs/install.md puts it.
const program = "/usr/local/bin/enawatch"

// service tests enawatch service on the Debian of a name, from test/beds/tool.
func service(t *testing.T, debian string, inside func(t *testing.T, h *bed.Host)) {
	bed.OnRig(t, scenario, func(t *testing.T, dir string) {
		bed.Run(t, "mv", bed.Build(t, "./cmd/enawatch"), dir)
		bed.Tools(t, debian)
	}, func(t *testing.T, dir string) {
		h := bed.NewHost(t, dir, debian)
		h.Put("enawatch", program)
		if err := os.Chmod(h.Path(program), 0o755); err != nil {
			t.Fatal(err)
		}
		inside(t, h)
	})
}

func TestServiceSystemd(t *testing.T) {
	service(t, "debian", func(t *testing.T, h *bed.Host) {
		h.Boot()
		h.Step("install", func(t *testing.T) {
			installs(t, h)
			want := strings.ReplaceAll(systemd.Unit, "=/usr/bin/enawatch ", "="+program+" ")
			if diff := cmp.Diff(want, h.Read("/etc/systemd/system/enawatch.service")); diff != "" {
				t.Errorf("the unit differs from the packages' (-want +got):\n%s", diff)
			}
			if got := h.Run("systemctl", "is-enabled", "enawatch"); got != "enabled" {
				t.Errorf("it is %s", got)
			}
			if got := h.Run("stat", "--format=%a %U", "/etc/enawatch/env"); got != "600 root" {
				t.Errorf("the file for secrets is %s", got)
			}
		})
		h.Step("run", func(t *testing.T) {
			runs(t, h)
			h.Run("systemd-analyze", "security", "--no-pager", "--threshold=15", "enawatch.service")
			if got := h.Run(program, "service", "logs", "--lines", "1"); strings.Count(got, "\n") != 0 || got == "" {
				t.Errorf("one line of the log is %q", got)
			}
		})
		h.Step("fault", func(t *testing.T) {
			h.Write("/etc/enawatch/enawatch.yaml", "zeros: never\n")
			if out, err := h.Try(program, "service", "restart"); err == nil {
				t.Errorf("it starts with a faulty configuration: %s", out)
			}
			if n := h.Property("NRestarts"); n != "0" {
				t.Errorf("it was tried %s times more, which mends nothing", n)
			}
			says(t, h, 3, "enawatch is not running: service in failed state: see enawatch service logs", "status")
			says(t, h, 0, `/etc/enawatch/enawatch.yaml:1: zeros: "never" is not known`, "logs")
			h.Write("/etc/enawatch/enawatch.yaml", string(systemd.Config))
			says(t, h, 0, "enawatch is started.", "start")
		})
		h.Step("uninstall", func(t *testing.T) {
			uninstalls(t, h)
			if out := h.Run("systemctl", "list-units", "--all", "--plain", "--no-legend", "enawatch.service"); out != "" {
				t.Errorf("systemd still knows of %s", out)
			}
		})
		h.PowerOff()
	})
}

func TestServiceSysV(t *testing.T) {
	service(t, "debian-sysv", func(t *testing.T, h *bed.Host) {
		up := func() bool {
			level, _ := h.Try("runlevel")
			return level == "N 2"
		}
		h.BootInit(up)
		h.Step("install", func(t *testing.T) {
			installs(t, h)
			if got := h.Run("sh", "-c", "ls /etc/rc?.d/*enawatch | wc -l"); got != "7" {
				t.Errorf("%s links of run levels, want 7", got)
			}
		})
		h.Step("run", func(t *testing.T) {
			runs(t, h)
			confined(t, h)
		})
		h.Step("reboot", func(t *testing.T) {
			// systemd-nspawn gives its own to whatever it boots.
			h.Write("/etc/sysconfig/enawatch", "unset NOTIFY_SOCKET\n")
			h.PowerOff()
			h.BootInit(up)
			bed.Eventually(t, "it starts with the host", func() bool { return h.Counter("enawatch_readings_total") > 0 })
			confined(t, h)
		})
		h.Step("uninstall", func(t *testing.T) {
			h.Run("rm", "/etc/sysconfig/enawatch")
			uninstalls(t, h)
		})
		h.PowerOff()
	})
}

func TestServiceOpenRC(t *testing.T) {
	service(t, "debian-openrc", func(t *testing.T, h *bed.Host) {
		up := func() bool {
			level, _ := h.Try("rc-status", "--runlevel")
			return level == "default"
		}
		h.BootInit(up)
		h.Step("install", func(t *testing.T) {
			installs(t, h)
			if !h.Exists("/etc/runlevels/default/enawatch") {
				t.Error("it is in no run level")
			}
		})
		h.Step("run", func(t *testing.T) {
			runs(t, h)
			confined(t, h)
		})
		h.Step("reboot", func(t *testing.T) {
			h.PowerOff()
			h.BootInit(up)
			bed.Eventually(t, "it starts with the host", func() bool { return h.Counter("enawatch_readings_total") > 0 })
			confined(t, h)
		})
		h.Step("uninstall", func(t *testing.T) { uninstalls(t, h) })
		h.PowerOff()
	})
}

// says runs enawatch service, and holds what it says and its exit code.
func says(t *testing.T, h *bed.Host, code int, want string, args ...string) {
	t.Helper()
	out, err := h.Try(append([]string{program, "service"}, args...)...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	}
	if got != code || !strings.Contains(out, want) {
		t.Errorf("enawatch service %s ends with %d and says\n%s\nwant %d and\n%s", strings.Join(args, " "), got, out, code, want)
	}
}

// installs installs the service, after all that must be refused.
func installs(t *testing.T, h *bed.Host) {
	says(t, h, 3, "enawatch is not installed as a service", "status")
	says(t, h, 1, "it is not installed", "uninstall")
	if out, err := h.Try("setpriv", "--reuid=1000", "--clear-groups", program, "service", "install"); err == nil || !strings.Contains(out, "only root can: try sudo") {
		t.Errorf("not as root: %v\n%s", err, out)
	}
	h.Run("cp", program, "/home/enawatch")
	if out, err := h.Try("/home/enawatch", "service", "install"); err == nil || !strings.Contains(out, "install -m 755 /home/enawatch /usr/local/bin/enawatch") {
		t.Errorf("from /home: %v\n%s", err, out)
	}
	says(t, h, 0, "enawatch is installed, and starts with the host. Now: enawatch service start", "install")
	says(t, h, 1, "it is installed: to write it anew, enawatch service uninstall first", "install")
	says(t, h, 3, "enawatch is stopped", "status")
	if diff := cmp.Diff(string(systemd.Config), h.Read("/etc/enawatch/enawatch.yaml")); diff != "" {
		t.Errorf("the first configuration (-want +got):\n%s", diff)
	}
}

// runs starts, looks at and stops the service.
func runs(t *testing.T, h *bed.Host) {
	reads := func(when string) string {
		bed.Eventually(t, "it reads: "+when, func() bool { return h.Counter("enawatch_readings_total") > 0 })
		says(t, h, 0, "enawatch is running", "status")
		return pid(t, h)
	}
	says(t, h, 0, "enawatch is started.", "start")
	before := reads("started")
	says(t, h, 0, "readings are believed", "logs")
	says(t, h, 0, "enawatch is started.", "restart")
	if now := reads("started again"); now == before {
		t.Errorf("process %s was not started again", now)
	}
	says(t, h, 0, "enawatch is stopped.", "stop")
	says(t, h, 3, "enawatch is stopped", "status")
	if h.Counter("enawatch_readings_total") != -1 {
		t.Error("it still answers")
	}
	says(t, h, 0, "enawatch is started.", "start")
	reads("started at last")
}

// pid is the agent's, as the container numbers it.
func pid(t *testing.T, h *bed.Host) string {
	out := h.Run("sh", "-c", `for p in /proc/[0-9]*; do [ "$(readlink $p/exe)" = `+program+` ] && echo "${p#/proc/}"; done; :`)
	if strings.Count(out, "\n") != 0 || out == "" {
		t.Fatalf("the agent's processes are %q, want one", out)
	}
	return out
}

// confined looks at the agent where there is no systemd to confine it.
func confined(t *testing.T, h *bed.Host) {
	status := h.Run("cat", "/proc/"+pid(t, h)+"/status")
	for _, want := range []string{"Uid:\t65532\t65532\t65532\t65532", "Gid:\t65532\t65532\t65532\t65532", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"} {
		if !strings.Contains(status, want+"\n") {
			t.Errorf("the agent is not %s:\n%s", want, status)
		}
	}
	if got := h.Run("stat", "--format=%a %u", "/var/lib/enawatch"); got != "700 65532" {
		t.Errorf("its state is %s", got)
	}
}

// uninstalls removes the service: nothing of it is left but configuration, state
// and log.
func uninstalls(t *testing.T, h *bed.Host) {
	says(t, h, 0, "The service is gone. Its configuration is still in /etc/enawatch, its state in /var/lib/enawatch.", "uninstall")
	if h.Counter("enawatch_readings_total") != -1 {
		t.Error("it still answers")
	}
	left := h.Run("sh", "-c", `find /etc /run /var/spool /lib/systemd /usr/lib/systemd -name '*enawatch*' ! -path '/etc/enawatch*' 2>/dev/null; :`)
	if left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	if !h.Exists("/etc/enawatch/enawatch.yaml") || h.Run("sh", "-c", "ls /var/lib/enawatch/ /var/lib/private/enawatch/ 2>/dev/null | grep -c db; :") == "0" {
		t.Error("configuration or state are gone")
	}
	says(t, h, 3, "enawatch is not installed as a service", "status")
	says(t, h, 1, "it is not installed", "uninstall")
}
