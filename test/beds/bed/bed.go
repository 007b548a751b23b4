// Package bed is what the test beds share: tests that run the real binary
// against real systems (systemd, a Kubernetes cluster, Prometheus), which take
// minutes to build the first time. They have the build tag beds, and run as root:
//
//	make test-beds
//	go test -tags beds ./test/beds/NAME
package bed

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// RootVariable names the environment variable that says where what the test
// needs of the repository is, when that is not where it was compiled.
const RootVariable = "BED_ROOT"

// Root returns the top folder of the repository.
func Root() string {
	if dir := os.Getenv(RootVariable); dir != "" {
		return dir
	}
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..")
}

// Tools returns the folder of the programs that test/beds/tool builds, when the
// named ones are in it.
func Tools(t testing.TB, names ...string) string {
	t.Helper()
	return strings.TrimSpace(Run(t, filepath.Join(Root(), "test", "beds", "tool"), names...))
}

// Run runs a program and returns its standard output. The test ends if it fails.
func Run(t testing.TB, program string, args ...string) string {
	t.Helper()
	return RunIn(t, nil, program, args...)
}

// RunIn is Run with another environment than the test's.
func RunIn(t testing.TB, env []string, program string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := exec.Command(program, args...)
	c.Env = env
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", c, err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// Build builds the named package of this module as a static binary and returns
// its path.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	return static(t, pkg, "build", "-trimpath")
}

// BuildFootprint builds enawatch as it is shipped, but for the tag footprint: it
// can begin with a past (see cmd/enawatch/kernel_footprint.go).
func BuildFootprint(t testing.TB) string {
	t.Helper()
	return static(t, "./cmd/enawatch", "build", "-trimpath", "-tags", "nethttpomithttp2,footprint", "-ldflags", "-s -w")
}

// BuildTest builds the tests of the named package as a static binary and returns
// its path.
func BuildTest(t testing.TB, pkg string) string {
	t.Helper()
	return static(t, pkg, "test", "-c", "-tags", "beds")
}

func static(t testing.TB, pkg string, goArgs ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { // for unprivileged children
		t.Fatal(err)
	}
	path := filepath.Join(dir, filepath.Base(pkg))
	c := exec.Command("go", append(goArgs, "-o", path, pkg)...)
	c.Dir, c.Env = Root(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", c, err, out)
	}
	return path
}

// Namespace makes a network namespace with a loopback interface and no way out,
// and returns its name. It goes with the test.
func Namespace(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("ew-%s", strings.ToLower(rand.Text()[:10]))
	Run(t, "ip", "netns", "add", name)
	t.Cleanup(func() { Run(t, "ip", "netns", "del", name) })
	Run(t, "ip", "-n", name, "link", "set", "lo", "up")
	return name
}
