//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/simulate"
)

// drivers are scenarios with all that each driver can list.
var drivers = map[string]string{
	"upstream-6.1":  `{name: ens5, driver: upstream-6.1, initial: {bw_in_allowance_exceeded: 17, queue_1_rx_csum_unchecked: 4}}`,
	"upstream-6.12": `{name: ens5, driver: upstream-6.12, srd: true, initial: {conntrack_allowance_available: 51286, reset_fail: 1}}`,
	"2.2.10":        `{name: ens5, driver: 2.2.10, initial: {linklocal_allowance_exceeded: 18446744073709551, queue_0_rx_bad_csum: 8}}`,
	"2.8.1":         `{name: ens5, driver: 2.8.1, srd: true, phc: true, initial: {ena_srd_mode: 5, phc_err: 2}}`,
	"2.13.3":        `{name: ens5, driver: 2.13.3, version: 2.13.2g, srd: true, phc: true, queues: 12, initial: {queue_11_rx_lpc_full: 6}}`,
	"2.17.0":        `{name: ens5, driver: 2.17.0, srd: true, phc: true, queues: 11, initial: {queue_10_tx_pending_timedout_pk: 3}}`,
}

// TestEthtool compares what Debian's ethtool prints with the script.
func TestEthtool(t *testing.T) {
	for name, device := range drivers {
		t.Run(name, func(t *testing.T) {
			text := "devices: [" + device + "]"
			got := output(t, text, "sh", "-c", "ethtool -i ens5 && ethtool -S ens5")
			if diff := cmp.Diff(expectEthtool(t, text), got); diff != "" {
				t.Errorf("ethtool (-want +got):\n%s", diff)
			}
		})
	}
}

// expectEthtool is what ethtool -i and -S print of ens5.
func expectEthtool(t *testing.T, text string) string {
	t.Helper()
	s, err := simulate.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	m := simulate.New(s, simulate.SystemClock{})
	b, err := ena.NewBuffer()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	d, err := m.Driver("ens5")
	if err != nil {
		t.Fatal(err)
	}
	names, err := m.StatNames("ens5")
	if err != nil {
		t.Fatal(err)
	}
	n, err := m.Stats("ens5", len(names), b)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "driver: %s\nversion: %s\nfirmware-version: \nexpansion-rom-version: \nbus-info: %s\n", d.Driver, d.Version, d.BusInfo)
	out.WriteString("supports-statistics: yes\nsupports-test: no\nsupports-eeprom-access: no\nsupports-register-dump: no\nsupports-priv-flags: no\n")
	out.WriteString("NIC statistics:\n")
	for i, v := range b.Values(n) {
		fmt.Fprintf(&out, "     %s: %d\n", names[i], v)
	}
	return out.String()
}

