package agent

import (
	"time"

	"github.com/enawatch/enawatch/agent/conntrack"
	"github.com/enawatch/enawatch/agent/metric"
)

// Conntrack watches the tables of tracked connections, as a conntrack.Watch does.
// Its methods must not block.
type Conntrack interface {
	// Tick reads how full the kernel's table is. available is what the card can
	// still track, if known.
	Tick(now time.Duration, available uint64, known bool)
	// State is how full the kernel's table and the card's are.
	State() (kernel, card conntrack.Use)
	// Look has the owners looked up soon, and Owners is what was found last, or nil.
	Look()
	Owners() *conntrack.Owners
}

// tickConntrack puts how full the tables are into this second. The caller holds
// the lock.
func (a *Agent) tickConntrack() {
	if a.Conntrack == nil {
		return
	}
	available, known := a.available()
	a.Conntrack.Tick(a.Clock.Mono(), available, known)
	kernel, card := a.Conntrack.State()
	if kernel.Known {
		a.window.TableUsed(kernel.Percent())
	}
	for _, u := range []conntrack.Use{kernel, card} {
		if u.Full > 0 {
			a.window.TableFull(u.Full)
		}
	}
}

// available is what the card can still track: the smallest of what its interfaces
// said since the last tick. The caller holds the lock.
func (a *Agent) available() (least uint64, known bool) {
	for _, i := range a.interfaces {
		if i.tracks && (!known || i.available < least) {
			least, known = i.available, true
		}
	}
	return least, known
}

// addOwners names in a window who has most tracked connections, if that was
// looked at since the last one. The caller holds the lock.
func (a *Agent) addOwners(b *metric.Batch) {
	if a.Conntrack == nil || a.TopOwners == 0 {
		return
	}
	if o := a.Conntrack.Owners(); o != nil && o.At.After(a.ownersAt) {
		a.ownersAt = o.At
		b.ConntrackOwners, b.ConntrackOthers = owners(o, a.TopOwners)
	}
}

// owners are owners in the currency of sinks, the first n, and the entries of all
// others.
func owners(o *conntrack.Owners, n int) (all []metric.ConntrackOwner, others uint64) {
	others = o.Others
	for i, w := range o.Top {
		if i >= n {
			others += w.Entries
			continue
		}
		all = append(all, metric.ConntrackOwner{
			Owner: w.Name, Entries: w.Entries, Unreplied: w.Unreplied, Mostly: w.Mostly, MostlyEntries: w.MostlyEntries,
		})
	}
	return all, others
}

// conntrack is what a snapshot says. The caller holds the lock.
func (a *Agent) conntrack() *metric.Conntrack {
	if a.Conntrack == nil {
		return nil
	}
	table := func(u conntrack.Use) metric.ConntrackTable {
		return metric.ConntrackTable{
			Known: u.Known, Entries: u.Entries, Max: u.Max, Free: u.Free, PerSecond: u.PerSecond, Full: u.Full, Near: u.Near,
		}
	}
	kernel, card := a.Conntrack.State()
	c := &metric.Conntrack{Kernel: table(kernel), Card: table(card)}
	if o := a.Conntrack.Owners(); o != nil {
		c.LookedAt = o.At
		c.Owners, c.Others = owners(o, max(1, a.TopOwners))
	}
	return c
}

// ConntrackSelf lists for /metrics what is known of tracked connections: a bounded
// number of series, whoever has them.
func ConntrackSelf(c *metric.Conntrack) (list []metric.SelfMetric) {
	gauge := func(name, help string, value float64, labels ...metric.Dimension) {
		list = append(list, metric.SelfMetric{Name: "enawatch_conntrack_" + name, Help: help, Kind: metric.Gauge, Labels: labels, Value: value})
	}
	if k := c.Kernel; k.Known {
		gauge("entries", "Connections that the kernel tracks.", float64(k.Entries))
		gauge("entries_limit", "Most connections that the kernel tracks (nf_conntrack_max).", float64(k.Max))
	}
	for _, t := range []struct {
		name string
		metric.ConntrackTable
	}{{"kernel", c.Kernel}, {"card", c.Card}} {
		if !t.Known {
			continue
		}
		label := metric.Dimension{Name: "table", Value: t.name}
		gauge("growth_per_second", "How many more connections are tracked each second, over the last 60 readings.", t.PerSecond, label)
		near := 0.0
		if t.Near {
			near = 1
		}
		gauge("near_exhaustion", "1 while it is warned that the table is about to be full.", near, label)
		if t.Full > 0 {
			gauge("exhaustion_seconds", "In what time the table is full at its present growth; missing unless that is in sight.", t.Full.Seconds(), label)
		}
	}
	if len(c.Owners) > 0 {
		const help = "Tracked connections of those who had most, and of all others, when the kernel's table was looked at last."
		for _, o := range c.Owners {
			gauge("owner_entries", help, float64(o.Entries), metric.Dimension{Name: "owner", Value: o.Owner})
		}
		gauge("owner_entries", help, float64(c.Others), metric.Dimension{Name: "owner", Value: "others"})
		gauge("owners_timestamp_seconds", "When that was, in seconds since 1970.", float64(c.LookedAt.Unix()))
	}
	return list
}
