package prometheus

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
)

// twoInterfaces returns the state of a host with an interface of an
// out-of-tree driver and one of an upstream driver with ENA Express, whose
// newest reading is not believed.
func twoInterfaces() *metric.Snapshot {
	return &metric.Snapshot{
		At: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
		Resource: metric.Resource{
			Host:       "ip-10-0-3-17.eu-west-1.compute.internal",
			InstanceID: "i-0f3c9a52b1d7e8640",
			Dimensions: []metric.Dimension{{Name: "cluster", Value: "blue"}, {Name: "env", Value: "prod"}},
		},
		Interfaces: []metric.InterfaceState{
			{
				Interface: metric.Interface{Name: "ens5", MAC: "0a:5e:4f:11:22:33", BusInfo: "0000:00:05.0", ENI: "eni-0a1b2c3d4e5f60718", DriverVersion: "2.13.3g", Link: "up"},
				Driver:    metric.Driver{Name: "ena", Version: "2.13.3g", BusInfo: "0000:00:05.0"},
				Verdict:   "valid",
				Raw: rawStats(`
					total_resets 1
					reset_fail 0
					tx_timeout 0
					wd_expired 1
					suspend 0
					resume 0
					interface_down 1
					interface_up 2
					bw_in_allowance_exceeded 1742
					bw_out_allowance_exceeded 0
					pps_allowance_exceeded 96
					conntrack_allowance_exceeded 0
					linklocal_allowance_exceeded 388
					conntrack_allowance_available 136812
					queue_0_tx_cnt 48120117
					queue_0_tx_bytes 9033162874123
					queue_0_tx_tx_poll 61022345
					queue_0_rx_cnt 51390221
					queue_0_rx_rx_copybreak_pkt 20417733
					queue_0_rx_xdp_tx 0
					queue_1_tx_cnt 17
					queue_1_tx_bytes 1428
					queue_1_tx_tx_poll 40
					queue_1_rx_cnt 12
					queue_1_rx_rx_copybreak_pkt 12
					queue_1_rx_xdp_tx 0
					ena_admin_q_aborted_cmd 0
					ena_admin_q_submitted_cmd 40211
					ena_admin_q_completed_cmd 40211
					ena_admin_q_out_of_space 0
					ena_admin_q_no_completion 0`),
				Totals: []metric.Total{
					{Name: "bw_in_allowance_exceeded", Help: "Packets queued or dropped because the inbound aggregate bandwidth exceeded the instance's maximum.", Unit: metric.Count, Value: 2154},
					{Name: "bw_out_allowance_exceeded", Help: "Packets queued or dropped because the outbound aggregate bandwidth exceeded the instance's maximum.", Unit: metric.Count},
					{Name: "pps_allowance_exceeded", Help: "Packets queued or dropped because the packets per second exceeded the instance's maximum.", Unit: metric.Count, Value: 96},
					{Name: "conntrack_allowance_exceeded", Help: "Packets dropped because the instance's table of tracked connections was full: new connections fail until old ones close.", Unit: metric.Count},
					{Name: "linklocal_allowance_exceeded", Help: "Packets dropped because this interface sent more than 1024 packets per second to link-local services: the VPC's DNS resolver, IMDS and NTP together.", Unit: metric.Count, Value: 401},
					{Name: "conntrack_allowance_available", Kind: metric.Gauge, Help: "Connections that the instance can still track before it drops packets.", Unit: metric.Count, Value: 136812},
					{Name: "total_resets", Help: "Device resets.", Unit: metric.Count, Value: 1},
					{Name: "interface_up", Help: "Times the interface was brought up, by a reset too.", Unit: metric.Count, Value: 2},
					{Name: "ena_admin_q_completed_cmd", Help: "Admin commands that the device completed.", Unit: metric.Count, Value: 40211},
					{Name: "queue_tx_bytes", Help: "Bytes sent. Summed over all queues.", Unit: metric.Bytes, Value: 9033162875551},
					{Name: "queue_tx_pending_timedout_pkts", Kind: metric.Gauge, Help: "Packets sent whose completion is late now. Summed over all queues.", Unit: metric.Count},
				},
			},
			{
				Interface: metric.Interface{Name: "ens6", MAC: "0a:5e:4f:44:55:66", BusInfo: "0000:00:06.0", DriverVersion: "6.12.8"},
				Driver:    metric.Driver{Name: "ena", Version: "6.12.8", BusInfo: "0000:00:06.0"},
				Verdict:   "suspect",
				Reason:    "the admin queue did not answer",
				Raw: rawStats(`
					total_resets 0
					interface_up 1
					interface_down 0
					bw_in_allowance_exceeded 0
					bw_out_allowance_exceeded 7
					pps_allowance_exceeded 0
					conntrack_allowance_exceeded 0
					linklocal_allowance_exceeded 0
					ena_srd_mode 3
					ena_srd_tx_pkts 991827
					ena_srd_eligible_tx_pkts 1002231
					ena_srd_rx_pkts 985514
					ena_srd_resource_utilization 4
					queue_0_tx_cnt 1002231
					queue_0_rx_cnt 985514
					ena_admin_q_submitted_cmd 80422
					ena_admin_q_completed_cmd 80422`),
				Totals: []metric.Total{
					{Name: "bw_in_allowance_exceeded", Help: "Packets queued or dropped because the inbound aggregate bandwidth exceeded the instance's maximum.", Unit: metric.Count},
					{Name: "bw_out_allowance_exceeded", Help: "Packets queued or dropped because the outbound aggregate bandwidth exceeded the instance's maximum.", Unit: metric.Count, Value: 7},
					{Name: "ena_srd_mode", Kind: metric.Gauge, Help: "ENA Express features that are on, as bits: 1 SRD, 2 SRD for UDP, 4 UDP may arrive out of order.", Unit: metric.None, Value: 3},
					{Name: "ena_srd_tx_pkts", Help: "Packets sent over SRD.", Unit: metric.Count, Value: 991827},
					{Name: "ena_srd_resource_utilization", Kind: metric.Gauge, Help: "Share of the card's SRD resources that is in use, in percent.", Unit: metric.Percent, Value: 4},
					{Name: "total_resets", Help: "Device resets.", Unit: metric.Count},
				},
			},
		},
		Self: []metric.SelfMetric{
			{Name: "enawatch_readings_total", Help: "Readings by verdict.", Labels: []metric.Dimension{{Name: "interface", Value: "ens5"}, {Name: "verdict", Value: "valid"}}, Value: 40210},
			{Name: "enawatch_readings_total", Help: "Readings by verdict.", Labels: []metric.Dimension{{Name: "interface", Value: "ens6"}, {Name: "verdict", Value: "suspect"}}, Value: 3},
			{Name: "enawatch_last_reading_timestamp_seconds", Help: "When the newest reading was taken.", Kind: metric.Gauge, Value: 1772600767.25},
		},
	}
}

// rawStats reads "name value" lines.
func rawStats(s string) []metric.RawStat {
	var stats []metric.RawStat
	for line := range strings.Lines(strings.TrimSpace(s)) {
		var r metric.RawStat
		if _, err := fmt.Sscan(line, &r.Name, &r.Value); err != nil {
			panic(err)
		}
		stats = append(stats, r)
	}
	return stats
}

var allNames = []string{"native", "node_exporter", "showmax"}

// options returns options that serve one snapshot, all well.
func options(s *metric.Snapshot, names ...string) Options {
	well := func() error { return nil }
	return Options{
		Listen:   "127.0.0.1:0",
		Names:    names,
		Snapshot: func() *metric.Snapshot { return s },
		Health:   well,
		Ready:    well,
		Version:  "1.2.3",
		Revision: "0123abc",
		Logger:   slog.New(slog.DiscardHandler),
	}
}

func mustNew(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
