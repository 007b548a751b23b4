//go:build beds

// Package install installs enawatch as docs/install.md says, in Debians that
// systemd-nspawn boots: by cloud-init with the user data, by dnf, and as the
// program alone under systemd, SysV init and OpenRC.
package install

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/beds/bed"
)

// scenario is a device that lives as long as the test does.
const scenario = "dns-burst"

// other is the version of the second release.
const other = "99.0.0"

func TestUserData(t *testing.T) {
	bed.OnRig(t, scenario, func(t *testing.T, dir string) {
		releases(t, dir)
		bed.Tools(t, "debian-cloud")
	}, userData)
}

// releases leaves folders of two releases, and one of a release whose packages
// somebody changed.
func releases(t *testing.T, dir string) {
	deb, rpm := bed.Packages(t)
	binaries := filepath.Dir(deb)
	for _, release := range []struct{ name, version string }{{"one", ""}, {"other", other}} {
		folder := filepath.Join(dir, release.name)
		if release.version != "" {
			for _, format := range []string{"deb", "rpm"} {
				bed.RunIn(t, append(os.Environ(), "VERSION="+release.version),
					filepath.Join(bed.Root(), "packaging/package"), format, binaries, runtime.GOARCH, folder)
			}
		} else {
			bed.Run(t, "mkdir", folder)
			bed.Run(t, "mv", deb, rpm, folder)
		}
		bed.Run(t, "sh", "-ec", `cd "$0" && sha256sum enawatch[-_]* >SHA256SUMS`, folder)
	}
	bed.Run(t, "sh", "-ec", `cp -r "$0/other" "$0/tampered"; for f in "$0"/tampered/enawatch*; do echo >>"$f"; done`, dir)
}

// mirror serves the releases on loopback, and remembers what was asked for.
type mirror struct {
	url  string
	root string
	mu   sync.Mutex
	log  []string
}

func serve(t *testing.T, dir string) *mirror {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mirror{url: "http://" + listener.Addr().String(), root: dir}
	files := http.FileServer(http.Dir(dir))
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.log = append(m.log, r.URL.Path)
		m.mu.Unlock()
		files.ServeHTTP(w, r)
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return m
}

// asked returns what was asked for since the last call.
func (m *mirror) asked() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	log := m.log
	m.log = nil
	return log
}

