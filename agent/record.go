package agent

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/linklocal"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/store"
)

const (
	// beforeTicks and afterTicks are how many readings a record has around the
	// one in which an allowance was exceeded.
	beforeTicks, afterTicks = 10, 10
	recordTicks             = beforeTicks + 1 + afterTicks
	// recordInterfaces and recordSenders bound one reading and one record.
	recordInterfaces, recordSenders = 8, 10
	// recordPause is how many readings after a record no other one begins, so
	// that a host that is throttled all day writes two a minute.
	recordPause = 10
	// keptRecords are in snapshots, and windowRecords in a window.
	keptRecords, windowRecords = 16, 2

	numAllowances = int(ena.LinklocalAllowanceExceeded) + 1
)

// excess counts what allowances were exceeded by, by Stat.
type excess [numAllowances]uint64

func (e *excess) any() bool { return *e != excess{} }

// recorder keeps the newest readings, without an allocation, and makes records
// of those around each in which an allowance was exceeded.
type recorder struct {
	ring    [recordTicks]recorded
	ticks   int // so far
	open    int // readings until the open record is whole; 0 if none is open
	pause   int // readings until one may be opened
	at      time.Time
	kept    []metric.Record // oldest first
	window  []metric.Record // those of the open window
	retrans uint64          // as the kernel counted at the last reading
	started bool
}

// recorded is one reading.
type recorded struct {
	at          time.Time
	retransmits uint64
	entries     uint64 // of the kernel's table of tracked connections
	tracked     bool   // and if that is known
	available   uint64 // what the card can still track
	tracks      bool
	interfaces  [recordInterfaces]struct {
		name     string
		exceeded excess
		use      linklocal.Use
		queues   [len(recordQueues)]uint64
	}
	n int
}

// recordQueues are the stats of queues that are read for records, whatever
// queue_stats asks for: how much traffic there was, and what rings and memory did
// to it.
var recordQueues = [...]ena.Stat{
	queue("tx_cnt"), queue("tx_bytes"), queue("rx_cnt"), queue("rx_bytes"),
	queue("tx_queue_stop"), queue("tx_missed_tx"), queue("tx_linearize_failed"), queue("tx_dma_mapping_err"), queue("tx_prepare_ctx_err"),
	queue("rx_refil_partial"), queue("rx_empty_rx_ring"), queue("rx_page_alloc_fail"), queue("rx_skb_alloc_fail"), queue("rx_bad_desc_num"),
}

func queue(name string) ena.Stat {
	s, ok := ena.Lookup("queue_0_" + name)
	if !ok {
		panic("no stat of queues is called " + name)
	}
	return s
}

// readQueue reports whether a stat of queues is read.
func (a *Agent) readQueue(s ena.Stat) bool {
	return a.Queues(s) || (a.LinkLocal != nil || a.Conntrack != nil) && slices.Contains(recordQueues[:], s)
}

// noteForRecord keeps what a record needs of a reading, and takes out of it what
// nothing else asked for. The caller holds the lock.
func (a *Agent) noteForRecord(i *iface, r *delta.Result) {
	for s := range ena.Stat(numAllowances) {
		if r.Counted.Has(s) {
			i.exceeded[s] += r.Values[s]
		}
	}
	if r.Counted.Has(ena.ConntrackAllowanceAvailable) {
		i.available, i.tracks = r.Values[ena.ConntrackAllowanceAvailable], true
	}
	for n, s := range recordQueues {
		if r.Counted.Has(s) {
			i.queues[n] += r.Values[s]
			if !a.Queues(s) {
				r.Counted.Remove(s)
			}
		}
	}
}

// byHurt lists interfaces anew, those first that exceeded an allowance: a record has
// room for some.
func byHurt(interfaces []*iface) []*iface {
	list := make([]*iface, 0, len(interfaces))
	for _, hurt := range []bool{true, false} {
		for _, i := range interfaces {
			if i.exceeded.any() == hurt {
				list = append(list, i)
			}
		}
	}
	return list
}

