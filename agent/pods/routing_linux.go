package pods

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"
)

// readRoutes asks the kernel. It takes no capability.
func readRoutes() (routing, error) {
	c, err := rtnetlink.Dial(nil)
	if err != nil {
		return routing{}, fmt.Errorf("open a netlink socket: %w", err)
	}
	defer c.Close()
	links, err := c.Link.List()
	if err != nil {
		return routing{}, fmt.Errorf("list links: %w", err)
	}
	rules, err := c.Rule.List()
	if err != nil {
		return routing{}, fmt.Errorf("list rules: %w", err)
	}
	routes, err := c.Route.List()
	if err != nil {
		return routing{}, fmt.Errorf("list routes: %w", err)
	}
	return follow(linksOf(links), rulesOf(rules), routesOf(routes)), nil
}

func linksOf(messages []rtnetlink.LinkMessage) map[int]link {
	all := make(map[int]link, len(messages))
	for _, m := range messages {
		if m.Attributes == nil {
			continue
		}
		l := link{name: m.Attributes.Name, parent: int(m.Attributes.Type)} // which is IFLA_LINK
		if m.Attributes.Info != nil {
			l.kind = m.Attributes.Info.Kind
		}
		all[int(m.Index)] = l
	}
	return all
}

func rulesOf(messages []rtnetlink.RuleMessage) (all []rule) {
	for _, m := range messages {
		if m.Attributes == nil || m.Attributes.Src == nil {
			continue
		}
		table := int(m.Table)
		if m.Attributes.Table != nil {
			table = int(*m.Attributes.Table)
		}
		if from, ok := prefix(m.Family, *m.Attributes.Src, m.SrcLength); ok {
			all = append(all, rule{from, table})
		}
	}
	return all
}

func routesOf(messages []rtnetlink.RouteMessage) (all []route) {
	for _, m := range messages {
		if m.Type != unix.RTN_UNICAST {
			continue
		}
		table, index := int(m.Table), int(m.Attributes.OutIface)
		if m.Attributes.Table != 0 {
			table = int(m.Attributes.Table)
		}
		if hops := m.Attributes.Multipath; index == 0 && len(hops) > 0 {
			index = int(hops[0].Hop.IfIndex)
		}
		if to, ok := prefix(m.Family, m.Attributes.Dst, m.DstLength); ok {
			all = append(all, route{table, to, index, m.Attributes.Priority})
		}
	}
	return all
}

// prefix returns an address and its length. A missing address is that of the
// default route.
func prefix(family uint8, ip net.IP, bits uint8) (netip.Prefix, bool) {
	if ip == nil && family == unix.AF_INET {
		ip = net.IPv4zero.To4()
	} else if ip == nil {
		ip = net.IPv6zero
	}
	a, ok := netip.AddrFromSlice(ip)
	if !ok {
		return netip.Prefix{}, false
	}
	if family == unix.AF_INET {
		a = a.Unmap()
	}
	p := netip.PrefixFrom(a, int(bits))
	return p, p.IsValid()
}
