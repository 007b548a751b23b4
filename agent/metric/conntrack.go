package metric

import "time"

// Conntrack is how full the tables of tracked connections are.
type Conntrack struct {
	// Kernel is the kernel's table in the agent's network namespace, and Card the
	// instance's allowance.
	Kernel, Card ConntrackTable
	// Owners are who had most of the kernel's table when it was looked at last, at
	// the time LookedAt; nil and zero if it never was. Others are the entries of all
	// who are not listed.
	Owners   []ConntrackOwner
	Others   uint64
	LookedAt time.Time
}

// ConntrackTable is how full one table is.
type ConntrackTable struct {
	// Known is false if this host can't tell.
	Known bool
	// Entries and Max are zero for the card's, of which only Free is known.
	Entries, Max, Free uint64
	// PerSecond is how many entries more there are each second.
	PerSecond float64
	// Full is in what time it is full at that growth; 0 if that is not in sight.
	Full time.Duration
	// Near is true while it is warned of.
	Near bool
}

// ConntrackOwner is whose connections are in the kernel's table.
type ConntrackOwner struct {
	// Owner is "namespace/pod", the address of a pod that is not known, "this host
	// to tcp 10.0.3.9:5432" or "this host at tcp port 443".
	Owner   string `json:"owner"`
	Entries uint64 `json:"entries"`
	// Unreplied are those of them that saw no packet back.
	Unreplied uint64 `json:"unreplied"`
	// Mostly is where most of a pod's go ("tcp 10.0.3.9:5432"), and MostlyEntries
	// how many.
	Mostly        string `json:"mostly,omitempty"`
	MostlyEntries uint64 `json:"mostly_entries,omitempty"`
}

// RecordConntrack is the part of a Record about tracked connections, as of its
// end.
type RecordConntrack struct {
	// Entries and Max are the kernel's table, and PerSecond its growth.
	Entries   uint64  `json:"entries"`
	Max       uint64  `json:"max"`
	PerSecond float64 `json:"per_second"`
	// LookedAt is when Owners were counted, Seen how many entries they were
	// counted by, and Others those of all who are not listed.
	LookedAt *time.Time       `json:"looked_at,omitempty"`
	Seen     uint64           `json:"seen,omitempty"`
	Owners   []ConntrackOwner `json:"owners,omitempty"`
	Others   uint64           `json:"others,omitempty"`
}
