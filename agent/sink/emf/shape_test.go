package emf_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/emf"
	"github.com/enawatch/enawatch/test/emfspec"
)

// perInterface returns an encoder of that shape.
func perInterface(t testing.TB) *emf.Encoder {
	e := newEncoder(t, time.Minute)
	if err := e.SetShape(emf.PerInterface); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestGoldenPerInterface(t *testing.T) {
	for _, name := range []string{"quiet", "no-interface", "dns-burst", "three-interfaces", "only-interface", "more-than-100"} {
		t.Run(name, func(t *testing.T) {
			b := goldens()[name]
			got, err := perInterface(t).Append(nil, b)
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, "per-interface-"+name, got)
			checkShares(t, b, checkMetrics(t, b, got, 60))
		})
	}
}

// checkShares fails unless each Detail series of b stands, as scalars, in
// exactly one document, which names its interface and no other.
func checkShares(t *testing.T, b *metric.Batch, docs []*emfspec.Document) {
	t.Helper()
	for i := range b.Series {
		s := &b.Series[i]
		if !s.Detail {
			continue
		}
		want := map[string]float64{s.Name + "_max": s.Max()}
		switch {
		case s.Whole:
			want = map[string]float64{s.Name: s.Last()}
		case s.Kind == metric.Gauge:
			want[s.Name+"_min"], want[s.Name+"_last"] = s.Min(), s.Last()
		default:
			want[s.Name+"_sum"] = s.Sum()
		}
		n := &b.Interfaces[s.Interface]
		found := slices.IndexFunc(docs, func(d *emfspec.Document) bool { return holds(d, n, want) })
		if found < 0 {
			t.Fatalf("no document of %s has %v", n.Name, want)
		}
		if slices.ContainsFunc(docs[found+1:], func(d *emfspec.Document) bool { return holds(d, n, want) }) {
			t.Errorf("two documents of %s have %v", n.Name, want)
		}
	}
	for _, d := range docs {
		if d.Root["interfaces"] != nil {
			t.Errorf("a list of interfaces: %v", d.Root)
		}
		if d.Root["interface"] != nil && slices.ContainsFunc(d.Metrics, func(m emfspec.Metric) bool {
			return m.Dimensions["interface"] == "" && m.Dimensions["NetworkInterfaceId"] == ""
		}) {
			t.Errorf("a metric of the host beside those of an interface: %v", d.Root)
		}
	}
}

func holds(d *emfspec.Document, n *metric.Interface, want map[string]float64) bool {
	for name, value := range want {
		if d.Root[string([]rune(name))] != value {
			return false
		}
	}
	if n.ENI != "" {
		return d.Root["NetworkInterfaceId"] == ascii(n.ENI)
	}
	return d.Root["interface"] == ascii(n.Name)
}

func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// However small an event is, no share is lost.
func TestPerInterfaceEventLimit(t *testing.T) {
	b := fleet(3)
	for i := range 120 {
		b.Series = append(b.Series, detail(1, counter(fmt.Sprintf("queue_%d", i), burst(float64(i))...)))
	}
	for _, limit := range []int{8190, 4000, 1200} {
		e := perInterface(t)
		e.SetMaxEvent(limit)
		got, err := e.Append(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		if n := longest(got); n > limit {
			t.Errorf("limit %d: a document has %d bytes", limit, n)
		}
		checkShares(t, b, checkMetrics(t, b, got, 60))
	}
}

func TestSetShapeRefuses(t *testing.T) {
	e := newEncoder(t, time.Minute)
	if err := e.SetShape("window"); err == nil || !strings.Contains(err.Error(), `EMF shape "window" is not known: use host or interface`) {
		t.Errorf("error %v", err)
	}
}
