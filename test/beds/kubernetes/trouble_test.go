//go:build beds

package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
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

// changes is how many requests that change something the API server works on at
// once.
const changes = 20

// busy: so many others make changes that the API server takes no more (429).
func (c *cluster) busy(t *testing.T) {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	c.trouble(t, "HTTP 429", func() {
		for range changes {
			body, _ := io.Pipe() // that never comes
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+serviceIP+"/api/v1/namespaces/default/configmaps", body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer admin")
			r.Header.Set("Content-Type", "application/json")
			go func() {
				if answer, err := c.api.Do(r); err == nil {
					answer.Body.Close()
				}
			}()
		}
	}, end)
}

// conflict: the Event that the agent is about to make is there, as when the answer
// to its request was lost (409). It counts as made. No connections are too many just now.
func (c *cluster) conflict(t *testing.T) {
	names := func(reason string) int { return len(strings.Fields(c.events(reason, ".metadata.name"))) }
	made, failed := names("ConntrackExceeded"), c.requests(t, "failed")

	const window, windows = 2 * time.Second, 40
	var there []any
	for n := range time.Duration(windows) {
		at := time.Now().Truncate(window).Add(n * window)
		there = append(there, map[string]any{
			"apiVersion": "v1", "kind": "Event", "source": map[string]string{"component": "bed"}, "message": "it is there",
			"metadata":       map[string]string{"name": fmt.Sprintf("%s.conntrackexceeded.%x", nodeName, at.UnixMilli()), "namespace": "default"},
			"involvedObject": map[string]string{"apiVersion": "v1", "kind": "Node", "name": nodeName},
		})
	}
	list, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": there})
	if err != nil {
		t.Fatal(err)
	}
	if out := c.kubectl("create", "-f", c.write("events.json", string(list))); strings.Count(out, "created") != windows {
		t.Fatalf("not all Events are there:\n%s", out)
	}
	defer c.kubectl("delete", "events", "-n", "default", "--field-selector", "source=bed")
	ended := names("ConntrackRecovered")
	c.until("the end of what was there to be told", func() bool { return names("ConntrackRecovered") > ended })
	conflicts := regexp.MustCompile(`apiserver_request_total{code="409",.*resource="events",.*verb="POST",`)
	if !conflicts.MatchString(c.get("/metrics")) {
		t.Error("the API server has not answered by 409")
	}
	if n := names("ConntrackExceeded"); n != made {
		t.Errorf("%d Events besides", n-made)
	}
	if n := c.requests(t, "failed"); n != failed {
		t.Errorf("%d requests failed, by the agent's count", n-failed)
	}
}

// expired: the token is one of a service account that is no more (401). The next
// upgrade makes it anew.
func (c *cluster) expired(t *testing.T) {
	c.trouble(t, "HTTP 401", func() { c.kubectl("-n", "enawatch", "delete", "serviceaccount", "enawatch") }, nil)
}
