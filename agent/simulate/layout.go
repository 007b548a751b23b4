package simulate

import (
	"strconv"
	"strings"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// ethGStringLen is the kernel's ETH_GSTRING_LEN: a name and its final NUL.
const ethGStringLen = 32

// maxQueues is ENA_MAX_NUM_IO_QUEUES (ena_com.h).
const maxQueues = 128

// activeQueues is the gauge that drivers with fixedQueues list.
const activeQueues = "num_of_active_io_queues"

// group says who keeps a stat, and so what zeroes it and how it fails.
type group uint8

const (
	driverGroup group = iota // the driver, for the life of the network device
	cardGroup                // the card: the allowances, by one admin command
	srdGroup                 // the card, by an admin command of their own
	queueGroup               // the driver, for each queue
)

// layout is a driver's vector of stats: names and groups in its order.
type layout struct {
	names  []string
	groups []group
	at     map[string]int
}

// layout returns the vector of d while it has so many queues.
func (d *deviceScript) layout(queues int) *layout {
	l := &layout{at: map[string]int{}}
	l.add(driverGroup, "", d.driver.global)
	if d.customerMetrics {
		l.add(cardGroup, "", customerMetrics)
	} else {
		l.add(cardGroup, "", allowances)
	}
	if d.srd {
		l.add(srdGroup, "", srd)
	}
	if d.driver.adminFirst {
		d.addAdmin(l)
	}
	if d.driver.fixedQueues {
		l.add(driverGroup, "", []string{activeQueues})
		queues = d.maxQueues
	}
	for q := range queues {
		prefix := "queue_" + strconv.Itoa(q)
		l.add(queueGroup, prefix+"_tx_", d.driver.tx)
		l.add(queueGroup, prefix+"_rx_", d.driver.rx)
	}
	if !d.driver.adminFirst {
		d.addAdmin(l)
	}
	return l
}

func (d *deviceScript) addAdmin(l *layout) {
	l.add(driverGroup, "", adminQueue)
	if d.phc {
		l.add(driverGroup, "", d.driver.phc)
	}
}

func (l *layout) add(g group, prefix string, names []string) {
	for _, name := range names {
		name = cut(prefix + name)
		l.at[name] = len(l.names)
		l.names = append(l.names, name)
		l.groups = append(l.groups, g)
	}
}

// cut shortens a name as ethtool_sprintf does.
func cut(name string) string { return name[:min(len(name), ethGStringLen-1)] }

// find returns where the stat of that name is, or those of all queues if a *
// stands for their number; nothing if there is none.
func (l *layout) find(name string) (at []int) {
	before, after, all := strings.Cut(name, "*")
	if !all {
		if i, ok := l.at[name]; ok {
			at = append(at, i)
		}
		return at
	}
	for q := range maxQueues {
		i, ok := l.at[cut(before+strconv.Itoa(q)+after)]
		if !ok {
			break
		}
		at = append(at, i)
	}
	return at
}

// isGauge reports whether the stat of that name is a level.
func isGauge(name string) bool {
	if name == activeQueues {
		return true
	}
	s, ok := ena.Lookup(strings.Replace(name, "*", "0", 1))
	return ok && s.Entry().Kind == metric.Gauge
}
