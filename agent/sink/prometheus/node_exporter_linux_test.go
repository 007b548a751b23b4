package prometheus

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/enawatch/enawatch/agent/metric"
)

// TestLikeNodeExporter compares the name set with what node_exporter says of
// two veth devices, whose stats "rx_queue_0_xdp_tx" and the like are renamed.
// It needs root and the Debian packages iproute2, ethtool and
// prometheus-node-exporter.
func TestLikeNodeExporter(t *testing.T) {
	ns := fmt.Sprintf("enawatch-prom-%d", os.Getpid())
	run(t, "ip", "netns", "add", ns)
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", ns).CombinedOutput(); err != nil {
			t.Errorf("ip netns del %s: %v: %s", ns, err, out)
		}
	})
	run(t, "ip", "-n", ns, "link", "set", "lo", "up")
	run(t, "ip", "-n", ns, "link", "add", "veth5", "type", "veth", "peer", "name", "veth6")

	exporter := exec.CommandContext(t.Context(), "ip", "netns", "exec", ns, "prometheus-node-exporter",
		"--collector.disable-defaults", "--collector.ethtool", "--collector.ethtool.device-include=^veth",
		"--web.listen-address=127.0.0.1:9100")
	stderr, err := exporter.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := exporter.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exporter.Wait() }) // The context has ended, so it is killed.
	var line string
	for log := bufio.NewScanner(stderr); !strings.Contains(line, "Listening on"); line = log.Text() {
		if !log.Scan() {
			t.Fatalf("node_exporter does not listen; its log ends: %s", line)
		}
	}
	go io.Copy(io.Discard, stderr)

	s := &metric.Snapshot{}
	for _, name := range []string{"veth5", "veth6"} {
		driver := ethtool(t, ns, "-i", name)
		i := metric.InterfaceState{
			Interface: metric.Interface{Name: name},
			Driver: metric.Driver{
				Name: driver["driver"], Version: driver["version"], FirmwareVersion: driver["firmware-version"],
				ExpansionROMVersion: driver["expansion-rom-version"], BusInfo: driver["bus-info"],
			},
		}
		for stat, value := range ethtool(t, ns, "-S", name) {
			if n, err := strconv.ParseUint(value, 10, 64); err == nil {
				i.Raw = append(i.Raw, metric.RawStat{Name: stat, Value: n})
			}
		}
		s.Interfaces = append(s.Interfaces, i)
	}

	want := linesWith(fetch(t, ns, "127.0.0.1:9100"), "node_ethtool_")
	got := linesWith(scrapeSnapshot(t, s, acceptText, "node_exporter"), "node_ethtool_")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("node_exporter's output (-want +got):\n%s", diff)
	}
	if !strings.Contains(got, "node_ethtool_peer_ifindex{") || !strings.Contains(got, "_received_queue_0_") {
		t.Errorf("the stats of veth are missing:\n%s", got)
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// ethtool returns the "NAME: VALUE" lines of ethtool's output.
func ethtool(t *testing.T, ns, option, device string) map[string]string {
	t.Helper()
	lines := map[string]string{}
	for line := range strings.Lines(run(t, "ip", "netns", "exec", ns, "ethtool", option, device)) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); ok {
			lines[strings.TrimSpace(name)] = value
		}
	}
	return lines
}

func linesWith(page, part string) string {
	var b strings.Builder
	for line := range strings.Lines(page) {
		if strings.Contains(line, part) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// fetch returns the page /metrics of a server inside a network namespace.
func fetch(t *testing.T, ns, addr string) string {
	t.Helper()
	type answer struct {
		page string
		err  error
	}
	answers := make(chan answer)
	go func() {
		// The thread has left the main namespace: it ends with the goroutine.
		runtime.LockOSThread()
		page, err := fetchIn("/run/netns/"+ns, addr)
		answers <- answer{page, err}
	}()
	a := <-answers
	if a.err != nil {
		t.Fatal(a.err)
	}
	return a.page
}

func fetchIn(netns, addr string) (string, error) {
	f, err := os.Open(netns)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return "", fmt.Errorf("enter %s: %w", netns, err)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	r, err := http.NewRequest("GET", "http://"+addr+"/metrics", nil)
	if err != nil {
		return "", err
	}
	if err := r.Write(conn); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	return string(page), err
}
