package ena

import (
	"strings"

	"github.com/enawatch/enawatch/agent/metric"
)

// ethGStringLen is the kernel's ETH_GSTRING_LEN: a name and its final NUL.
const ethGStringLen = 32

// queueStat is a stat that the driver keeps for each queue.
type queueStat struct {
	name    string // without "queue_N_": "tx_queue_stop"
	meaning string
}

const numQueueStats = 63

// queueStats are all stats by queue of the drivers up to 2.17.0. They are
// published only if the configuration asks for them by pattern, as the sum
// over all queues.
var queueStats = [numQueueStats]queueStat{
	{"tx_cnt", "Packets sent."},
	{"tx_bytes", "Bytes sent."},
	{"tx_queue_stop", "Times a transmit ring was full, so that its queue was stopped."},
	{"tx_queue_wakeup", "Times a stopped transmit queue was started again."},
	{"tx_dma_mapping_err", "Packets to be sent that could not be mapped for DMA."},
	{"tx_linearize", "Packets to be sent that had to be copied into one piece."},
	{"tx_linearize_failed", "Packets to be sent that could not be copied into one piece."},
	{"tx_napi_comp", "Transmit polls that ended with the interrupt armed again."},
	{"tx_prepare_ctx_err", "Packets to be sent that could not be prepared for the device."},
	{"tx_bad_req_id", "Transmit completions that named an unknown request."},
	{"tx_llq_buffer_copy", "Headers copied to the device's low-latency queue."},
	{"tx_missed_tx", "Packets sent whose completion was late."},
	{"tx_pending_timedout_pkts", "Packets sent whose completion is late now."},
	{"tx_xsk_cnt", "Packets sent by AF_XDP."},
	{"tx_xsk_bytes", "Bytes sent by AF_XDP."},
	{"tx_xsk_need_wakeup_set", "Times AF_XDP transmission asked for a wake-up."},
	{"tx_xsk_wakeup_request", "Wake-ups that AF_XDP transmission received."},
	{"tx_xdp_frags_exceeded", "XDP packets to be sent with too many fragments."},
	{"tx_xdp_short_linear_part", "XDP packets to be sent whose linear part was too short."},
	{"tx_tx_poll", "Transmit polls."},
	{"tx_doorbells", "Times the device was told of packets to send."},
	{"tx_unmask_interrupt", "Times the transmit interrupt was armed."},
	{"tx_lost_interrupt", "Transmit interrupts that were lost."},
	{"rx_cnt", "Packets received."},
	{"rx_bytes", "Bytes received."},
	{"rx_rx_copybreak_pkt", "Received packets short enough to be copied."},
	{"rx_csum_good", "Received packets whose checksum the device found good."},
	{"rx_refil_partial", "Times the receive ring could be refilled only in part."},
	{"rx_csum_bad", "Received packets whose checksum the device found bad."},
	{"rx_bad_csum", "Received packets whose checksum the device found bad (drivers 2.2)."},
	{"rx_page_alloc_fail", "Receive pages that could not be allocated."},
	{"rx_skb_alloc_fail", "Receive buffers that could not be allocated."},
	{"rx_dma_mapping_err", "Receive pages that could not be mapped for DMA."},
	{"rx_bad_desc_num", "Received packets with too many descriptors."},
	{"rx_bp_yield", "Busy polls that yielded."},
	{"rx_bp_missed", "Busy polls that found nothing."},
	{"rx_bp_cleaned", "Packets received by busy polls."},
	{"rx_bp_invocations_cnt", "Busy polls."},
	{"rx_bad_req_id", "Receive completions that named an unknown request."},
	{"rx_empty_rx_ring", "Times the receive ring was found empty."},
	{"rx_csum_unchecked", "Received packets whose checksum the device did not check."},
	{"rx_xdp_aborted", "Packets aborted by an XDP program."},
	{"rx_xdp_drop", "Packets dropped by an XDP program."},
	{"rx_xdp_pass", "Packets passed on by an XDP program."},
	{"rx_xdp_tx", "Packets sent back by an XDP program."},
	{"rx_xdp_invalid", "Packets with an invalid XDP verdict."},
	{"rx_xdp_redirect", "Packets redirected by an XDP program."},
	{"rx_lpc_warm_up", "Pages put into the local page cache."},
	{"rx_lpc_full", "Pages that did not fit into the local page cache."},
	{"rx_lpc_wrong_numa", "Cached pages on the wrong NUMA node."},
	{"rx_pp_alloc_fast", "Page pool: fast allocations."},
	{"rx_pp_alloc_slow", "Page pool: slow allocations."},
	{"rx_pp_alloc_slow_hi_ord", "Page pool: slow allocations of several pages."},
	{"rx_pp_alloc_empty", "Page pool: times the ring was empty."},
	{"rx_pp_alloc_refill", "Page pool: refills of the cache."},
	{"rx_pp_alloc_waive", "Page pool: pages of the wrong NUMA node."},
	{"rx_pp_cached", "Page pool: pages recycled into the cache."},
	{"rx_pp_cache_full", "Page pool: times the cache was full."},
	{"rx_pp_ring", "Page pool: pages recycled into the ring."},
	{"rx_pp_ring_full", "Page pool: pages released because the ring was full."},
	{"rx_pp_released_ref", "Page pool: pages released because others held them."},
	{"rx_xsk_need_wakeup_set", "Times AF_XDP reception asked for a wake-up."},
	{"rx_zc_queue_pkt_copy", "Packets of AF_XDP queues that had to be copied."},
}

func queueRows() []Entry {
	rows := make([]Entry, len(queueStats))
	for i, q := range queueStats {
		e := Entry{
			Name: "queue_" + q.name, Unit: metric.Count, Scope: metric.PerInterface, Group: Queue,
			Since: "depends on driver and kernel options", Meaning: q.meaning + " Summed over all queues.",
			Advice: "Compare the queues with ethtool -S: one busy queue asks for more queues (ethtool -L) or better spreading.",
		}
		if strings.HasSuffix(q.name, "_bytes") {
			e.Unit = metric.Bytes
		}
		if q.name == "tx_pending_timedout_pkts" {
			e.Kind = metric.Gauge
		}
		rows[i] = e
	}
	return rows
}

// queueByName maps a name without its queue's number to its stat. A name that
// the kernel cut is found by the same cut.
var queueByName = func() map[string]Stat {
	m := make(map[string]Stat, numQueueStats)
	for i, q := range queueStats {
		m[q.name] = FirstQueue + Stat(i)
	}
	return m
}()

// lookupQueue finds the stat of "queue_N_REST". XDP transmit queues of drivers
// up to 2.15 ("queue_N_xdp_tx_REST") count as transmit queues.
func lookupQueue(name string) (Stat, bool) {
	rest, ok := strings.CutPrefix(name, "queue_")
	if !ok {
		return 0, false
	}
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	if digits == 0 || digits == len(rest) || rest[digits] != '_' {
		return 0, false
	}
	rest = rest[digits+1:]
	if xdp, ok := strings.CutPrefix(rest, "xdp_tx_"); ok {
		rest = "tx_" + xdp
	}
	if s, ok := queueByName[rest]; ok {
		return s, true
	}
	if len(name) < ethGStringLen-1 {
		return 0, false
	}
	found := -1
	for i, q := range queueStats {
		if strings.HasPrefix(q.name, rest) {
			if found >= 0 {
				return 0, false // cut so short that it could be two stats
			}
			found = i
		}
	}
	return FirstQueue + Stat(found), found >= 0
}
