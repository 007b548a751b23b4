package linklocal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enawatch/enawatch/test/linklocaltest"
)

// The tests run themselves again in a network namespace that has no way out and
// ends with the process; what they send link-local goes to a second one, of a
// thread of theirs. rigVariable says that this is such a run, and sendVariable
// makes the program a sender.
const (
	rigVariable  = "LINKLOCAL_TEST_INSIDE"
	sendVariable = "LINKLOCAL_TEST_SEND"
	holdVariable = "LINKLOCAL_TEST_HOLD"
	wantVariable = "LINKLOCAL_TEST_WANT"
	// cgroupVariable is the root of the cgroups for hold.
	cgroupVariable = "LINKLOCAL_TEST_CGROUP"
	clsactVariable = "LINKLOCAL_TEST_CLSACT"
	// refuseVariable is the error that bpf(2) is to end with.
	refuseVariable = "LINKLOCAL_TEST_REFUSE"
)

// hold counts an interface until it is told to end, or killed, and says when it began.
func hold(index int) {
	m, err := Open(Options{Cgroup: os.Getenv(cgroupVariable), Log: slog.New(slog.DiscardHandler), clsact: os.Getenv(clsactVariable) != ""})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, unix.SIGTERM)
	m.Watch(index, "ens5")
	said := false
	for {
		select {
		case <-end:
			if err := m.Close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		case <-time.After(50 * time.Millisecond):
		}
		m.Tick()
		if _, ok := m.Totals(index); ok && !said {
			said = true
			fmt.Println("counting")
		}
	}
}

// startHolder starts a process that holds, and waits until it counts.
func startHolder(t *testing.T, index int, root string, clsact bool) *exec.Cmd {
	t.Helper()
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%d", holdVariable, index), cgroupVariable+"="+root)
	if clsact {
		c.Env = append(c.Env, clsactVariable+"=yes")
	}
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscanln(stdout, new(string)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMain(m *testing.M) {
	if text := os.Getenv(sendVariable); text != "" {
		send(text)
		return
	}
	if index, err := strconv.Atoi(os.Getenv(holdVariable)); err == nil {
		hold(index)
	}
	os.Exit(m.Run())
}

// inside reports whether this is the run in a namespace; if not, it makes one.
func inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(rigVariable) == t.Name() {
		return true
	}
	c := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v")
	c.Env = append(os.Environ(), rigVariable+"="+t.Name())
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("in a network namespace (run the tests as root): %v\n%s", err, out)
	}
	return false
}

func run(t testing.TB, args ...string) {
	t.Helper()
	linklocaltest.Run(t, args...)
}

// Addresses of the services.
var serviceAddresses = []string{
	"169.254.169.253/32", "169.254.169.254/32", "169.254.169.123/32", "169.254.169.250/32", "10.9.0.2/32",
	"fd00:ec2::253/128", "fd00:ec2::254/128", "fd00:ec2::123/128",
}

// wire connects this namespace by the interface ens5 with another one where the
// services are, and returns its index. The resolver there answers all names but
// those that begin with "lost"; "late" it answers after 300 ms. Names that begin
// with "missing" do not exist.
func wire(t testing.TB) (index int) {
	t.Helper()
	index, _ = wireCard(t)
	return index
}

// wireCard is wire, and returns a thread in the other namespace too.
func wireCard(t testing.TB) (index, thread int) {
	t.Helper()
	run(t, "ip", "link", "set", "lo", "up")
	run(t, "ip", "link", "add", "ens5", "type", "veth", "peer", "name", "card")
	thread = linklocaltest.Card(t, "card", serviceAddresses, services)
	ens5, err := net.InterfaceByName("ens5")
	if err != nil {
		t.Fatal(err)
	}
	return ens5.Index, thread
}

// services starts what answers, in the namespace of the calling thread.
func services() error {
	for _, address := range []string{"169.254.169.253:53", "10.9.0.2:53", "[fd00:ec2::253]:53"} {
		c, err := net.ListenPacket("udp", address)
		if err != nil {
			return err
		}
		raw, err := c.(*net.UDPConn).SyscallConn()
		if err != nil {
			return err
		}
		// Room for all queries of a test, however late they are read.
		if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) }); e != nil || err != nil {
			return errors.Join(e, err)
		}
		go resolve(c)
	}
	l, err := net.Listen("tcp", "169.254.169.254:80")
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	return nil
}

// resolve answers queries, without records.
func resolve(c net.PacketConn) {
	b := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		if n < 17 || strings.HasPrefix(string(b[13:n]), "lost") {
			continue
		}
		answer := append([]byte(nil), b[:n]...)
		answer[2], answer[3] = 0x81, 0x80
		if strings.HasPrefix(string(answer[13:]), "missing") {
			answer[3] |= 3
		}
		if strings.HasPrefix(string(answer[13:]), "late") {
			time.AfterFunc(300*time.Millisecond, func() { _, _ = c.WriteTo(answer, from) })
			continue
		}
		_, _ = c.WriteTo(answer, from)
	}
}

// burst is what a sender sends: Count queries for Name to To, evenly over Over,
// from one socket. A query for a Name is the same each time if Same.
type burst struct {
	To    string
	Count int
	Over  time.Duration
	Name  string
	Same  bool
	TCP   bool // Count connections instead, each closed at once
	// Cgroup is where the sender goes first, or "".
	Cgroup string
}

// start makes a sender send, and returns what waits until it has and tells when
// it sent, by the monotonic clock. Its socket stays open until the test's end:
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
func send(text string) {
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	var b burst
	check(json.Unmarshal([]byte(text), &b))
	if b.Cgroup != "" {
		check(os.WriteFile(filepath.Join(b.Cgroup, "cgroup.procs"), []byte("0"), 0))
	}
	times := make([]time.Duration, 0, b.Count)
	if b.TCP {
		for range b.Count {
			times = append(times, monotonic())
			c, err := net.Dial("tcp", b.To)
			check(err)
			c.Close()
		}
		check(json.NewEncoder(os.Stdout).Encode(times))
		return
	}
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(b.To))
	c, err := net.ListenUDP("udp", nil)
	check(err)
	begin := monotonic()
	for i := range b.Count {
		for monotonic() < begin+b.Over*time.Duration(i)/time.Duration(b.Count) {
			runtime.Gosched()
		}
		id := uint16(i)
		if b.Same {
			id = 7
		}
		times = append(times, monotonic())
		_, err := c.WriteTo(linklocaltest.Query(id, b.Name), to)
		check(err)
	}
	check(json.NewEncoder(os.Stdout).Encode(times))
	_, _ = io.Copy(io.Discard, os.Stdin)
	c.Close()
}
