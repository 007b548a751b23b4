package pods

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/enawatch/enawatch/agent/metric"
)

// maxNames is how many pods of an interface are named.
const maxNames = 20

// Map says which pods are on which interface. The zero Map knows none.
type Map struct {
	entries []entry
	names   map[netip.Addr]string // of the pods whose addresses are known
	// nodeLocalDNS is the index of the interface that NodeLocal DNSCache asks
	// upstream through, or 0 if this node has none.
	nodeLocalDNS int
}

// entry is one pod: "namespace/name", or its address.
type entry struct {
	pod, eni string
	index    int // of the interface its packets leave by, or 0 if that is not known
}

// nodeLocalName is what NodeLocal DNSCache is called. It runs in the host's
// network, so that nothing here knows the name of its pod.
const nodeLocalName = "node-local-dns (host network)"

// Of returns the pods on the interface that the kernel knows under index and AWS
// as eni, which may be "". It returns nil if there are none. Names are sorted,
// those that answer the cluster's DNS first.
func (m Map) Of(index int, eni string) *metric.Pods {
	var dns, others []string
	for _, e := range m.entries {
		if e.index != index && (e.index != 0 || eni == "" || e.eni != eni) {
			continue
		}
		if answersDNS(e.pod) {
			dns = append(dns, e.pod)
		} else {
			others = append(others, e.pod)
		}
	}
	if m.nodeLocalDNS != 0 && m.nodeLocalDNS == index {
		dns = append(dns, nodeLocalName)
	}
	slices.Sort(dns)
	slices.Sort(others)
	// A pod with an IPv4 and an IPv6 address is one.
	dns, others = slices.Compact(dns), slices.Compact(others)
	names := append(slices.Clip(dns), others...)
	if len(names) == 0 {
		return nil
	}
	p := &metric.Pods{Names: names[:min(len(names), maxNames)]}
	p.DNS = p.Names[:min(len(dns), len(p.Names))]
	p.Omitted = len(names) - len(p.Names)
	return p
}

// At returns the name of the pod that has an address. It reports false if none
// has, or its name is not known.
func (m Map) At(a netip.Addr) (pod string, ok bool) {
	pod, ok = m.names[a]
	return pod, ok
}

// answersDNS reports whether a pod is one of CoreDNS as EKS and kubeadm deploy
// it. Its upstream queries are what exhausts the link-local allowance.
func answersDNS(pod string) bool {
	return strings.HasPrefix(pod, "kube-system/coredns-") || strings.HasPrefix(pod, "kube-system/node-local-dns-")
}
