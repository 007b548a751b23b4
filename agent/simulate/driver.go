package simulate

import (
	"slices"
	"strings"
)

// failure says what a driver hands out for a command that failed.
type failure uint8

const (
	stale   failure = iota // what the last good command fetched
	zeros                  // what the kernel filled the vector with before
	garbage                // what lay on the kernel's stack
)

// driver is one release of the ENA driver: what it lists, in its order, and how
// it fails. Sources are kernel/linux/ena/ena_ethtool.c of amzn-drivers at the
// tag of that release, and drivers/net/ethernet/amazon/ena/ena_ethtool.c of
// Debian's linux-source 6.1.192 and 6.12.117.
type driver struct {
	// version is what ETHTOOL_GDRVINFO says by default. The upstream driver
	// leaves it to the kernel, which fills in its own release.
	version         string
	global, tx, rx  []string
	phc             []string
	customerMetrics bool // asks for these if the device has them
	srd             bool
	// adminFirst puts the admin queue's stats before the queues' (since 2.14).
	adminFirst bool
	// fixedQueues lists the queues that the device could have, not those in
	// use, and keeps their counters through resets (since 2.16).
	fixedQueues bool
	failing     failure
}

// Lists that several releases share.
var (
	globalUpstream = strings.Fields(`tx_timeout suspend resume wd_expired interface_up interface_down admin_q_pause`)
	globalReasons  = strings.Fields(`total_resets reset_fail tx_timeout wd_expired admin_q_pause bad_tx_req_id
		bad_rx_req_id bad_rx_desc_num missing_intr suspected_poll_starvation missing_tx_cmpl rx_desc_malformed
		tx_desc_malformed invalid_state os_netdev_wd missing_admin_interrupt admin_to device_request_reset
		missing_first_intr suspend resume interface_down interface_up`)

	allowances = strings.Fields(`bw_in_allowance_exceeded bw_out_allowance_exceeded pps_allowance_exceeded
		conntrack_allowance_exceeded linklocal_allowance_exceeded`)
	customerMetrics = append(slices.Clone(allowances), "conntrack_allowance_available")
	srd             = strings.Fields(`ena_srd_mode ena_srd_tx_pkts ena_srd_eligible_tx_pkts ena_srd_rx_pkts
		ena_srd_resource_utilization`)
	adminQueue = strings.Fields(`ena_admin_q_aborted_cmd ena_admin_q_submitted_cmd ena_admin_q_completed_cmd
		ena_admin_q_out_of_space ena_admin_q_no_completion`)

	txBase = strings.Fields(`cnt bytes queue_stop queue_wakeup dma_mapping_err linearize linearize_failed napi_comp
		tx_poll doorbells prepare_ctx_err bad_req_id llq_buffer_copy missed_tx unmask_interrupt`)
	rxHead = strings.Fields(`cnt bytes rx_copybreak_pkt csum_good refil_partial csum_bad page_alloc_fail
		skb_alloc_fail dma_mapping_err bad_desc_num`)
	rxTail = strings.Fields(`bad_req_id empty_rx_ring csum_unchecked`)
	rxXDP  = strings.Fields(`xdp_aborted xdp_drop xdp_pass xdp_tx xdp_invalid xdp_redirect`)
	rxLPC  = strings.Fields(`lpc_warm_up lpc_full lpc_wrong_numa`)
	rxXSK  = strings.Fields(`xsk_need_wakeup_set zc_queue_pkt_copy`)

	phcOneError = strings.Fields(`phc_cnt phc_exp phc_skp phc_err`)
)

// drivers holds the releases by their names in scenarios. Which queue stats a
// release lists depends on the kernel that it was built for: 2.2.10 stands for
// a build for Linux 4.14, 2.8.1 for 5.10, 2.13.3 for 6.1, 2.17.0 for 6.12 with
// CONFIG_PAGE_POOL_STATS.
var drivers = map[string]*driver{
	"upstream-6.1": {
		version: "6.1.0-41-cloud-amd64",
		global:  globalUpstream,
		tx:      txBase,
		rx:      slices.Concat(rxHead, rxTail, rxXDP),
	},
	"upstream-6.12": {
		version:         "6.12.57+deb13-cloud-amd64",
		global:          append(slices.Clone(globalUpstream), "reset_fail"),
		tx:              txBase,
		rx:              slices.Concat(rxHead, rxTail, rxXDP),
		customerMetrics: true, srd: true,
	},
	"2.2.10": {
		version: "2.2.10g",
		global:  globalUpstream,
		tx:      txBase,
		rx: strings.Fields(`cnt bytes rx_copybreak_pkt csum_good refil_partial bad_csum page_alloc_fail skb_alloc_fail
			dma_mapping_err bad_desc_num bad_req_id empty_rx_ring csum_unchecked`),
	},
	"2.8.1": {
		version:         "2.8.1g",
		global:          append(slices.Clone(globalUpstream), "reset_fail"),
		tx:              append(slices.Clone(txBase), "xsk_need_wakeup_set", "xsk_wakeup_request"),
		rx:              slices.Concat(rxHead, rxTail, rxXDP, rxLPC, rxXSK),
		phc:             phcOneError,
		customerMetrics: true, srd: true,
	},
	"2.13.3": {
		version:         "2.13.3g",
		global:          globalReasons,
		tx:              append(slices.Clone(txBase), "xsk_cnt", "xsk_bytes", "xsk_need_wakeup_set", "xsk_wakeup_request"),
		rx:              slices.Concat(rxHead, rxTail, rxXDP, rxLPC, rxXSK),
		phc:             phcOneError,
		customerMetrics: true, srd: true,
		failing: garbage,
	},
	"2.17.0": {
		version: "2.17.0g",
		global:  globalReasons,
		tx: strings.Fields(`tx_poll doorbells unmask_interrupt lost_interrupt cnt bytes queue_stop queue_wakeup
			dma_mapping_err linearize linearize_failed napi_comp prepare_ctx_err bad_req_id llq_buffer_copy missed_tx
			pending_timedout_pkts xsk_cnt xsk_bytes xsk_need_wakeup_set xsk_wakeup_request xdp_frags_exceeded
			xdp_short_linear_part`),
		rx: slices.Concat(rxHead, []string{"bp_invocations_cnt"}, rxTail, rxXDP, strings.Fields(`pp_alloc_fast
			pp_alloc_slow pp_alloc_slow_hi_ord pp_alloc_empty pp_alloc_refill pp_alloc_waive pp_cached pp_cache_full
			pp_ring pp_ring_full pp_released_ref`), rxXSK),
		phc:             strings.Fields(`phc_cnt phc_exp phc_skp phc_err_dv phc_err_ts phc_err_eb`),
		customerMetrics: true, srd: true,
		adminFirst: true, fixedQueues: true,
		failing: zeros,
	},
}
