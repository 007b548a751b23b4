//go:build beds

package linklocal

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// card is the namespace behind the interface: the card's budget, and the services.
type card struct{ thread int }

// Addresses of the services, and the rules that stand for the card: everything to
// them is counted, and what is above 1024 a second is dropped.
var serviceAddresses = []string{"169.254.169.253/32", "169.254.169.254/32", "169.254.169.123/32", "fd00:ec2::253/128"}

const budget = `
table inet card {
	counter arrived { }
	counter dropped { }
	counter answered { }
	chain in {
		type filter hook input priority 0;
		iifname card ip daddr { 169.254.169.253, 169.254.169.254, 169.254.169.123 } jump budget
		iifname card ip6 daddr fd00:ec2::253 jump budget
	}
	chain budget {
		counter name arrived
		limit rate over 1024/second burst 600 packets counter name dropped drop
	}
	chain out {
		type filter hook output priority 0;
		oifname card udp sport 53 counter name answered
	}
}`

// wireCard moves the other end of ens5 into a namespace of its own, which ends
// with this process, and starts resolvers there. The kernel here tracks
// connections, as a node's does.
func wireCard(t *testing.T) *card {
	t.Helper()
	tid, moved, ready := make(chan int), make(chan struct{}), make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the namespace and the resolvers end with the thread
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			ready <- err
			return
		}
		tid <- unix.Gettid()
		<-moved
		ready <- services()
		select {}
	}()
	c := &card{}
	select {
	case err := <-ready:
		t.Fatal(err)
	case c.thread = <-tid:
	}
	run(t, "ip", "link", "set", "enasim-peer1", "netns", strconv.Itoa(c.thread))
	run(t, "ip", "addr", "add", "10.9.0.10/24", "dev", "ens5")
	run(t, "ip", "addr", "add", "fd00:9::10/64", "dev", "ens5", "nodad")
	close(moved)
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	for _, a := range serviceAddresses {
		if strings.Contains(a, ":") {
			run(t, "ip", "-6", "route", "add", a, "via", "fd00:9::1", "dev", "ens5")
		} else {
			run(t, "ip", "route", "add", a, "via", "10.9.0.1", "dev", "ens5")
		}
	}
	run(t, "nft", "add table inet node; add chain inet node out { type filter hook output priority 0; }; add rule inet node out ct state new counter")
	return c
}

// services sets up the namespace of the calling thread.
func services() error {
	commands := []string{
		"ip link set lo up", "ip link set enasim-peer1 name card", "ip link set card up",
		"ip addr add 10.9.0.1/24 dev card", "ip addr add fd00:9::1/64 dev card nodad",
	}
	for _, a := range serviceAddresses {
		add := "ip addr add " + a + " dev lo"
		if strings.Contains(a, ":") {
			add += " nodad"
		}
		commands = append(commands, add)
	}
	for _, c := range commands {
		words := strings.Fields(c)
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", c, err, out)
		}
	}
	nft := exec.Command("nft", "-f", "-")
	nft.Stdin = strings.NewReader(budget)
	if out, err := nft.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return resolvers()
}

// The resolvers: unbound has IPv4, and room for whole bursts; dnsmasq has IPv6.
var (
	resolver  = netip.MustParseAddrPort("169.254.169.253:53")
	resolver6 = netip.MustParseAddrPort("[fd00:ec2::253]:53")
)

const unbound = `server:
  interface: 169.254.169.253
  access-control: 0.0.0.0/0 allow
  so-rcvbuf: 4m
  module-config: iterator
  local-zone: example.com. redirect
  local-data: "example.com. A 192.0.2.1"
  directory: ""
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
remote-control:
  control-enable: no
`

// resolvers starts them in the namespace of the calling thread and waits until both
// answer.
func resolvers() error {
	config, err := os.CreateTemp("", "unbound")
	if err != nil {
		return err
	}
	defer os.Remove(config.Name())
	if _, err := config.WriteString(unbound); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"unbound", "-d", "-c", config.Name()},
		{"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces",
			"--listen-address=" + resolver6.Addr().String(), "--address=/example.com/192.0.2.1", "--user=root", "--pid-file=", "--log-facility=-"},
	} {
		c := exec.Command(args[0], args[1:]...)
		c.Stderr = os.Stderr
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := c.Start(); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(time.Minute)
	for _, to := range []netip.AddrPort{resolver, resolver6} {
		for {
			err := slot{To: to, Name: "ready.example.com"}.ask(1)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s does not answer: %w", to, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}

func run(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

var counter = regexp.MustCompile(`counter (\w+) \{\s+packets (\d+)`)

// counters are the packets of nft's counters in the card's namespace.
func (c *card) counters(t testing.TB) map[string]uint64 {
	t.Helper()
	out, err := exec.Command("nsenter", fmt.Sprintf("--net=/proc/%d/task/%d/ns/net", os.Getpid(), c.thread), "nft", "list", "counters", "table", "inet", "card").CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	list := map[string]uint64{}
	for _, m := range counter.FindAllStringSubmatch(string(out), -1) {
		list[m[1]], _ = strconv.ParseUint(m[2], 10, 64)
	}
	return list
}

// followDrops has the device's counter grow by what the card's namespace drops,
// until the function that it returns is called, which hands on the last of it.
func followDrops(t *testing.T, c *card, pipe string) (stop func()) {
	t.Helper()
	out, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	ended, last := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		told := uint64(0)
		for going := true; going; {
			select {
			case <-ticker.C:
			case <-last:
				going = false
			}
			if n := c.counters(t)["dropped"]; n > told {
				fmt.Fprintf(out, "ens5 linklocal_allowance_exceeded %d\n", n-told)
				told = n
			}
		}
	}()
	return func() {
		close(last)
		<-ended
	}
}
