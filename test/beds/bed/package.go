package bed

import (
	"path/filepath"
	"testing"
)

// Packages builds the deb and the rpm of this machine's architecture and returns
// their paths.
func Packages(t testing.TB) (deb, rpm string) {
	t.Helper()
	dir := t.TempDir()
	dist(t, dir, "deb", "rpm")
	one := func(pattern string) string {
		built, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(built) != 1 {
			t.Fatalf("make deb rpm leaves %q as %s, %v", built, pattern, err)
		}
		return built[0]
	}
	return one("*.deb"), one("*.rpm")
}
