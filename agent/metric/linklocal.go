package metric

import "time"

// LinkLocal is what is known of the traffic to the VPC's link-local services,
// which share a budget of packets for each interface.
type LinkLocal struct {
	// Interfaces are in the order of Snapshot.Interfaces, those alone that are
	// counted.
	Interfaces []LinkLocalUse
	// Senders are those who sent most lately, most first; SendersKnown is false
	// if this host can't tell. Others are all who are not listed, together.
	Senders      []Sender
	Others       Sender
	SendersKnown bool
}

// LinkLocalUse is what one interface sent since it is counted.
type LinkLocalUse struct {
	Interface Interface
	Services  []ServicePackets
	// PeakPPS is the most packets in any one second of the last minute, to
	// all services together.
	PeakPPS uint64
	DNS     DNS
}

// ServicePackets are packets to one service ("dns", "imds", "ntp", "kms").
type ServicePackets struct {
	Service        string
	Packets, Bytes uint64
}

// DNS counts queries over UDP and their answers.
type DNS struct {
	Queries, Retries, Answers, Unanswered uint64
	// Latencies counts answers by how long they took at most, in growing order;
	// the last of them has none.
	Latencies  []LatencyCount
	LatencySum time.Duration
	// RCodes counts answers by response code, as RFC 6895 numbers them.
	RCodes [16]uint64
}

// LatencyCount counts answers that took at most so long, and longer than the
// ones before.
type LatencyCount struct {
	AtMost time.Duration // 0: without bound
	Count  uint64
}

// Sender is who sent packets to link-local services, on any interface. Of the
// parts of its name, those are empty that do not apply.
type Sender struct {
	// Name is how people say it: "kube-system/coredns-5d78/coredns",
	// "chronyd.service", "process dig".
	Name                            string
	Namespace, Pod, Container, Unit string
	Process                         string
	Services                        []ServicePackets // Bytes are not counted
	Packets                         uint64
	// PeakPPS is the most packets in one second.
	PeakPPS uint64
}
