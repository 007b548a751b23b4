package ena

import (
	"fmt"
	"strings"
	"testing"

	"github.com/enawatch/enawatch/agent/metric"
)

func TestCatalogueIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for i := range Catalogue() {
		s := Stat(i)
		e := s.Entry()
		if e.Name == "" || e.Unit == "" || e.Since == "" || !strings.HasSuffix(e.Meaning, ".") || !strings.HasSuffix(e.Advice, ".") {
			t.Errorf("row %d is not complete: %+v", i, e)
		}
		if seen[e.Name] {
			t.Errorf("%s stands twice", e.Name)
		}
		seen[e.Name] = true
		if s < FirstQueue != (e.Group != Queue) {
			t.Errorf("%s stands on the wrong side of FirstQueue", e.Name)
		}
		if e.Reset && (e.Kind != metric.Counter || e.Group != Driver) {
			t.Errorf("%s is evidence of a reset, but not a counter of the driver", e.Name)
		}
		name := e.Name
		if s >= FirstQueue {
			name = strings.Replace(name, "queue_", "queue_0_", 1)
		}
		if len(name) >= ethGStringLen {
			name = name[:ethGStringLen-1]
		}
		if got, ok := Lookup(name); !ok || got != s {
			t.Errorf("Lookup(%q) = %v, %v; want %v", name, got, ok, s)
		}
	}
}

func TestLookup(t *testing.T) {
	tests := []struct{ name, want string }{
		{"bw_in_allowance_exceeded", "bw_in_allowance_exceeded"},
		{"queue_0_tx_cnt", "queue_tx_cnt"},
		{"queue_127_rx_csum_good", "queue_rx_csum_good"},
		{"queue_3_xdp_tx_queue_stop", "queue_tx_queue_stop"},
		{"queue_10_tx_pending_timedout_pkts"[:31], "queue_tx_pending_timedout_pkts"},
		{"queue_127_tx_pending_timedout_pkts"[:31], "queue_tx_pending_timedout_pkts"},
		{"queue_tx_cnt", ""},
		{"queue_x_tx_cnt", ""},
		{"queue_1_", ""},
		{"queue_1", ""},
		{"queue_1_rx_pp_", ""},
		{"BW_IN_ALLOWANCE_EXCEEDED", ""},
		{"", ""},
	}
	for _, tt := range tests {
		got := ""
		if s, ok := Lookup(tt.name); ok {
			got = s.String()
		}
		if got != tt.want {
			t.Errorf("Lookup(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add([]byte(strings.Repeat("queue_0_tx_cnt\x00", 20)))
	f.Add([]byte(fmt.Sprintf("%-32s%-32s", "queue_12345678901234567890_tx_x", "\x00")))
	f.Fuzz(func(t *testing.T, b []byte) {
		names := splitNames(b)
		if len(names) != len(b)/ethGStringLen {
			t.Fatalf("%d names of %d bytes", len(names), len(b))
		}
		for _, n := range names {
			if s, ok := Lookup(n); ok && int(s) >= NumStats {
				t.Fatalf("Lookup(%q) = %d", n, s)
			}
		}
	})
}
