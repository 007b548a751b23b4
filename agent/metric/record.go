package metric

import (
	"fmt"
	"strings"
	"time"
)

// Record is what was known in the seconds around one in which an allowance was
// exceeded: the answer to "why" without a capture of packets.
type Record struct {
	// At is the second in which an allowance was exceeded, the first after a
	// while in which none was.
	At time.Time `json:"at"`
	// Exceeded sums, over all seconds and interfaces, the packets by counter.
	Exceeded map[string]uint64 `json:"exceeded"`
	// Senders sent most to link-local services in these seconds, on any
	// interface; OtherSenders is the packets of all others.
	Senders      []RecordSender `json:"linklocal_senders,omitempty"`
	OtherSenders uint64         `json:"linklocal_others"`
	// Names were asked for most in the last 10 to 20 s, or hashes of them.
	Names []RecordName `json:"dns_names,omitempty"`
	// Conntrack is nil unless tables of tracked connections are watched.
	Conntrack *RecordConntrack `json:"conntrack,omitempty"`
	// Seconds are in order of time, at most 21.
	Seconds []RecordSecond `json:"seconds"`
}

// RecordSender is a sender and its packets.
type RecordSender struct {
	Sender  string `json:"sender"`
	Packets uint64 `json:"packets"`
	PeakPPS uint64 `json:"pps_peak"`
}

// RecordName is a name and how often it was asked for.
type RecordName struct {
	Name    string `json:"name"`
	Queries uint64 `json:"queries"`
}

// RecordSecond is one reading of a Record.
type RecordSecond struct {
	At time.Time `json:"at"`
	// Retransmits counts segments of TCP that this host sent again.
	Retransmits uint64 `json:"tcp_retransmits"`
	// ConntrackEntries are those of the kernel's table, and ConntrackAvailable is
	// what the card could still track; nil where that is not known.
	ConntrackEntries   *uint64           `json:"conntrack_entries,omitempty"`
	ConntrackAvailable *uint64           `json:"conntrack_available,omitempty"`
	Interfaces         []RecordInterface `json:"interfaces,omitempty"`
}

// RecordInterface is one interface in one second; those are left out of which
// nothing is to be said.
type RecordInterface struct {
	Interface string            `json:"interface"`
	Exceeded  map[string]uint64 `json:"exceeded,omitempty"`
	// Packets went to link-local services, by service.
	Packets map[string]uint64 `json:"linklocal,omitempty"`
	// PeakPPS is the fullest second that ended in this one.
	PeakPPS     uint64 `json:"linklocal_pps_peak"`
	Unanswered  uint64 `json:"dns_unanswered,omitempty"`
	DNSRetries  uint64 `json:"dns_retries,omitempty"`
	DNSQueries  uint64 `json:"dns_queries,omitempty"`
	DNSAnswered uint64 `json:"dns_answered,omitempty"`
	// Queues is what the driver counted, by stat and summed over its queues: packets
	// and bytes both ways, and what went wrong.
	Queues map[string]uint64 `json:"queues,omitempty"`
}

// String says it in one line.
func (r Record) String() string {
	var parts []string
	for _, name := range []string{"bw_in", "bw_out", "pps", "conntrack", "linklocal"} {
		if n := r.Exceeded[name+"_allowance_exceeded"]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s exceeded by %d packets", name, n))
		}
	}
	if c := r.Conntrack; c != nil && r.Exceeded["conntrack_allowance_exceeded"] > 0 {
		for _, o := range c.Owners[:min(3, len(c.Owners))] {
			parts = append(parts, fmt.Sprintf("%s has %d tracked connections", o.Owner, o.Entries))
		}
	}
	for _, s := range r.Senders[:min(3, len(r.Senders))] {
		parts = append(parts, fmt.Sprintf("%s sent %d link-local", s.Sender, s.Packets))
	}
	return strings.Join(parts, "; ")
}
