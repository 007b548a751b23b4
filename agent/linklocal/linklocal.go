// Package linklocal counts, by eBPF, the packets that interfaces send to the
// link-local services of a VPC, and says who sends them.
//
// DNS, IMDS, NTP and KMS share a budget of 1024 packets per second and
// interface, above which the Nitro card drops them. Programs at the egress of
// the interfaces count by service and by tenth of a second, so that the
// fullest second is known wherever it began; a program at the root of the
// cgroups counts by sender; and one at the ingress matches DNS answers with
// their queries. Nothing is copied to this process but counters, once a second.
package linklocal

import (
	"log/slog"
	"net/netip"
	"time"
)

// Service is a link-local service of a VPC, as bpf/linklocal.c numbers them.
type Service uint8

// The services that share the budget.
const (
	DNS Service = iota
	IMDS
	NTP
	KMS

	// NumServices is how many there are.
	NumServices = int(KMS) + 1
)

// String returns "dns", "imds", "ntp" or "kms".
func (s Service) String() string { return [...]string{"dns", "imds", "ntp", "kms"}[s] }

const (
	// tick is the resolution of the kernel's counts, and peakTicks how many make
	// the second that the budget is about.
	tick      = 100 * time.Millisecond
	peakTicks = 10
	// answerSeconds is how long a query may wait for its answer: the time-out of
	// glibc's resolver, and of most others (resolv.conf(5)).
	answerSeconds = 5
	// MaxPause is how long may pass between two calls of Tick before something
	// can't be told any more: the kernel keeps 6.4 s of ticks.
	MaxPause = 5 * time.Second
	// MaxResolvers is how many addresses of resolvers the programs know besides
	// the fixed ones.
	MaxResolvers = 4
)

// Options say what a Meter works with. All may be left empty but Log.
type Options struct {
	// Resolvers are the VPC's resolver's addresses besides 169.254.169.253 and
	// fd00:ec2::253, IPv4 only, at most MaxResolvers.
	Resolvers []netip.Addr
	// DNSNames keeps the names that are asked for, instead of hashes of them.
	DNSNames bool
	// Cgroup is where the root of cgroup v2 is mounted; found if empty.
	Cgroup string
	// Logs is the kubelet's directory of logs, which has the names of pods and
	// containers; /var/log if empty.
	Logs string
	Log  *slog.Logger

	clsact bool // attach as kernels before 6.6 have it, for tests
}

// Use is what one interface sent to link-local services between two ticks.
type Use struct {
	Packets [NumServices]uint64
	Bytes   [NumServices]uint64
	// Peak is the most packets in any one second that ended in this time, to all
	// services together.
	Peak uint64
	// Queries counts queries of DNS over UDP, and Retries those that had the id
	// and name of one that was still waiting.
	Queries, Retries uint64
	// Answers counts answers that match a query.
	Answers uint64
	// Unanswered counts queries that had waited for 5 s in vain when they were
	// given up in this time.
	Unanswered uint64
}

// QueryCount is a name of DNS, or a hash of it, and how many queries were for it.
type QueryCount struct {
	Name    string
	Queries uint64
}

// Total returns the packets to all services.
func (u *Use) Total() (n uint64) {
	for _, p := range u.Packets {
		n += p
	}
	return n
}

// Total returns the packets to all services.
func (t *Totals) Total() (n uint64) {
	for _, p := range t.Packets {
		n += p
	}
	return n
}

// Latencies is a histogram of how long answers of DNS took. Element i counts
// those that took at most 2^i microseconds and more than 2^(i-1), the last
// element those that took longer.
type Latencies [numLatencies]uint64

// numLatencies is LATENCIES in bpf/linklocal.c.
const numLatencies = 24

// Totals are the counts of one interface since it is watched.
type Totals struct {
	Packets, Bytes                       [NumServices]uint64
	Queries, Retries, Answers, Unmatched uint64
	Unanswered                           uint64
	RCodes                               [16]uint64
	Latencies                            Latencies
	LatencySum                           time.Duration
	Peak                                 uint64 // most packets in any one second of the last minute
}
