package pods

import "net/netip"

// routing is what rules and routes say of the pods on this host.
type routing struct {
	// egress is the index of the interface that a pod's packets leave by, by its
	// address: of the trunk, if they leave by a VLAN on it.
	egress map[netip.Addr]int
	// nodeLocalDNS is the index of the interface that NodeLocal DNSCache asks
	// upstream through, or 0 if it does not run here.
	nodeLocalDNS int
}

// link, rule and route are what the kernel says, as far as it matters here.
type link struct {
	name, kind string
	parent     int // index of the link that it stands on, or 0
}

type rule struct {
	from  netip.Prefix
	table int
}

type route struct {
	table  int
	to     netip.Prefix // of no bits: the default route
	link   int
	metric uint32
}

const (
	// mainTable is RT_TABLE_MAIN.
	mainTable = 254
	// nodeLocalLink is the link that NodeLocal DNSCache makes for its address
	// (kubernetes/dns, cmd/node-cache).
	nodeLocalLink = "nodelocaldns"
)

// follow finds out which way packets of each pod leave, as the VPC CNI plugin
// sets it up (amazon-vpc-cni-k8s, cmd/routed-eni-cni-plugin/driver/driver.go):
//
//   - A route of one address leads to the pod's veth. It is in the main table,
//     or in a table of its own if the pod has a branch ENI.
//   - A pod on a secondary ENI has a rule "from ADDRESS lookup TABLE", where the
//     default route leaves by that ENI. One without a rule is on the primary ENI.
//   - In a branch ENI's table, the default route leaves by a VLAN on the trunk.
func follow(links map[int]link, rules []rule, routes []route) routing {
	type way struct {
		table int
		six   bool
	}
	out := map[way]route{}  // default routes, by table
	exits := map[int]bool{} // links that they leave by: what these reach is a gateway
	for _, r := range routes {
		w := way{r.table, r.to.Addr().Is6()}
		if r.to.Bits() == 0 {
			exits[r.link] = true
		}
		if best, ok := out[w]; r.to.Bits() == 0 && (!ok || r.metric < best.metric) {
			out[w] = r
		}
	}
	tables := map[netip.Addr]int{}
	for _, r := range rules {
		if r.from.IsSingleIP() {
			tables[r.from.Addr()] = r.table
		}
	}
	result := routing{egress: map[netip.Addr]int{}}
	for _, r := range routes {
		if !r.to.IsSingleIP() || links[r.link].kind != "veth" || exits[r.link] {
			continue
		}
		address, table := r.to.Addr(), r.table
		if address.IsLinkLocalUnicast() {
			continue // the IPv4 side of a pod in an IPv6 cluster, which is translated
		}
		if t, ok := tables[address]; ok && table == mainTable {
			table = t
		}
		exit, ok := out[way{table, address.Is6()}]
		if !ok {
			exit, ok = out[way{mainTable, address.Is6()}]
		}
		if !ok {
			continue
		}
		index := exit.link
		if l := links[index]; l.kind == "vlan" {
			index = l.parent
		}
		result.egress[address] = index
	}
	for _, l := range links {
		if l.name == nodeLocalLink {
			exit, ok := out[way{mainTable, false}]
			if !ok {
				exit = out[way{mainTable, true}]
			}
			result.nodeLocalDNS = exit.link
		}
	}
	return result
}
