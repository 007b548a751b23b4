package otlp

import (
	"strings"

	"github.com/enawatch/enawatch/agent/metric"
)

// namePrefix puts the metrics beside system.network.* of the semantic
// conventions.
const namePrefix = "system.network.ena."

// MetricName returns what a metric of the catalogue is called here: its name
// without a leading "ena_", behind "system.network.ena.".
func MetricName(name string) string {
	return namePrefix + strings.ToValidUTF8(strings.TrimPrefix(name, "ena_"), "?")
}

// packets are how names end of counters that count packets; the driver has no
// unit for them. Others count events.
var packets = []string{"_allowance_exceeded", "_pkts", "_drops", "_overruns", "x_cnt", "_xsk_cnt"}

// UnitOf returns the unit of a metric in UCUM, as the semantic conventions want.
func UnitOf(name string, u metric.Unit) string {
	switch u {
	case metric.Bytes:
		return "By"
	case metric.Seconds:
		return "s"
	case metric.Percent:
		return "%"
	case metric.Count:
		for _, end := range packets {
			if strings.HasSuffix(name, end) {
				return "{packet}"
			}
		}
		if strings.HasSuffix(name, "_allowance_available") {
			return "{connection}"
		}
		return "{event}"
	}
	return "1"
}
