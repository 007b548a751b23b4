package bed

import (
	"os"
	"os/exec"
	"testing"
)

// rigFolder names the environment variable that tells a test that it is a child
// of the rig. Its value is a folder.
const rigFolder = "ENAWATCH_BED_RIG"

// OnRig runs the test once more as a child of test/enasim, on the devices of a
// scenario and in namespaces of its own, where only f runs. The folder that f is
// given has what prepare left in it, out here.
func OnRig(t *testing.T, scenario string, prepare, f func(t *testing.T, dir string)) {
	if dir := os.Getenv(rigFolder); dir != "" {
		f(t, dir)
		return
	}
	dir, err := os.MkdirTemp("", "ews")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	prepare(t, dir)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(Build(t, "./test/enasim"), "--scenario", scenario, "--", self, "-test.run=^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), rigFolder+"="+dir)
	c.Stdout, c.Stderr = t.Output(), t.Output()
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
}