// TestIoctls has raw ioctls answered, or left to the kernel.
func TestIoctls(t *testing.T) {
	const device = "devices: [{name: ens5, driver: 2.2.10, queues: 1, initial: {bw_in_allowance_exceeded: 17}}]\n"
	tests := []struct {
		name, script string
		actions      []string
		want         string
	}{
		{"a new kernel returns nothing for a wrong number", device,
			[]string{"stats:ens5:45", "stats:ens5:0", "stats:ens5:44", "stats:ens5:46", "strings:ens5:45", "strings:ens5:44"},
			"said 45, wrote 45\nsaid 45, wrote 45\nsaid 0, wrote 0\nsaid 0, wrote 0\n45\n0\n"},
		{"an old kernel writes all", device + "kernel: old",
			[]string{"stats:ens5:45", "stats:ens5:0", "stats:ens5:44", "stats:ens5:46", "strings:ens5:44"},
			"said 45, wrote 45\nsaid 45, wrote 45\nsaid 45, wrote 45\nsaid 45, wrote 45\n45\n"},
		{"more queues are more stats", device + "steps: [{read: 2, queues: 2}]",
			[]string{"stats:ens5:45", "stats:ens5:45", "stats:ens5:73"},
			"said 45, wrote 45\nsaid 0, wrote 0\nsaid 73, wrote 73\n"},
		{"the driver says who it is", device,
			[]string{"driver:ens5", "who:enasim-peer1", "driver:lo", "driver:ens9"},
			"ena, 45 stats\nveth\nerror: operation not supported\nerror: no such device\n"},
		{"errnos", device + "steps:\n- {read: 1, fault: {errno: ENODEV}}\n- {read: 2, fault: {errno: EOPNOTSUPP}}\n- {read: 3, fault: none}",
			[]string{"stats:ens5:0", "driver:ens5", "stats:ens5:0", "names:ens5", "strings:ens5:0", "driver:ens5", "stats:ens5:0"},
			"error: no such device\nerror: no such device\nerror: operation not supported\nerror: sets 0x0\nerror: operation not supported\nena, 0 stats\nsaid 45, wrote 45\n"},
		{"other commands", device,
			[]string{"command:ens5:1", "command:ens5:60"}, // GSET, GCHANNELS
			"error: operation not supported\nerror: operation not supported\n"},
		{"memory that can't be read or written", device,
			[]string{"fault:ens5:0", "fault:ens5:1", "fault:ens5:3", "value:ens5:bw_in_allowance_exceeded"},
			"error: bad address\nerror: bad address\ndone\n17\n"},
		{"a device that blocks", "devices:\n- {name: ens5, driver: 2.2.10}\n- {name: ens6, driver: 2.2.10}\nsteps: [{read: 1, device: ens5, fault: {delay: 500ms}}]",
			[]string{"race:ens5:ens6", "race:ens6:ens5"}, "ens6, ens5\nens6, ens5\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := output(t, tt.script, append([]string{"{reader}"}, tt.actions...)...)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%v (-want +got):\n%s", tt.actions, diff)
			}
		})
	}
}

