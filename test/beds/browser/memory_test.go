//go:build beds

package browser

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/test/beds/bed"
)

// The page adds less than 3 MiB to the agent's resident memory: the listener on,
// half an hour in which each of sixteen interfaces exceeded every allowance in one
// second of four, and a browser attached, against the same agent with the listener
// off.
func TestMemory(t *testing.T) {
	const limit, seconds = 3 << 10, 40 // KiB
	t.Setenv("FOOTPRINT_PAST", "1")
	binary := bed.BuildFootprint(t)
	agents := map[string]*agent{}
	for _, name := range []string{"off", "on"} {
		a := &agent{binary: binary, state: t.TempDir()}
		flags := []string{"--publish-interval=20s"}
		if name == "on" {
			flags = append(flags, "--sinks.prometheus.listen=127.0.0.1:9109")
		}
		a.start(t, scenarioFile(t), flags...)
		agents[name] = a
	}
	on := agents["on"]
	on.url = "http://" + forward(t, on.pid, "127.0.0.1:9109")
	poll(t, "half an hour is remembered", func() bool { return on.remembers() == int(live.Span/time.Second) })
	b := open(t, on.url)
	b.until(`document.getElementById("link").textContent === "live"`)
	b.until(`document.querySelectorAll("#charts .card canvas").length === 6`)
	// The start and the first load of the page are over: both have given back.
	began := time.Now()
	poll(t, "a minute", func() bool { return time.Since(began) > 55*time.Second })

	var sum, most = map[string]int{}, map[string]int{}
	for range seconds {
		next := time.Now().Add(time.Second)
		for name, a := range agents {
			kib := a.resident(t)
			sum[name] += kib
			most[name] = max(most[name], kib)
		}
		poll(t, "a second", func() bool { return time.Now().After(next) })
	}
	b.until(`document.getElementById("link").textContent === "live"`)
	mean, peak := (sum["on"]-sum["off"])/seconds, most["on"]-most["off"]
	t.Logf("the page adds %d KiB on average, %d at the peaks: %d KiB instead of %d", mean, peak, sum["on"]/seconds, sum["off"]/seconds)
	if mean >= limit || peak >= limit {
		t.Errorf("the page adds %d KiB on average and %d at the peaks, want less than %d", mean, peak, limit)
	}
	b.check(t)
}

// remembers returns how many seconds the agent has, and 0 while it does not answer.
func (a *agent) remembers() int {
	resp, err := http.Get(a.url + "/api/v1/live")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	var d live.Document
	if json.NewDecoder(resp.Body).Decode(&d) != nil {
		return 0
	}
	return len(d.Times)
}

// resident returns the resident memory of the agent, in KiB, as of proc_pid_status(5).
func (a *agent) resident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "\nVmRSS:")
	number, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	kib, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	return kib
}
