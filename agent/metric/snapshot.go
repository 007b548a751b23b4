package metric

import "time"

// Snapshot is the agent's state at one instant, for whoever pulls: /metrics,
// the live page, the terminal view. It shares no memory with the agent.
type Snapshot struct {
	At         time.Time
	Resource   Resource
	Interfaces []InterfaceState
	Self       []SelfMetric
	// LinkLocal is nil unless link-local traffic is counted, and Conntrack unless
	// tables of tracked connections are watched.
	LinkLocal *LinkLocal
	Conntrack *Conntrack
	// Records are those of exceeded allowances, the newest ones, oldest first.
	Records []Record
}

// InterfaceState is one interface in a Snapshot.
type InterfaceState struct {
	Interface
	Driver Driver
	// Verdict is that of the newest reading: "valid", "suspect", "gone" or
	// "failed", and Reason says why if it is not valid.
	Verdict, Reason string
	// Raw is the whole vector of the last reading that was believed, in the
	// driver's order. Empty until there is one.
	Raw []RawStat
	// Totals are the stats of the catalogue that this interface has, in
	// catalogue order.
	Totals []Total
}

// Driver is what the driver says of itself (ETHTOOL_GDRVINFO).
type Driver struct {
	Name, Version, FirmwareVersion, ExpansionROMVersion, BusInfo string
}

// RawStat is one stat as the driver names and counts it.
type RawStat struct {
	Name  string
	Value uint64
}

// Total is one stat of the catalogue. For a counter, Value is the first
// believed value plus every delta since: it survives device resets and suspect
// readings and never falls while the agent runs. For a gauge it is the level
// in the last believed reading.
type Total struct {
	Name, Help string
	Kind       Kind
	Unit       Unit
	Value      uint64
}

// SelfMetric is one number about the agent itself. Name carries the prefix
// "enawatch_" and, for a counter, the suffix "_total".
type SelfMetric struct {
	Name, Help string
	Kind       Kind
	Labels     []Dimension
	Value      float64
}
