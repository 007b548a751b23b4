//go:build beds

package linklocal

import (
	"strings"
	"testing"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// document is what counts of an EMF document here.
type document struct {
	Exceeded float64 `json:"linklocal_allowance_exceeded_sum"`
	Peak     float64 `json:"linklocal_pps_peak_max"`
	Used     float64 `json:"linklocal_budget_used"`
	Senders  []struct {
		Sender  string
		Packets uint64
	} `json:"linklocal_senders"`
	Others  uint64          `json:"linklocal_others"`
	Records []metric.Record `json:"allowance_records"`
}

// documents is what all of them say.
type documents struct {
	exceeded, others uint64
	peak, used       float64
	senders          map[string]uint64
	records          []metric.Record
}

func (d *documents) add(one *document) {
	d.exceeded += uint64(one.Exceeded)
	d.others += one.Others
	d.peak, d.used = max(d.peak, one.Peak), max(d.used, one.Used)
	for _, s := range one.Senders {
		d.senders[s.Sender] += s.Packets
	}
	d.records = append(d.records, one.Records...)
}

// sent are the packets of the senders in cgroups of their own.
var sent = map[string]uint64{"kube-system/coredns-5d78/coredns": 4500, "pod " + otherUID: 2100, "chronyd.service": 400}

// check holds them against what the card's namespace counted and the senders'
// fullest second.
func (d *documents) check(t *testing.T, counted map[string]uint64, peak int) {
	t.Helper()
	if d.exceeded != counted["dropped"] {
		t.Errorf("linklocal_allowance_exceeded came to %d, dropped were %d", d.exceeded, counted["dropped"])
	}
	// A sender that is put aside between the look at its clock and the packet moves
	// that packet to another tenth of a second.
	if d.peak < float64(peak)*0.95 || d.peak > float64(peak)*1.05 {
		t.Errorf("peak %.0f a second, sent were %d", d.peak, peak)
	}
	if want := d.peak * 100 / ena.LinkLocalBudget; d.used != want {
		t.Errorf("%.3f percent of the budget, want %.3f", d.used, want)
	}
	// One that is new in the last second of a window is a process in it.
	all := d.others
	for name, n := range d.senders {
		all += n
		if want, ok := sent[name]; ok && n > want || !ok && !strings.HasPrefix(name, "process ") {
			t.Errorf("%s sent %d packets, want %d at most; all: %v", name, n, want, d.senders)
		}
	}
	if all != counted["arrived"] || len(d.senders) != len(sent)+1 {
		t.Errorf("senders come to %d packets, the card counted %d; all: %v", all, counted["arrived"], d.senders)
	}
	if len(d.records) != 1 {
		t.Fatalf("%d records, want 1", len(d.records))
	}
	checkRecord(t, &d.records[0], counted)
}

// checkRecord: the record says why, to the packet.
func checkRecord(t *testing.T, r *metric.Record, counted map[string]uint64) {
	t.Helper()
	var packets, exceeded, queued, queries, tracked uint64
	for _, s := range r.Seconds {
		if s.ConntrackEntries != nil {
			tracked = max(tracked, *s.ConntrackEntries)
		}
		if s.ConntrackAvailable == nil || *s.ConntrackAvailable != 50000 {
			t.Errorf("%s: the card can track %v, want 50000", s.At, s.ConntrackAvailable)
		}
		for _, i := range s.Interfaces {
			packets += i.Packets["dns"]
			exceeded += i.Exceeded["linklocal_allowance_exceeded"]
			queued += i.Queues["tx_cnt"]
			queries += i.DNSQueries
		}
	}
	whole := len(r.Seconds) < 21 // the agent's whole life is in it
	if len(r.Seconds) < 12 || len(r.Seconds) > 21 || r.Exceeded["linklocal_allowance_exceeded"] != exceeded || exceeded != counted["dropped"] {
		t.Errorf("%d seconds, %d exceeded by second, %v in all; dropped were %d", len(r.Seconds), exceeded, r.Exceeded, counted["dropped"])
	}
	if packets < 4950 || packets > counted["arrived"] || queries < 4950 || whole && (packets != counted["arrived"] || queries != 7150) {
		t.Errorf("%d packets and %d queries by second, the card counted %d, of which 7150 are queries by UDP", packets, queries, counted["arrived"])
	}
	if n := uint64(len(r.Seconds)); queued < 150*n || queued > 250*n {
		t.Errorf("queues sent %d packets in %d seconds, want about 200 a second", queued, n)
	}
	if len(r.Senders) < 3 || r.Senders[0].Sender != "kube-system/coredns-5d78/coredns" || r.Senders[0].Packets != 4500 || r.Senders[0].PeakPPS < 1200 {
		t.Errorf("senders %+v, want CoreDNS first, with 4500", r.Senders)
	}
	for _, s := range r.Senders {
		want, ok := sent[s.Sender]
		if !ok { // plain processes
			want = counted["arrived"] - 7000
		}
		if whole && s.Packets != want {
			t.Errorf("%s sent %d, want %d", s.Sender, s.Packets, want)
		}
	}
	if len(r.Names) == 0 || r.Names[0].Name != "api.example.com." {
		t.Errorf("names %+v, want api.example.com. first", r.Names)
	}
	c := r.Conntrack
	if c == nil || c.Max == 0 || tracked == 0 || len(c.Owners) == 0 || !strings.HasPrefix(c.Owners[0].Owner, "this host to ") {
		t.Errorf("tracked connections %+v, at most %d, want this host's own", c, tracked)
	}
	t.Logf("the record in one line: %s", r)
}
