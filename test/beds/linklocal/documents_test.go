//go:build beds

package linklocal

import (
	gocmp "cmp"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

// check holds them against what the card's namespace counted and what left the
// interface.
func (d *documents) check(t *testing.T, w *wire, begin int64, counted map[string]uint64) {
	t.Helper()
	if d.exceeded != counted["dropped"] {
		t.Errorf("linklocal_allowance_exceeded came to %d, dropped were %d", d.exceeded, counted["dropped"])
	}
	var peak bounds
	for k := range int64(allSeconds + 2) {
		p := w.peak(time.Unix(begin+k, 0))
		peak.least, peak.most = max(peak.least, p.least), max(peak.most, p.most)
	}
	if !peak.hold(uint64(d.peak)) || peak.least < 1650 {
		t.Errorf("peak %.0f a second, on the wire were %v", d.peak, peak)
	}
	if want := d.peak * 100 / ena.LinkLocalBudget; d.used != want {
		t.Errorf("%.3f percent of the budget, want %.3f", d.used, want)
	}
	sent := senderPackets(w)
	// One that is new in the last second of a window is a process in it.
	all := d.others
	for name, n := range d.senders {
		all += n
		if want, ok := sent[name]; !ok || n > want && !strings.HasPrefix(name, "process ") {
			t.Errorf("%s sent %d packets, want %d at most; all: %v", name, n, want, d.senders)
		}
	}
	if all != counted["arrived"] || len(d.senders) != len(sent) {
		t.Errorf("senders come to %d packets, the card counted %d; all: %v", all, counted["arrived"], d.senders)
	}
	if len(d.records) != 1 {
		t.Fatalf("%d records, want 1", len(d.records))
	}
	checkRecord(t, &d.records[0], counted, sent)
	checkSeconds(t, &d.records[0], w, begin)
}

// senderPackets are the packets of each sender.
func senderPackets(w *wire) map[string]uint64 {
	all := map[string]uint64{
		"kube-system/coredns-5d78/coredns": 3 * 1500, "pod " + otherUID: 2*900 + 3*100, "chronyd.service": 2 * 200,
		"process dnsperf": w.perf,
	}
	rest := uint64(len(w.sent))
	for _, n := range all {
		rest -= n
	}
	all["process exe"] = rest
	return all
}

// checkSeconds: each second has the packets that left in it, and the peak that
// they make. A sender or the agent that is late on a busy machine leaves some of
// them in doubt, but not most.
func checkSeconds(t *testing.T, r *metric.Record, w *wire, begin int64) {
	t.Helper()
	seen, exact := int64(0), 0
	for _, s := range r.Seconds {
		var got, peak uint64
		for _, i := range s.Interfaces {
			got, peak = got+i.Packets["dns"], max(peak, i.PeakPPS)
		}
		k, want, wantPeak := s.At.Unix()-1-begin, w.second(s.At), w.peak(s.At)
		if !want.hold(got) || !wantPeak.hold(peak) {
			t.Errorf("second %d: %d packets, peak %d; on the wire %v, peak %v", k, got, peak, want, wantPeak)
		}
		if k == seen {
			seen++
			t.Logf("second %2d: %4d packets, peak %4d; on the wire %v, peak %v", k, got, peak, want, wantPeak)
			if k < ownSeconds && want.exact() && wantPeak.exact() {
				exact++
			}
		}
	}
	if seen < allSeconds || exact < ownSeconds*2/3 {
		t.Errorf("the record has %d of %d seconds, of the first %d %d are beyond doubt", seen, allSeconds, ownSeconds, exact)
	}
}

// checkRecord: the record says why, to the packet.
func checkRecord(t *testing.T, r *metric.Record, counted, sent map[string]uint64) {
	t.Helper()
	var packets, exceeded, queued, asked, tracked uint64
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
			asked += i.DNSQueries
		}
	}
	if r.Exceeded["linklocal_allowance_exceeded"] != exceeded || exceeded != counted["dropped"] {
		t.Errorf("%d exceeded by second, %v in all; dropped were %d", exceeded, r.Exceeded, counted["dropped"])
	}
	if packets != counted["arrived"] || asked != queries {
		t.Errorf("%d packets and %d queries by second, the card counted %d, of which %d are queries by UDP", packets, asked, counted["arrived"], queries)
	}
	if n := uint64(len(r.Seconds)); queued < 150*n || queued > 250*n {
		t.Errorf("queues sent %d packets in %d seconds, want about 200 a second", queued, n)
	}
	var rank []string
	got := map[string]uint64{}
	for _, s := range r.Senders {
		rank = append(rank, s.Sender)
		got[s.Sender] = s.Packets
	}
	if diff := cmp.Diff(sent, got); diff != "" || r.OtherSenders != 0 {
		t.Errorf("%d of others; senders (-want +got)\n%s", r.OtherSenders, diff)
	}
	byPackets := slices.SortedFunc(maps.Keys(sent), func(a, b string) int { return gocmp.Compare(sent[b], sent[a]) })
	if diff := cmp.Diff(byPackets, rank); diff != "" || r.Senders[0].PeakPPS != 1500 {
		t.Errorf("the first of them sent %d in its fullest second, want 1500; the order (-want +got)\n%s", r.Senders[0].PeakPPS, diff)
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
