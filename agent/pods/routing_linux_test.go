package pods

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const inNamespace = "ENAWATCH_TEST_PODS_NAMESPACE"

// TestKernel reads rules and routes as the VPC CNI plugin makes them from the
// running kernel. It runs itself again in a network namespace that ends with the
// process.
func TestKernel(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		c := exec.Command("/proc/self/exe", "-test.run=^TestKernel$", "-test.count=1")
		c.Env = []string{inNamespace + "=1", "PATH=" + os.Getenv("PATH")}
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("in a network namespace: %v\n%s", err, out)
		}
		return
	}
	// ens5 and ens6 are the ENIs; what is behind them does not matter.
	for _, command := range []string{
		"link add ens5 type veth peer name x5", "link add ens6 type veth peer name x6",
		"link add eni1 type veth peer name p1", "link add eni2 type veth peer name p2",
		"link set ens5 up", "link set ens6 up", "link set eni1 up", "link set eni2 up",
		"link set x5 up", "link set x6 up", "link set p1 up", "link set p2 up",
		"addr add 10.0.1.10/24 dev ens5", "addr add 2001:db8::10/64 dev ens5 nodad",
		"route add default via 10.0.1.1 dev ens5", "-6 route add default via 2001:db8::1 dev ens5",
		"route add 10.0.1.1/32 dev ens6 table 2", "route add default via 10.0.1.1 dev ens6 table 2",
		"route add 10.0.1.20/32 dev eni1 scope link", "rule add pref 512 to 10.0.1.20 lookup main",
		"route add 10.0.1.40/32 dev eni2 scope link", "rule add pref 512 to 10.0.1.40 lookup main",
		"rule add pref 1536 from 10.0.1.40 lookup 2", "rule add pref 1024 not to 10.0.0.0/16 lookup main",
		"-6 route add 2001:db8::20/128 dev eni1",
		// As of EKS with security groups for pods, but for the VLAN.
		"route add 10.0.9.9/32 dev eni2 table 10107", "route add default dev ens6 table 10107", "rule add pref 10 iif eni2 lookup 10107",
	} {
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", command, err, out)
		}
	}
	got, err := readRoutes()
	if err != nil {
		t.Fatal(err)
	}
	index := func(name string) int {
		i, err := net.InterfaceByName(name)
		if err != nil {
			t.Fatal(err)
		}
		return i.Index
	}
	for address, want := range map[string]string{"10.0.1.20": "ens5", "10.0.1.40": "ens6", "2001:db8::20": "ens5", "10.0.9.9": "ens6"} {
		if i := got.egress[netip.MustParseAddr(address)]; i != index(want) {
			t.Errorf("%s leaves by %d, want %s, which is %d", address, i, want, index(want))
		}
	}
	if len(got.egress) != 4 {
		t.Errorf("found %v, want the four pods alone", got.egress)
	}
}
