package linklocal

import (
	"testing"
	"time"
)

// kernel counts as the programs do.
type kernel struct{ v programsInterface }

func (k *kernel) send(at time.Duration, n uint32) {
	t := &k.v.Ticks[uint64(at/tick)%numTicks]
	if t.At != uint64(at/tick) {
		t.At, t.Packets = uint64(at/tick), [NumServices]uint32{}
	}
	t.Packets[DNS] += n
	k.v.Packets[DNS] += uint64(n)
}

func (k *kernel) ask(at time.Duration, queries, answered uint32) {
	s := &k.v.Seconds[uint64(at/time.Second)%numSeconds]
	s.At, s.Queries, s.Answered = uint64(at/time.Second), queries, answered
	k.v.Queries += uint64(queries)
}

// A burst across the turn of a second, and of a reading, is one burst.
func TestPeakWhereverTheSecondBegins(t *testing.T) {
	var k kernel
	var p port
	const start = 1000 * time.Second
	p.advance(start)
	k.send(start+700*time.Millisecond, 600)
	k.send(start+1100*time.Millisecond, 600)
	k.send(start+1750*time.Millisecond, 300) // a second after the first: out of its second
	var peaks []uint64
	for s := range 4 {
		p.counts = k.v
		p.advance(start + time.Duration(s+1)*time.Second)
		peaks = append(peaks, p.use.Peak)
	}
	if peaks[0] != 600 || peaks[1] != 1200 || peaks[2] != 900 || peaks[3] != 0 {
		t.Errorf("peaks %v, want 600 1200 900 0", peaks)
	}
	if p.totals().Peak != 1200 {
		t.Errorf("the last minute's %d, want 1200", p.totals().Peak)
	}
	for s := range 70 {
		p.advance(start + time.Duration(s+5)*time.Second)
	}
	if p.totals().Peak != 0 {
		t.Errorf("a minute later %d, want 0", p.totals().Peak)
	}
}

func TestUnansweredAreGivenUpAfterFiveSeconds(t *testing.T) {
	var k kernel
	var p port
	const start = 1000 * time.Second
	p.advance(start)
	k.ask(start+time.Second, 10, 7)
	k.ask(start+2*time.Second, 4, 4)
	var all []uint64
	for s := range 10 {
		p.counts = k.v
		p.advance(start + time.Duration(s+1)*time.Second)
		all = append(all, p.use.Unanswered)
	}
	// Asked in second 1, they are over with second 6.
	for s, n := range all {
		want := uint64(0)
		if s == 6 {
			want = 3
		}
		if n != want {
			t.Errorf("after %d s: %d unanswered, want %d", s+1, n, want)
		}
	}
}

// What was sent before the first reading has its peak in it.
func TestPeakBeforeTheFirstReading(t *testing.T) {
	var k kernel
	var p port
	const start = 1000 * time.Second
	k.send(start-300*time.Millisecond, 50)
	p.counts = k.v
	if p.advance(start); p.use.Peak != 50 || p.use.Packets[DNS] != 50 {
		t.Errorf("%d packets, peak %d; want 50, 50", p.use.Packets[DNS], p.use.Peak)
	}
}

// After a pause that is longer than what the kernel keeps, sums are still right.
func TestLongPause(t *testing.T) {
	var k kernel
	var p port
	const start = 1000 * time.Second
	p.advance(start)
	k.send(start+time.Second, 50)
	k.send(start+29*time.Second, 70)
	p.counts = k.v
	p.advance(start + 30*time.Second)
	if p.use.Packets[DNS] != 120 || p.use.Peak != 70 {
		t.Errorf("packets %d, peak %d; want 120, 70", p.use.Packets[DNS], p.use.Peak)
	}
}

func TestOthersAreCounted(t *testing.T) {
	table := newSenderTable()
	table.begin()
	add := func(cgroup uint64, n uint64) {
		v := programsSender{Packets: [NumServices]uint64{DNS: n}}
		table.add(programsSenderKey{Cgroup: cgroup}, &v)
	}
	add(0, 7)
	for i := range uint64(maxSenders + 10) {
		add(i+1, i+1)
	}
	top, others := table.top(2, 1)
	var sum uint64
	for _, s := range top {
		sum += s.Total()
	}
	const n = maxSenders + 10
	if want := uint64(n*(n+1)/2 + 7); len(top) != 1 || sum+others.Total() != want {
		t.Errorf("%d senders with %d and others %d, want all of %d: those without a name are one", len(top), sum, others.Total(), want)
	}
	for range crowdedTicks {
		table.begin()
	}
	if table.forget(func(programsSenderKey) {}); len(table.sources) != 1 {
		t.Errorf("%d entries stay where there is little room, want the others' own", len(table.sources))
	}
	for range idleTicks {
		table.begin()
	}
	table.forget(func(programsSenderKey) {})
	if len(table.senders) != 0 || len(table.sources) != 1 {
		t.Errorf("%d senders and %d entries stay of those who are idle, want 0 and the others' own", len(table.senders), len(table.sources))
	}
}

// The processes of a unit or pod are one sender, of no process.
func TestProcessesOfAUnitAreOne(t *testing.T) {
	table := newSenderTable()
	table.begin()
	for process, comm := range []string{"dig", "curl"} {
		v := programsSender{Packets: [NumServices]uint64{DNS: 5}}
		for i, c := range []byte(comm) {
			v.Comm[i] = int8(c)
		}
		table.add(programsSenderKey{Cgroup: 7, Process: uint32(process + 1)}, &v)
	}
	for _, s := range table.unnamed {
		s.name = Name{Unit: "clock.service", Process: s.comm}
	}
	top, _ := table.top(2, 1)
	if len(top) != 1 || top[0].Total() != 10 || top[0].Name != (Name{Unit: "clock.service"}) {
		t.Errorf("%+v, want clock.service alone, with 10 packets", top)
	}
	if _, others := table.top(0, 1); others.Total() != 10 || others.Peak != 10 {
		t.Errorf("if nobody is listed, others sent %d, %d at most in a reading; want 10, 10", others.Total(), others.Peak)
	}
}

// What was sent before a pause that was too long is no part of a burst after it.
func TestPeakAfterAPause(t *testing.T) {
	var k kernel
	var p port
	const start = 1000 * time.Second
	p.advance(start)
	k.send(start+700*time.Millisecond, 600)
	p.counts = k.v
	p.advance(start + time.Second)
	const later = start + time.Duration(2*numTicks+3)*tick
	k.send(later-200*time.Millisecond, 50)
	p.counts = k.v
	if p.advance(later); p.use.Peak != 50 {
		t.Errorf("peak %d, want 50", p.use.Peak)
	}
}
