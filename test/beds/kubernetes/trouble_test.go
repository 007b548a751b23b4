//go:build beds

package kubernetes

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// trouble: while the API server can't be told, the log says why and does not
// repeat itself, requests become rare, and readings and windows go on. When it is
// over, if end is there, the cluster is told again.
func (c *cluster) trouble(t *testing.T, why string, begin, end func()) {
	said, failed := strings.Count(c.containerLog(t), why), c.requests(t, "failed")
	begin()
	c.until("a request fails", func() bool { return c.requests(t, "failed") > failed })
	failed = c.requests(t, "failed")
	windows := func() int { return strings.Count(c.containerLog(t), `"pps_allowance_exceeded":[`) }
	before := windows()
	c.until("five windows more", func() bool { return windows() >= before+5 })
	if n := c.requests(t, "failed") - failed; n > 5 { // in 10 s, the delay of 1 s doubles at each
		t.Errorf("%d requests failed in 10 s", n)
	}
	if n := strings.Count(c.containerLog(t), why) - said; n < 1 || n > 2 { // of an Event and the condition
		t.Errorf("the log says %q %d times:\n%s", why, n, c.containerLog(t))
	}
	if end == nil {
		return
	}
	ok := c.requests(t, "ok")
	end()
	c.until("the cluster is told again", func() bool { return c.requests(t, "ok") > ok })
}

// containerLog is what the agent wrote, by the node's file: the API server may be
// down.
func (c *cluster) containerLog(t *testing.T) (text string) {
	t.Helper()
	files, _ := filepath.Glob(c.path("logs/enawatch_enawatch-*/enawatch/*.log"))
	for _, file := range files {
		text += string(mustRead(t, file))
	}
	return text
}

// hangs: the API server takes connections and does not answer.
func (c *cluster) hangs(t *testing.T) {
	c.trouble(t, "context deadline exceeded",
		func() { c.signal("kube-apiserver", syscall.SIGSTOP) },
		func() { c.signal("kube-apiserver", syscall.SIGCONT) })
}

func (c *cluster) signal(program string, s syscall.Signal) {
	c.t.Helper()
	for _, d := range c.running {
		if filepath.Base(d.Path) == program {
			if err := d.Process.Signal(s); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// expired: the token is one of a service account that is no more (401). The next
// upgrade makes it anew.
func (c *cluster) expired(t *testing.T) {
	c.trouble(t, "HTTP 401", func() { c.kubectl("-n", "enawatch", "delete", "serviceaccount", "enawatch") }, nil)
}
