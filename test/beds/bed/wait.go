package bed

import (
	"os"
	"testing"
	"time"
)

// patience is how long Eventually waits and how often it looks: the machine may be
// busy with other tests, and a virtual one is ten times as slow.
func patience() (limit, pause time.Duration) {
	if os.Getenv(RootVariable) != "" {
		return 10 * time.Minute, 500 * time.Millisecond
	}
	return 2 * time.Minute, 50 * time.Millisecond
}

// Eventually waits until a condition holds. The test ends if it never does.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	limit, pause := patience()
	deadline := time.After(limit)
	poll := time.NewTicker(pause)
	defer poll.Stop()
	for !holds() {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("it does not come about in %s that %s", limit, what)
		}
	}
}
