package conntrack

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
)

const (
	// maxSeen bounds the entries that one look counts, and maxFlows what they are told
	// apart by; of owners that come later, as many again are told apart by owner alone.
	maxSeen, maxFlows = 1 << 17, 1 << 13
)

// flow is what entries of a table are told apart by.
type flow struct {
	// owner is the address of a pod or of another host, or none for this host.
	owner netip.Addr
	// to is where it goes; none if it came in to this host.
	to       netip.Addr
	protocol uint8
	port     uint16
}

// census counts the entries of a table by whose they are.
type census struct {
	names  func(netip.Addr) (string, bool)
	local  map[netip.Addr]bool // this host's addresses
	flows  map[flow]*tally
	others uint64 // entries that found no room
	seen   uint64
}

type tally struct{ entries, unreplied uint64 }

func newCensus(names func(netip.Addr) (string, bool)) *census {
	c := &census{names: names, local: map[netip.Addr]bool{}, flows: map[flow]*tally{}}
	addresses, _ := net.InterfaceAddrs() // without them, this host is an address
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			c.local[p.Addr().Unmap()] = true
		}
	}
	return c
}

// add counts an entry. Whose it is: the pod's that began it, else the pod's that
// answers, else this host's if it is an end of it, else whose address began it.
func (c *census) add(e *entry) {
	c.seen++
	f := flow{to: e.destination, protocol: e.protocol, port: e.port}
	if _, pod := c.names(e.source); pod {
		f.owner = e.source
	} else if _, pod := c.names(e.answerer); pod {
		f.owner = e.answerer
	} else if !c.local[e.source] {
		f.owner = e.source
		if c.local[e.answerer] {
			f.owner, f.to = netip.Addr{}, netip.Addr{}
		}
	}
	t, room := c.flows[f], maxFlows
	if t == nil && len(c.flows) >= maxFlows && f.owner.IsValid() {
		f, room = flow{owner: f.owner}, 2*maxFlows
		t = c.flows[f]
	}
	if t == nil {
		if len(c.flows) >= room {
			c.others++
			return
		}
		t = &tally{}
		c.flows[f] = t
	}
	t.entries++
	if !e.replied {
		t.unreplied++
	}
}

// owners ranks whose entries were counted, at most n.
func (c *census) owners(n int) *Owners {
	by := map[string]*Owner{}
	for f, t := range c.flows {
		name, mostly := c.name(f), f.String()
		if !f.owner.IsValid() || !f.to.IsValid() {
			mostly = ""
		}
		o := by[name]
		if o == nil {
			o = &Owner{Name: name}
			by[name] = o
		}
		o.Entries += t.entries
		o.Unreplied += t.unreplied
		if mostly != "" && (t.entries > o.MostlyEntries || t.entries == o.MostlyEntries && mostly < o.Mostly) {
			o.Mostly, o.MostlyEntries = mostly, t.entries
		}
	}
	all := make([]Owner, 0, len(by))
	for _, o := range by {
		all = append(all, *o)
	}
	slices.SortFunc(all, func(a, b Owner) int { return cmp.Or(cmp.Compare(b.Entries, a.Entries), cmp.Compare(a.Name, b.Name)) })
	out := &Owners{Top: all[:min(n, len(all)):min(n, len(all))], Others: c.others, Seen: c.seen}
	for _, o := range all[len(out.Top):] {
		out.Others += o.Entries
	}
	return out
}

// name says whose a flow is.
func (c *census) name(f flow) string {
	switch {
	case f.owner.IsValid():
		if pod, ok := c.names(f.owner); ok {
			return pod
		}
		return f.owner.String()
	case f.to.IsValid():
		return "this host to " + f.String()
	}
	return fmt.Sprintf("this host at %s port %d", protocolName(f.protocol), f.port)
}

// String says where a flow goes: "tcp 10.0.3.9:5432".
func (f flow) String() string {
	if f.port == 0 {
		return protocolName(f.protocol) + " " + f.to.String()
	}
	return protocolName(f.protocol) + " " + netip.AddrPortFrom(f.to, f.port).String()
}

// protocolName names a protocol (IANA, "Protocol Numbers").
func protocolName(p uint8) string {
	switch p {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 58:
		return "icmpv6"
	case 132:
		return "sctp"
	}
	return "protocol " + strconv.Itoa(int(p))
}
