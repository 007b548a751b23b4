package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/simulate"
	"github.com/enawatch/enawatch/test/emfspec"
)

// Whatever a device does, the real binary publishes exactly what happened to
// its counters: for every scenario of the rig, interface and counter.
func TestConservation(t *testing.T) {
	files, err := filepath.Glob("../enasim/testdata/scenarios/*.yaml")
	if err != nil || len(files) < 13 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			out, ledger := underRig(t, file, "run", "--sinks.emf", "--sinks.prometheus=false", "--publish-interval", "5s", "--identity.mode", "static", "--state-dir", t.TempDir())
			p := publishedBy(t, out)
			var failed int
			for _, d := range ledger.Devices {
				failed += d.Failed
			}
			for i := range ena.Catalogue() {
				if e := ena.Stat(i).Entry(); e.Kind == metric.Counter && !e.Internal && e.Group != ena.Queue {
					checkCounter(t, e, ledger, p)
				}
			}
			if p.sum["suspect_readings"] < float64(failed) {
				t.Errorf("suspect_readings %v, but the device failed to answer %d times", p.sum["suspect_readings"], failed)
			}
			if !ledger.Done {
				t.Error("the script did not come to its end")
			}
		})
	}
}

// checkCounter compares a counter with the ledger: of the host, or of each
// interface, as it is published.
func checkCounter(t *testing.T, e *ena.Entry, ledger simulate.Ledger, p published) {
	t.Helper()
	var added uint64
	for _, d := range ledger.Devices {
		added += d.Stats[e.Name].Added
		if e.Scope != metric.PerInterface {
			continue
		}
		if got, want := p.byMAC[d.MAC][e.Name], d.Stats[e.Name].Added; got != float64(want) {
			t.Errorf("%s of %s: published %v, happened %d", e.Name, d.Name, got, want)
		}
	}
	if e.Name == "interface_up" {
		// A device that is attached is brought up: the ledger begins after that.
		var attached uint64
		for _, d := range ledger.Devices {
			attached += uint64(d.Adapters)
		}
		if got := p.sum[e.Name]; got < float64(added) || got > float64(added+attached) {
			t.Errorf("%s: published %v, happened %d and %d attachments", e.Name, got, added, attached)
		}
		return
	}
	if e.Scope == metric.Instance && p.sum[e.Name] != float64(added) {
		t.Errorf("%s: published %v, happened %d", e.Name, p.sum[e.Name], added)
	}
	for _, v := range p.samples[e.Name] {
		if v < 0 || v > float64(added) {
			t.Errorf("%s: a sample is %v, and %d happened in all", e.Name, v, added)
		}
	}
}

// published is what CloudWatch would have taken from the EMF lines.
type published struct {
	sum     map[string]float64
	byMAC   map[string]map[string]float64
	samples map[string][]float64
}

func publishedBy(t *testing.T, out []byte) published {
	t.Helper()
	p := published{sum: map[string]float64{}, byMAC: map[string]map[string]float64{}, samples: map[string][]float64{}}
	for line := range strings.Lines(string(out)) {
		d, errs := emfspec.Validate([]byte(strings.TrimSuffix(line, "\n")))
		for _, err := range errs {
			t.Errorf("%v in %s", err, line)
		}
		if d == nil {
			continue
		}
		mac, _ := d.Root["mac"].(string)
		for _, m := range d.Metrics {
			p.sum[m.Name] += m.Sum()
			p.samples[m.Name] = append(p.samples[m.Name], m.Values...)
			if mac != "" {
				if p.byMAC[mac] == nil {
					p.byMAC[mac] = map[string]float64{}
				}
				p.byMAC[mac][m.Name] += m.Sum()
			}
		}
	}
	return p
}
