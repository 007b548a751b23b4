package grafana

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/ena"
)

//go:generate go test . -count=1 -run ^TestFilesAreUpToDate$ -update

var update = flag.Bool("update", false, "write the files of deploy/grafana")

const root = "../../.."

func dashboards(t *testing.T) []Dashboard {
	t.Helper()
	list, err := Dashboards()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestFilesAreUpToDate(t *testing.T) {
	for _, d := range dashboards(t) {
		path := filepath.Join(root, d.Path)
		if *update {
			if err := os.WriteFile(path, d.Content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		old, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%v: run make generate", err)
			continue
		}
		if diff := cmp.Diff(string(d.Content), string(old)); diff != "" {
			t.Errorf("%s is stale, run make generate (-want +got):\n%s", d.Path, diff)
		}
	}
}

// Panels lie beside each other, have queries on the chosen data source, and ask
// for stats that there are.
func TestPanels(t *testing.T) {
	types := regexp.MustCompile(`type=~?"([^"]*)"`)
	seen := map[string]bool{}
	for _, d := range dashboards(t) {
		var m struct {
			UID    string
			Panels []struct {
				Title   string
				Type    string
				GridPos struct{ X, Y, W, H int }
				Targets []struct {
					Expr       string
					Datasource struct{ UID string }
				}
			}
			Templating struct{ List []struct{ Name string } }
		}
		if err := json.Unmarshal(d.Content, &m); err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{}
		for _, v := range m.Templating.List {
			known["$"+v.Name] = true
		}
		taken := map[[2]int]string{}
		for _, p := range m.Panels {
			g := p.GridPos
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other, ok := taken[[2]int{x, y}]; ok || x >= width {
						t.Fatalf("%s: %s lies on %q at %d,%d", d.Path, p.Title, other, x, y)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			if (p.Type == "text") != (len(p.Targets) == 0) {
				t.Errorf("%s: %s has %d queries", d.Path, p.Title, len(p.Targets))
			}
			for _, q := range p.Targets {
				if q.Datasource.UID != "${datasource}" {
					t.Errorf("%s: %s asks %s", d.Path, p.Title, q.Datasource.UID)
				}
				for _, v := range regexp.MustCompile(`\$[a-z]+`).FindAllString(q.Expr, -1) {
					if !known[v] {
						t.Errorf("%s: %s uses %s, which the dashboard lacks", d.Path, p.Title, v)
					}
				}
				for _, match := range types.FindAllStringSubmatch(q.Expr, -1) {
					for name := range strings.SplitSeq(match[1], "|") {
						if seen[name] = true; name != "" {
							if _, ok := ena.Lookup(name); !ok {
								t.Errorf("%s: %s asks for %q, which no driver has", d.Path, p.Title, name)
							}
						}
					}
				}
			}
		}
	}
	for _, e := range ena.Catalogue()[:ena.FirstQueue] {
		if (e.Allowance != "" || e.Group == ena.SRD || e.Reset) && !seen[e.Name] {
			t.Errorf("no panel shows %s", e.Name)
		}
	}
}
