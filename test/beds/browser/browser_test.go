//go:build beds

// Package browser drives the live page in Debian's Chromium, and top in tmux:
// it clicks, hovers, types, reloads and reads what is drawn.
package browser

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/enawatch/enawatch/test/beds/bed"
)

var update = flag.Bool("update", false, "write the screenshots of docs/images")

// tab is a browser's page, and what went wrong in it.
type tab struct {
	context.Context
	t *testing.T

	mu     sync.Mutex
	faults []string
}

// open opens url in a browser that can reach this host alone.
func open(t *testing.T, url string) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"), chromedp.UserDataDir(t.TempDir()))
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 6*time.Minute)
	t.Cleanup(cancel)
	b := &tab{Context: ctx, t: t}
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.fault("exception: %s at %s:%d", e.ExceptionDetails.Text, e.ExceptionDetails.URL, e.ExceptionDetails.LineNumber)
		case *log.EventEntryAdded:
			b.fault("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
		case *network.EventRequestWillBeSent:
			if to := e.Request.URL; !strings.HasPrefix(to, url) && !strings.HasPrefix(to, "blob:") && !strings.HasPrefix(to, "data:") {
				b.fault("a request to %s", to)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Navigate(url + "/"))
	return b
}

func (b *tab) fault(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, fmt.Sprintf(format, args...))
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// value evaluates an expression in the page.
func value[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits for an expression to be true.
func (b *tab) until(expression string) {
	b.t.Helper()
	poll(b.t, expression, func() bool { return value[bool](b, "Boolean("+expression+")") })
}

func TestLivePage(t *testing.T) {
	a := startAgent(t, scenarioFile(t))
	b := open(t, a.url)
	b.until(`document.getElementById("link").textContent === "live"`)
	b.until(`document.querySelectorAll("#charts .card canvas").length === 6`)
	b.until(`document.querySelectorAll("#interfaces tbody tr").length === 16`)
	b.until(`document.getElementById("verdict").classList.contains("bad") && /packets this second/.test(document.getElementById("verdict-text").textContent)`)

	// The rig's devices are real to the agent, and nothing claims otherwise.
	if shown := value[string](b, `getComputedStyle(document.getElementById("simulated")).display`); shown != "none" {
		t.Errorf("the badge \"simulated\" is shown: %s", shown)
	}

	// What a chart says is what the agent counted.
	click := func(selector string) { t.Helper(); b.do(chromedp.Click(chromedp.CSS(selector))) }
	click("#card-pps_allowance_exceeded .seconds > summary")
	b.until(`document.querySelectorAll("#card-pps_allowance_exceeded .seconds tbody tr").length > 3`)
	if got := value[int](b, `(async () => {
		const doc = await (await fetch("/api/v1/live")).json(), known = new Map();
		for (const i of doc.interfaces) for (const a of i.allowances) if (a.name === "pps_allowance_exceeded")
			a.values.forEach((v, n) => known.set(new Date(doc.times[n] * 1000).toTimeString().slice(0, 8) + i.name, v));
		let wrong = 0;
		for (const tr of document.querySelectorAll("#card-pps_allowance_exceeded .seconds tbody tr")) {
			const [at, name, v] = [...tr.cells].map((c) => c.textContent);
			if (known.get(at + name) !== Number(v.replace(/,/g, ""))) wrong++;
		}
		return wrong;
	})()`); got != 0 {
		t.Errorf("%d seconds in the table are not what the agent says", got)
	}

	// Hover: the values under the pointer.
	at := value[struct{ X, Y float64 }](b, `(() => { const e = document.querySelector("#card-bw_out_allowance_exceeded .u-over"); e.scrollIntoView({block: "center"});
		const r = e.getBoundingClientRect(); return {X: r.right - 4, Y: r.top + r.height / 2}; })()`)
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, at.X, at.Y))
	b.until(`!document.querySelector("#card-bw_out_allowance_exceeded .tip").hidden && /ens/.test(document.querySelector("#card-bw_out_allowance_exceeded .tip").textContent)`)

	// Filter, hide, sort, range, pause, theme.
	b.do(chromedp.SendKeys(chromedp.CSS("#filter"), "ens12"))
	b.until(`document.querySelectorAll("#interfaces tbody tr").length === 1`)
	click("#interfaces tbody input")
	b.until(`document.querySelector("#interfaces tbody tr").classList.contains("off")`)
	click("#interfaces tbody input")
	b.do(chromedp.SendKeys(chromedp.CSS("#filter"), strings.Repeat("\b", len("ens12"))))
	b.until(`document.querySelectorAll("#interfaces tbody tr").length === 16`)
	click(`th.number button[title="Sort by PPS"]`)
	b.until(`document.querySelector('th[aria-sort="descending"]').textContent === "PPS"`)
	click(`button[data-range="120"]`)
	click("#pause")
	b.until(`document.getElementById("pause").textContent === "Resume"`)
	click("#pause")
	click("#theme")
	b.until(`document.documentElement.dataset.theme === "dark"`)

	// A reload brings the past back, in the theme that was chosen.
	b.do(chromedp.Reload())
	b.until(`document.getElementById("link").textContent === "live" && document.documentElement.dataset.theme === "dark"`)
	b.until(`document.querySelectorAll("#charts .card canvas").length === 6`)

	b.accessible(t)
	click("#theme")
	b.until(`document.documentElement.dataset.theme === "light"`)
	b.accessible(t)

	if *update {
		b.screenshots(t)
	}
	b.check(t)
}

// check says what went wrong in the page.
func (b *tab) check(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.faults) > 0 {
		t.Errorf("in the browser:\n%s", strings.Join(b.faults, "\n"))
	}
}

// accessible runs axe-core, as released on npm, over the page.
func (b *tab) accessible(t *testing.T) {
	t.Helper()
	const release = "axe-core@4.14.1"
	dir := t.TempDir()
	bed.Run(t, "npm", "pack", "--silent", "--pack-destination", dir, release)
	bed.Run(t, "tar", "-xzf", filepath.Join(dir, strings.ReplaceAll(release, "@", "-")+".tgz"), "-C", dir)
	script, err := os.ReadFile(filepath.Join(dir, "package", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	value[bool](b, string(script)+"; true")
	violations := value[[]string](b, `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]}).then((r) =>
		r.violations.map((v) => v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(" | ")))`)
	for _, v := range violations {
		t.Errorf("accessibility, %s theme: %s", value[string](b, "document.documentElement.dataset.theme"), v)
	}
}

// screenshots writes the page at three sizes and in both themes.
func (b *tab) screenshots(t *testing.T) {
	for _, theme := range []string{"light", "dark"} {
		b.until(fmt.Sprintf(`document.documentElement.dataset.theme === %q || document.getElementById("theme").click()`, theme))
		for name, size := range map[string][2]int64{"wide": {1280, 900}, "laptop": {1024, 760}, "phone": {390, 844}} {
			b.do(chromedp.EmulateViewport(size[0], size[1]))
			value[bool](b, "scrollTo(0, 0), true")
			b.until(`document.querySelector(".u-over").clientWidth < document.querySelector(".chart").clientWidth`)
			picture, err := chromedp.Run(b, chromedp.CaptureScreenshot())
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(bed.Root(), "docs", "images", fmt.Sprintf("live-%s-%s.png", name, theme))
			if err := os.WriteFile(path, picture, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
