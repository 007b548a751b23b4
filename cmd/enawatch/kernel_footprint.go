//go:build footprint

package main

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
)

// hostKernel returns the running kernel with its veth interfaces ena0, ena1, …
// presented as ENA interfaces, for test/footprint: there is no ENA card to
// measure on, and a supervisor that answers for one costs more than the agent.
// Every reading is the same system call, answered by the kernel with as many
// stats; what they are called is made up, and the admin queue's counters grow
// as if the card had been asked.
func hostKernel() (ena.Kernel, error) {
	k, err := ena.NewKernel()
	return &vethKernel{Kernel: k}, err
}

type vethKernel struct {
	ena.Kernel
	asked          uint64
	names, renamed []string // of the interface asked before: the kernel's list and ours
}

// vethStats are the names of an interface's first stats.
var vethStats = []string{
	"bw_in_allowance_exceeded", "bw_out_allowance_exceeded", "pps_allowance_exceeded",
	"conntrack_allowance_exceeded", "linklocal_allowance_exceeded", "conntrack_allowance_available",
	"total_resets", "interface_up", "interface_down", "tx_timeout", "rx_drops",
	"ena_admin_q_aborted_cmd", "ena_admin_q_submitted_cmd", "ena_admin_q_completed_cmd",
	"ena_admin_q_out_of_space", "ena_admin_q_no_completion",
}

func (k *vethKernel) Driver(name string) (ena.DriverIdentity, error) {
	d, err := k.Kernel.Driver(name)
	if number, ok := strings.CutPrefix(name, "ena"); ok && d.Driver == "veth" {
		d = ena.DriverIdentity{Driver: "ena", Version: "2.15.0g", BusInfo: "0000:00:" + number + ".0"}
	}
	return d, err
}

func (k *vethKernel) StatNames(name string) ([]string, error) {
	names, err := k.Kernel.StatNames(name)
	if err != nil || len(names) < len(vethStats) {
		return names, err
	}
	if len(k.names) == 0 || &names[0] != &k.names[0] {
		k.names, k.renamed = names, slices.Concat(vethStats, names[len(vethStats):])
	}
	return k.renamed, nil
}

func (k *vethKernel) Stats(name string, want int, b *ena.Buffer) (int, error) {
	n, err := k.Kernel.Stats(name, want, b)
	if n < len(vethStats) || err != nil {
		return n, err
	}
	values := b.Values(len(vethStats))
	clear(values)
	k.asked++
	values[5], values[12], values[13] = 120_000, k.asked, k.asked
	return n, nil
}

// remember fills a history as half an hour does in which every interface exceeds
// every allowance in one second of four and the connections left change in each, if
// FOOTPRINT_PAST is set.
func remember(h *live.History, k ena.Kernel) {
	if os.Getenv("FOOTPRINT_PAST") == "" {
		return
	}
	var rows []*live.Row
	var interfaces []metric.Interface
	_ = ena.NewWatcher(k).Poll(true, func(d ena.Netdev, _ ena.Change) {
		interfaces, rows = append(interfaces, d.Interface), append(rows, h.Add(d.Interface))
	})
	random := rand.New(rand.NewPCG(1, 2))
	seconds := int(live.Span / time.Second)
	for n := range seconds {
		for at, r := range rows {
			result := &delta.Result{}
			for _, s := range live.Tracked {
				result.Counted.Add(s)
				if !s.Exceeded() || random.IntN(4) == 0 {
					result.Values[s] = random.Uint64N(1 << (1 + random.Uint64N(18)))
				}
			}
			r.Observe(interfaces[at], ena.Valid, "", result)
		}
		h.EndSecond(time.Now().Add(time.Duration(n-seconds) * time.Second))
	}
	h.Cut(false)
	for _, r := range rows {
		r.Leave()
	}
}
