//go:build beds

package vm

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/beds/bed"
)

// TestDevice asks the same of a network device in the kernel and of the rig in
// test/enasim, on which the other tests rely, and wants the same answers.
func TestDevice(t *testing.T) {
	if !Inside() {
		Machine{Memory: 768, Files: map[string]string{
			"enasim": bed.Build(t, "./test/enasim"), "reader": bed.Build(t, "./test/enasim/testdata/reader"),
		}}.Run(t, "./test/beds/vm")
		return
	}
	Load(t, 5, 6)
	t.Run("sysfs", func(t *testing.T) {
		if at, err := os.Readlink("/sys/class/net/ens5/device/driver"); err != nil || filepath.Base(at) != "ena" {
			t.Errorf("the driver of ens5 is %s, %v", at, err)
		}
	})
	t.Run("names of 2.17.0", func(t *testing.T) {
		same(t, "devices: [{name: ens5, driver: 2.17.0}]", reader, "names:ens5")
	})
	t.Run("ethtool", ethtool)
	t.Run("ioctls", ioctls)
	t.Run("admin queue", adminQueue)
	t.Run("links", links)
}

const reader = "/bed/reader"

// same runs a program under the rig and without it, and compares what it prints.
func same(t *testing.T, scenario string, program ...string) {
	t.Helper()
	if diff := cmp.Diff(underRig(t, scenario, program...), output(t, program...)); diff != "" {
		t.Errorf("%v (-rig +kernel):\n%s", program, diff)
	}
}

