package ena

import "github.com/enawatch/enawatch/agent/metric"

// Stat numbers one row of the catalogue.
type Stat uint8

// Group says which part of the driver keeps a stat. The stats of one group are
// answered together, and start again from zero together.
type Group uint8

const (
	// Device stats are kept by the Nitro card and fetched by one admin command
	// a reading (ENA_ADMIN_GET_STATS_TYPE_ENI or _CUSTOMER_METRICS). They start
	// again at a device reset.
	Device Group = iota
	// SRD stats are kept by the card too and fetched by an admin command of
	// their own (ENA_ADMIN_ENA_SRD_INFO).
	SRD
	// Driver stats are kept by the driver for the life of the network device.
	Driver
	// AdminQueue stats count the driver's commands to the device, for the life
	// of the network device; a device reset does not clear them.
	AdminQueue
	// Clock stats are those of the PTP hardware clock (PHC).
	Clock
	// Queue stats are kept for each queue and summed here. Up to driver 2.15
	// they start again whenever the rings are set up.
	Queue

	// NumGroups is the number of groups.
	NumGroups = int(Queue) + 1
)

// Entry is one row of the catalogue: all that the project knows of a stat.
type Entry struct {
	// Name is the driver's name, and the metric's.
	Name string
	Kind metric.Kind
	Unit metric.Unit
	// Scope says whether values of several interfaces are published as one
	// series of the instance (counters add up, of gauges the smallest counts),
	// or one series for each interface.
	Scope metric.Scope
	Group Group
	// Allowance is the allowance that a counter or gauge guards ("bw_in",
	// "bw_out", "pps", "conntrack", "linklocal"), or "".
	Allowance string
	// Reset is true if growth of this counter is evidence that the device was
	// reset, so that counters of the card may have started again.
	Reset bool
	// Internal stats are read to judge readings. They grow with every reading,
	// so windows leave them out.
	Internal bool
	// Since says which drivers have the stat: out-of-tree version first, then
	// the upstream kernel.
	Since string
	// Meaning says in one sentence what the stat counts; Advice, what to do
	// when it grows.
	Meaning, Advice string
}

// Stats of the catalogue that are not kept by queue. Stats of the queues follow
// from FirstQueue on.
const (
	BWInAllowanceExceeded Stat = iota
	BWOutAllowanceExceeded
	PPSAllowanceExceeded
	ConntrackAllowanceExceeded
	LinklocalAllowanceExceeded
	ConntrackAllowanceAvailable

	SRDMode
	SRDTxPkts
	SRDEligibleTxPkts
	SRDRxPkts
	SRDResourceUtilization

	TotalResets
	ResetFail
	TxTimeout
	WdExpired
	AdminQPause
	BadTxReqID
	BadRxReqID
	BadRxDescNum
	MissingIntr
	SuspectedPollStarvation
	MissingTxCmpl
	RxDescMalformed
	TxDescMalformed
	InvalidState
	OSNetdevWd
	MissingAdminInterrupt
	AdminTimeout
	DeviceRequestReset
	MissingFirstIntr
	Suspend
	Resume
	InterfaceDown
	InterfaceUp
	RxDrops
	TxDrops
	RxOverruns

	AdminAborted
	AdminSubmitted
	AdminCompleted
	AdminOutOfSpace
	AdminNoCompletion

	PHCCount
	PHCExpired
	PHCSkipped
	PHCError
	PHCErrorDeviceFault
	PHCErrorTimestamp
	PHCErrorBounds

	// FirstQueue is the first stat that is kept for each queue.
	FirstQueue
)

// Entry returns the row of s.
func (s Stat) Entry() *Entry { return &catalogue[s] }

// String returns the driver's name of s.
func (s Stat) String() string { return catalogue[s].Name }

// Allowances lists the names of all allowances.
func Allowances() (names []string) {
	for s := Stat(0); s.Exceeded(); s++ {
		names = append(names, s.Entry().Allowance)
	}
	return names
}

// Exceeded reports whether s counts the packets that exceeded an allowance.
func (s Stat) Exceeded() bool { return s <= LinklocalAllowanceExceeded }

