package linklocal

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"
)

// The object that is committed is the one that was compiled from the source that
// is: `make generate-bpf` notes the sums of both.
func TestObjectIsOfTheSource(t *testing.T) {
	sums, err := os.ReadFile("bpf/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(sums)), "\n")
	if len(lines) != 2 {
		t.Fatalf("bpf/SHA256SUMS has %d lines, want 2", len(lines))
	}
	for _, line := range lines {
		want, file, _ := strings.Cut(line, "  ")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(text)); got != want {
			t.Errorf("%s changed since it was compiled: run make generate-bpf", file)
		}
	}
}