// TestLinks follows links by rtnetlink, as the kernel tells of them.
func TestLinks(t *testing.T) {
	got := output(t, `
devices:
- {name: ens5, driver: 2.2.10, mac: "06:00:00:00:00:a5"}
- {name: ens6, driver: 2.17.0, mac: "06:00:00:00:00:a6"}
steps:
- {read: 2, device: ens6, rename: eth1}
- {read: 4, device: ens6, detach: true}
- {read: 2, of: ens5, device: ens6, attach: true}
- {after: 0s, device: ens6, add: {bw_in_allowance_exceeded: 5}}
- {after: 50ms, device: ens5, detach: true}
`, "{reader}",
		"links:0600000000a6", "stats:ens6:0",
		"stats:ens6:0", "links:0600000000a6", "driver:ens6", "driver:eth1",
		"stats:eth1:0", "stats:eth1:0", "links:0600000000a6", "driver:eth1",
		"stats:ens5:0", "stats:ens5:0", "links:0600000000a6", "value:ens6:bw_in_allowance_exceeded",
		"left", "driver:ens5")
	var lines []string
	for line := range strings.Lines(got) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	want := []string{
		"", "said 147, wrote 147",
		// Indexes: lo 1, then each device behind its peer.
		"error: no such device", "new ens6 0600000000a6 5 down, new eth1 0600000000a6 5 down, new eth1 0600000000a6 5 up",
		"error: no such device", "ena, 147 stats",
		"said 147, wrote 147", "error: no such device", "new eth1 0600000000a6 5 down, del eth1 0600000000a6 5 down",
		"error: no such device",
		"said 73, wrote 73", "said 73, wrote 73", "new ens6 0600000000a6 7 up", "5",
		"del ens5 0600000000a5 3 down", "error: no such device",
	}
	// The kernel tells of the carrier too, when it finds the time. Then the
	// state is as before, or as it was before the first of the events.
	for i, line := range lines {
		line = strings.Join(slices.Compact(strings.Split(line, ", ")), ", ")
		if i < len(want) && strings.HasSuffix(line, want[i]) {
			line = want[i]
		}
		lines[i] = line
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestLedger: what the readers saw and what the ledger says agree exactly.
func TestLedger(t *testing.T) {
	out, l := withLedger(t, `
devices: [{name: ens5, driver: 2.8.1, initial: {bw_in_allowance_exceeded: 100}}]
steps:
- {read: 2, rate: {bw_in_allowance_exceeded: 7}, for: 3}
- {read: 6, fault: {admin: stopped}}
- {read: 7, fault: none}
- {read: 8, reset: keep-alive}
- {read: 8, add: {bw_in_allowance_exceeded: 2}}
end: {reads: 1}
`, nil, "sh", "-c", `for i in 1 2 3 4; do ethtool -S ens5 | sed -n 's/.*bw_in_.*: //p'; {reader} value:ens5:bw_in_allowance_exceeded; done; {reader} stats:ens5:7`)
	if want := "100\n107\n114\n121\n121\n0\n121\n2\nsaid 0, wrote 0\n"; out != want {
		t.Errorf("the readers saw %q, want %q", out, want)
	}
	want := simulate.DeviceLedger{MAC: "06:00:00:00:00:05", Bus: "0000:00:05.0", Name: "ens5", Attached: true,
		Counts: simulate.Counts{Reads: 9, Failed: 1, Mismatched: 1, Adapters: 1}}
	got := l.Devices[0]
	counter := got.Stats["bw_in_allowance_exceeded"]
	got.Stats = nil
	if diff := cmp.Diff(want, got); diff != "" || !l.Done {
		t.Errorf("ledger, done %t (-want +got):\n%s", l.Done, diff)
	}
	if want := (simulate.StatLedger{Initial: 100, Added: 23, Last: 2}); counter != want {
		t.Errorf("ledger of the counter: %+v, want %+v", counter, want)
	}
}

func TestStopWhenDone(t *testing.T) {
	for name, script := range map[string]string{
		"by readings": "steps: [{read: 20, add: {bw_in_allowance_exceeded: 7}}]\nend: {reads: 5}",
		"by time":     "end: {at: 200ms}",
	} {
		t.Run(name, func(t *testing.T) {
			out, l := withLedger(t, "devices: [{name: ens5, driver: 2.2.10}]\n"+script, []string{"--stop-when-done"},
				"sh", "-c", `trap 'echo stopped; exit 0' TERM; while :; do {reader} stats:ens5:0 >/dev/null; done`)
			if out != "stopped\n" || !l.Done {
				t.Errorf("printed %q, done %t; want it stopped and done", out, l.Done)
			}
		})
	}
}

// TestUnprivileged runs the program, and then the rig too, as nobody.
func TestUnprivileged(t *testing.T) {
	const nobody = 65534
	file := scenario(t, "devices: [{name: ens5, driver: 2.2.10, queues: 1}]")
	program := []string{"sh", "-c", "id -u; id -g; grep -E '^(Groups|CapEff|CapPrm|CapBnd|NoNewPrivs):' /proc/self/status; {reader} stats:ens5:0; ls /sys/class/net"}
	want := strings.Join([]string{"65534", "65534", "Groups:\t ", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
		"CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "said 45, wrote 45", "enasim-peer1", "ens5", "lo", ""}, "\n")
	out, err := enasim(t, file, []string{"--uid", strconv.Itoa(nobody)}, program...).Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Errorf("with --uid (-want +got):\n%s", diff)
	}

	cmd := enasim(t, file, nil, program...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err = cmd.Output(); err != nil {
		t.Fatal(err)
	}
	// The bounding set is no capability that it has.
	lines := strings.Split(string(out), "\n")
	for i := range lines {
		if strings.HasPrefix(lines[i], "CapBnd:") {
			lines[i] = "CapBnd:\t0000000000000000"
		}
	}
	if diff := cmp.Diff(want, strings.Join(lines, "\n")); diff != "" {
		t.Errorf("by nobody (-want +got):\n%s", diff)
	}
}

func TestExitCodes(t *testing.T) {
	file := scenario(t, "devices: [{name: ens5, driver: 2.2.10}]")
	bad := scenario(t, "devices: [{name: ens5, drivr: 2.2.10}]")
	noProgram := filepath.Join(binaries, "no-program")
	if err := os.WriteFile(noProgram, []byte("no program"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"--scenario", file, "--", "sh", "-c", "exit 7"}, 7, ""},
		{[]string{"--scenario", file, "--", "sh", "-c", "kill -KILL $$"}, 137, ""},
		{[]string{"--scenario", file, "--", "no-such-program"}, 125, "enasim: find the program: exec: \"no-such-program\": executable file not found in $PATH\n"},
		{[]string{"--scenario", file, "--", noProgram}, 125, "enasim: start the program: run " + noProgram + ": exec format error\n"},
		{[]string{"--scenario", file, "--ledger", "/no/such/folder", "--", "true"}, 125, "enasim: write the ledger: open /no/such/folder: no such file or directory\n"},
		{[]string{"--scenario", bad, "--", "true"}, 2, "enasim: " + bad + ":1: unknown key \"drivr\" in a device; known are attached, bus, customer_metrics, driver, initial, mac, name, phc, queues, srd, version\n"},
		{[]string{"--scenario", file}, 2, "enasim: which program? give it after --\n"},
		{[]string{"--", "true"}, 2, "enasim: which scenario? give --scenario FILE\n"},
	} {
		cmd := enasim(t, file, nil)
		cmd.Args = append([]string{enasimName}, tt.args...)
		cmd.Run()
		stderr := fmt.Sprint(cmd.Stderr)
		if code := cmd.ProcessState.ExitCode(); code != tt.code || stderr != tt.stderr {
			t.Errorf("enasim %v: exit code %d, stderr %q; want %d, %q", tt.args, code, stderr, tt.code, tt.stderr)
		}
	}
}

// start starts a command and waits until it prints a line, which it returns
// with what will be printed after it.
func start(t *testing.T, cmd *exec.Cmd) (string, *bufio.Reader) {
	t.Helper()
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(pipe)
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), r
}

func TestSignalsReachTheProgram(t *testing.T) {
	file := scenario(t, "devices: [{name: ens5, driver: 2.2.10}]")
	for name, s := range map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM} {
		cmd := enasim(t, file, nil, "sh", "-c", "trap 'exit 5' "+name+"; echo ready; while :; do {reader} stats:ens5:0 >/dev/null; done")
		_, out := start(t, cmd)
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, out)
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 5 {
			t.Errorf("after SIG%s: exit code %d, want the program's 5", name, code)
		}
	}
}

