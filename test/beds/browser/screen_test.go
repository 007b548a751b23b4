//go:build beds

package browser

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/beds/bed"
)

// screens are what agent/top draws in its own tests, and by which keys the program
// comes to it.
var screens = []struct {
	golden, size, env string
	keys              []string
}{
	{"80x24-colour", "80x24", "", []string{"s"}},
	{"80x24", "80x24", "NO_COLOR=1", []string{"s"}},
	{"120x40", "120x40", "NO_COLOR=1", []string{"Down"}},
	{"suspect", "80x24", "NO_COLOR=1", []string{"/", "ens06", "Enter"}},
	{"old-driver", "80x24", "NO_COLOR=1", []string{"/", "ens10"}},
	{"by-pod", "80x24", "NO_COLOR=1", []string{"/", "CoreDNS", "Enter", "p"}},
	{"no-match", "80x24", "TERM=dumb", []string{"/", "eth9", "Enter"}},
	{"help", "80x24", "NO_COLOR=1", []string{"?"}},
	{"very-small", "30x8", "NO_COLOR=1", nil},
}

// TestScreens compares what a terminal shows, cell by cell with its colours, with
// what was to be drawn. The agent is a stand-in that always says the same.
func TestScreens(t *testing.T) {
	document := goldenOf(t, "document")
	url := documentServer(t, func() string { return document })
	for _, s := range screens {
		t.Run(s.golden, func(t *testing.T) {
			want := cellsOf(strings.ReplaceAll(goldenOf(t, s.golden), "http://127.0.0.1:9109", url))
			term := openTerminal(t, s.size, s.env, "top", "--url", url)
			for _, key := range s.keys {
				term.run("send-keys", key)
			}
			var got [][]cell
			for range 50 {
				if got = cellsOf(term.run("capture-pane", "-e", "-N", "-p")); cmp.Equal(want, got) {
					return
				}
				term.run("run-shell", "sleep 0.1")
			}
			t.Errorf("the screen (-want +got):\n%s\n%s", cmp.Diff(text(want), text(got)), cmp.Diff(want, got))
		})
	}
}

// TestPause keeps a screen while what the agent says changes.
func TestPause(t *testing.T) {
	document := goldenOf(t, "document")
	var asked, changed atomic.Int64
	url := documentServer(t, func() string {
		asked.Add(1)
		if changed.Load() == 0 {
			return document
		}
		return strings.Replace(document, "node-1", "node-2", 1)
	})
	term := openTerminal(t, "80x24", "NO_COLOR=1", "top", "--url", url)
	shows := func(what string) func() bool {
		return func() bool { return strings.Contains(term.run("capture-pane", "-p"), what) }
	}
	poll(t, "the host", shows("node-1"))
	term.run("send-keys", "p")
	poll(t, "paused", shows("PAUSED"))
	before := asked.Load()
	changed.Store(1)
	term.run("send-keys", "Down") // draws again
	term.run("run-shell", "sleep 3")
	if !shows("node-1")() || asked.Load() > before {
		t.Errorf("a paused screen asked %d times:\n%s", asked.Load()-before, term.run("capture-pane", "-p"))
	}
	term.run("send-keys", "p")
	poll(t, "what changed meanwhile", shows("node-2"))
}

// TestOnce prints the same for a script, which has no terminal.
func TestOnce(t *testing.T) {
	document := goldenOf(t, "document")
	url := documentServer(t, func() string { return document })
	c := exec.Command(bed.Build(t, "./cmd/enawatch"), "top", "--once", "--url", url)
	c.Env = append(os.Environ(), "TZ=UTC")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	got, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	if diff := cmp.Diff(goldenOf(t, "report"), string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func goldenOf(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(bed.Root(), "agent/top/testdata", name+".golden"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// documentServer answers as the API of an agent, at a port of four digits: the
// address is on the screen.
func documentServer(t *testing.T, say func() string) (url string) {
	t.Helper()
	for port := 9110; port < 10_000; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		mux := http.NewServeMux()
		mux.HandleFunc("GET /api/v1/live", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, say()) })
		server := &http.Server{Handler: mux}
		go server.Serve(l)
		t.Cleanup(func() { server.Close() })
		return fmt.Sprintf("http://127.0.0.1:%d", port)
	}
	t.Fatal("no port of four digits is free")
	return ""
}

// terminal is a tmux server of its own.
type terminal struct {
	t      *testing.T
	socket string
}

func openTerminal(t *testing.T, size, env string, args ...string) terminal {
	t.Helper()
	term := terminal{t, "ew-" + rand.Text()[:10]}
	width, height, _ := strings.Cut(size, "x")
	program := append([]string{"env", "TZ=UTC", "LC_ALL=C.UTF-8", env, bed.Build(t, "./cmd/enawatch")}, args...)
	if env == "" {
		program = append(program[:3], program[4:]...)
	}
	term.run("-u", "-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height, strings.Join(program, " "))
	term.run("set-option", "-g", "status", "off")
	term.run("resize-window", "-x", width, "-y", height)
	t.Cleanup(func() { exec.Command("tmux", "-L", term.socket, "kill-server").Run() })
	return term
}

func (term terminal) run(args ...string) string {
	term.t.Helper()
	return bed.Run(term.t, "tmux", append([]string{"-L", term.socket}, args...)...)
}

// cell is a character and how it looks, as "bold", "reverse" or the number of a
// colour (SGR of ECMA-48).
type cell struct {
	Char  string
	Looks string
}

// cellsOf reads lines of text with SGR sequences. What stands at the end of a line
// and is not seen is no cell.
func cellsOf(screen string) (lines [][]cell) {
	looks := map[string]bool{}
	for line := range strings.SplitSeq(strings.TrimRight(screen, "\n"), "\n") {
		cells := []cell{}
		for line != "" {
			if rest, ok := strings.CutPrefix(line, "\x1b["); ok {
				codes, after, _ := strings.Cut(rest, "m")
				line = after
				for code := range strings.SplitSeq(codes, ";") {
					apply(looks, code)
				}
				continue
			}
			r := []rune(line)[0]
			line = line[len(string(r)):]
			c := cell{Char: string(r)}
			for _, look := range []string{"bold", "dim", "reverse"} {
				if looks[look] {
					c.Looks += look + " "
				}
			}
			for look := range looks {
				if look[0] >= '0' && look[0] <= '9' {
					c.Looks += look
				}
			}
			cells = append(cells, c)
		}
		for len(cells) > 0 && cells[len(cells)-1].Char == " " && !strings.Contains(cells[len(cells)-1].Looks, "reverse") {
			cells = cells[:len(cells)-1]
		}
		lines = append(lines, cells)
	}
	for len(lines) > 0 && len(lines[len(lines)-1]) == 0 {
		lines = lines[:len(lines)-1]
	}
	return lines
}

func apply(looks map[string]bool, code string) {
	switch code {
	case "", "0":
		clear(looks)
	case "1":
		looks["bold"] = true
	case "2":
		looks["dim"] = true
	case "7":
		looks["reverse"] = true
	case "49": // the background's own colour, which is the only one
	default: // the colour of the text: the newest counts
		for look := range looks {
			if look[0] >= '0' && look[0] <= '9' {
				delete(looks, look)
			}
		}
		if code != "39" {
			looks[code] = true
		}
	}
}

func text(lines [][]cell) string {
	var b strings.Builder
	for _, line := range lines {
		for _, c := range line {
			b.WriteString(c.Char)
		}
		b.WriteString("\n")
	}
	return b.String()
}
