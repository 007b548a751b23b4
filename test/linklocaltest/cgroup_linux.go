package linklocaltest

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"golang.org/x/sys/unix"
)

// Cgroup makes a cgroup, with others below it, and returns its directory.
func Cgroup(t testing.TB, below ...string) (root string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\S+ \S+ \S+ / (\S+) .* - cgroup2 `).FindStringSubmatch(string(mounts))
	if m == nil {
		t.Fatal("no cgroup v2 is mounted")
	}
	if root, err = os.MkdirTemp(m[1], "enawatch-test-"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // children first
		for _, dir := range below {
			for dir := filepath.Join(root, dir); dir != root; dir = filepath.Dir(dir) {
				_ = unix.Rmdir(dir)
			}
		}
		if err := unix.Rmdir(root); err != nil {
			t.Error(err)
		}
	})
	for _, dir := range below {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}
