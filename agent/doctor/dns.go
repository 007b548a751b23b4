package doctor

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/live"
)

// Resolv is what a host's or pod's /etc/resolv.conf says.
type Resolv struct {
	Servers []netip.Addr
	Search  int // how many domains
	Ndots   int
}

// ParseResolv reads a resolv.conf (resolv.conf(5)). What it does not understand
// it leaves out.
func ParseResolv(text string) Resolv {
	r := Resolv{Ndots: 1}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(words[1]); err == nil {
				r.Servers = append(r.Servers, a)
			}
		case "search", "domain":
			r.Search = len(words) - 1
		case "options":
			for _, o := range words[1:] {
				if n, err := strconv.Atoi(strings.TrimPrefix(o, "ndots:")); err == nil && n >= 0 {
					r.Ndots = min(n, 15) // as the resolver caps it
				}
			}
		}
	}
	return r
}

// cached reports whether the first to be asked is a cache on this host: a
// loopback address, or that of NodeLocal DNSCache.
func (r Resolv) cached() bool {
	return len(r.Servers) > 0 && (r.Servers[0].IsLoopback() || r.Servers[0] == netip.AddrFrom4([4]byte{169, 254, 20, 10}))
}

// spreading reports whether a name of outside, with one dot, is looked for in the
// search domains first, and how many queries one of two dots may take: for IPv4
// and IPv6 each.
func (r Resolv) spreading() (queries int, ok bool) {
	return 2 * (r.Search + 1), r.Ndots > 2 && r.Search > 0
}

// DNS says what to do where an interface exceeded its link-local allowance, which
// is most often DNS, and where it is about to: node is true on a Kubernetes node.
// d may be nil.
func DNS(readings []Reading, d *live.Document, resolv Resolv, node bool) []Check {
	var checks []Check
	exceeded, coredns, cache := false, 0, resolv.cached()
	for _, r := range readings {
		on := answerers(r.Interface.Name, d)
		coredns += len(on.coredns)
		cache = cache || on.cache
	}
	for _, r := range readings {
		dropped := r.Values[ena.LinklocalAllowanceExceeded]
		on := answerers(r.Interface.Name, d)
		exceeded = exceeded || dropped > 0
		if c := interfaceDNS(r.Interface.Name, dropped, on, node, cache); c.Found != "" {
			checks = append(checks, c)
		}
	}
	if node && len(checks) == 0 {
		found := "no interface exceeded its link-local allowance"
		if d != nil {
			found += fmt.Sprintf("; %s on this node", count(coredns, "CoreDNS pod"))
		}
		if cache {
			found += ", and a cache of DNS"
		}
		checks = append(checks, fine("dns", "%s", found))
	}
	if queries, ok := resolv.spreading(); ok && exceeded {
		checks = append(checks, Check{"resolv.conf", Warning, fmt.Sprintf("ndots:%d and %s: a name of outside takes up to %d queries", resolv.Ndots, count(resolv.Search, "search domain"), queries),
			"write such names with a dot at their end, or set ndots to 2 (a pod's dnsConfig)"})
	}
	return checks
}

// answering is who answers DNS on an interface.
type answering struct {
	coredns []string
	cache   bool   // NodeLocal DNSCache
	worst   uint64 // packets dropped in the worst second of the last half hour
}

func answerers(name string, d *live.Document) (on answering) {
	if d == nil {
		return on
	}
	for _, i := range d.Interfaces {
		if i.Name != name || i.Left {
			continue
		}
		for _, pod := range i.Pods {
			switch {
			case strings.HasPrefix(pod, "kube-system/coredns-"):
				name, _, _ := strings.Cut(pod, " ") // of what is said about it
				on.coredns = append(on.coredns, name)
			case strings.HasPrefix(pod, "node-local-dns"), strings.HasPrefix(pod, "kube-system/node-local-dns-"):
				on.cache = true
			}
		}
		for _, a := range i.Allowances {
			if a.Name == ena.LinklocalAllowanceExceeded.String() {
				on.worst = a.Worst
			}
		}
	}
	return on
}

// interfaceDNS says what to do about one interface; nothing is found if there is
// nothing to do.
func interfaceDNS(iface string, dropped uint64, on answering, node, cache bool) Check {
	c := Check{Name: "dns " + iface, Level: Warning}
	c.Found = fmt.Sprintf("link-local packets dropped since its counters began: %d", dropped)
	if on.worst > 0 {
		c.Found += fmt.Sprintf(", %d in the worst second of the last half hour", on.worst)
	}
	const see = " (docs/eks.md, DNS)"
	switch n := len(on.coredns); {
	case n > 1:
		if dropped == 0 {
			c.Found = "nothing was dropped yet"
		}
		c.Found += fmt.Sprintf("; %d CoreDNS pods share its %d packets a second: %s", n, ena.LinkLocalBudget, strings.Join(on.coredns, ", "))
		c.Remedy = "give each a node of its own, by anti-affinity: deploy/eks/dns/coredns-addon.json" + see
	case dropped == 0:
		return Check{}
	case n == 1:
		c.Found += "; CoreDNS is on it"
		c.Remedy = "more replicas of CoreDNS, each on a node of its own"
		if on.worst > 0 {
			c.Remedy = fmt.Sprintf("%d times as many replicas of CoreDNS, each on a node of its own", (ena.LinkLocalBudget+on.worst+ena.LinkLocalBudget-1)/ena.LinkLocalBudget)
		}
		c.Remedy += "; if that makes more than some 10, NodeLocal DNSCache: deploy/eks/dns/nodelocaldns.yaml" + see
	case node && !cache:
		c.Found += "; no CoreDNS is known to be on it, so pods or the host ask the VPC's resolver, IMDS or NTP themselves"
		c.Remedy = "see who sends, by linklocal.enabled; for DNS, NodeLocal DNSCache: deploy/eks/dns/nodelocaldns.yaml" + see
	default:
		c.Remedy = "see who sends, by linklocal.enabled; cache DNS on this host (systemd-resolved, unbound), and what IMDS says"
		if cache {
			c.Remedy = "see who sends, by linklocal.enabled: DNS has a cache on this host already"
		}
	}
	return c
}
