//go:build beds

// Package systemd installs the packages in a Debian whose first process is
// systemd, on a scripted ENA device, beside a stand-in for AWS at the address of
// the metadata service.
package systemd

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/enawatch/enawatch/test/awsfake"
	"github.com/enawatch/enawatch/test/beds/bed"
)

const imds = "169.254.169.254"

func TestHost(t *testing.T) {
	bed.OnRig(t, "testdata/host.yaml", func(t *testing.T, dir string) {
		deb, rpm := bed.Packages(t)
		for name, path := range map[string]string{"enawatch.deb": deb, "enawatch.rpm": rpm} {
			if err := os.Rename(path, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		bed.Tools(t, "debian")
	}, insideHost)
}

// configuration is what the host's administrator writes.
const configuration = `publish_interval: 2s
lifecycle: {poll: 1s}
sinks:
  emf: {output: "file:///var/lib/enawatch/emf.jsonl"}
  cloudwatch: {endpoint: "http://169.254.169.254", publish_jitter: 0s}
  prometheus: {}
`

func insideHost(t *testing.T, dir string) {
	bed.Run(t, "ip", "addr", "add", imds+"/32", "dev", "lo")
	instance := awsfake.Instance{ID: "i-0123456789abcdef0", Role: "node", LifecycleState: "InService", ENIs: []awsfake.ENI{{MAC: "06:00:00:00:00:05"}}}
	aws, err := awsfake.New(awsfake.Options{Instance: instance})
	if err != nil {
		t.Fatal(err)
	}
	if err := aws.Listen(net.JoinHostPort(imds, "80")); err != nil {
		t.Fatal(err)
	}
	h := bed.NewHost(t, dir, "debian")
	h.Put("enawatch.deb", "/srv/enawatch.deb")
	h.Boot()

	h.Step("install", func(t *testing.T) {
		h.Write("/etc/enawatch/enawatch.yaml", configuration)
		h.Run("dpkg", "--install", "--force-confold", "/srv/enawatch.deb")
		h.Active("installed")
		if got := h.Run("systemctl", "is-enabled", "enawatch"); got != "enabled" {
			t.Errorf("it is %s", got)
		}
		readyAfterTheFirstReading(t, h)
	})
	h.Step("publishes", func(t *testing.T) {
		bed.Eventually(t, "CloudWatch has the drops of this instance", func() bool {
			for _, m := range aws.CloudWatch.Metrics() {
				if m.Name == "linklocal_allowance_exceeded" && strings.Contains(fmt.Sprint(m.Dimensions), instance.ID) {
					return true
				}
			}
			return false
		})
	})
	h.Step("exposure", func(t *testing.T) {
		h.Run("systemd-analyze", "security", "--no-pager", "--threshold=15", "enawatch.service")
		h.Run("systemd-analyze", "verify", "--man=no", "enawatch.service")
	})
	h.Step("kill -9", func(t *testing.T) {
		before := h.Property("MainPID")
		h.Run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "enawatch")
		h.Restarted(before, "killed")
	})
	h.Step("hung", func(t *testing.T) {
		h.Write("/etc/systemd/system/enawatch.service.d/bed.conf", "[Service]\nWatchdogSec=4\n")
		h.Run("systemctl", "daemon-reload")
		h.Run("systemctl", "restart", "enawatch")
		before := h.Property("MainPID")
		h.Run("systemctl", "kill", "--kill-who=main", "--signal=STOP", "enawatch")
		h.Restarted(before, "hung")
		if log := h.Journal(); !strings.Contains(log, "Failed with result 'watchdog'") {
			t.Errorf("it was not the watchdog:\n%s", log)
		}
		// With the same watchdog, an agent that is not hung stays.
		before = h.Property("MainPID")
		reads := h.Counter("enawatch_readings_total")
		bed.Eventually(t, "it reads for ten seconds", func() bool { return h.Counter("enawatch_readings_total") > reads+10 })
		if now := h.Property("MainPID"); now != before {
			t.Errorf("process %s became %s", before, now)
		}
	})
	h.Step("reload", func(t *testing.T) { reload(t, h) })
	h.Step("notice", func(t *testing.T) { notice(t, h, aws, instance) })
	h.Step("upgrade and downgrade", func(t *testing.T) { upgrade(t, h) })
	h.Step("remove", func(t *testing.T) {
		h.Run("dpkg", "--remove", "enawatch")
		if got, _ := h.Try("systemctl", "is-active", "enawatch"); got == "active" {
			t.Error("the service still runs")
		}
		for _, kept := range []string{"/var/lib/private/enawatch/enawatch.db", "/etc/enawatch/enawatch.yaml"} {
			if !h.Exists(kept) {
				t.Errorf("%s is gone", kept)
			}
		}
		h.Run("dpkg", "--install", "/srv/enawatch.deb")
		h.Active("installed again")
	})
	h.Step("network down at boot", func(t *testing.T) {
		h.PowerOff()
		bed.Run(t, "ip", "addr", "del", imds+"/32", "dev", "lo")
		h.Boot()
		h.Active("booted without a network")
		if n := h.Property("NRestarts"); n != "0" {
			t.Errorf("it was started again %s times", n)
		}
		bed.Eventually(t, "windows wait", func() bool { return h.Counter(`enawatch_spool_items{sink="cloudwatch"}`) > 0 })
		bed.Run(t, "ip", "addr", "add", imds+"/32", "dev", "lo")
		bed.Eventually(t, "none waits any more", func() bool { return h.Counter(`enawatch_spool_items{sink="cloudwatch"}`) == 0 })
	})
	h.Step("conservation", func(t *testing.T) { conserves(t, h) })
	h.Step("purge", func(t *testing.T) {
		h.Run("dpkg", "--purge", "enawatch")
		for _, gone := range []string{"/var/lib/private/enawatch", "/var/lib/enawatch", "/var/log/private/enawatch", "/var/log/enawatch", "/etc/enawatch"} {
			if h.Exists(gone) {
				t.Errorf("%s is left", gone)
			}
		}
	})
	h.Step("rpm", func(t *testing.T) { rpm(t, h) })
	h.PowerOff()
}

// readyAfterTheFirstReading looks in the journal for what came first.
func readyAfterTheFirstReading(t *testing.T, h *bed.Host) {
	log := h.Journal()
	read, ready := strings.Index(log, "readings are believed"), strings.Index(log, "Started enawatch.service")
	if read < 0 || ready < read {
		t.Errorf("it is ready before the first reading is in:\n%s", log)
	}
	if took := h.Micros("ActiveEnterTimestampMonotonic") - h.Micros("ExecMainStartTimestampMonotonic"); took < 1500*time.Millisecond {
		t.Errorf("it is ready %s after its start, and the first reading takes 1.5 s", took)
	}
	if !strings.Contains(h.Run("systemctl", "status", "--no-pager", "enawatch"), `Status: "Reading every ENA interface"`) {
		t.Errorf("it does not tell its status")
	}
}

// reload tries a good configuration and a bad one.
func reload(t *testing.T, h *bed.Host) {
	before := h.Property("MainPID")
	h.Write("/etc/enawatch/enawatch.yaml", configuration+"dimensions: {team: network}\n")
	h.Run("systemctl", "reload", "enawatch")
	bed.Eventually(t, "the new configuration is in force", func() bool {
		return strings.Contains(h.Read("/var/lib/private/enawatch/emf.jsonl"), `"team":"network"`)
	})
	if h.Counter("enawatch_config_last_reload_successful") != 1 {
		t.Error("the metric says that the reload failed")
	}
	h.Write("/etc/enawatch/enawatch.yaml", configuration+"zeros: never\n")
	if out, err := h.Try("systemctl", "reload", "enawatch"); err == nil {
		t.Errorf("a bad configuration is reloaded: %s", out)
	}
	bed.Eventually(t, "the status tells of the bad configuration", func() bool {
		return strings.Contains(h.Run("systemctl", "status", "--no-pager", "enawatch"), `by the old configuration: the new one was refused: /etc/enawatch/enawatch.yaml:7: zeros: "never" is not known`)
	})
	if h.Counter("enawatch_config_last_reload_successful") != 0 {
		t.Error("the metric says that the reload succeeded")
	}
	h.Write("/etc/enawatch/enawatch.yaml", configuration)
	h.Run("systemctl", "reload", "enawatch")
	bed.Eventually(t, "the old configuration is back", func() bool { return h.Counter("enawatch_config_last_reload_successful") == 1 })
	if now := h.Property("MainPID"); now != before {
		t.Errorf("process %s became %s", before, now)
	}
}

// notice has EC2 interrupt the instance in the middle of a long window.
func notice(t *testing.T, h *bed.Host, aws *awsfake.Server, instance awsfake.Instance) {
	const window = 90 * time.Second
	bed.Eventually(t, "a window is far from its end", func() bool {
		return time.Until(time.Now().Truncate(window).Add(window)) > 30*time.Second
	})
	h.Write("/etc/enawatch/enawatch.yaml", strings.Replace(configuration, "publish_interval: 2s", "publish_interval: 90s", 1))
	h.Run("systemctl", "reload", "enawatch")
	bed.Eventually(t, "the new configuration is in force", func() bool { return strings.Contains(h.Journal(), `"publish_interval":"1m30s"`) })
	lines := strings.Count(h.Read("/var/lib/private/enawatch/emf.jsonl"), "\n")
	instance.SpotAction = `{"action": "terminate", "time": "2026-11-26T08:22:00Z"}`
	aws.IMDS.SetInstance(instance)
	began := time.Now()
	bed.Eventually(t, "the open window is sent", func() bool {
		return strings.Count(h.Read("/var/lib/private/enawatch/emf.jsonl"), "\n") > lines
	})
	if took := time.Since(began); took > 25*time.Second && time.Now().Truncate(window).After(began) {
		t.Errorf("it is sent %s after the notice, at the end of its window", took)
	}
	if !strings.Contains(h.Journal(), "this instance is about to be taken away") {
		t.Error("the journal does not tell of it")
	}
	instance.SpotAction = ""
	aws.IMDS.SetInstance(instance)
	h.Write("/etc/enawatch/enawatch.yaml", configuration)
	h.Run("systemctl", "reload", "enawatch")
}

// upgrade goes to a later version and back.
func upgrade(t *testing.T, h *bed.Host) {
	for _, version := range []string{"99.0.0", "0.0.0~1"} {
		before := h.Property("MainPID")
		h.Reversion("/srv/enawatch.deb", "/srv/other.deb", version)
		h.Run("dpkg", "--install", "/srv/other.deb")
		h.Active(version)
		if got := h.Run("dpkg-query", "--show", "--showformat=${Version}", "enawatch"); got != version {
			t.Errorf("version %s is installed, want %s", got, version)
		}
		if now := h.Property("MainPID"); now == before {
			t.Errorf("the program of before still runs, beside version %s", version)
		}
		if got := h.Read("/etc/enawatch/enawatch.yaml"); got != configuration {
			t.Errorf("version %s changes the configuration:\n%s", version, got)
		}
	}
}

// initial and added are what testdata/host.yaml says.
const initial, added = 1893, 1 + 60*50

// conserves holds what was published through all of this against the device.
func conserves(t *testing.T, h *bed.Host) {
	bed.Eventually(t, "the device drops no more", func() bool { return deviceCounter(t) == initial+added })
	h.Run("systemctl", "stop", "enawatch")
	var published float64
	for line := range strings.Lines(h.Read("/var/lib/private/enawatch/emf.jsonl")) {
		var document map[string]any
		if err := json.Unmarshal([]byte(line), &document); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		sum, _ := document["linklocal_allowance_exceeded_sum"].(float64)
		published += sum
	}
	if published != added {
		t.Errorf("published %v drops, %d happened", published, added)
	}
}

// deviceCounter reads the device itself.
func deviceCounter(t *testing.T) (n int) {
	for line := range strings.Lines(bed.Run(t, "ethtool", "-S", "ens5")) {
		fmt.Sscanf(strings.TrimSpace(line), "linklocal_allowance_exceeded: %d", &n)
	}
	return n
}

// rpm does the same in short with the other package, as there is no distribution
// of RPM's at hand: Debian's rpm runs its scripts, and systemd is systemd.
func rpm(t *testing.T, h *bed.Host) {
	h.Put("enawatch.rpm", "/srv/enawatch.rpm")
	install := []string{"rpm", "--upgrade", "--nodeps", "/srv/enawatch.rpm"}
	h.Run(install...)
	h.Run("systemctl", "enable", "--now", "enawatch")
	h.Active("installed as rpm")
	if out, err := h.Try("rpm", "--verify", "--nodeps", "enawatch"); err != nil {
		t.Errorf("files differ from the package's: %s", out)
	}
	h.Write("/etc/enawatch/enawatch.yaml", "sinks: {prometheus: {}}\n")
	before := h.Property("MainPID")
	h.Run(append(install, "--force")...)
	h.Active("upgraded as rpm")
	if now := h.Property("MainPID"); now == before {
		t.Error("an upgrade does not start the new program")
	}
	if got := h.Read("/etc/enawatch/enawatch.yaml"); got != "sinks: {prometheus: {}}\n" {
		t.Errorf("an upgrade changes the configuration:\n%s", got)
	}
	h.Run("rpm", "--erase", "enawatch")
	if got, _ := h.Try("systemctl", "is-active", "enawatch"); got == "active" {
		t.Error("the service still runs after rpm --erase")
	}
	for _, kept := range []string{"/var/lib/private/enawatch/enawatch.db", "/etc/enawatch/enawatch.yaml.rpmsave"} {
		if !h.Exists(kept) {
			t.Errorf("rpm --erase takes %s away", kept)
		}
	}
}
