package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// markers stand around what is generated in docs/footprint.md.
const begin, end = "<!-- begin: written by make generate-bench -->\n", "<!-- end -->\n"

// rewrite puts text between the markers of a file.
func rewrite(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s: no lines %q and %q", path, begin, end)
	}
	return os.WriteFile(path, []byte(before+begin+text+end+after), 0o644)
}

// write writes what was measured, as docs/footprint.md has it.
func write(w io.Writer, programs []*program, over, began time.Duration) error {
	host, err := machine()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Measured on %s, over %v: %s.\n\n", time.Now().UTC().Format("2 January 2006"), over, host)
	targets(w, programs, began)
	fmt.Fprintln(w, "| program | CPU-s/min | of its floor | RSS MiB | PSS | anonymous | binary MiB | wake-ups/s | system calls/s | sent, bytes/min | ready |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|---|")
	floors := map[*lab]float64{}
	for _, p := range programs {
		if strings.HasPrefix(p.name, "floor: ioctl") && floors[p.lab] == 0 {
			floors[p.lab] = p.result.CPU
		}
	}
	for _, p := range programs {
		r := p.result
		ratio, sent, ready := "", "", ""
		if f := floors[p.lab]; f > 0 {
			ratio = fmt.Sprintf("%.1f×", r.CPU/f)
		}
		if r.Sent > 0 {
			sent = fmt.Sprintf("%.0f", r.Sent)
		}
		if r.Ready > 0 {
			ready = r.Ready.Round(time.Millisecond).String()
		}
		fmt.Fprintf(w, "| %s | %.4f | %s | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f | %s | %s |\n", p.name, r.CPU, ratio,
			r.RSS, r.PSS, r.Anonymous, float64(r.Binary)/(1<<20), r.WakeUps, r.Syscalls, sent, ready)
	}
	return nil
}

// targets writes what the agent must keep to, and whether it did. base is it with
// CloudWatch and /metrics on; began is how long it took to start.
func targets(w io.Writer, programs []*program, began time.Duration) {
	byName := map[string]result{}
	for _, p := range programs {
		byName[p.name] = p.result
	}
	base, alone, file, full := byName[baseName], byName[aloneName], byName[fileName], byName[fullName]
	large, pods := byName[largeName], byName[podsName]
	if base.Binary == 0 || alone.Binary == 0 || file.Binary == 0 || full.Binary == 0 || large.Binary == 0 || pods.Binary == 0 {
		return // not all were measured
	}
	sdk := byName[sdkName]
	fmt.Fprint(w, "| target | measured | |\n|---|---|---|\n")
	row := func(target, format string, met bool, values ...any) {
		verdict := "**missed**"
		if met {
			verdict = "met"
		}
		fmt.Fprintf(w, "| %s | %s | %s |\n", target, fmt.Sprintf(format, values...), verdict)
	}
	floorCPU := byName[floorName].CPU
	row("CPU at most twice the floor", "%.1f×, with scrapes %.1f×", alone.CPU <= 2*floorCPU && base.CPU <= 2*floorCPU, alone.CPU/floorCPU, base.CPU/floorCPU)
	row("RSS at most 16 MiB, 8 of them anonymous", "%.1f and %.1f, with scrapes %.1f and %.1f", alone.RSS <= 16 && base.RSS <= 16 && alone.Anonymous <= 8 && base.Anonymous <= 8,
		alone.RSS, alone.Anonymous, base.RSS, base.Anonymous)
	row("RSS below that of a bare program with the SDK", "%.1f MiB, the bare one %.1f", alone.RSS < sdk.RSS, alone.RSS, sdk.RSS)
	row("64 interfaces: at most 2 MiB more", "%+.1f MiB", large.RSS-alone.RSS <= 2, large.RSS-alone.RSS)
	row("a full spool: no more", "%+.1f MiB", full.RSS-file.RSS < 1, full.RSS-file.RSS)
	row("binary at most 14 MiB", "%.1f MiB", base.Binary <= 14<<20, float64(base.Binary)/(1<<20))
	row("wake-ups: one a second", "%.1f, the floor %.1f", alone.WakeUps <= 1.5, alone.WakeUps, byName[floorName].WakeUps)
	row("system calls a tick: at most 2 + interfaces, of the agent's own", "%.1f a second with the Go runtime's, the floor %.1f", alone.Syscalls <= 6, alone.Syscalls, byName[floorName].Syscalls)
	row("sent: under 1 KiB a minute", "%.0f bytes", alone.Sent < 1024, alone.Sent)
	row("64 × 32 queues: CPU within twice the base", "%.1f×, the floor's %.1f×", large.CPU <= 2*alone.CPU, large.CPU/alone.CPU, byName[largeFloorName].CPU/floorCPU)
	row("10,000 pods: CPU within twice the base", "%.1f×", pods.CPU <= 2*alone.CPU, pods.CPU/alone.CPU)
	row("start to the first valid reading of every interface: under 100 ms", "%v by itself", began > 0 && began < 100*time.Millisecond, began.Round(time.Millisecond))
	fmt.Fprintln(w)
}

// machine says what was measured on, and with which versions.
func machine() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", err
	}
	osRelease, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	_, system, _ := strings.Cut(string(osRelease), "PRETTY_NAME=\"")
	system, _, _ = strings.Cut(system, "\"")
	versions, err := exec.Command("dpkg-query", "-W", "-f", "${Package} ${Version}, ", "prometheus-node-exporter", "ethtool").Output()
	if err != nil {
		return "", err
	}
	kernel, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	return fmt.Sprintf("%d processors (%s), %s, Linux %s, %s, %s", runtime.NumCPU(), runtime.GOARCH, system,
		kernel, runtime.Version(), strings.TrimSuffix(string(versions), ", ")), nil
}
