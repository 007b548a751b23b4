package delta

import (
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// Key identifies an interface for good: its name can change, its MAC address
// and PCI address do not.
type Key struct {
	MAC     string `json:"mac"`
	BusInfo string `json:"bus_info"`
}

// KeyOf returns the identity of i.
func KeyOf(i metric.Interface) Key { return Key{MAC: i.MAC, BusInfo: i.BusInfo} }

// Baseline is what must survive a restart of the agent, so that the first
// reading after it yields what happened meanwhile: no more, no less.
type Baseline struct {
	Key
	// BootID is the boot in which the values were read; in another one the
	// device has started again.
	BootID string `json:"boot_id"`
	// Index is the interface index; another one is another network device.
	Index int `json:"index"`
	// At is the wall-clock time at which the interface was known last.
	At time.Time `json:"at"`
	// Values are the last believed values and Totals what was counted so far,
	// by the driver's name of the stat.
	Values map[string]uint64 `json:"values"`
	Totals map[string]uint64 `json:"totals"`
}

func byName(set ena.Set, values *[ena.NumStats]uint64) map[string]uint64 {
	m := make(map[string]uint64, set.Len())
	for s := range ena.Stat(ena.NumStats) {
		if set.Has(s) {
			m[s.String()] = values[s]
		}
	}
	return m
}

// fromNames is the reverse of byName. Names that the catalogue does not know,
// as of another version of the agent, are left out.
func fromNames(m map[string]uint64) (set ena.Set, values [ena.NumStats]uint64) {
	for s := range ena.Stat(ena.NumStats) {
		if v, ok := m[s.String()]; ok {
			set.Add(s)
			values[s] = v
		}
	}
	return set, values
}
