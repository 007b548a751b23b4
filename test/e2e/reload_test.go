package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// An agent that is reloaded again and again, by good configurations and bad,
// while allowances are exceeded, publishes what happened: no more and no less.
// systemd hears of each reload, and no scrape is refused or finds nothing.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	ledgerPath := filepath.Join(dir, "ledger.json")
	var r reloadResult
	runErrand(t, errand{Do: "reload", Dir: dir}, &r, "--scenario", "testdata/reloads.yaml", "--ledger", ledgerPath, "--stop-when-done")
	ledger := readLedger(t, ledgerPath)
	p := publishedBy(t, []byte(r.Lines))
	for i := range ena.Catalogue() {
		if e := ena.Stat(i).Entry(); e.Kind == metric.Counter && !e.Internal && e.Group != ena.Queue {
			checkCounter(t, e, ledger, p)
		}
	}
	if r.Good < 5 || r.Bad < 3 {
		t.Errorf("%d reloads and %d refusals are too few to say anything", r.Good, r.Bad)
	}
	for _, fault := range r.Faults {
		t.Error(fault)
	}
	if r.Scrapes < 10 {
		t.Errorf("%d scrapes are too few to say anything", r.Scrapes)
	}
	if strings.Contains(r.Log, "may count twice") || strings.Contains(r.Log, `"PANIC`) {
		t.Errorf("the log:\n%s", r.Log)
	}
}

type reloadResult struct {
	Lines, Log         string
	Good, Bad, Scrapes int
	Faults             []string
}

// reloadings are configurations that follow each other. Those with a fault name
// what systemd is told.
var reloadings = []struct{ text, fault string }{
	{"publish_interval: 2s\nlog: {level: debug}\n", ""},
	{"publish_interval: 1s\nzeros: sometimes\n", ":2: zeros: \"sometimes\" is not known"},
	{"publish_interval: 1s\ninterfaces: {exclude: [ens6]}\n", ""},
	{"publish_interval: 1s\ninterfaces: {exclude: [ens6]}\nstate_dir: /elsewhere\n", "state_dir can't change"},
	{"publish_interval: 3s\nlog: {format: text}\ndimensions: {team: network}\n", ""},
	{"sinks: {prometheus: {listen: \"192.0.2.1:9109\"}}\n", "choose an address of this host"},
	{"publish_interval: 1s\nsinks: {prometheus: {names: [node_exporter, native]}}\n", ""},
}

// reloading runs an agent and reloads it until the rig asks it to stop.
func reloading(e errand) {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	path, lines := filepath.Join(e.Dir, "enawatch.yaml"), filepath.Join(e.Dir, "emf.jsonl")
	state := "state_dir: " + filepath.Join(e.Dir, "state") + "\n"
	const sinks = "sinks: {prometheus: {}}\n"
	must(os.WriteFile(path, []byte(state+sinks), 0o600))
	socket := filepath.Join(e.Dir, "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	must(err)
	c := exec.Command(e.Agent, "run", "--config", path, "--sinks.emf.output", "file://"+lines, "--identity.mode", "static")
	c.Env = []string{"AWS_EC2_METADATA_DISABLED=true", "NOTIFY_SOCKET=" + socket}
	var log bytes.Buffer
	c.Stderr = &log
	must(c.Start())
	var r reloadResult
	hear(systemd, "READY=1\nSTATUS=Reading every ENA interface")

	var scraping sync.WaitGroup
	ended, end := context.WithCancel(context.Background())
	scraping.Go(func() { r.Scrapes, r.Faults = scrapeUntil(ended) })
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	for n := 0; stop.Err() == nil; n++ {
		<-pace.C
		next := reloadings[n%len(reloadings)]
		text := next.text
		if !strings.Contains(text, "state_dir") {
			text += state
		}
		if !strings.Contains(text, "sinks") {
			text += sinks
		}
		must(os.WriteFile(path, []byte(text), 0o600))
		must(c.Process.Signal(syscall.SIGHUP))
		hear(systemd, "RELOADING=1\nMONOTONIC_USEC=")
		if next.fault == "" {
			r.Good++
			hear(systemd, "READY=1\nSTATUS=Reading every ENA interface")
		} else {
			r.Bad++
			hear(systemd, "READY=1\nSTATUS=Reading every ENA interface, by the old configuration", next.fault)
		}
	}
	end()
	scraping.Wait()
	must(c.Process.Signal(syscall.SIGTERM))
	must(c.Wait())
	published, err := os.ReadFile(lines)
	must(err)
	os.Stderr.Write(log.Bytes())
	r.Lines, r.Log = string(published), log.String()
	must(json.NewEncoder(os.Stdout).Encode(r))
}

// hear waits for the next message of a service and ends the program if it does
// not begin with prefix or lacks a part.
func hear(systemd *net.UnixConn, prefix string, parts ...string) {
	must(systemd.SetReadDeadline(time.Now().Add(time.Minute)))
	message := make([]byte, 4096)
	n, err := systemd.Read(message)
	must(err)
	got := string(message[:n])
	ok := strings.HasPrefix(got, prefix)
	for _, part := range parts {
		ok = ok && strings.Contains(got, part)
	}
	if !ok {
		must(fmt.Errorf("systemd heard\n%s\nwant\n%s … %q", got, prefix, parts))
	}
}

// scrapeUntil asks for /metrics again and again, by new connections and by one
// that is kept, and says what was wrong with the answers.
func scrapeUntil(ctx context.Context) (scrapes int, faults []string) {
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	kept := &http.Client{Timeout: 10 * time.Second}
	for n := 0; ctx.Err() == nil; n++ {
		client := fresh
		if n%2 == 1 {
			client = kept
		}
		answer, err := client.Get("http://" + agentAddress + "/metrics")
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		scrapes++
		if err != nil || answer.StatusCode != http.StatusOK {
			faults = append(faults, fmt.Sprint(answer.Status, err))
		} else if !bytes.Contains(body, []byte(`ens5`)) {
			faults = append(faults, "no interface at /metrics:\n"+string(body))
		}
	}
	return scrapes, faults
}
