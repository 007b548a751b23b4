package metric

// Pods are those on one network interface of a Kubernetes node. They are shared
// and do not change once made.
type Pods struct {
	// Names are "namespace/name", or an address where that is all that is known:
	// at least one and at most 20, those of DNS first, sorted.
	Names []string
	// DNS are the first of Names: those that answer the cluster's DNS, whose
	// upstream queries count against the link-local allowance.
	DNS []string
	// Omitted is how many others there are.
	Omitted int
}
