// Package metric is the currency between the window and the sinks: series,
// samples and batches. It does no I/O and knows neither ENA nor AWS.
package metric

import "time"

// Kind says how samples of a series combine.
type Kind uint8

const (
	// Counter samples are deltas: what a counter grew by in one second.
	// They add up, over time and over interfaces.
	Counter Kind = iota
	// Gauge samples are levels. They never add up.
	Gauge
)

// String returns "counter" or "gauge".
func (k Kind) String() string {
	if k == Gauge {
		return "gauge"
	}
	return "counter"
}

// Unit is a unit as CloudWatch spells it (MetricDatum, "Unit").
type Unit string

const (
	Count   Unit = "Count"
	Bytes   Unit = "Bytes"
	Percent Unit = "Percent"
	Seconds Unit = "Seconds"
	None    Unit = "None"
)

// Scope says whom a series speaks of, and so which dimensions it has.
type Scope uint8

const (
	// Instance series speak of the whole host: one series each.
	Instance Scope = iota
	// PerInterface series speak of one network interface each.
	PerInterface
)

// String returns "instance" or "interface".
func (s Scope) String() string {
	if s == PerInterface {
		return "interface"
	}
	return "instance"
}

// Dimension is one name and value under which a series is published; a label,
// in Prometheus' words.
type Dimension struct {
	Name, Value string
}

// Resource is the host that a batch speaks of.
type Resource struct {
	// Host is the host's name; never empty.
	Host string
	// InstanceID is the EC2 instance id, or "" while it is not known.
	InstanceID string
	// Zone is the name of its availability zone, or "" while it is not known.
	Zone string
	// Dimensions are fixed ones from the configuration, sorted by name.
	Dimensions []Dimension
	// Simulated is true if no number in the batch comes from a real device.
	// Every sink marks what it publishes accordingly.
	Simulated bool
}

// Interface names one ENA network interface.
type Interface struct {
	// Name is what the kernel calls it now ("ens5"); it can change.
	Name string
	// MAC is the hardware address in lower case, with colons.
	MAC string
	// BusInfo is the PCI address ("0000:00:05.0").
	BusInfo string
	// ENI is the id of the elastic network interface, or "" while unknown.
	ENI string
	// Subnet is the id of the subnet that the ENI is in, or "" while unknown.
	Subnet string
	// DriverVersion is what the driver says of itself ("2.13.0g").
	DriverVersion string
	// Link is "up" if the interface is on and has a carrier, which ethtool calls
	// "Link detected"; "down" if not; or "" while that is not known.
	Link string
	// Pods are the pods that send and receive through it, or nil if there are
	// none or none are known. In a Batch it is nil too if the interface exceeded
	// no allowance in the window.
	Pods *Pods
}

// Series is what one metric did in one window.
type Series struct {
	// Name is the metric's name, the same at every sink ("bw_in_allowance_exceeded").
	Name  string
	Kind  Kind
	Unit  Unit
	Scope Scope
	// Interface indexes Batch.Interfaces, or is -1 for a series of the host.
	Interface int
	// Detail is true for a series of one interface whose metric is published
	// for the instance: sinks may show it as a property, they do not publish
	// it as a metric of its own.
	Detail bool
	// Whole is true if there is one sample, which speaks of the whole window.
	Whole bool
	// Samples holds one value for each second that was observed, in order of
	// time, at least one and at most 100. After a gap, one sample carries what
	// grew in all of the missing seconds.
	Samples []float64
}

// Sum returns the sum of the samples: for a counter, what it grew by.
func (s *Series) Sum() float64 {
	var sum float64
	for _, v := range s.Samples {
		sum += v
	}
	return sum
}

// Max returns the largest sample.
func (s *Series) Max() float64 {
	m := s.Samples[0]
	for _, v := range s.Samples[1:] {
		m = max(m, v)
	}
	return m
}

// Min returns the smallest sample.
func (s *Series) Min() float64 {
	m := s.Samples[0]
	for _, v := range s.Samples[1:] {
		m = min(m, v)
	}
	return m
}

// Last returns the newest sample.
func (s *Series) Last() float64 { return s.Samples[len(s.Samples)-1] }

// IsZero reports whether every sample is zero.
func (s *Series) IsZero() bool {
	for _, v := range s.Samples {
		if v != 0 {
			return false
		}
	}
	return true
}

// Batch is one closed window: everything that was observed between Start and
// Start+Length on one host.
type Batch struct {
	// Start is the wall-clock time at which the window began, UTC.
	Start time.Time
	// Length is how long the window was by the monotonic clock: the publish
	// interval, less at start-up, shutdown and after a clock step, and more
	// only if the host stood still at its end.
	Length   time.Duration
	Resource Resource
	// Interfaces lists the interfaces that the host had in this window.
	Interfaces []Interface
	// Series are sorted: the host's before the interfaces', then by interface,
	// in catalogue order.
	Series []Series
	// Senders are those who sent most to link-local services in this window, most
	// first, and OtherSenders all others together; nil and zero unless they are
	// counted.
	Senders      []Sender
	OtherSenders uint64
	// ConntrackOwners are who has most of the kernel's tracked connections, if that
	// was looked at in this window, and ConntrackOthers the entries of all others.
	ConntrackOwners []ConntrackOwner
	ConntrackOthers uint64
	// Records are those of allowances that were exceeded, if link-local traffic or
	// tracked connections are watched: the first of each window.
	Records []Record
	// Levels are the raw values of each interface at the window's end, if the
	// agent was asked for them.
	Levels []Level
}

// Level is a raw value as the driver counts it: since the last device reset,
// and back to 0 with the next.
type Level struct {
	Interface int // indexes Batch.Interfaces
	Name      string
	Value     uint64
}
