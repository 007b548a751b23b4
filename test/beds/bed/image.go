package bed

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Image builds the container image of this machine's architecture and returns
// the OCI archive and the name in it.
func Image(t testing.TB) (archive, name string) {
	t.Helper()
	dir := t.TempDir()
	dist(t, dir, "image")
	version := strings.TrimSpace(Run(t, filepath.Join(Root(), "packaging", "version")))
	return filepath.Join(dir, "enawatch_"+version+"_oci.tar"), "localhost/enawatch:" + strings.NewReplacer("+", "-", "~", "-").Replace(version)
}

// dist has make build targets into a folder, for this machine's architecture.
func dist(t testing.TB, dir string, targets ...string) {
	t.Helper()
	Run(t, "make", append([]string{"--silent", "--directory", Root(), "DIST=" + dir, "ARCHES=" + runtime.GOARCH}, targets...)...)
}

// Podman has podman run containers with a storage of its own, as long as the
// test runs, whatever limits this process has. It returns the environment to
// run podman with.
func Podman(t testing.TB) []string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	env := append(os.Environ(),
		"CONTAINERS_STORAGE_CONF="+write("storage.conf", "[storage]\ndriver = \"overlay\"\ngraphroot = \"DIR/graph\"\nrunroot = \"DIR/run\"\n"),
		"CONTAINERS_CONF="+write("containers.conf", `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[network]
network_backend = "netavark"
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
`))
	t.Cleanup(func() { RunIn(t, env, "podman", "system", "reset", "--force") })
	return env
}
