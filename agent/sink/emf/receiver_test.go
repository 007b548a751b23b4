package emf_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/emf"
)

// receiver is a listener of lines, as the CloudWatch agent and Fluent Bit are:
// it takes a line when its newline has come, and closes a connection when the
// other side has. It can be told to behave otherwise, and to go and return.
//
// All of it runs outside of any synctest bubble: what waits for the network
// would keep a bubble's clock from going on.
type receiver struct {
	network  string
	commands chan func()
	done     chan struct{}

	mu      sync.Mutex
	address string
	serve   func(net.Conn) // a connection's life, if it is not the usual one
	stream  net.Listener
	packets net.PacketConn
	conns   map[net.Conn]bool
	lines   [][]byte
	largest int // datagram
}

func newReceiver(t *testing.T, network string) *receiver {
	t.Helper()
	r := &receiver{network: network, commands: make(chan func()), done: make(chan struct{}), address: "127.0.0.1:0", conns: map[net.Conn]bool{}}
	if network == "unix" {
		dir, err := os.MkdirTemp("", "emf") // t.TempDir is too long for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		r.address = filepath.Join(dir, "s")
	}
	go func() {
		for f := range r.commands {
			f()
			r.done <- struct{}{}
		}
	}()
	r.up(t)
	t.Cleanup(func() {
		r.down()
		close(r.commands)
	})
	return r
}

// up starts to listen, at the same address as before.
func (r *receiver) up(t testing.TB) {
	t.Helper()
	var err error
	r.commands <- func() { err = r.listen() }
	<-r.done
	if err != nil {
		t.Fatal(err)
	}
}

func (r *receiver) listen() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.network == "udp" {
		if r.packets, err = net.ListenPacket(r.network, r.address); err != nil {
			return err
		}
		r.address = r.packets.LocalAddr().String()
		go r.readPackets(r.packets)
		return nil
	}
	if r.stream, err = net.Listen(r.network, r.address); err != nil {
		return err
	}
	r.address = r.stream.Addr().String()
	go r.accept(r.stream)
	return nil
}

// down is the end of the receiver's process.
func (r *receiver) down() {
	r.commands <- func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.stream != nil {
			r.stream.Close()
		}
		if r.packets != nil {
			r.packets.Close()
		}
		for c := range r.conns {
			c.Close()
		}
	}
	<-r.done
}

func (r *receiver) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.conns[c] = true
		serve := r.serve
		r.mu.Unlock()
		if serve == nil {
			serve = r.read
		}
		go serve(c)
	}
}

// read is the usual life of a connection.
func (r *receiver) read(c net.Conn) {
	b := bufio.NewReader(c)
	for {
		line, err := b.ReadBytes('\n')
		if err != nil {
			break
		}
		r.take(line)
	}
	c.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
}

func (r *receiver) readPackets(c net.PacketConn) {
	buf := make([]byte, 1<<16)
	for {
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		r.take(bytes.Clone(buf[:n]))
	}
}

func (r *receiver) take(line []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
	r.largest = max(r.largest, len(line))
}

// behave sets what becomes of new connections; nil is the usual.
func (r *receiver) behave(serve func(net.Conn)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serve = serve
}

// text returns everything that was taken.
func (r *receiver) text() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Join(r.lines, nil)
}

func (r *receiver) output() string {
	if r.network == "unix" {
		return "unix://" + r.address
	}
	return r.network + "://" + r.address
}

// newSink returns the sink of an output.
func newSink(t testing.TB, output string, change ...func(*emf.Options)) sink.Sink {
	t.Helper()
	out, err := emf.ParseOutput(output, "")
	if err != nil {
		t.Fatal(err)
	}
	o := emf.Options{Output: out, Namespace: "ENA", Interval: time.Minute}
	for _, f := range change {
		f(&o)
	}
	s, err := emf.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func logTo(b *bytes.Buffer) func(*emf.Options) {
	return func(o *emf.Options) { o.Log = slog.New(slog.NewTextHandler(b, nil)) }
}

// pack fails the test if not all of b can be sent.
func pack(t testing.TB, s sink.Sink, b *metric.Batch) []sink.Request {
	t.Helper()
	requests, err := s.Pack(b)
	if err != nil {
		t.Fatal(err)
	}
	return requests
}

func deliver(t testing.TB, s sink.Sink, requests ...sink.Request) {
	t.Helper()
	for _, r := range requests {
		if err := s.Deliver(t.Context(), r.Data); err != nil {
			t.Fatalf("%s: %v", s.Describe(r.Data), err)
		}
	}
}

// checkError fails unless err is a *sink.Error of one line, of that kind.
func checkError(t *testing.T, err error, kind sink.Kind, ambiguous bool, part string) {
	t.Helper()
	e, ok := errors.AsType[*sink.Error](err)
	if !ok {
		t.Fatalf("%T is no *sink.Error: %v", err, err)
	}
	if e.Kind != kind || e.Ambiguous != ambiguous || !strings.Contains(e.Error(), part) {
		t.Errorf("%v, ambiguous %t: %v; want %v, %t, %q", e.Kind, e.Ambiguous, e, kind, ambiguous, part)
	}
	if strings.ContainsAny(e.Error(), "\r\n") {
		t.Errorf("not one line: %q", e.Error())
	}
}

// minutes returns n windows of a host with two interfaces, one after the other,
// the last of which has just ended. The counters of window i grew by i+1.
func minutes(n int) []*metric.Batch {
	last := time.Now().UTC().Truncate(time.Minute).Add(-time.Minute)
	var all []*metric.Batch
	for i := range n {
		b := batch(2, heartbeat, counter("bw_in_allowance_exceeded", burst(float64(i+1))...),
			detail(0, counter("bw_in_allowance_exceeded", burst(float64(i+1))...)),
			of(1, counter("linklocal_allowance_exceeded", burst(float64(i+1))...)))
		b.Start = last.Add(time.Duration(i+1-n) * time.Minute)
		all = append(all, b)
	}
	return all
}

// sums adds up what a receiver's documents say, once for each copy that it has,
// and counts documents that it has more than once.
func sums(t *testing.T, text []byte) (total map[string]float64, copies int) {
	t.Helper()
	total = map[string]float64{}
	seen := map[string]bool{}
	for line := range bytes.Lines(text) {
		if seen[string(line)] {
			copies++
			continue
		}
		seen[string(line)] = true
		for _, doc := range validate(t, line) {
			for _, m := range doc.Metrics {
				total[m.Name] += m.Sum()
			}
		}
	}
	return total, copies
}

// wantSums is what sums gives for minutes(n).
func wantSums(n int) map[string]float64 {
	grown := float64(n * (n + 1) / 2)
	return map[string]float64{"heartbeat": float64(60 * n), "bw_in_allowance_exceeded": grown, "linklocal_allowance_exceeded": grown}
}

// discard reads a connection's data without taking them, and closes it.
func discard(c net.Conn) {
	io.Copy(io.Discard, c)
	c.Close()
}

// numbered returns request n of a series, of one line.
func numbered(n int) []byte {
	return fmt.Appendf(nil, `{"_aws":{"Timestamp":%d,"CloudWatchMetrics":[]},"pad":"%s"}`+"\n", n, strings.Repeat("x", n%97))
}

// serveLogs returns the address of a CloudWatch Logs that gives one answer to
// everything.
func serveLogs(t *testing.T, body string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server.URL
}