// record takes a tick into account, whose counts are in. last ends an open
// record before its time. The caller holds the lock.
func (a *Agent) record(last bool) {
	r := &a.recorder
	s := &r.ring[r.ticks%recordTicks]
	*s = recorded{at: a.loop.tick.At}
	r.ticks++
	if a.LinkLocal != nil {
		n := a.LinkLocal.Retransmits()
		if r.started {
			s.retransmits = n - r.retrans
		}
		r.retrans, r.started = n, true
	}
	if a.Conntrack != nil {
		kernel, _ := a.Conntrack.State()
		s.entries, s.tracked = kernel.Entries, kernel.Known
	}
	s.available, s.tracks = a.available()
	hurt := slices.ContainsFunc(a.interfaces, func(i *iface) bool { return i.exceeded.any() })
	interfaces := a.interfaces
	if hurt && len(interfaces) > recordInterfaces {
		interfaces = byHurt(interfaces)
	}
	for _, i := range interfaces {
		var use linklocal.Use
		if a.LinkLocal != nil {
			use, _ = a.LinkLocal.Use(i.index)
		}
		if s.n < recordInterfaces && (i.exceeded.any() || use.Total() > 0 || use.Unanswered > 0 || i.queues != [len(recordQueues)]uint64{}) {
			at := &s.interfaces[s.n]
			at.name, at.exceeded, at.use, at.queues = i.name(), i.exceeded, use, i.queues
			s.n++
		}
		i.exceeded, i.queues, i.tracks = excess{}, [len(recordQueues)]uint64{}, false
	}
	r.pause = max(0, r.pause-1)
	switch {
	case r.open > 0:
		if r.open--; r.open == 0 || last {
			a.closeRecord()
		}
	case hurt && r.pause == 0:
		r.open, r.at = afterTicks, s.at
		if a.Conntrack != nil {
			a.Conntrack.Look() // the record waits for what comes after anyway
		}
		if last {
			a.closeRecord()
		}
	}
}

// closeRecord makes a record of the newest readings, logs it and puts it into
// the window.
func (a *Agent) closeRecord() {
	r := &a.recorder
	r.open, r.pause = 0, recordPause
	m := metric.Record{At: r.at, Exceeded: map[string]uint64{}}
	n := min(r.ticks, recordTicks)
	for k := range n {
		s := &r.ring[(r.ticks-n+k)%recordTicks]
		second := metric.RecordSecond{At: s.at, Retransmits: s.retransmits}
		if entries := s.entries; s.tracked {
			second.ConntrackEntries = &entries
		}
		if available := s.available; s.tracks {
			second.ConntrackAvailable = &available
		}
		for _, i := range s.interfaces[:s.n] {
			at := metric.RecordInterface{
				Interface: i.name, PeakPPS: i.use.Peak, Unanswered: i.use.Unanswered, DNSRetries: i.use.Retries,
				DNSQueries: i.use.Queries, DNSAnswered: i.use.Answers,
			}
			for stat, v := range i.exceeded {
				if v > 0 {
					add(&at.Exceeded, ena.Stat(stat).String(), v)
					m.Exceeded[ena.Stat(stat).String()] += v
				}
			}
			for service, v := range i.use.Packets {
				if v > 0 {
					add(&at.Packets, linklocal.Service(service).String(), v)
				}
			}
			for stat, v := range i.queues {
				if v > 0 {
					add(&at.Queues, strings.TrimPrefix(recordQueues[stat].String(), "queue_"), v)
				}
			}
			second.Interfaces = append(second.Interfaces, at)
		}
		m.Seconds = append(m.Seconds, second)
	}
	a.recordSenders(&m, n)
	m.Conntrack = a.recordConntrack()
	if len(r.kept) == keptRecords {
		r.kept = append(r.kept[:0:0], r.kept[1:]...)
	}
	r.kept = append(r.kept, m)
	if len(r.window) < windowRecords {
		r.window = append(r.window, m)
	}
	a.Log.Warn("an allowance was exceeded: what was known in the seconds around it", "record", m)
}

// flights are the records of a window as the ring of the state file keeps them.
func flights(records []metric.Record) (all []store.Record) {
	for _, r := range records {
		if text, err := json.Marshal(r); err == nil {
			all = append(all, store.Record{Kind: store.Flights, At: r.At, Data: text})
		}
	}
	return all
}

// recordSenders puts into a record who sent link-local in the newest ticks. The
// caller holds the lock.
func (a *Agent) recordSenders(m *metric.Record, ticks int) {
	if a.LinkLocal == nil {
		return
	}
	top, others, _ := a.LinkLocal.Top(recordSenders, ticks)
	for _, s := range senders(top, a.Sample) {
		m.Senders = append(m.Senders, metric.RecordSender{Sender: s.Name, Packets: s.Packets, PeakPPS: s.PeakPPS})
	}
	m.OtherSenders = others.Total()
	for _, q := range a.LinkLocal.Names(recordSenders) {
		m.Names = append(m.Names, metric.RecordName{Name: q.Name, Queries: q.Queries})
	}
}

// recordConntrack is what a record says of tracked connections. The caller holds
// the lock.
func (a *Agent) recordConntrack() *metric.RecordConntrack {
	if a.Conntrack == nil {
		return nil
	}
	kernel, _ := a.Conntrack.State()
	c := &metric.RecordConntrack{Entries: kernel.Entries, Max: kernel.Max, PerSecond: kernel.PerSecond}
	if o := a.Conntrack.Owners(); o != nil {
		c.LookedAt, c.Seen = &o.At, o.Seen
		c.Owners, c.Others = owners(o, recordSenders)
	}
	return c
}

func add(m *map[string]uint64, name string, n uint64) {
	if *m == nil {
		*m = map[string]uint64{}
	}
	(*m)[name] += n
}
