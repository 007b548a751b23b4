package simulate

import (
	"syscall"
	"time"
)

// adminState is how the admin queue takes commands.
type adminState uint8

const (
	running  adminState = iota
	stopped             // refuses commands; they are not counted as submitted
	timeout             // never completes the next one, then is stopped
	erroring            // completes them with an error status
	lagging             // counts the last completion late
)

// fault is what is wrong with a device.
type fault struct {
	admin adminState
	delay time.Duration
	errno syscall.Errno // 0: none
}

// adapter is one life of a device, from attach to detach: a network device,
// with the driver's memory of it and the card behind it.
type adapter struct {
	script *deviceScript
	index  int // of the network device
	name   string
	queues int
	fault  fault

	*layout
	values []uint64 // the truth, by position in the layout
	added  []uint64 // what values grew by and totals do not have yet
	// totals is what each stat of the device grew by, in all of its lives.
	totals map[string]uint64
	// fetched holds what the last good admin commands brought.
	fetched []uint64
	// answers counts the vectors handed out. Garbage differs by it.
	answers uint64

	submitted, completed, noCompletion int // where these stats are
}

// initialCommands is how many admin commands a driver sends to bring a device
// up, roughly: features, then a submission and a completion queue for each
// direction of each queue. The capture of a real host shows 89.
func initialCommands(queues int) uint64 { return 20 + 4*uint64(queues) }

func newAdapter(script *deviceScript, index int, totals map[string]uint64) *adapter {
	a := &adapter{script: script, index: index, name: script.name, queues: script.queues, totals: totals}
	a.useLayout(script.layout(script.queues))
	a.put("interface_up", 1)
	a.put("ena_admin_q_submitted_cmd", initialCommands(a.queues))
	a.put("ena_admin_q_completed_cmd", initialCommands(a.queues))
	a.put(activeQueues, uint64(a.queues))
	for _, i := range script.initial {
		if isGauge(i.stat) {
			a.put(i.stat, i.n)
		}
	}
	copy(a.fetched, a.values)
	return a
}

// settle moves what values grew by to the totals.
func (a *adapter) settle() {
	for i, n := range a.added {
		if n > 0 {
			a.totals[a.names[i]] += n
		}
	}
	clear(a.added)
}

// useLayout takes a new layout into use and keeps the values of every stat but
// those of queues, whose rings are set up again.
func (a *adapter) useLayout(l *layout) {
	a.settle()
	values, fetched := make([]uint64, len(l.names)), make([]uint64, len(l.names))
	for i, name := range l.names {
		if a.layout == nil || l.groups[i] == queueGroup {
			continue
		}
		if old, ok := a.at[name]; ok {
			values[i], fetched[i] = a.values[old], a.fetched[old]
		}
	}
	a.layout, a.values, a.fetched, a.added = l, values, fetched, make([]uint64, len(l.names))
	a.submitted = l.at["ena_admin_q_submitted_cmd"]
	a.completed = l.at["ena_admin_q_completed_cmd"]
	a.noCompletion = l.at["ena_admin_q_no_completion"]
}

// put sets the stat of that name, if the driver has it.
func (a *adapter) put(name string, v uint64) {
	for _, i := range a.find(name) {
		a.values[i] = v
	}
}

func (a *adapter) grow(i int, n uint64) {
	a.values[i] += n
	a.added[i] += n
}

// growNamed adds 1 to the stat of that name, if the driver has it.
func (a *adapter) growNamed(name string) {
	if i, ok := a.at[name]; ok {
		a.grow(i, 1)
	}
}

