package identity

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inNamespace names the namespace of the parent to the child that runs in one
// of its own.
const inNamespace = "ENAWATCH_TEST_OUTSIDE_NAMESPACE"

// TestRealAddress finds IMDS at its real addresses with default options. It
// runs itself again in a network namespace that ends with the process.
func TestRealAddress(t *testing.T) {
	if inOwnNamespace(t) {
		findAtRealAddress(t)
	}
}

// inOwnNamespace reports whether this is the run in a namespace; if not, it makes
// one.
func inOwnNamespace(t *testing.T) bool {
	t.Helper()
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	switch outside := os.Getenv(inNamespace); outside {
	case "":
		rerunInNamespace(t, here)
		return false
	case here:
		t.Fatal("this is no namespace of its own")
	}
	return true
}

func rerunInNamespace(t *testing.T, here string) {
	c := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.count=1")
	c.Env = []string{
		inNamespace + "=" + here, "PATH=" + os.Getenv("PATH"),
		// The metadata service must not be asked through a proxy.
		"HTTP_PROXY=http://127.0.0.1:1", "http_proxy=http://127.0.0.1:1",
	}
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		c.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("in a network namespace: %v\n%s", err, out)
	}
}

func findAtRealAddress(t *testing.T) {
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", "169.254.169.254/32", "dev", "lo"},
		{"addr", "add", "fd00:ec2::254/128", "dev", "lo", "nodad"},
		// The kernel adds this route a moment after the address (addrconf_dad_work).
		{"-6", "route", "replace", "local", "fd00:ec2::254/128", "dev", "lo", "table", "local"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v\n%s", args, err, out)
		}
	}
	for mode, addr := range map[string]string{"": "169.254.169.254:80", "IPv6": "[fd00:ec2::254]:80"} {
		t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", mode)
		f := newFake(t)
		// Answers come with the least hop limit that the service can have.
		lc := net.ListenConfig{Control: func(network, _ string, c syscall.RawConn) error {
			var err error
			if e := c.Control(func(fd uintptr) {
				if network == "tcp6" {
					err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 1)
				} else {
					err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, 1)
				}
			}); e != nil {
				return e
			}
			return err
		}}
		l, err := lc.Listen(context.Background(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: f}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		host, enis, errs := New(Options{Sys: t.TempDir()}).Find(t.Context(), mac1, mac2)
		diff(t, "facts at "+addr, wantFacts[1:], host.Facts()[1:]) // the first is this machine's name
		diff(t, "ENIs at "+addr, []ENI{eni(mac1, 0), eni(mac2, 1)}, enis)
		diff(t, "errors at "+addr, []string(nil), lines(t, errs))
		s.Close()
		<-served
	}
}
