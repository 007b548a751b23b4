package agent

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/linklocal"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/store"
)

// burstAt counts link-local traffic of every interface: 10 packets a second of
// DNS, and 1500 in one second.
type burstAt struct {
	tick, burst int
	watched     map[int]string
}

func (b *burstAt) Watch(index int, name string) { b.watched[index] = name }
func (b *burstAt) Unwatch(index int)            { delete(b.watched, index) }
func (b *burstAt) Tick()                        { b.tick++ }

func (b *burstAt) Use(index int) (u linklocal.Use, ok bool) {
	u.Peak = 10
	if b.tick == b.burst {
		u.Peak, u.Unanswered = 1500, 476
	}
	u.Packets[linklocal.DNS], u.Queries = u.Peak, u.Peak
	return u, b.watched[index] != ""
}

func (b *burstAt) Totals(index int) (t linklocal.Totals, ok bool) {
	t.Packets[linklocal.DNS], t.Peak = 1500, 1500
	return t, b.watched[index] != ""
}

func (b *burstAt) Top(n, ticks int) (top []linklocal.Sender, others linklocal.Sender, ok bool) {
	s := linklocal.Sender{Name: linklocal.Name{Namespace: "kube-system", Pod: "coredns-0", Container: "coredns"}, Peak: 1436}
	s.Packets[linklocal.DNS] = uint64(1400 + ticks)
	others.Packets[linklocal.NTP] = 3
	return []linklocal.Sender{s}, others, true
}

func (b *burstAt) Names(int) []linklocal.QueryCount {
	return []linklocal.QueryCount{{Name: "#01", Queries: 1400}}
}
func (b *burstAt) Retransmits() uint64 { return uint64(100 + b.tick) }

// keeping is a store that keeps the records.
type keeping struct {
	Memory
	records []store.Record
}

func (k *keeping) Commit(_ []delta.Baseline, _ *metric.Batch, records []store.Record) error {
	k.records = append(k.records, records...)
	return nil
}

// One record tells of the seconds around an exceeded allowance, once.
func TestRecordOfAnExceededAllowance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traffic, kept := &burstAt{burst: 15, watched: map[int]string{}}, &keeping{}
		h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0}
steps:
- {at: 14.5s, add: {linklocal_allowance_exceeded: 476}}
- {at: 16.5s, add: {bw_in_allowance_exceeded: 9}}
`), func(o *Options) { o.LinkLocal, o.TopSenders, o.Store = traffic, 5, kept })
		var snapshot *metric.Snapshot
		time.AfterFunc(38500*time.Millisecond, func() { snapshot = h.agent.Snapshot() })
		h.run(t, 40500*time.Millisecond)

		var records []metric.Record
		var peaks, used, unanswered []float64
		for _, b := range h.out.batches {
			records = append(records, b.Records...)
			for _, s := range b.Series {
				switch s.Name {
				case "linklocal_pps_peak":
					peaks = append(peaks, s.Max())
				case "linklocal_budget_used":
					used = append(used, s.Max())
				case "dns_queries_unanswered":
					unanswered = append(unanswered, s.Sum())
				}
			}
			if len(b.Senders) != 1 || b.Senders[0].Name != "kube-system/coredns-0/coredns" || b.OtherSenders != 3 {
				t.Errorf("senders %+v and %d others", b.Senders, b.OtherSenders)
			}
		}
		if len(records) != 1 {
			t.Fatalf("%d records, want 1", len(records))
		}
		r := records[0]
		var stored metric.Record
		for _, k := range kept.records {
			if k.Kind != store.Flights {
				continue
			}
			if err := json.Unmarshal(k.Data, &stored); err != nil || !k.At.Equal(r.At) {
				t.Errorf("the state file's record of %s: %v", k.At, err)
			}
		}
		if diff := cmp.Diff(r, stored); diff != "" {
			t.Errorf("the state file's record (-want +got)\n%s", diff)
		}
		if diff := cmp.Diff(map[string]uint64{"linklocal_allowance_exceeded": 476, "bw_in_allowance_exceeded": 9}, r.Exceeded); diff != "" {
			t.Errorf("exceeded (-want +got)\n%s", diff)
		}
		if len(r.Seconds) != recordTicks || !r.Seconds[beforeTicks].At.Equal(r.At) {
			t.Fatalf("%d seconds, want %d with %s in the middle", len(r.Seconds), recordTicks, r.At)
		}
		if diff := cmp.Diff(metric.RecordSecond{At: r.At, Retransmits: 1, ConntrackAvailable: new(uint64), Interfaces: []metric.RecordInterface{{
			Interface: "ens5", Exceeded: map[string]uint64{"linklocal_allowance_exceeded": 476},
			Packets: map[string]uint64{"dns": 1500}, PeakPPS: 1500, Unanswered: 476, DNSQueries: 1500,
		}}}, r.Seconds[beforeTicks]); diff != "" {
			t.Errorf("the second itself (-want +got)\n%s", diff)
		}
		if diff := cmp.Diff([]metric.RecordSender{{Sender: "kube-system/coredns-0/coredns", Packets: 1400 + recordTicks, PeakPPS: 1436}}, r.Senders); diff != "" {
			t.Errorf("senders (-want +got)\n%s", diff)
		}
		if want := "bw_in exceeded by 9 packets; linklocal exceeded by 476 packets; kube-system/coredns-0/coredns sent 1421 link-local"; r.String() != want {
			t.Errorf("in one line %q, want %q", r, want)
		}
		if got := fmt.Sprint(peaks[:3], used[:2], unanswered); got != "[10 1500 10] [0.9765625 146.484375] [476 0]" {
			t.Errorf("series %s", got)
		}
		l := snapshot.LinkLocal
		if l == nil || len(l.Interfaces) != 1 || l.Interfaces[0].PeakPPS != 1500 || !l.SendersKnown || len(snapshot.Records) != 1 {
			t.Errorf("snapshot %+v", l)
		}
		if len(traffic.watched) != 1 {
			t.Errorf("watched %v", traffic.watched)
		}
	})
}
