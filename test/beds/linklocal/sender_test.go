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
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sendVariable makes the test binary a sender: it holds a burst.
const sendVariable = "LINKLOCAL_BED_SEND"

// burst is Count queries for Name to To, evenly over Over, from one socket; or,
// if TCP, each by a connection of its own.
type burst struct {
	To     string
	Count  int
	Over   time.Duration
	Name   string
	TCP    bool
	Cgroup string // where the sender goes first
}

// start makes a sender send, and returns what waits until it has and tells when
// it did, by the monotonic clock. Its socket stays open until the test's end: else
// the kernel would refuse late answers by packets of ICMP, which count too.
func (b burst) start(t *testing.T) (wait func() []time.Duration) {
	t.Helper()
	text, err := json.Marshal(b)
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
	end, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		end.Close()
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	})
	return func() (times []time.Duration) {
		if err := json.NewDecoder(out).Decode(&times); err != nil {
			t.Fatal(err)
		}
		return times
	}
}

// send is what the sender does.
func send(text string) error {
	var b burst
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.Cgroup, "cgroup.procs"), []byte("0"), 0); err != nil {
		return err
	}
	times := make([]time.Duration, 0, b.Count)
	if b.TCP {
		for i := range b.Count {
			if err := b.ask(uint16(i)); err != nil {
				return err
			}
		}
		return json.NewEncoder(os.Stdout).Encode(times)
	}
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(b.To))
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		return err
	}
	defer c.Close()
	begin := monotonic()
	for i := range b.Count {
		for monotonic() < begin+b.Over*time.Duration(i)/time.Duration(b.Count) {
			runtime.Gosched()
		}
		times = append(times, monotonic())
		if _, err := c.WriteTo(query(uint16(i), b.Name), to); err != nil {
			return err
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(times); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// ask asks by TCP and reads the answer.
func (b burst) ask(id uint16) error {
	c, err := net.Dial("tcp", b.To)
	if err != nil {
		return err
	}
	defer c.Close()
	q := query(id, b.Name)
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

// query encodes a query for a name's IPv4 addresses.
func query(id uint16, name string) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = append(b, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	for label := range strings.SplitSeq(name, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0, 0, 1, 0, 1)
}

func monotonic() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // fails for no clock that exists
	return time.Duration(t.Nano())
}

// peakOf is the most of times in any second, in steps of a tenth as the programs
// count it.
func peakOf(times []time.Duration) (peak int) {
	const tick, ticks = 100 * time.Millisecond, 10
	counts := map[int64]int{}
	for _, at := range times {
		for k := range int64(ticks) {
			counts[int64(at/tick)+k]++
		}
	}
	for _, n := range counts {
		peak = max(peak, n)
	}
	return peak
}
