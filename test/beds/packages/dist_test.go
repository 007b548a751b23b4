//go:build beds

package packages

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/beds/bed"
)

// TestReproducible builds the last commit's release twice, in other folders, with
// other umasks and time zones and, the second time, with every package of the
// program compiled anew.
func TestReproducible(t *testing.T) {
	build := func(umask, zone, before string) string {
		dir := filepath.Join(t.TempDir(), "clone")
		bed.RunIn(t, append(os.Environ(), "TZ="+zone), "sh", "-c", "umask "+umask+"; git clone --quiet --no-hardlinks "+bed.Root()+" "+dir+
			" && cd "+dir+" && "+before+"make --silent dist ARCHES="+runtime.GOARCH)
		sums, err := os.ReadFile(filepath.Join(dir, "dist", "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		return string(sums)
	}
	first := build("022", "UTC", "")
	second := build("077", "Asia/Seoul", "GOFLAGS=-a make --silent binaries ARCHES="+runtime.GOARCH+" && ")
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("the bytes differ (-first +second):\n%s", diff)
	}
	for _, ending := range []string{`\.deb`, `\.rpm`, `\.tar\.gz`, `_oci\.tar`, `\.spdx\.json`} {
		if !regexp.MustCompile(`(?m)^[0-9a-f]{64}  enawatch\S*` + ending + `$`).MatchString(first) {
			t.Errorf("the release has no %s:\n%s", ending, first)
		}
	}
}
