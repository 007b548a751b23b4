package linklocal

import (
	"bytes"
	"cmp"
	"slices"
	"unsafe"
)

const (
	// history is how many ticks of a sender are kept: more than a window has, and
	// what a record needs.
	history = 128
	// maxSenders bounds the senders that are told apart here; the kernel tells
	// 1024 processes apart.
	maxSenders = 512
	// idleTicks is after how many ticks without a packet a sender is forgotten,
	// and crowdedTicks the same when there is little room.
	idleTicks, crowdedTicks = 600, 30
)

// Sender is who sent packets to link-local services, on whichever interface.
type Sender struct {
	Name    Name
	Packets [NumServices]uint64
	// Peak is the most packets between two ticks of the agent, usually a second.
	Peak uint64
}

// Total returns the packets to all services.
func (s *Sender) Total() (n uint64) {
	for _, p := range s.Packets {
		n += p
	}
	return n
}

// sender is one cgroup, or one command in it, while it sends.
type sender struct {
	cgroup uint64
	comm   string
	name   Name
	ticks  [history][NumServices]uint32
	total  [NumServices]uint64
	active uint64 // the newest tick with a packet
}

// source is one entry of the kernel's map.
type source struct {
	last   [NumServices]uint64
	sender *sender
	active uint64
}

// senderTable adds the kernel's counts up by sender, tick by tick.
type senderTable struct {
	now     uint64 // ticks so far
	sources map[programsSenderKey]*source
	senders map[senderID]*sender
	// unnamed are those whose name was not looked up yet.
	unnamed []*sender
	others  sender // what found no room, here or in the kernel
}

type senderID struct {
	cgroup uint64
	comm   string
}

func newSenderTable() *senderTable {
	return &senderTable{sources: map[programsSenderKey]*source{}, senders: map[senderID]*sender{}}
}

// begin starts a tick.
func (t *senderTable) begin() {
	t.now++
	slot := t.now % history
	t.others.ticks[slot] = [NumServices]uint32{}
	for _, s := range t.senders {
		s.ticks[slot] = [NumServices]uint32{}
	}
}

// add takes one entry of the kernel's map into account.
func (t *senderTable) add(key programsSenderKey, v *programsSender) {
	src := t.sources[key]
	if src == nil {
		src = &source{sender: t.sender(key, v), active: t.now}
		t.sources[key] = src
	}
	slot := t.now % history
	s := src.sender
	for i, n := range v.Packets {
		grown := n - src.last[i]
		if grown == 0 {
			continue
		}
		src.active, s.active = t.now, t.now
		s.ticks[slot][i] += uint32(grown)
		s.total[i] += grown
	}
	src.last = v.Packets
}

// sender returns whom a new entry belongs to.
func (t *senderTable) sender(key programsSenderKey, v *programsSender) *sender {
	if key.Cgroup == 0 {
		return &t.others
	}
	id := senderID{key.Cgroup, commOf(&v.Comm)}
	if s := t.senders[id]; s != nil {
		return s
	}
	if len(t.senders) >= maxSenders {
		return &t.others
	}
	s := &sender{cgroup: id.cgroup, comm: id.comm, name: Name{Process: id.comm}, active: t.now}
	t.senders[id] = s
	t.unnamed = append(t.unnamed, s)
	return s
}

// forget drops who did not send for long, and calls remove for each of their
// entries in the kernel's map.
func (t *senderTable) forget(remove func(programsSenderKey)) {
	idle := uint64(idleTicks)
	if len(t.sources) > maxSenders {
		idle = crowdedTicks
	}
	for key, src := range t.sources {
		if key.Cgroup != 0 && t.now-src.active >= idle {
			delete(t.sources, key)
			remove(key)
		}
	}
	for id, s := range t.senders {
		if t.now-s.active >= max(idle, history) {
			delete(t.senders, id)
		}
	}
}

// top ranks who sent in the newest ticks: the n that sent most, and all others
// together, whose name is empty. Senders of one name are one.
func (t *senderTable) top(n, ticks int) (top []Sender, others Sender) {
	ticks = min(ticks, history, int(t.now))
	type sum struct {
		Sender
		by [history]uint32
	}
	sums := map[string]*sum{}
	for _, s := range t.senders {
		if t.now-s.active >= uint64(ticks) {
			continue
		}
		who := s.name
		if who.whole() {
			who.Process = ""
		}
		all := sums[who.String()]
		if all == nil {
			all = &sum{Sender: Sender{Name: who}}
			sums[who.String()] = all
		}
		for k := range ticks {
			for i, p := range s.ticks[(t.now-uint64(k))%history] {
				all.Packets[i] += uint64(p)
				all.by[k] += p
			}
		}
	}
	for _, s := range sums {
		s.Peak = uint64(slices.Max(s.by[:]))
		if s.Peak > 0 {
			top = append(top, s.Sender)
		}
	}
	slices.SortFunc(top, func(a, b Sender) int {
		return cmp.Or(cmp.Compare(b.Total(), a.Total()), cmp.Compare(a.Name.String(), b.Name.String()))
	})
	rest := &sum{}
	for k := range ticks {
		for i, p := range t.others.ticks[(t.now-uint64(k))%history] {
			rest.Packets[i] += uint64(p)
			rest.by[k] += p
		}
	}
	for i := n; i < len(top); i++ {
		all := sums[top[i].Name.String()]
		for s, p := range all.Packets {
			rest.Packets[s] += p
		}
		for k := range ticks {
			rest.by[k] += all.by[k]
		}
	}
	rest.Peak = uint64(slices.Max(rest.by[:]))
	return top[:min(n, len(top))], rest.Sender
}

// commOf reads a command's name, which ends at a zero.
func commOf(comm *[16]int8) string {
	b := unsafe.Slice((*byte)(unsafe.Pointer(comm)), len(comm))
	if end := bytes.IndexByte(b, 0); end >= 0 {
		b = b[:end]
	}
	return string(bytes.ToValidUTF8(b, []byte("?")))
}
