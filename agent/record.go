package agent

import (
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/linklocal"
	"github.com/enawatch/enawatch/agent/metric"
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
	interfaces  [recordInterfaces]struct {
		name     string
		exceeded excess
		use      linklocal.Use
	}
	n int
}

// record takes a tick into account, whose counts are in. last ends an open
// record before its time. The caller holds the lock.
func (a *Agent) record(last bool) {
	r := &a.recorder
	s := &r.ring[r.ticks%recordTicks]
	*s = recorded{at: a.loop.tick.At}
	r.ticks++
	if n := a.LinkLocal.Retransmits(); r.started {
		s.retransmits, r.retrans = n-r.retrans, n
	} else {
		r.retrans, r.started = n, true
	}
	hurt := false
	for _, i := range a.interfaces {
		use, _ := a.LinkLocal.Use(i.index)
		hurt = hurt || i.exceeded.any()
		if s.n < recordInterfaces && (i.exceeded.any() || use.Total() > 0 || use.Unanswered > 0) {
			at := &s.interfaces[s.n]
			at.name, at.exceeded, at.use = i.name(), i.exceeded, use
			s.n++
		}
		i.exceeded = excess{}
	}
	r.pause = max(0, r.pause-1)
	switch {
	case r.open > 0:
		if r.open--; r.open == 0 || last {
			a.closeRecord()
		}
	case hurt && r.pause == 0:
		r.open, r.at = afterTicks, s.at
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
			second.Interfaces = append(second.Interfaces, at)
		}
		m.Seconds = append(m.Seconds, second)
	}
	top, others, _ := a.LinkLocal.Top(recordSenders, n)
	for _, s := range senders(top, a.Sample) {
		m.Senders = append(m.Senders, metric.RecordSender{Sender: s.Name, Packets: s.Packets, PeakPPS: s.PeakPPS})
	}
	m.OtherSenders = others.Total()
	for _, q := range a.LinkLocal.Names(recordSenders) {
		m.Names = append(m.Names, metric.RecordName{Name: q.Name, Queries: q.Queries})
	}
	if len(r.kept) == keptRecords {
		r.kept = append(r.kept[:0:0], r.kept[1:]...)
	}
	r.kept = append(r.kept, m)
	if len(r.window) < windowRecords {
		r.window = append(r.window, m)
	}
	a.Log.Warn("an allowance was exceeded: what was known in the seconds around it", "record", m)
}

func add(m *map[string]uint64, name string, n uint64) {
	if *m == nil {
		*m = map[string]uint64{}
	}
	(*m)[name] += n
}
