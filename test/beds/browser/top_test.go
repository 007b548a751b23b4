//go:build beds

package browser

import (
	"crypto/rand"
	"os/exec"
	"strings"
	"testing"

	"github.com/enawatch/enawatch/test/beds/bed"
)

// The rig's host in a real terminal: choose, sort, filter, resize, leave.
func TestTopInATerminal(t *testing.T) {
	a := startAgent(t, scenarioFile(t))
	socket := "ew-" + rand.Text()[:10]
	tmux := func(args ...string) string { return bed.Run(t, "tmux", append([]string{"-L", socket}, args...)...) }
	tmux("new-session", "-d", "-x", "80", "-y", "24", a.binary+" top --url "+a.url+"; echo left; exec sleep 60")
	t.Cleanup(func() { exec.Command("tmux", "-L", socket, "kill-server").Run() })
	screen := func() []string { return strings.Split(strings.TrimSuffix(tmux("capture-pane", "-p"), "\n"), "\n") }
	shows := func(what string) func() bool {
		return func() bool { return strings.Contains(strings.Join(screen(), "\n"), what) }
	}
	poll(t, "a first screen", shows("INTERFACE"))
	poll(t, "an allowance that is exceeded", func() bool {
		for _, line := range screen() {
			if strings.HasPrefix(line, " !ens") || strings.HasPrefix(line, ">!ens") {
				return true
			}
		}
		return false
	})
	if n := len(screen()); n != 24 {
		t.Errorf("%d lines on a screen of 24", n)
	}
	tmux("send-keys", "Down")
	poll(t, "the second interface", func() bool {
		for _, line := range screen() {
			if strings.HasPrefix(line, ">") {
				return !strings.Contains(line, "ens10 ")
			}
		}
		return false
	})
	tmux("send-keys", "s")
	poll(t, "sorted", shows("by now"))
	tmux("send-keys", "/", "ens12", "Enter")
	poll(t, "filtered", func() bool { return shows("filter: ens12")() && !shows("ens13")() })
	tmux("resize-window", "-x", "120", "-y", "30")
	poll(t, "resized", func() bool {
		return len(screen()) == 30 && strings.HasPrefix(screen()[29], "q quit")
	})
	tmux("send-keys", "q")
	poll(t, "left", func() bool { return shows("left")() && !shows("INTERFACE")() })
}
