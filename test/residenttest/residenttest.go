// Package residenttest tells tests what the kernel has in memory for this process.
package residenttest

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// KiB returns how much of a mapped file this process has in memory.
func KiB(t *testing.T, path string) (kib int) {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(smaps), path+"\n")
	if !ok {
		t.Fatalf("%s is not mapped", path)
	}
	_, after, _ = strings.Cut(after, "\nRss:")
	if _, err := fmt.Sscan(after, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}
