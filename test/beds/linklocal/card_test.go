//go:build beds

package linklocal

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/enawatch/enawatch/test/linklocaltest"
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
	c := &card{thread: linklocaltest.Card(t, "enasim-peer1", serviceAddresses, services)}
	linklocaltest.Run(t, "nft", "add table inet node; add chain inet node out { type filter hook output priority 0; }; add rule inet node out ct state new counter")
	return c
}

// services puts the budget into force in the namespace of the calling thread, and
// starts the resolvers.
func services() error {
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
