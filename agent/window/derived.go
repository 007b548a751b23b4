package window

import (
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// Derived is a metric that no driver counts: it is made here.
type Derived struct {
	Name            string
	Kind            metric.Kind
	Unit            metric.Unit
	Scope           metric.Scope
	Meaning, Advice string
}

// Metrics about the readings themselves.
var (
	Heartbeat = Derived{
		Name: "heartbeat", Kind: metric.Gauge, Unit: metric.Seconds,
		Meaning: "Seconds of the window in which every ENA interface of the host was read and believed. Published always: its absence means that the agent is not running, 0 that it sees no interface.",
		Advice:  "Missing: look at the agent's log. Low: see suspect_readings and missed_seconds.",
	}
	SuspectReadings = Derived{
		Name: "suspect_readings", Unit: metric.Count,
		Meaning: "Readings that were not believed, because the device did not answer or the counters made no sense.",
		Advice:  "Nothing is lost while it lasts a little; if it stays, look at dmesg for \"ena\" and at ena_admin_q_no_completion.",
	}
	MissedSeconds = Derived{
		Name: "missed_seconds", Unit: metric.Seconds,
		Meaning: "Seconds of the window in which some interface was not read in time. What its counters grew by is in a later second, none of it is lost.",
		Advice:  "A host that is starved of CPU, or a device that answers slowly: look at the agent's log.",
	}
)

// throttledSeconds holds, for each counter of an allowance, the metric that
// says for how many seconds of the window it grew; others have no name.
var throttledSeconds = func() (all [ena.NumStats]Derived) {
	for i, e := range ena.Catalogue() {
		if e.Allowance != "" && e.Kind == metric.Counter {
			all[i] = Derived{
				Name: e.Allowance + "_throttled_seconds", Unit: metric.Seconds, Scope: e.Scope,
				Meaning: "Seconds of the window in which " + e.Name + " grew.",
				Advice:  "As for " + e.Name + ".",
			}
		}
	}
	return all
}()

// Metrics about traffic to link-local services, where it is counted.
var (
	LinkLocalPPSPeak = Derived{
		Name: "linklocal_pps_peak", Kind: metric.Gauge, Unit: metric.Count, Scope: metric.PerInterface,
		Meaning: "Packets that the interface sent to link-local services (DNS, IMDS, NTP, KMS together) in the fullest second that ended between two readings, wherever it began.",
		Advice:  "As for linklocal_budget_used.",
	}
	LinkLocalBudgetUsed = Derived{
		Name: "linklocal_budget_used", Kind: metric.Gauge, Unit: metric.Percent, Scope: metric.PerInterface,
		Meaning: "The window's fullest second, in percent of the 1024 packets that the card lets through. Above 100 it drops.",
		Advice:  "Look at who sends (linklocal_senders in EMF, enawatch_linklocal_sender_packets at /metrics), and act as for linklocal_allowance_exceeded.",
	}
	DNSQueriesUnanswered = Derived{
		Name: "dns_queries_unanswered", Unit: metric.Count,
		Meaning: "DNS queries over UDP to the VPC's resolver that had no answer within 5 seconds.",
		Advice:  "If linklocal_allowance_exceeded grows too, the card dropped them: act on that. If not, the resolver or the way to it is at fault.",
	}
)

// Metrics about tables of tracked connections, where they are watched.
var (
	ConntrackTableUsed = Derived{
		Name: "conntrack_table_used", Kind: metric.Gauge, Unit: metric.Percent,
		Meaning: "Share of the kernel's table of tracked connections (nf_conntrack_max) that was used, at its fullest reading of the window. When it is full, the kernel drops new connections.",
		Advice:  "Look at whose connections they are (conntrack_owners in EMF, enawatch_conntrack_owner_entries at /metrics): connections that are not reused or never closed. Else raise net.netfilter.nf_conntrack_max.",
	}
	ConntrackExhaustion = Derived{
		Name: "conntrack_exhaustion_seconds", Kind: metric.Gauge, Unit: metric.Seconds,
		Meaning: "In how many seconds, at the growth of the last 60 readings, the kernel's table or the card's allowance of tracked connections is exhausted, whichever is first; the least of the window. Published only while it is in sight: at least half is used, and it takes an hour at most.",
		Advice:  "As for conntrack_table_used and conntrack_allowance_exceeded, while there is time.",
	}
)

// LinkLocal lists the derived metrics that are published only where link-local
// traffic is counted.
func LinkLocal() []Derived {
	return []Derived{LinkLocalPPSPeak, LinkLocalBudgetUsed, DNSQueriesUnanswered}
}

// Conntrack lists the derived metrics that are published only where tables of
// tracked connections are watched.
func Conntrack() []Derived { return []Derived{ConntrackTableUsed, ConntrackExhaustion} }

// AllDerived lists every derived metric that each agent publishes.
func AllDerived() []Derived {
	all := []Derived{Heartbeat, SuspectReadings, MissedSeconds}
	for _, d := range throttledSeconds {
		if d.Name != "" {
			all = append(all, d)
		}
	}
	return all
}

// ThrottledSeconds returns the metric that says for how many seconds of a window
// s grew, if it has one.
func ThrottledSeconds(s ena.Stat) (Derived, bool) {
	d := throttledSeconds[s]
	return d, d.Name != ""
}