// TestNothingIsLeftBehind: however the rig ends, no process of it is left, not
// even one that the program forgot, and so no namespace; and the host never
// sees a device.
func TestNothingIsLeftBehind(t *testing.T) {
	file := scenario(t, "devices: [{name: enatest5, driver: 2.2.10}]")
	for name, end := range map[string]struct {
		program string
		kill    bool
	}{
		"the program ends":         {"setsid sleep 1000 & echo ready", false},
		"the supervisor is killed": {"echo ready; exec sleep 1000", true},
	} {
		t.Run(name, func(t *testing.T) {
			mark := "ENASIM_TEST=" + t.TempDir()
			cmd := enasim(t, file, nil, "sh", "-c", end.program)
			cmd.Env = append(cmd.Env, mark)
			_, out := start(t, cmd)
			links, err := net.Interfaces()
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range links {
				if l.Name == "enatest5" || strings.HasPrefix(l.Name, "enasim-") {
					t.Errorf("the host sees %s", l.Name)
				}
			}
			if end.kill {
				cmd.Process.Kill()
			}
			// Every process of the run holds the pipe's other end, and gives
			// up its memory before its files.
			io.Copy(io.Discard, out)
			cmd.Wait()
			files, err := filepath.Glob("/proc/[0-9]*/environ")
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if environ, err := os.ReadFile(f); err == nil && strings.Contains(string(environ), mark) {
					t.Errorf("%s belongs to the run", f)
				}
			}
		})
	}
}
