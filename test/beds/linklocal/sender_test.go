//go:build beds

package linklocal

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/enawatch/enawatch/test/linklocaltest"
)

// sendVariable makes the test binary a sender: it holds one.
const sendVariable = "LINKLOCAL_BED_SEND"

// sender is a process that sends what its slots say, one after the other.
type sender struct {
	Cgroup string // where it goes first
	Slots  []slot
}

// slot is a second, in which queries for Name are sent to To, evenly over four
// ticks of the programs' clock that lie well within it: from one socket over UDP; or each
// by a connection of its own, if TCP; or by a program, if there is one.
type slot struct {
	Second  int64 // after begin
	To      netip.AddrPort
	Count   int
	Name    string
	TCP     bool
	Program []string
}

// A slot's ticks lie in a part of its second: an agent that reads late reads before
// the next one.
const (
	tick       = 100 * time.Millisecond
	slotTicks  = 4
	slotBegins = 400 * time.Millisecond
)

// start makes a sender, which waits for the function that is returned: called with
// a second since 1970 it sends, and the next function waits until it has. Its socket
// stays open until the test's end: else the kernel would refuse late answers by
// packets of ICMP, which count too.
func (s sender) start(t *testing.T) (begin func(second int64) (wait func())) {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), sendVariable+"="+string(text))
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	})
	said := func() {
		if _, err := fmt.Fscanln(out, new(string)); err != nil {
			t.Fatalf("a sender of %+v: %v", s.Slots, err)
		}
	}
	said()
	return func(second int64) func() {
		fmt.Fprintln(in, second)
		return said
	}
}

// send is what the sender does.
func send(text string) error {
	var s sender
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.Cgroup, "cgroup.procs"), []byte("0"), 0); err != nil {
		return err
	}
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Println("ready")
	var begin int64
	if _, err := fmt.Scanln(&begin); err != nil {
		return err
	}
	id := uint16(0) // of queries, each its own: else it is a retry
	for _, slot := range s.Slots {
		time.Sleep(time.Until(time.Unix(begin+slot.Second, 0).Add(slotBegins)))
		if slot.Program != nil {
			err = slot.run()
		} else {
			err = slot.send(c, &id)
		}
		if err != nil {
			return err
		}
	}
	fmt.Println("sent")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// send sends in the next ticks.
func (s slot) send(c *net.UDPConn, id *uint16) (err error) {
	first := linklocaltest.Monotonic()/tick + 1
	for k := range slotTicks {
		n := s.Count*(k+1)/slotTicks - s.Count*k/slotTicks
		for i := range n {
			const into, over = 15 * time.Millisecond, 60 * time.Millisecond
			waitUntil((first+time.Duration(k))*tick + into + over*time.Duration(i)/time.Duration(n))
			if *id++; s.TCP {
				err = s.ask(*id)
			} else {
				_, err = c.WriteToUDPAddrPort(linklocaltest.Query(*id, s.Name), s.To)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func waitUntil(at time.Duration) {
	for {
		left := at - linklocaltest.Monotonic()
		switch {
		case left <= 0:
			return
		case left > 3*time.Millisecond:
			time.Sleep(left - 2*time.Millisecond)
		default:
			runtime.Gosched()
		}
	}
}

// ask asks by TCP and reads the answer.
func (s slot) ask(id uint16) error {
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(s.To))
	if err != nil {
		return err
	}
	defer c.Close()
	q := linklocaltest.Query(id, s.Name)
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)); err != nil {
		return err
	}
	answer := make([]byte, 4)
	if _, err := io.ReadFull(c, answer); err != nil {
		return fmt.Errorf("the resolver's answer by TCP: %w", err)
	}
	if got := binary.BigEndian.Uint16(answer[2:]); got != id {
		return fmt.Errorf("the answer is to %d, not %d", got, id)
	}
	return nil
}

// run runs dnsperf and checks that it sent what it was to and had all answers.
func (s slot) run() error {
	out, err := exec.Command(s.Program[0], s.Program[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", s.Program[0], err, out)
	}
	for _, what := range []string{"Queries sent:", "Queries completed:"} {
		_, after, _ := strings.Cut(string(out), what)
		if fields := strings.Fields(after); len(fields) == 0 || fields[0] != strconv.Itoa(s.Count) {
			return fmt.Errorf("%s: want %d of %q in\n%s", s.Program[0], s.Count, what, out)
		}
	}
	return nil
}

// Ports that dnsperf sends from: none that the kernel gives away.
const perfPort, perfPorts = 10001, 3

// dnsperf is a slot in which Debian's generator sends queries, of a file in dir.
func dnsperf(t *testing.T, dir string, second int64, to netip.AddrPort, count int, mode string, port int) slot {
	t.Helper()
	queries := filepath.Join(dir, "queries-"+strconv.Itoa(count))
	if err := os.WriteFile(queries, []byte(strings.Repeat("perf.example.com A\n", count)), 0o644); err != nil {
		t.Fatal(err)
	}
	return slot{Second: second, Count: count, Program: []string{
		"dnsperf", "-s", to.Addr().String(), "-p", strconv.Itoa(int(to.Port())), "-x", strconv.Itoa(port),
		"-m", mode, "-d", queries, "-n", "1", "-Q", "1000", "-c", "1", "-T", "1",
	}}
}
