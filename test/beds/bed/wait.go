package bed

import (
	"os"
	"testing"
	"time"
)

// limit is how long Eventually waits: the machine may be busy with other tests,
// and a virtual one is ten times as slow.
func limit() time.Duration {
	if os.Getenv(RootVariable) != "" {
		return 10 * time.Minute
	}
	return 2 * time.Minute
}

// Eventually waits until a condition holds. The test ends if it never does.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(limit())
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for !holds() {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("it does not come about in %s that %s", limit(), what)
		}
	}
}
