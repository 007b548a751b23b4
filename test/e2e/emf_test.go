package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net"
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
	"github.com/enawatch/enawatch/test/awsfake"
)

// Every place that EMF can go to gets every delta, through a receiver that goes
// away and comes back.
func TestEMFOutputs(t *testing.T) {
	t.Parallel()
	for _, output := range []string{
		"file://DIR/emf.jsonl", "tcp://127.0.0.1:PORT", "unix://DIR/emf.sock", "udp://127.0.0.1:PORT", "logs:///ena/hosts/{instance_id}",
	} {
		scheme, _, _ := strings.Cut(output, ":")
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ledgerPath := filepath.Join(dir, "ledger.json")
			var r emfResult
			runErrand(t, errand{Do: "emf", Dir: dir, Output: output}, &r,
				"--scenario", "../enasim/testdata/scenarios/steady-growth.yaml", "--ledger", ledgerPath, "--stop-when-done")
			ledger := readLedger(t, ledgerPath)
			p := publishedBy(t, []byte(withoutRepeats(t, r.Lines, r.Doubts)))
			for i := range ena.Catalogue() {
				if e := ena.Stat(i).Entry(); e.Kind == metric.Counter && !e.Internal && e.Group != ena.Queue {
					checkCounter(t, e, ledger, p)
				}
			}
		})
	}
}

type emfResult struct {
	Lines  string
	Doubts int // windows that the agent said it might have sent twice
}

// withoutRepeats returns the lines of a receiver without those of windows that
// were sent again because the receiver went away while it read them. The agent
// must have said so.
func withoutRepeats(t *testing.T, text string, doubts int) string {
	t.Helper()
	seen, repeats := map[string]bool{}, 0
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if seen[line] {
			repeats++
			continue
		}
		seen[line] = true
		kept.WriteString(line)
	}
	if repeats > 3*doubts { // a window of two interfaces has three lines
		t.Errorf("%d lines came again, the agent was in doubt about %d windows", repeats, doubts)
	}
	return kept.String()
}

// lines keeps what a receiver was sent.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) add(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(bytes.TrimRight(line, "\n"))
	l.text.WriteByte('\n')
}

// toReceiver runs an agent whose EMF goes to a receiver that is away from the
// third second to the sixth, until the rig asks it to stop.
func toReceiver(e errand) {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	var got lines
	output := strings.NewReplacer("DIR", e.Dir, "PORT", "25888").Replace(e.Output)
	aws, err := awsfake.Start(awsfake.Options{})
	must(err)
	scheme, address, _ := strings.Cut(output, "://")
	var receivers sync.WaitGroup
	sent := make(chan struct{}) // closed when nothing more comes
	switch scheme {
	case "tcp", "unix":
		receivers.Go(func() { receiveStream(scheme, address, sent, &got) })
	case "udp":
		l, err := net.ListenPacket(scheme, address)
		must(err)
		receivers.Go(func() { receiveDatagrams(l, sent, &got) })
	}
	c := exec.Command(e.Agent, "run", "--sinks.emf.output", output, "--sinks.emf.endpoint", aws.URL(), "--publish-interval", "1s",
		"--state-dir", e.Dir, "--identity.mode", "static", "--identity.instance-id", "i-0123456789abcdef0", "--sinks.prometheus=false")
	c.Env = awsEnvironment()
	var log bytes.Buffer
	c.Stderr = &log
	must(c.Start())
	time.AfterFunc(3*time.Second, func() { aws.Refuse(3 * time.Second) })
	<-stop.Done()
	must(c.Process.Signal(syscall.SIGTERM))
	must(c.Wait())
	close(sent)
	receivers.Wait()
	switch scheme {
	case "file":
		content, err := os.ReadFile(address)
		must(err)
		got.text.Write(content)
	case "logs":
		for _, event := range aws.Logs.Events("/ena/hosts", "i-0123456789abcdef0") {
			got.add([]byte(event.Message))
		}
	}
	os.Stderr.Write(log.Bytes())
	must(json.NewEncoder(os.Stdout).Encode(emfResult{got.text.String(), strings.Count(log.String(), "may count twice")}))
}

// receiveStream listens, goes away after two lines as a receiver that is
// restarted in good order, and comes back three seconds later.
func receiveStream(network, address string, sent <-chan struct{}, got *lines) {
	l, err := net.Listen(network, address)
	must(err)
	accept(l, 2, got)
	l.Close()
	select {
	case <-time.After(3 * time.Second):
	case <-sent:
	}
	l, err = net.Listen(network, address)
	must(err)
	go func() {
		<-sent
		l.Close()
	}()
	accept(l, -1, got)
}

// accept reads connections one after the other, until so many lines came or the
// listener is closed.
func accept(l net.Listener, most int, got *lines) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		in := bufio.NewScanner(c)
		in.Buffer(nil, 2<<20)
		for most != 0 && in.Scan() {
			got.add(in.Bytes())
			most--
		}
		c.Close()
		if most == 0 {
			return
		}
	}
}

// receiveDatagrams never goes away: what is sent to nobody by UDP is lost.
func receiveDatagrams(l net.PacketConn, sent <-chan struct{}, got *lines) {
	go func() {
		<-sent
		l.Close()
	}()
	datagram := make([]byte, 64<<10)
	for {
		n, _, err := l.ReadFrom(datagram)
		if err != nil {
			return
		}
		for line := range bytes.Lines(datagram[:n]) {
			got.add(line)
		}
	}
}
