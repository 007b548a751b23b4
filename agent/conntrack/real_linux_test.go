package conntrack

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// insideVariable says that the test runs in a network namespace of its own.
const insideVariable = "CONNTRACK_TEST_INSIDE"

func run(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// inNamespace runs f on a thread that has a network namespace of its own, which
// ends with the process, after prepare was called with the thread's id.
func inNamespace(t *testing.T, prepare func(thread int), f func() error) {
	t.Helper()
	thread, ready, done := make(chan int), make(chan struct{}), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			close(thread)
			done <- err
			return
		}
		thread <- unix.Gettid()
		<-ready
		done <- f()
		select {}
	}()
	if id, ok := <-thread; ok {
		prepare(id)
		close(ready)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func ip(args string) error {
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", args, err, out)
	}
	return nil
}

// Three pods, in network namespaces of their own, open flows through this host,
// whose kernel tracks them, as kube-proxy's rules have it: the table's count and
// whose they are come out exactly.
func TestRealFlows(t *testing.T) {
	if os.Getenv(insideVariable) == "" {
		c := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v")
		c.Env = append(os.Environ(), insideVariable+"=1")
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("in a network namespace (run the tests as root): %v\n%s", err, out)
		}
		return
	}
	run(t, "ip", "link", "set", "lo", "up")
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	run(t, "nft", "add table ip nat; add chain ip nat pre { type nat hook prerouting priority -100; }; "+
		"add rule ip nat pre ip daddr 172.20.0.10 udp dport 53 dnat to 10.9.0.1")
	// Somebody who answers every packet of UDP, behind the interface ens5.
	run(t, "ip", "link", "add", "ens5", "type", "veth", "peer", "name", "card")
	inNamespace(t, func(thread int) {
		run(t, "ip", "link", "set", "card", "netns", fmt.Sprint(thread))
		run(t, "ip", "addr", "add", "10.9.0.10/24", "dev", "ens5")
		run(t, "ip", "link", "set", "ens5", "up")
	}, func() error {
		for _, args := range []string{"link set lo up", "link set card up", "addr add 10.9.0.1/24 dev card", "route add default via 10.9.0.10"} {
			if err := ip(args); err != nil {
				return err
			}
		}
		for _, port := range []int{53, 123} {
			c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 9, 0, 1), Port: port})
			if err != nil {
				return err
			}
			go func() {
				b := make([]byte, 64)
				for {
					n, from, err := c.ReadFrom(b)
					if err != nil {
						return
					}
					_, _ = c.WriteTo(b[:n], from)
				}
			}()
		}
		return nil
	})
	flows := func(n int, to string, answered bool) error {
		for range n {
			c, err := net.Dial("udp4", to)
			if err != nil {
				return err
			}
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := c.Write([]byte("x")); err != nil {
				return err
			}
			if answered {
				if _, err := c.Read(make([]byte, 8)); err != nil {
					return err
				}
			}
			defer c.Close() // later: the kernel could give its port to the next one
		}
		return nil
	}
	for i, pod := range []struct {
		flows    int
		to       string
		answered bool
	}{{120, "172.20.0.10:53", true}, {40, "10.9.0.1:123", true}, {15, "10.9.0.77:9", false}} {
		inNamespace(t, func(thread int) {
			name := fmt.Sprintf("eni%d", i)
			run(t, "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(thread))
			run(t, "ip", "link", "set", name, "up")
			run(t, "ip", "addr", "add", "169.254.1.1/32", "dev", name)
			run(t, "ip", "route", "add", fmt.Sprintf("10.0.1.%d/32", i+1), "dev", name)
		}, func() error {
			for _, args := range []string{
				"link set lo up", "link set eth0 up", fmt.Sprintf("addr add 10.0.1.%d/32 dev eth0", i+1),
				"route add 169.254.1.1 dev eth0", "route add default via 169.254.1.1",
			} {
				if err := ip(args); err != nil {
					return err
				}
			}
			return flows(pod.flows, pod.to, pod.answered)
		})
	}
	if err := flows(7, "10.9.0.1:123", true); err != nil { // this host's own
		t.Fatal(err)
	}

	w := Open(Options{Warn: time.Minute, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	defer w.Close()
	w.SetNames(func(a netip.Addr) (string, bool) {
		name, ok := map[string]string{"10.0.1.1": "shop/cart", "10.0.1.2": "shop/clock"}[a.String()]
		return name, ok
	})
	w.Tick(0, 0, false)
	if kernel, _ := w.State(); !kernel.Known || kernel.Entries != 120+40+15+7 || kernel.Max < 1000 {
		t.Errorf("the kernel's table: %+v, want 182 entries", kernel)
	}
	w.lookUp(context.Background())
	want := []Owner{
		{"shop/cart", 120, 0, "udp 172.20.0.10:53", 120},
		{"shop/clock", 40, 0, "udp 10.9.0.1:123", 40},
		{"10.0.1.3", 15, 15, "udp 10.9.0.77:9", 15},
		{"this host to udp 10.9.0.1:123", 7, 0, "", 0},
	}
	if got := w.Owners(); got == nil || fmt.Sprint(got.Top) != fmt.Sprint(want) || got.Others != 0 || got.Seen != 182 {
		t.Errorf("owners %+v, want %+v", got, want)
	}
	// Without the capability the kernel refuses, and says so.
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
	if err := dump(t.Context(), func(*entry) { t.Error("an entry was shown") }); err == nil || !strings.Contains(err.Error(), "not permitted") {
		t.Errorf("without a capability: %v", err)
	}
}
