//go:build beds

package browser

import (
	"bytes"
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"github.com/enawatch/enawatch/agent/incident"
	"github.com/enawatch/enawatch/test/beds/bed"
)

// downloads has the browser save files into a folder, which it returns.
func (b *tab) downloads() string {
	b.t.Helper()
	dir := b.t.TempDir()
	_, err := chromedp.Call(b, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return dir
}

// saved waits for a file that the browser saves, and returns its path.
func (b *tab) saved(dir, pattern string) (path string) {
	b.t.Helper()
	poll(b.t, "a file "+pattern, func() bool {
		list, _ := filepath.Glob(filepath.Join(dir, pattern))
		if len(list) == 1 {
			path = list[0]
		}
		return path != ""
	})
	return path
}

// An incident is saved as JSON and as a picture by the page's buttons, replayed by
// the program, and opened again by the page; so is one of the state file.
func TestIncident(t *testing.T) {
	a := startAgent(t, scenarioFile(t))
	b := open(t, a.url)
	b.until(`document.getElementById("link").textContent === "live"`)
	b.until(`document.getElementById("verdict").classList.contains("bad")`)
	poll(t, "ten seconds", func() bool {
		return value[int](b, `fetch("/api/v1/live").then((r) => r.json()).then((d) => d.times.length)`) >= 10
	})
	dir := b.downloads()
	click := func(selector string) { t.Helper(); b.do(chromedp.Click(chromedp.CSS(selector))) }
	click("#incident > summary")
	click("#save-json")
	click("#save-png")
	picture, err := os.ReadFile(b.saved(dir, "enawatch-*.png"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	colors := map[uint32]bool{}
	for x := range p.Bounds().Dx() {
		for y := range p.Bounds().Dy() {
			r, g, b, _ := p.At(x, y).RGBA()
			colors[r>>8<<16|g>>8<<8|b>>8] = true
		}
	}
	if p.Bounds().Dx() != 2400 || p.Bounds().Dy() < 1000 || len(colors) < 50 {
		t.Errorf("the picture is %v with %d colours", p.Bounds(), len(colors))
	}
	if *update {
		if err := os.WriteFile(filepath.Join(bed.Root(), "docs", "images", "live-incident.png"), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}

	live := b.saved(dir, "enawatch-*.json")
	recorded := filepath.Join(t.TempDir(), "recorded.json")
	config := filepath.Join(t.TempDir(), "enawatch.yaml")
	if err := os.WriteFile(config, []byte("sinks: {emf: {}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	poll(t, "a window in the state file", func() bool {
		bed.Run(t, a.binary, "record", "export", "--config", config, "--state-dir", a.state, "--output", recorded)
		f, err := os.Open(recorded)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		d, err := incident.Parse(f)
		if err != nil {
			t.Fatal(err)
		}
		return len(d.Times) > 10
	})
	for _, file := range []string{live, recorded} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d, err := incident.Parse(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Interfaces) != interfaces || d.Host == "" || d.InstanceID != "i-0123456789abcdef0" {
			t.Errorf("%s: %d interfaces of %q, %q", file, len(d.Interfaces), d.Host, d.InstanceID)
		}
		var r struct {
			Alarms []struct{ Alarm, To string }
		}
		if err := json.Unmarshal([]byte(bed.Run(t, a.binary, "replay", file, "--config", config, "--threshold", "any", "--json")), &r); err != nil {
			t.Fatal(err)
		}
		raised := map[string]bool{}
		for _, c := range r.Alarms {
			raised[c.Alarm] = raised[c.Alarm] || c.To == "ALARM"
		}
		for _, what := range []string{"bw-in", "bw-out", "pps", "conntrack"} {
			if !raised["enawatch-i-0123456789abcdef0-"+what+"-exceeded"] {
				t.Errorf("%s: %s raises no alarm: %v", filepath.Base(file), what, raised)
			}
		}

		// The page shows the file's seconds, and saves them again as they are.
		b.do(chromedp.SetUploadFiles(chromedp.CSS("#open"), []string{file}))
		b.until(`document.getElementById("link").textContent === "a saved incident: reload for live"`)
		sum := uint64(0)
		for _, i := range d.Interfaces {
			for _, x := range i.Allowances {
				if x.Name == "pps_allowance_exceeded" {
					for _, v := range x.Values {
						if v != ^uint32(0) {
							sum += uint64(v)
						}
					}
				}
			}
		}
		var shown uint64
		poll(t, "the file's packets are shown", func() bool {
			text := value[string](b, `document.querySelector("#card-pps_allowance_exceeded .now").innerText.replace(/,/g, "")`)
			shown = 0
			for _, word := range strings.Fields(text) {
				var n uint64
				if json.Unmarshal([]byte(word), &n) == nil {
					shown = max(shown, n)
				}
			}
			return shown == sum
		})
		again := b.downloads()
		b.until(`document.getElementById("incident").open || document.querySelector("#incident > summary").click()`)
		click("#save-json")
		copied, err := os.ReadFile(b.saved(again, "enawatch-*.json"))
		if err != nil || !bytes.Equal(copied, text) {
			t.Errorf("%s: saved again it is another file: %v", filepath.Base(file), err)
		}
	}

	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte(`{"times": 1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#open"), []string{bad}))
	b.until(`document.getElementById("verdict-text").textContent === "bad.json can't be opened: it is not an incident that enawatch saved."`)
	b.check(t)
}

// Who sends to link-local services is on the page and in top.
func TestLinkLocalBudget(t *testing.T) {
	a := startAgent(t, scenarioFile(t), "--linklocal.enabled")
	a.inside(t, "sh", "-ec", `ip addr add 10.0.0.5/24 dev ens5
		ip link set ens5 up
		ip route add 169.254.169.253/32 dev ens5
		ip neigh add 169.254.169.253 lladdr 06:00:00:00:99:99 dev ens5`)
	b := open(t, a.url)
	b.until(`!document.getElementById("linklocal").hidden && document.querySelectorAll("#budgets tbody tr").length === 16`)
	a.inside(t, "bash", "-c", `for n in $(seq 300); do echo query > /dev/udp/169.254.169.253/53; done`)
	b.until(`/dns [1-9]/.test([...document.querySelectorAll("#budgets tbody tr")].find((r) => r.cells[0].textContent === "ens5").cells[3].textContent)`)
	b.until(`/[1-9]/.test([...document.querySelectorAll("#budgets tbody tr")].find((r) => r.cells[0].textContent === "ens5").cells[2].textContent)`)
	b.until(`document.querySelector("#senders tbody td.number") !== null`)
	b.accessible(t)
	text := a.inside(t, a.binary, "top", "--once")
	for _, want := range []string{"link-local, last minute: ", "link-local budget: ", "; dns "} {
		if !strings.Contains(text, want) {
			t.Errorf("top does not say %q:\n%s", want, text)
		}
	}
	b.check(t)
}