// NumStats is the number of rows of the catalogue.
const NumStats = int(FirstQueue) + numQueueStats

// Catalogue returns every row, indexed by Stat. The caller must not change it.
func Catalogue() []Entry { return catalogue[:] }

// Lookup returns the stat that the driver calls name. Names of queues carry
// their queue's number ("queue_3_tx_queue_stop") and may be cut to 31 bytes, as
// ETH_GSTRING_LEN demands; those of all queues are the same stat.
func Lookup(name string) (Stat, bool) {
	if s, ok := byName[name]; ok {
		return s, true
	}
	return lookupQueue(name)
}

var catalogue = func() (rows [NumStats]Entry) {
	copy(rows[:], fixedStats[:])
	copy(rows[FirstQueue:], queueRows())
	return rows
}()

var byName = func() map[string]Stat {
	m := make(map[string]Stat, FirstQueue)
	for s := range FirstQueue {
		m[catalogue[s].Name] = s
	}
	return m
}()

// LinkLocalBudget is how many packets a second one interface may send to all
// link-local services together (EC2 user guide, "IMDS considerations").
const LinkLocalBudget = 1024

// Which drivers have a group of stats (reference: amzn-drivers
// kernel/linux/ena/ena_ethtool.c by tag, and linux-stable).
const (
	sinceAllowance = "2.2.10; Linux 5.10"
	sinceAvailable = "2.8.1; Linux 6.12; Nitro devices that report it"
	sinceSRD       = "2.8.0; Linux 6.12; instances with ENA Express"
	sinceReasons   = "2.10.0; not upstream"
	sinceAlways    = "all"
	sincePHC       = "2.8.1, while the PTP hardware clock is on; not upstream"
)

// What to do, where several stats want the same.
const (
	adviceBandwidth = "Spread the load over more instances or take a size with more bandwidth; smooth bursts; look for a noisy neighbour among the pods."
	adviceHealth    = "If it repeats: update the ENA driver, look at dmesg for \"ena\", and open a case with AWS Support."
	adviceNone      = "Nothing: it is shown for context."
)

