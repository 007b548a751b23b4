package agent

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/conntrack"
	"github.com/enawatch/enawatch/agent/metric"
)

// filling is a table of 1000 entries with ten more each second, which is looked
// at when it is asked to be.
type filling struct {
	entries   uint64
	available []uint64 // as it was told, by tick
	looks     int
	owners    *conntrack.Owners
}

func (f *filling) Tick(_ time.Duration, available uint64, known bool) {
	f.entries += 10
	if known {
		f.available = append(f.available, available)
	}
}

func (f *filling) State() (kernel, card conntrack.Use) {
	kernel = conntrack.Use{Known: true, Entries: f.entries, Max: 1000, Free: 1000 - f.entries, PerSecond: 10}
	if f.entries > 300 {
		card = conntrack.Use{Known: true, Full: time.Duration(1000-f.entries) * time.Second}
	}
	return kernel, card
}

func (f *filling) Look() {
	f.looks++
	f.owners = &conntrack.Owners{At: time.Now(), Others: 5, Seen: f.entries, Top: []conntrack.Owner{
		{Name: "shop/cart", Entries: 200, Unreplied: 3, Mostly: "tcp 10.0.3.9:5432", MostlyEntries: 190}, {Name: "10.0.1.3", Entries: 7},
	}}
}

func (f *filling) Owners() *conntrack.Owners { return f.owners }

// A window says how full the tables are and whose the connections are; a record
// has that, and what queues did, though nothing else reads queues here.
func TestConntrackInWindowsAndRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &filling{}
		h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0, initial: {conntrack_allowance_available: 9000}}
- {name: ens6, driver: 2.17.0, initial: {conntrack_allowance_available: 8000}}
steps:
- {at: 13.5s, device: ens5, add: {"queue_*_tx_cnt": 40, "queue_*_rx_page_alloc_fail": 1}}
- {at: 14.5s, device: ens6, add: {conntrack_allowance_exceeded: 12}}
- {at: 14.6s, device: ens6, set: {conntrack_allowance_available: 0}}
`), func(o *Options) { o.Conntrack, o.TopOwners = table, 1 })
		h.run(t, 40500*time.Millisecond)

		var records []metric.Record
		var used, full []float64
		owners := 0
		for n, b := range h.out.batches {
			records = append(records, b.Records...)
			for _, s := range b.Series {
				if strings.HasPrefix(s.Name, "queue_") {
					t.Errorf("%s is published, and nobody asked for it", s.Name)
				}
				switch s.Name {
				case "conntrack_table_used":
					used = append(used, s.Max())
				case "conntrack_exhaustion_seconds":
					full = append(full, s.Max())
				}
			}
			if len(b.ConntrackOwners) > 0 {
				owners++
				if diff := cmp.Diff([]metric.ConntrackOwner{{Owner: "shop/cart", Entries: 200, Unreplied: 3, Mostly: "tcp 10.0.3.9:5432", MostlyEntries: 190}}, b.ConntrackOwners); diff != "" || b.ConntrackOthers != 12 || n != 1 {
					t.Errorf("owners of window %d, and %d others (-want +got)\n%s", n, b.ConntrackOthers, diff)
				}
			}
		}
		if table.looks != 1 || owners != 1 {
			t.Errorf("looked %d times, owners in %d windows, want once", table.looks, owners)
		}
		if diff := cmp.Diff([]float64{10, 20, 30, 40, 41}, used); diff != "" {
			t.Errorf("percent used (-want +got)\n%s", diff)
		}
		if diff := cmp.Diff([]float64{600, 590}, full); diff != "" {
			t.Errorf("seconds left (-want +got)\n%s", diff)
		}
		if a := table.available; len(a) != 41 || a[0] != 8000 || a[40] != 0 {
			t.Errorf("the card's gauge was told as %v, want the smallest of both interfaces each second", a)
		}
		if len(records) != 1 {
			t.Fatalf("%d records, want 1", len(records))
		}
		r := records[0]
		before := r.Seconds[beforeTicks-1]
		if diff := cmp.Diff([]metric.RecordInterface{{Interface: "ens5", Queues: map[string]uint64{"tx_cnt": 80, "rx_page_alloc_fail": 2}}}, before.Interfaces); diff != "" {
			t.Errorf("the second before (-want +got)\n%s", diff)
		}
		if before.ConntrackEntries == nil || *before.ConntrackEntries != 140 || *before.ConntrackAvailable != 8000 || *r.Seconds[beforeTicks].ConntrackAvailable != 0 {
			t.Errorf("tracked connections by second: %+v", before)
		}
		if c := r.Conntrack; c == nil || c.Entries != 250 || c.Max != 1000 || c.PerSecond != 10 || c.LookedAt == nil || len(c.Owners) != 2 || c.Others != 5 || c.Seen != 150 {
			t.Errorf("tracked connections of the record: %+v", c)
		}
		if want := "conntrack exceeded by 12 packets; shop/cart has 200 tracked connections; 10.0.1.3 has 7 tracked connections"; r.String() != want {
			t.Errorf("in one line %q, want %q", r, want)
		}
	})
}
