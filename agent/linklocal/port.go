package linklocal

import "time"

// port turns the kernel's counts of one interface into what was sent between
// two ticks of the agent.
type port struct {
	index int
	// counts is the kernel's entry as it was read last.
	counts programsInterface

	started    bool
	next       uint64            // first tick that was not looked at
	recent     [peakTicks]uint32 // the last second's ticks, as a ring
	sum        uint32            // of recent
	settled    uint64            // first second of DNS that was not looked at
	before     programsInterface // counts, at the last advance
	unanswered uint64
	peaks      [peakSeconds]secondPeak
	use        Use
}

// secondPeak is the largest peak that was found in one second since boot.
type secondPeak struct{ at, peak uint64 }

const (
	peakSeconds = 60

	numTicks   = uint64(len(programsInterface{}.Ticks))
	numSeconds = uint64(len(programsInterface{}.Seconds))
)

// advance takes the counts into account that p.counts has since the last time.
// now is the time by the monotonic clock; the tick that is under way is left to
// the next advance.
func (p *port) advance(now time.Duration) {
	current := uint64(now / tick)
	second := uint64(now / time.Second)
	if !p.started {
		p.started = true
		p.next = current - min(current, numTicks/2)
		p.settled = second - min(second, answerSeconds)
	}
	v := &p.counts
	p.use = Use{
		Queries: v.Queries - p.before.Queries, Retries: v.Retries - p.before.Retries, Answers: v.Answers - p.before.Answers,
	}
	for s := range NumServices {
		p.use.Packets[s] = v.Packets[s] - p.before.Packets[s]
		p.use.Bytes[s] = v.Bytes[s] - p.before.Bytes[s]
	}
	p.before = *v

	if lost := current - min(current, numTicks-1); p.next < lost {
		p.next, p.recent, p.sum = lost, [peakTicks]uint32{}, 0 // a pause that was too long
	}
	for ; p.next < current; p.next++ {
		var n uint32
		if t := &v.Ticks[p.next%numTicks]; t.At == p.next {
			for _, k := range t.Packets {
				n += k
			}
		}
		slot := &p.recent[p.next%peakTicks]
		p.sum += n - *slot
		*slot = n
		p.use.Peak = max(p.use.Peak, uint64(p.sum))
	}
	last := &p.peaks[second%peakSeconds]
	if last.at != second {
		*last = secondPeak{at: second}
	}
	last.peak = max(last.peak, p.use.Peak)

	if lost := second - min(second, numSeconds-1); p.settled < lost {
		p.settled = lost
	}
	for ; p.settled+answerSeconds < second; p.settled++ {
		if s := &v.Seconds[p.settled%numSeconds]; s.At == p.settled && s.Queries > s.Answered {
			p.use.Unanswered += uint64(s.Queries - s.Answered)
		}
	}
	p.unanswered += p.use.Unanswered
}

// totals returns the counts since the interface is watched.
func (p *port) totals() Totals {
	v := &p.counts
	return Totals{
		Packets: v.Packets, Bytes: v.Bytes, Queries: v.Queries, Retries: v.Retries, Answers: v.Answers, Unmatched: v.Unmatched,
		Unanswered: p.unanswered, RCodes: v.Rcodes, Latencies: v.Latencies,
		LatencySum: time.Duration(v.LatencySum) * time.Microsecond, Peak: p.lastMinute(),
	}
}

// lastMinute is the largest peak of the last minute that was looked at.
func (p *port) lastMinute() (peak uint64) {
	newest := uint64(0)
	for _, s := range p.peaks {
		newest = max(newest, s.at)
	}
	for _, s := range p.peaks {
		if s.at+peakSeconds > newest {
			peak = max(peak, s.peak)
		}
	}
	return peak
}