// answer writes the vector as the driver's get_ethtool_stats does: it sends its
// admin commands, takes no notice of whether they succeed, and copies what it
// then has. It reports whether they all did succeed.
func (a *adapter) answer(dst []uint64) bool {
	a.answers++
	cardOK := a.fetch(cardGroup)
	srdOK := true
	if a.script.srd {
		srdOK = a.fetch(srdGroup)
	}
	for i, g := range a.groups {
		switch {
		case g == cardGroup && !cardOK:
			// The driver has these written straight into the kernel's
			// vector, which was zeroed (ena_com_get_customer_metrics).
			if a.script.customerMetrics {
				dst[i] = 0
			} else {
				dst[i] = a.unfetched(i)
			}
		case g == srdGroup && !srdOK:
			dst[i] = a.unfetched(i)
		default:
			dst[i] = a.values[i]
		}
	}
	if a.fault.admin == lagging {
		dst[a.completed]--
	}
	return cardOK && srdOK
}

// fetch sends the admin command for a group (ena_com_execute_admin_command) and
// reports whether it brought the group's stats.
func (a *adapter) fetch(g group) bool {
	switch a.fault.admin {
	case stopped:
		return false
	case timeout:
		a.grow(a.submitted, 1)
		a.grow(a.noCompletion, 1)
		a.fault = fault{admin: stopped, errno: a.fault.errno}
		return false
	case erroring:
		a.grow(a.submitted, 1)
		a.grow(a.completed, 1)
		return false
	}
	a.grow(a.submitted, 1)
	a.grow(a.completed, 1)
	for i, of := range a.groups {
		if of == g {
			a.fetched[i] = a.values[i]
		}
	}
	return true
}

// unfetched is what the driver shows for a stat that it could not fetch.
func (a *adapter) unfetched(i int) uint64 {
	switch a.script.driver.failing {
	case stale:
		return a.fetched[i]
	case garbage:
		return stackGarbage(uint64(i), a.answers)
	}
	return 0
}

// stackGarbage is a word as it lies on a kernel's stack: a pointer into the
// direct map, the text or a stack, a small number, or nothing.
func stackGarbage(i, round uint64) uint64 {
	noise := (i*0x9e3779b97f4a7c15 + round*0xbf58476d1ce4e5b9) >> 40
	switch (i + round) % 5 {
	case 0:
		return 0xffff888100000000 | noise<<3
	case 1:
		return 0xffffffff81000000 | noise&0xffffff
	case 2:
		return noise & 0xff
	case 3:
		return 0xffffc90000000000 | noise<<3
	}
	return 0
}

// reset does what a device reset does (ena_destroy_device, ena_restore_device).
// That it zeroes the SRD counters too is assumed: no document says.
func (a *adapter) reset(cause []string) {
	for i, g := range a.groups {
		if (g == cardGroup || g == srdGroup) && !isGauge(a.names[i]) {
			a.values[i] = 0
		}
	}
	a.growNamed("total_resets")
	for _, name := range cause {
		a.growNamed(name)
	}
	a.fault = fault{}
	a.bringUp()
}

// setQueues does what ethtool -L does (ena_update_queue_count).
func (a *adapter) setQueues(n int) {
	a.queues = n
	if !a.script.driver.fixedQueues {
		a.useLayout(a.script.layout(n))
	}
	a.put(activeQueues, uint64(n))
	a.bringUp()
}

// bringUp counts an ifdown and ifup. Up to 2.15 and upstream they zero the
// queues' counters (ena_setup_tx_resources, ena_setup_rx_resources).
func (a *adapter) bringUp() {
	a.growNamed("interface_down")
	a.growNamed("interface_up")
	a.grow(a.submitted, initialCommands(a.queues))
	a.grow(a.completed, initialCommands(a.queues))
	if a.script.driver.fixedQueues {
		return
	}
	for i, g := range a.groups {
		if g == queueGroup {
			a.values[i] = 0
		}
	}
}

// resetCauses are the counters, besides total_resets, that a device reset grows
// by its cause, where the driver has them (resets_to_stats_offset_map,
// check_for_admin_com_state and ena_tx_timeout).
var resetCauses = map[string][]string{
	"keep-alive":     {"wd_expired"},
	"admin-timeout":  {"admin_q_pause", "admin_to"},
	"tx-timeout":     {"tx_timeout", "os_netdev_wd"},
	"device-request": {"device_request_reset"},
}
