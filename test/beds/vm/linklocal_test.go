//go:build beds

package vm

import (
	"strings"
	"testing"

	"github.com/enawatch/enawatch/test/beds/bed"
)

// TestLinkLocal runs tests of the programs that count link-local traffic on
// Linux 6.1: its verifier takes them, and clsact carries them, as there is no tcx.
// Those of another agent's programs and of missing rights need a newer kernel.
func TestLinkLocal(t *testing.T) {
	tests := []string{"TestCountsOfRealTraffic", "TestConnectionsAreCounted", "TestInterfacesComeAndGo"}
	if !Inside() {
		Machine{Memory: 768, Files: map[string]string{"linklocal": bed.BuildTest(t, "./agent/linklocal")}}.Run(t, "./test/beds/vm")
		return
	}
	out := bed.Run(t, "/bed/linklocal", "-test.v", "-test.run=^("+strings.Join(tests, "|")+")$")
	for _, name := range tests {
		if !strings.Contains(out, "--- PASS: "+name+" ") {
			t.Errorf("%s did not run", name)
		}
	}
	t.Log(bed.Run(t, "uname", "-r") + out)
}