// release is what the script is given: URL and sum.
func (m *mirror) release(t *testing.T, name string) (url, sum string) {
	text, err := os.ReadFile(filepath.Join(m.root, name, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	return m.url + "/" + name, fmt.Sprintf("%x", sha256.Sum256(text))
}

// version is that of the package of a release, as dpkg and rpm know it.
func (m *mirror) version(t *testing.T, name, ending string) string {
	found, err := filepath.Glob(filepath.Join(m.root, name, "enawatch*"+ending))
	if err != nil || len(found) != 1 {
		t.Fatalf("release %s has %q, %v", name, found, err)
	}
	return strings.TrimSuffix(filepath.Base(found[0])[len("enawatch_"):], ending)
}

func userData(t *testing.T, dir string) {
	m := serve(t, dir)
	h := bed.NewHost(t, dir, "debian-cloud")
	url, sum := m.release(t, "one")
	cloudConfig := readFile(t, "deploy/user-data/cloud-config.yaml")
	filled := strings.NewReplacer("https://github.com/enawatch/enawatch/releases/download/VERSION", url, `"SHA256"]`, `"`+sum+`"]`).Replace(cloudConfig)
	h.Write("/var/lib/cloud/seed/nocloud/meta-data", "instance-id: i-0123456789abcdef0\n")
	h.Write("/var/lib/cloud/seed/nocloud/user-data", filled)
	h.Write("/etc/cloud/cloud.cfg.d/bed.cfg", "datasource_list: [NoCloud]\nnetwork: {config: disabled}\nlocale: false\n")
	// It is up long before cloud-init is through.
	up := func() bool {
		state, _ := h.Try("systemctl", "is-system-running")
		return state == "starting" || state == "running" || state == "degraded"
	}
	h.BootInit(up)

	h.Step("first boot", func(t *testing.T) {
		h.Run("cloud-init", "status", "--wait")
		h.Active("at the first boot")
		if got := h.Run("systemctl", "is-enabled", "enawatch"); got != "enabled" {
			t.Errorf("it is %s", got)
		}
		if got, want := version(h), m.version(t, "one", "_"+runtime.GOARCH+".deb"); got != want {
			t.Errorf("version %s is installed, want %s", got, want)
		}
		if got := h.Read("/etc/enawatch/enawatch.yaml"); !strings.HasPrefix(got, "sinks:\n  prometheus: {listen:") {
			t.Errorf("the configuration is not the user data's:\n%s", got)
		}
		h.Run("enawatch", "config", "check", "/etc/enawatch/enawatch.yaml")
	})
	h.Step("schema", func(t *testing.T) { schema(t, h, cloudConfig) })
	h.Step("again", func(t *testing.T) {
		m.asked()
		leavesAlone(t, h, m, "one", "")
		if diff := cmp.Diff([]string{"/one/SHA256SUMS"}, m.asked()); diff != "" {
			t.Errorf("asked of the mirror (-want +got):\n%s", diff)
		}
	})
	h.Step("refuses", func(t *testing.T) { refuses(t, h, m, "") })
	h.Step("upgrade and downgrade", func(t *testing.T) { upgrades(t, h, m, "_"+runtime.GOARCH+".deb", "") })
	h.Step("without curl", func(t *testing.T) {
		h.Run("apt-get", "purge", "--yes", "enawatch")
		farm(h, "/opt/no-curl", "curl")
		install(h, t, m, "one", "/opt/no-curl")
		h.Active("fetched by wget")
	})
	h.Step("reboot", func(t *testing.T) {
		h.PowerOff()
		h.BootInit(up)
		h.Run("cloud-init", "status", "--wait")
		h.Active("booted again")
	})
	h.PowerOff()
}

// TestDnf takes the other branch of the script, as on Amazon Linux: with Debian's
// dnf and rpm, whose database is empty, and without dpkg.
func TestDnf(t *testing.T) {
	bed.OnRig(t, scenario, func(t *testing.T, dir string) {
		releases(t, dir)
		bed.Tools(t, "debian-cloud")
	}, func(t *testing.T, dir string) {
		m := serve(t, dir)
		h := bed.NewHost(t, dir, "debian-cloud")
		h.Write("/etc/cloud/cloud-init.disabled", "")
		h.Write("/usr/local/sbin/enawatch-install", readFile(t, "deploy/user-data/install.sh"))
		if err := os.Chmod(h.Path("/usr/local/sbin/enawatch-install"), 0o755); err != nil {
			t.Fatal(err)
		}
		h.Boot()
		h.Step("dnf", func(t *testing.T) { dnf(t, h, m) })
		h.PowerOff()
	})
}

// schema has cloud-init judge all user data, and once what is none.
func schema(t *testing.T, h *bed.Host, cloudConfig string) {
	texts := map[string]string{
		"cloud-config.yaml":    cloudConfig,
		"launch-template.yaml": launchTemplate(t),
		"main.tf":              terraform(t),
	}
	for name, text := range texts {
		h.Write("/srv/user-data", text)
		if out, err := h.Try("cloud-init", "schema", "--config-file", "/srv/user-data"); err != nil || !strings.Contains(out, "Valid cloud-config") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		h.Write("/srv/user-data", strings.Replace(text, "path", "paths", 1))
		if out, err := h.Try("cloud-init", "schema", "--config-file", "/srv/user-data"); err == nil {
			t.Errorf("%s: the check sees no fault in paths:\n%s", name, out)
		}
	}
}

// farm makes a folder of all programs but some.
func farm(h *bed.Host, folder string, without ...string) {
	h.Run("sh", "-ec", `mkdir "$0"; ln -s /usr/sbin/* /usr/bin/* "$0" 2>/dev/null || true; cd "$0"; rm $1`, folder, strings.Join(without, " "))
}

// try runs the script of the user data with the programs in a folder, all if it
// has no name.
func try(h *bed.Host, path, url, sum string) (string, error) {
	if path == "" {
		path = "/usr/sbin:/usr/bin:/sbin:/bin"
	}
	return h.Try("env", "PATH="+path, "/usr/local/sbin/enawatch-install", url, sum)
}

// install is try for what must succeed.
func install(h *bed.Host, t *testing.T, m *mirror, release, path string) string {
	t.Helper()
	url, sum := m.release(t, release)
	out, err := try(h, path, url, sum)
	if err != nil {
		t.Fatalf("release %s is not installed: %v\n%s", release, err, out)
	}
	return out
}

// leavesAlone installs what is installed.
func leavesAlone(t *testing.T, h *bed.Host, m *mirror, release, path string) {
	before := h.Property("MainPID")
	if out := install(h, t, m, release, path); !strings.HasSuffix(out, " is installed") {
		t.Errorf("it says %s", out)
	}
	if now := h.Property("MainPID"); now != before {
		t.Errorf("process %s became %s", before, now)
	}
}

// refuses tries what is not what was expected: nothing of the host changes.
func refuses(t *testing.T, h *bed.Host, m *mirror, path string) {
	before, pid := h.Run("sh", "-c", "ls -lR --full-time /usr/bin/enawatch /etc/enawatch"), h.Property("MainPID")
	url, sum := m.release(t, "tampered")
	one, _ := m.release(t, "one")
	for _, c := range []struct{ name, url, sum, want string }{
		{"package", url, sum, "is not what was expected, its SHA-256 is not"},
		{"sums", one, sum, one + "/SHA256SUMS is not what was expected, its SHA-256 is not " + sum + ": nothing is installed"},
		{"no sum", one, "SHA256", "SHA256 is no SHA-256: write that of the release's SHA256SUMS"},
		{"no release", m.url + "/none", sum, m.url + "/none/SHA256SUMS can't be had"},
	} {
		if out, err := try(h, path, c.url, c.sum); err == nil || !strings.Contains(out, "enawatch: ") || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v\n%s\nwant %s", c.name, err, out, c.want)
		}
	}
	if after := h.Run("sh", "-c", "ls -lR --full-time /usr/bin/enawatch /etc/enawatch"); after != before || h.Property("MainPID") != pid {
		t.Errorf("the host has changed:\n%s\nbefore:\n%s", after, before)
	}
	if left := h.Run("sh", "-c", "ls -d /tmp/tmp.* 2>/dev/null || true"); left != "" {
		t.Errorf("left in /tmp: %s", left)
	}
}

// upgrades goes to the other release and back.
func upgrades(t *testing.T, h *bed.Host, m *mirror, ending, path string) {
	const mine = "sinks: {prometheus: {}}\n"
	h.Write("/etc/enawatch/enawatch.yaml", mine)
	for _, release := range []string{"other", "one"} {
		before := h.Property("MainPID")
		install(h, t, m, release, path)
		h.Active(release)
		if got, want := version(h), m.version(t, release, ending); got != want {
			t.Errorf("version %s is installed, want %s", got, want)
		}
		if now := h.Property("MainPID"); now == before {
			t.Errorf("the program of before still runs beside release %s", release)
		}
		if got := h.Read("/etc/enawatch/enawatch.yaml"); got != mine {
			t.Errorf("release %s changes the configuration:\n%s", release, got)
		}
	}
}

// version is the installed package's.
func version(h *bed.Host) string {
	return h.Run("sh", "-c", "rpm --query --queryformat '%{VERSION}-%{RELEASE}' enawatch >/tmp/v 2>/dev/null || dpkg-query --show --showformat='${Version}' enawatch >/tmp/v; cat /tmp/v")
}

// dnf installs, upgrades, downgrades and removes.
func dnf(t *testing.T, h *bed.Host, m *mirror) {
	machine := h.Run("uname", "-m")
	ending := "." + machine + ".rpm"
	farm(h, "/opt/redhat", "dpkg")
	h.Write("/etc/enawatch/enawatch.yaml", "sinks: {prometheus: {}}\n")
	install(h, t, m, "one", "/opt/redhat")
	h.Active("installed by dnf")
	if got := h.Read("/etc/enawatch/enawatch.yaml"); got != "sinks: {prometheus: {}}\n" {
		t.Errorf("dnf changes the configuration that was there:\n%s", got)
	}
	leavesAlone(t, h, m, "one", "/opt/redhat")
	refuses(t, h, m, "/opt/redhat")
	upgrades(t, h, m, ending, "/opt/redhat")
	// Amazon Linux 2 has no dnf.
	h.Run("mv", "/opt/redhat/dnf", "/opt/redhat/yum")
	install(h, t, m, "other", "/opt/redhat")
	if got, want := version(h), m.version(t, "other", ending); got != want {
		t.Errorf("version %s is installed by yum, want %s", got, want)
	}
	if got := h.Run("systemctl", "is-enabled", "enawatch"); got != "enabled" {
		t.Errorf("it is %s", got)
	}
	if out, _ := h.Try("rpm", "--verify", "enawatch"); out != "S.5....T.  c /etc/enawatch/enawatch.yaml" {
		t.Errorf("files differ from the package's: %s", out)
	}
	h.Run("dnf", "remove", "--assumeyes", "enawatch")
	if h.Exists("/usr/bin/enawatch") || !h.Exists("/etc/enawatch/enawatch.yaml.rpmsave") {
		t.Error("dnf remove leaves the program, or takes the configuration away")
	}
}