func output(t *testing.T, program ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := exec.Command(program[0], program[1:]...)
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("%v: %v\n%s%s", program, err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

func underRig(t *testing.T, scenario string, program ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scenario.yaml")
	write(t, path, scenario, 0o644)
	return output(t, append([]string{"/bed/enasim", "--scenario", path, "--"}, program...)...)
}

// ethtool prints the same of every driver that the rig plays.
func ethtool(t *testing.T) {
	release := strings.TrimSpace(output(t, "uname", "-r"))
	for name, device := range map[string]string{
		// The upstream driver leaves its version to the kernel.
		"upstream-6.1":  `driver: upstream-6.1, version: "` + release + `", initial: {bw_in_allowance_exceeded: 17}`,
		"upstream-6.12": `driver: upstream-6.12, version: "` + release + `", srd: true, initial: {conntrack_allowance_available: 51286}`,
		"2.2.10":        `driver: 2.2.10, initial: {linklocal_allowance_exceeded: 18446744073709551}`,
		"2.8.1":         `driver: 2.8.1, srd: true, phc: true`,
		"2.13.3":        `driver: 2.13.3, version: 2.13.2g, srd: true, queues: 12`,
		"2.17.0":        `driver: 2.17.0, srd: true, phc: true, queues: 11`,
	} {
		t.Run(name, func(t *testing.T) {
			scenario := "devices: [{name: ens5, " + device + "}]"
			play(t, scenario)
			same(t, scenario, "sh", "-c", "ethtool -i ens5 && ethtool -S ens5 && ethtool -S ens5")
		})
	}
}

// play gives ens5 the version and the stats of a scenario, as they are before
// the first reading.
func play(t *testing.T, scenario string) {
	t.Helper()
	version, stats := "kernel", new(strings.Builder)
	fields := regexp.MustCompile(`(?m)^ *([\w-]+): (.*)$`).FindAllStringSubmatch(underRig(t, scenario, "sh", "-c", "ethtool -i ens5 && ethtool -S ens5"), -1)
	commands := strings.Count(fmt.Sprint(fields), " bw_in_allowance_exceeded ") + strings.Count(fmt.Sprint(fields), " ena_srd_mode ")
	at := slices.IndexFunc(fields, func(f []string) bool { return f[1] == "supports-priv-flags" }) + 1
	for _, f := range fields[:at] {
		if f[1] == "version" && f[2] != strings.TrimSpace(output(t, "uname", "-r")) {
			version = f[2]
		}
	}
	for _, f := range fields[at:] {
		n, err := strconv.ParseUint(f[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if f[1] == "ena_admin_q_submitted_cmd" || f[1] == "ena_admin_q_completed_cmd" {
			n -= uint64(commands) // the reading's own
		}
		fmt.Fprintln(stats, f[1], n)
	}
	Control(t, 5, "version "+version)
	SetStats(t, 5, stats.String())
}

// ioctls are answered or refused in the same way.
func ioctls(t *testing.T) {
	const device = "devices: [{name: ens5, driver: 2.2.10, queues: 1, initial: {bw_in_allowance_exceeded: 17}}]"
	play(t, device)
	same(t, device, reader,
		"names:ens5", "driver:ens5", "value:ens5:bw_in_allowance_exceeded",
		"stats:ens5:45", "stats:ens5:0", "stats:ens5:44", "stats:ens5:46", "strings:ens5:45", "strings:ens5:44", "strings:ens5:0",
		"driver:lo", "driver:ens9", "stats:ens9:45", "command:ens5:1", "command:ens5:60",
		"fault:ens5:0", "fault:ens5:1", "fault:ens5:3")
}

// adminQueue: while it is stopped, what the card keeps reads zero and no command
// is counted.
func adminQueue(t *testing.T) {
	const device = "devices: [{name: ens5, driver: 2.17.0, initial: {pps_allowance_exceeded: 9}}]"
	ask := []string{reader, "value:ens5:pps_allowance_exceeded", "value:ens5:ena_admin_q_submitted_cmd", "value:ens5:ena_admin_q_completed_cmd"}
	// How many commands a reset takes is a guess of the rig's.
	afterReset := []string{reader, "value:ens5:pps_allowance_exceeded", "value:ens5:interface_up", "value:ens5:total_resets", "value:ens5:wd_expired"}
	play(t, device)
	got := output(t, ask...)
	Control(t, 5, "admin stopped")
	got += output(t, ask...)
	Control(t, 5, "admin running")
	got += output(t, ask...)
	output(t, "ip", "link", "set", "ens5", "up")
	Control(t, 5, "set interface_up 1")
	Control(t, 5, "reset wd_expired")
	got += output(t, afterReset...)
	want := underRig(t, device+"\nsteps: [{read: 4, fault: {admin: stopped}}, {read: 7, fault: none}, {read: 10, reset: keep-alive}]",
		"sh", "-c", strings.Repeat(strings.Join(ask, " ")+"; ", 3)+strings.Join(afterReset, " "))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-rig +kernel):\n%s", diff)
	}
}

// links tell of renames, detachments and attachments in the same way.
func links(t *testing.T) {
	want := underRig(t, `
devices:
- {name: ens5, driver: 2.2.10}
- {name: ens6, driver: 2.2.10}
steps:
- {read: 2, of: ens5, device: ens6, rename: eth1}
- {read: 4, of: ens5, device: ens6, detach: true}
- {read: 6, of: ens5, device: ens6, attach: true}
`, reader, "links:060000000006",
		"stats:ens5:0", "stats:ens5:0", "links:060000000006", "driver:ens6", "who:eth1",
		"stats:ens5:0", "stats:ens5:0", "links:060000000006", "driver:eth1",
		"stats:ens5:0", "stats:ens5:0", "links:060000000006", "who:ens6")
	want = regexp.MustCompile(`(?m)^said.*\n`).ReplaceAllString(want, "")

	ip := func(command string) { output(t, append([]string{"ip", "link"}, strings.Fields(command)...)...) }
	ip("set ens6 up")
	c := exec.Command(reader, "links:060000000006",
		"wait", "links:060000000006", "driver:ens6", "who:eth1",
		"wait", "links:060000000006", "driver:eth1",
		"wait", "links:060000000006", "who:ens6")
	path := filepath.Join(t.TempDir(), "output")
	write(t, path, "", 0o644)
	got := func() string { return read(t, path) }
	var err error
	if c.Stdout, err = os.OpenFile(path, os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	next, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	// It listens when it has said that nothing happened so far.
	bed.Eventually(t, "the reader listens", func() bool { return got() != "" })
	ip("set ens6 down")
	ip("set ens6 name eth1")
	ip("set eth1 up")
	next.Write([]byte("\n"))
	bed.Eventually(t, "the reader saw the new name", func() bool { return strings.Count(got(), "\n") == 5 })
	Detach(t, 6)
	next.Write([]byte("\n"))
	bed.Eventually(t, "the reader saw the end", func() bool { return strings.Count(got(), "\n") == 8 })
	Attach(t, 6)
	ip("set ens6 up")
	next.Write([]byte("\n"))
	if err := c.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, got())
	}
	if diff := cmp.Diff(plain(want), plain(got())); diff != "" {
		t.Errorf("(-rig +kernel):\n%s", diff)
	}
}

// plain leaves out the indexes of interfaces, which differ, events that say
// the same as the one before them, of which the kernel adds some late, and the
// empty answers of waiting.
func plain(text string) (lines []string) {
	last := "new ens6 060000000006 up" // as it is at the beginning
	for line := range strings.Lines(regexp.MustCompile(` \d+ (up|down)`).ReplaceAllString(text, " $1")) {
		line = strings.TrimSpace(line)
		if !strings.Contains(line, "0600") {
			if line != "" {
				lines = append(lines, line)
			}
			continue
		}
		for event := range strings.SplitSeq(line, ", ") {
			if event != last {
				lines = append(lines, event)
			}
			last = event
		}
	}
	return lines
}
