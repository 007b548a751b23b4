//go:build beds

package linklocal

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/enawatch/enawatch/test/beds/bed"
	"github.com/enawatch/enawatch/test/beds/vm"
)

// onDebian are the tests of agent/linklocal that ask nothing of the kernel that
// 6.1 lacks. They load every program, with all rights and with three capabilities;
// attach by clsact, as there is no tcx; and count real traffic.
const onDebian = "^(TestCountsOfRealTraffic|TestConnectionsAreCounted|TestInterfacesComeAndGo|TestTicksAllocateNothing|TestWithoutTheRight|TestWithoutBPF)$"

// The verifier of Debian's kernel takes the programs, and they count there.
func TestDebianKernel(t *testing.T) {
	if !vm.Inside() {
		vm.Machine{Memory: 768, Files: map[string]string{"counts": bed.BuildTest(t, "./agent/linklocal")}}.Run(t, "./test/beds/linklocal")
		return
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil || !strings.HasPrefix(string(release), "6.1.") {
		t.Fatalf("this is Linux %s, %v, and not Debian's", release, err)
	}
	c := exec.Command("/bed/counts", "-test.run="+onDebian, "-test.v")
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || strings.Count(string(out), "\n--- PASS: ") != strings.Count(onDebian, "Test") {
		t.Errorf("on Linux %s: %v", strings.TrimSpace(string(release)), err)
	}
}