var fixedStats = [FirstQueue]Entry{
	BWInAllowanceExceeded: {
		Name: "bw_in_allowance_exceeded", Unit: metric.Count, Group: Device, Allowance: "bw_in", Since: sinceAllowance,
		Meaning: "Packets queued or dropped because the inbound aggregate bandwidth exceeded the instance's maximum.",
		Advice:  adviceBandwidth,
	},
	BWOutAllowanceExceeded: {
		Name: "bw_out_allowance_exceeded", Unit: metric.Count, Group: Device, Allowance: "bw_out", Since: sinceAllowance,
		Meaning: "Packets queued or dropped because the outbound aggregate bandwidth exceeded the instance's maximum.",
		Advice:  adviceBandwidth,
	},
	PPSAllowanceExceeded: {
		Name: "pps_allowance_exceeded", Unit: metric.Count, Group: Device, Allowance: "pps", Since: sinceAllowance,
		Meaning: "Packets queued or dropped because the packets per second, both ways together, exceeded the instance's maximum; egress fragments over 1024 a second count too.",
		Advice:  "Send fewer, larger packets (jumbo frames, batching, GRO/GSO), spread the load, or take a larger size.",
	},
	ConntrackAllowanceExceeded: {
		Name: "conntrack_allowance_exceeded", Unit: metric.Count, Group: Device, Allowance: "conntrack", Since: sinceAllowance,
		Meaning: "Packets dropped because the instance's table of tracked connections was full: new connections fail until old ones close.",
		Advice:  "Make flows untracked (security groups open both ways for them), shorten idle timeouts, reuse connections, or take a larger size.",
	},
	LinklocalAllowanceExceeded: {
		Name: "linklocal_allowance_exceeded", Unit: metric.Count, Scope: metric.PerInterface, Group: Device, Allowance: "linklocal", Since: sinceAllowance,
		Meaning: "Packets dropped because this interface sent more than 1024 packets per second to link-local services: the VPC's DNS resolver, IMDS and NTP together.",
		Advice:  "Cache DNS on the node (NodeLocal DNSCache), spread CoreDNS over nodes, cut search domains (ndots), and cache IMDS credentials.",
	},
	ConntrackAllowanceAvailable: {
		Name: "conntrack_allowance_available", Kind: metric.Gauge, Unit: metric.Count, Group: Device, Allowance: "conntrack", Since: sinceAvailable,
		Meaning: "Connections that the instance can still track before it drops packets.",
		Advice:  "Act before it reaches 0, as for conntrack_allowance_exceeded. An interface may show a value that is hours old; the smallest of the instance counts.",
	},

	SRDMode: {
		Name: "ena_srd_mode", Kind: metric.Gauge, Unit: metric.None, Scope: metric.PerInterface, Group: SRD, Since: sinceSRD,
		Meaning: "ENA Express features that are on, as bits: 1 SRD, 2 SRD for UDP, 4 UDP may arrive out of order.",
		Advice:  adviceNone,
	},
	SRDTxPkts: {
		Name: "ena_srd_tx_pkts", Unit: metric.Count, Scope: metric.PerInterface, Group: SRD, Since: sinceSRD,
		Meaning: "Packets sent over SRD.",
		Advice:  adviceNone,
	},
	SRDEligibleTxPkts: {
		Name: "ena_srd_eligible_tx_pkts", Unit: metric.Count, Scope: metric.PerInterface, Group: SRD, Since: sinceSRD,
		Meaning: "Packets sent that could have gone over SRD: both ends support it and are in the same zone.",
		Advice:  "If it grows far ahead of ena_srd_tx_pkts, look at ena_srd_resource_utilization and at the peer's ENA Express settings.",
	},
	SRDRxPkts: {
		Name: "ena_srd_rx_pkts", Unit: metric.Count, Scope: metric.PerInterface, Group: SRD, Since: sinceSRD,
		Meaning: "Packets received over SRD.",
		Advice:  adviceNone,
	},
	SRDResourceUtilization: {
		Name: "ena_srd_resource_utilization", Kind: metric.Gauge, Unit: metric.Percent, Scope: metric.PerInterface, Group: SRD, Since: sinceSRD,
		Meaning: "Share of the memory for concurrent SRD connections that is in use.",
		Advice:  "Near 100, new flows fall back from SRD to plain ENA.",
	},

	TotalResets:             health("total_resets", sinceReasons, true, "Device resets since the driver was loaded."),
	ResetFail:               health("reset_fail", "2.8.0; Linux 6.12", false, "Device resets that failed."),
	TxTimeout:               health("tx_timeout", sinceAlways, true, "Transmit queues that the kernel's watchdog found stuck."),
	WdExpired:               health("wd_expired", sinceAlways, true, "Resets because the device's keep-alive did not come in time."),
	AdminQPause:             health("admin_q_pause", sinceAlways, true, "Times the admin queue stopped answering, so that the device was reset."),
	BadTxReqID:              health("bad_tx_req_id", sinceReasons, true, "Resets because a transmit completion named an unknown request."),
	BadRxReqID:              health("bad_rx_req_id", sinceReasons, true, "Resets because a receive completion named an unknown request."),
	BadRxDescNum:            health("bad_rx_desc_num", sinceReasons, true, "Resets because a received packet had too many descriptors."),
	MissingIntr:             health("missing_intr", sinceReasons, true, "Resets because an interrupt was missed."),
	SuspectedPollStarvation: health("suspected_poll_starvation", sinceReasons, true, "Resets because polling seemed starved of CPU."),
	MissingTxCmpl:           health("missing_tx_cmpl", sinceReasons, true, "Resets because transmit completions were missing."),
	RxDescMalformed:         health("rx_desc_malformed", sinceReasons, true, "Resets because a receive descriptor was malformed."),
	TxDescMalformed:         health("tx_desc_malformed", sinceReasons, true, "Resets because a transmit descriptor was malformed."),
	InvalidState:            health("invalid_state", sinceReasons, true, "Resets because the device was in an invalid state."),
	OSNetdevWd:              health("os_netdev_wd", sinceReasons, true, "Resets asked for by the kernel's transmit watchdog."),
	MissingAdminInterrupt:   health("missing_admin_interrupt", sinceReasons, true, "Resets because an admin interrupt was missed."),
	AdminTimeout:            health("admin_to", sinceReasons, true, "Resets because an admin command timed out."),
	DeviceRequestReset:      health("device_request_reset", sinceReasons, true, "Resets that the device asked for."),
	MissingFirstIntr:        health("missing_first_intr", "2.13.0; not upstream", true, "Resets because a queue's first interrupt never came."),
	Suspend:                 health("suspend", sinceAlways, true, "Times the device was suspended, as by hibernation."),
	Resume:                  health("resume", sinceAlways, true, "Times the device was resumed."),
	InterfaceDown:           health("interface_down", sinceAlways, true, "Times the interface was taken down, by a reset too."),
	InterfaceUp:             health("interface_up", sinceAlways, true, "Times the interface was brought up, by a reset too."),
	RxDrops: {
		Name: "rx_drops", Unit: metric.Count, Group: Driver, Since: "2.2.0 to 2.2.9; not upstream",
		Meaning: "Received packets that the device dropped.",
		Advice:  "Enlarge the receive ring (ethtool -G) or spread interrupts over more CPUs.",
	},
	TxDrops: {
		Name: "tx_drops", Unit: metric.Count, Group: Driver, Since: "2.2.0 to 2.2.9; not upstream",
		Meaning: "Packets to be sent that the device dropped.",
		Advice:  adviceHealth,
	},
	RxOverruns: {
		Name: "rx_overruns", Unit: metric.Count, Group: Driver, Since: "where a driver lists it",
		Meaning: "Received packets dropped because the receive ring was full.",
		Advice:  "Enlarge the receive ring (ethtool -G) or spread interrupts over more CPUs.",
	},

	AdminAborted:      adminQueue("ena_admin_q_aborted_cmd", false, "Admin commands that were aborted."),
	AdminSubmitted:    adminQueue("ena_admin_q_submitted_cmd", true, "Admin commands that were handed to the device; each reading sends one or two."),
	AdminCompleted:    adminQueue("ena_admin_q_completed_cmd", true, "Admin commands that the device completed."),
	AdminOutOfSpace:   adminQueue("ena_admin_q_out_of_space", false, "Admin commands refused because the queue was full."),
	AdminNoCompletion: adminQueue("ena_admin_q_no_completion", false, "Admin commands that the device never completed."),

	PHCCount:            clock("phc_cnt", true, "Times the PTP hardware clock was read."),
	PHCExpired:          clock("phc_exp", false, "Reads of the PTP hardware clock that expired."),
	PHCSkipped:          clock("phc_skp", false, "Reads of the PTP hardware clock that were skipped while it was blocked."),
	PHCError:            clock("phc_err", false, "Reads of the PTP hardware clock that failed (drivers up to 2.14)."),
	PHCErrorDeviceFault: clock("phc_err_dv", false, "Reads of the PTP hardware clock that failed by a device error."),
	PHCErrorTimestamp:   clock("phc_err_ts", false, "Reads of the PTP hardware clock with a bad timestamp."),
	PHCErrorBounds:      clock("phc_err_eb", false, "Reads of the PTP hardware clock with a bad error bound."),
}

func health(name, since string, reset bool, meaning string) Entry {
	return Entry{Name: name, Unit: metric.Count, Group: Driver, Reset: reset, Since: since, Meaning: meaning, Advice: adviceHealth}
}

func adminQueue(name string, internal bool, meaning string) Entry {
	return Entry{Name: name, Unit: metric.Count, Group: AdminQueue, Internal: internal, Since: sinceAlways, Meaning: meaning,
		Advice: "While the admin queue fails, the driver reports zeros or old values; enawatch holds its baselines. " + adviceHealth}
}

func clock(name string, internal bool, meaning string) Entry {
	return Entry{Name: name, Unit: metric.Count, Group: Clock, Internal: internal, Since: sincePHC, Meaning: meaning,
		Advice: "Look at the time daemon's log; the clock falls back to NTP, which is link-local traffic."}
}
