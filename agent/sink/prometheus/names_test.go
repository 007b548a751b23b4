package prometheus

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/metric"
)

func TestNodeExporterName(t *testing.T) {
	tests := []struct{ stat, want string }{
		{"bw_in_allowance_exceeded", "bw_in_allowance_exceeded"},
		{"ena_srd_tx_pkts", "ena_srd_transmitted_pkts"},
		{"ena_srd_eligible_tx_pkts", "ena_srd_eligible_transmitted_pkts"},
		{"queue_0_tx_tx_poll", "queue_0_transmitted_tx_poll"},
		{"queue_0_rx_rx_copybreak_pkt", "queue_0_received_rx_copybreak_pkt"},
		{"queue_12_rx_xdp_tx", "queue_12_received_xdp_transmitted"},
		{"rx", "received"},
		{"rx_rx_rx", "received_rx_received"},
		{"prx_rxp", "prx_rxp"},
		{"_TX Packets", "transmitted_packets"},
		{"a_-_b", "a_b"},
		{"a-_-b", "a__b"},
		{"[1]: rx-octets", "1_received_octets"},
		{"\xff\xfe", ""},
		{"", ""},
	}
	for _, test := range tests {
		if got := nodeExporterName(test.stat); got != test.want {
			t.Errorf("nodeExporterName(%q) = %q, want %q", test.stat, got, test.want)
		}
	}
}

// FuzzRenamed compares renamed with the regular expression of node_exporter
// that it stands for.
func FuzzRenamed(f *testing.F) {
	f.Add("queue_0_rx_rx_copybreak_pkt")
	f.Add("rx_rxrx_rx")
	f.Add("_rx__rx_")
	re := regexp.MustCompile(`(^|_)rx(_|$)`)
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := renamed(s, "rx", "received"), re.ReplaceAllString(s, "${1}received${2}"); got != want {
			t.Errorf("renamed(%q) = %q, want %q", s, got, want)
		}
	})
}

func FuzzSanitised(f *testing.F) {
	f.Add("a_-_b c\xff")
	re := regexp.MustCompile(`_*[^0-9A-Za-z_]+_*`)
	label := regexp.MustCompile(`^([a-zA-Z]|_[^_])[a-zA-Z0-9_]*$|^_$`)
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := sanitised(s), re.ReplaceAllString(s, "_"); got != want {
			t.Errorf("sanitised(%q) = %q, want %q", s, got, want)
		}
		if got := LabelName(s); !label.MatchString(got) {
			t.Errorf("LabelName(%q) = %q", s, got)
		}
	})
}

// seriesOf returns the lines of a text page that start with prefix.
func seriesOf(page, prefix string) []string {
	var series []string
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, prefix) {
			series = append(series, strings.TrimSuffix(line, "\n"))
		}
	}
	return series
}

func TestSameNames(t *testing.T) {
	s := &metric.Snapshot{Interfaces: []metric.InterfaceState{{
		Interface: metric.Interface{Name: "ens5"},
		Raw: rawStats(`
			tx_x 4
			rx_bytes 1
			listed_twice 2
			listed_twice 3
			transmitted_x 5
			transmitted-x 6
			tx_x 12
			rx_bytes_total 7
			info 8
			a:b 9`),
	}}}
	s.Interfaces[0].Raw = append(s.Interfaces[0].Raw, metric.RawStat{Name: "c: d", Value: 10}, metric.RawStat{Name: " e ", Value: 11}, metric.RawStat{Name: "--"})
	want := []string{
		`node_ethtool_a_b{device="ens5"} 9`,
		`node_ethtool_c_d{device="ens5"} 10`,
		`node_ethtool_e_{device="ens5"} 11`,
		`node_ethtool_info{bus_info="",device="ens5",driver="",expansion_rom_version="",firmware_version="",version=""} 1`,
		`node_ethtool_listed_twice{device="ens5"} 3`,
		`node_ethtool_received_bytes_total{device="ens5"} 1`,
	}
	page := scrapeSnapshot(t, s, acceptText, "node_exporter")
	if diff := cmp.Diff(want, seriesOf(page, "node_")); diff != "" {
		t.Errorf("node_exporter (-want +got):\n%s", diff)
	}
	want = []string{"# HELP node_ethtool_c_d Network interface c_d"}
	if diff := cmp.Diff(want, seriesOf(page, "# HELP node_ethtool_c")); diff != "" {
		t.Errorf("node_exporter's help (-want +got):\n%s", diff)
	}
	want = []string{
		`node_net_ethtool{device="ens5",type="--"} 0`,
		`node_net_ethtool{device="ens5",type="a:b"} 9`,
		`node_net_ethtool{device="ens5",type="e"} 11`,
		`node_net_ethtool{device="ens5",type="info"} 8`,
		`node_net_ethtool{device="ens5",type="listed_twice"} 2`,
		`node_net_ethtool{device="ens5",type="rx_bytes"} 1`,
		`node_net_ethtool{device="ens5",type="rx_bytes_total"} 7`,
		`node_net_ethtool{device="ens5",type="transmitted-x"} 6`,
		`node_net_ethtool{device="ens5",type="transmitted_x"} 5`,
		`node_net_ethtool{device="ens5",type="tx_x"} 4`,
		`node_net_ethtool_info{device="ens5"} 1`,
	}
	if diff := cmp.Diff(want, seriesOf(scrapeSnapshot(t, s, acceptText, "showmax"), "node_")); diff != "" {
		t.Errorf("showmax (-want +got):\n%s", diff)
	}
}

func TestLinkDetected(t *testing.T) {
	for link, want := range map[string]string{
		"up":   `node_net_ethtool_info{device="ens5",link_detected="yes"} 1`,
		"down": `node_net_ethtool_info{device="ens5",link_detected="no"} 1`,
		"":     `node_net_ethtool_info{device="ens5"} 1`,
	} {
		s := &metric.Snapshot{Interfaces: []metric.InterfaceState{{Interface: metric.Interface{Name: "ens5", Link: link}}}}
		if diff := cmp.Diff([]string{want}, seriesOf(scrapeSnapshot(t, s, acceptText, "showmax"), "node_")); diff != "" {
			t.Errorf("link %q (-want +got):\n%s", link, diff)
		}
	}
}
