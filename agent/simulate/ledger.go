package simulate

import "maps"

// Ledger is the truth about a script: what really happened to each counter,
// whatever readers were shown.
type Ledger struct {
	Scenario string `json:"scenario"`
	// Done is true if the script came to its end.
	Done    bool           `json:"done"`
	Devices []DeviceLedger `json:"devices"`
}

// DeviceLedger is the truth about one device.
type DeviceLedger struct {
	MAC  string `json:"mac"`
	Bus  string `json:"bus"`
	Name string `json:"name"` // the last it had
	// Attached is true if the device was there at the end.
	Attached bool `json:"attached"`
	Counts
	// Stats holds every stat that the device ever had, by the driver's name.
	Stats map[string]StatLedger `json:"stats"`
}

// Counts counts what the readers of a device met.
type Counts struct {
	// Reads counts every ETHTOOL_GSTATS that reached the device. Of these,
	// Failed were answered although an admin command had failed, Mismatched
	// asked for another number of stats than there were, and Errors failed.
	Reads      int `json:"reads"`
	Failed     int `json:"failed"`
	Mismatched int `json:"mismatched"`
	Errors     int `json:"errors"`
	// Adapters counts how often the device was attached.
	Adapters int `json:"adapters"`
}

// StatLedger is the truth about one stat.
type StatLedger struct {
	// Initial is the value when the script began or the device first came.
	Initial uint64 `json:"initial"`
	// Added is all that a counter grew by, through resets and re-attachments.
	Added uint64 `json:"added"`
	// Last is the newest value that the device really had.
	Last uint64 `json:"last"`
}

// Ledger returns the truth until now, devices in the scenario's order.
func (m *Machine) Ledger() Ledger {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(m.clock.Now())
	l := Ledger{Scenario: m.scenario.Name, Done: m.done}
	for _, d := range m.devices {
		l.Devices = append(l.Devices, d.ledger())
	}
	return l
}

func (d *device) ledger() DeviceLedger {
	l := DeviceLedger{
		MAC: d.mac, Bus: d.bus, Name: d.lastName, Attached: d.adapter != nil, Counts: d.count,
		Stats: map[string]StatLedger{},
	}
	last := maps.Clone(d.last)
	if d.adapter != nil {
		d.adapter.settle()
		for i, name := range d.adapter.layout.names {
			last[name] = d.adapter.values[i]
		}
	}
	for _, names := range []totals{d.first, d.grown, last} {
		for name := range names {
			l.Stats[name] = StatLedger{Initial: d.first[name], Added: d.grown[name], Last: last[name]}
		}
	}
	return l
}
