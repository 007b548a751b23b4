package identity

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestHopLimit asks IMDS from behind a router, as a container does. With a hop
// limit of 1, connections are made and the token never comes.
func TestHopLimit(t *testing.T) {
	if !inOwnNamespace(t) {
		return
	}
	// This process is the container; between it and IMDS, the host forwards.
	host, hostID := namespace(t)
	card, cardID := namespace(t)
	here := func(f func()) { f() }
	for _, step := range []struct {
		in   func(func())
		args string
	}{
		{here, "link set lo up"},
		{here, "link add eth0 type veth peer name veth0 netns " + hostID},
		{here, "addr add 10.9.0.2/24 dev eth0"}, {here, "link set eth0 up"},
		{host, "link add ens5 type veth peer name card netns " + cardID},
		{host, "addr add 10.9.0.1/24 dev veth0"}, {host, "link set veth0 up"},
		{host, "addr add 10.9.1.1/24 dev ens5"}, {host, "link set ens5 up"},
		{card, "link set lo up"}, {card, "addr add 169.254.169.254/32 dev lo"},
		{card, "addr add 10.9.1.2/24 dev card"}, {card, "link set card up"}, {card, "route add default via 10.9.1.1"},
		{host, "route add 169.254.169.254/32 via 10.9.1.2"},
		{here, "route add default via 10.9.0.1"},
	} {
		step.in(func() {
			if out, err := exec.Command("ip", strings.Fields(step.args)...).CombinedOutput(); err != nil {
				t.Fatalf("ip %s: %v\n%s", step.args, err, out)
			}
		})
	}
	host(func() {
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	})
	var l net.Listener
	card(func() {
		var err error
		if l, err = net.Listen("tcp4", "169.254.169.254:80"); err != nil {
			t.Fatal(err)
		}
	})
	answers := &limited{Listener: l}
	answers.hops.Store(2)
	s := &http.Server{Handler: newFake(t)}
	served := make(chan error, 1)
	go func() { served <- s.Serve(answers) }()
	defer func() { s.Close(); <-served }()

	ask := func() (Host, []error) {
		h, asked, errs := New(Options{Sys: t.TempDir(), Host: Host{Hostname: "web-1"}}).Ask(t.Context())
		if !asked {
			t.Error("IMDS is not asked")
		}
		return h, errs
	}
	h, errs := ask()
	for deadline := time.Now().Add(20 * time.Second); len(errs) > 0 && time.Now().Before(deadline); {
		h, errs = ask() // the links may take a second to be up
	}
	diff(t, "errors at hop limit 2", []string(nil), lines(t, errs))
	diff(t, "instance", "i-0123456789abcdef0", h.InstanceID)
	answers.hops.Store(1)
	_, errs = ask()
	diff(t, "errors at hop limit 1", []string{"IMDS does not answer (169.254.169.254: it takes the connection and sends no token within 1s): " +
		"in a pod set hostNetwork or raise the hop limit to 2, or set identity.instance_id and identity.mode: static"}, lines(t, errs))
}

// namespace returns what runs functions in a network namespace of its own, which
// ends with the test, and how ip calls that namespace.
func namespace(t *testing.T) (in func(func()), id string) {
	t.Helper()
	work, done := make(chan func()), make(chan error)
	ids := make(chan string)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
		}
		ids <- strconv.Itoa(unix.Gettid())
		for f := range work {
			f()
			done <- nil
		}
	}()
	t.Cleanup(func() { close(work) })
	return func(f func()) { work <- f; <-done }, <-ids
}

// limited limits the hops of what is sent over a connection once it is made.
type limited struct {
	net.Listener
	hops atomic.Int32
}

func (l *limited) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, int(l.hops.Load()))
	})
	if err == nil {
		err = failed
	}
	return c, err
}
