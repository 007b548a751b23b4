// Package simulate is a scripted model of ENA devices and of the part of the
// kernel that reads them. A [Machine] implements [ena.Kernel], so that the agent
// runs on it as on a host; the rig in test/enasim presents the same Machine to
// programs that know nothing of it.
//
// A scenario is a YAML file: devices, and steps that happen to them.
//
//	description: One line for people.
//	kernel: new                   # new | old, see "Contract" below
//	repeat: 30s                   # start over after this time; for ever
//	devices:
//	- name: ens5                  # required; also how steps refer to it
//	  mac: "06:00:00:00:00:05"    # this and bus have defaults by position
//	  bus: "0000:00:05.0"
//	  driver: 2.17.0              # required: upstream-6.1 upstream-6.12 2.2.10 2.8.1 2.13.3 2.17.0
//	  version: 2.17.0g            # what the driver says of itself
//	  queues: 2
//	  customer_metrics: true      # the device's capabilities; off if the driver
//	  srd: false                  # cannot use them
//	  phc: false
//	  attached: true              # false: a step attaches it
//	  initial: {bw_in_allowance_exceeded: 100}
//	steps:
//	- {at: 3s, device: ens5, add: {linklocal_allowance_exceeded: 7}}
//	- {read: 5, device: ens5, rate: {bw_in_allowance_exceeded: 2}, for: 4}
//	end: {reads: 2}
//
// A device that is attached later starts with counters of 0; the gauges in
// initial are those of each of its lives.
//
// # When
//
// Each step says when it happens, by one of three keys. What it does, shows in
// the reading that it names.
//
//	at: 3s      3 s after the start
//	read: 5     when the device is read (ETHTOOL_GSTATS) for the 5th time,
//	            before that reading is answered; with of: NAME, when that other
//	            device is. Readings of every reader count, failed ones too, and
//	            a re-attached device counts on.
//	after: 2s   2 s after the step above it happened
//
// # What
//
// A step has exactly one of these keys, and device, which may be left out if
// there is only one. Steps that change a device which is detached do nothing.
//
//	add: {STAT: N}          counters grow by N
//	rate: {STAT: N}, for: D counters grow by N a second for the time D or, for
//	                        steps by read, by N at each of D readings, the
//	                        first of which is the step's own
//	set: {STAT: N}          gauges become N
//	fault: {...} | none     replaces the device's faults, see below
//	reset: CAUSE            a device reset, caused by keep-alive, admin-timeout,
//	                        tx-timeout or device-request: the card's counters
//	                        are 0 again, the driver's grow as evidence, faults
//	                        end; up to 2.15 and upstream queues' counters are 0
//	queues: N               as by ethtool -L
//	rename: NAME
//	detach: true            the network device leaves
//	attach: true            a new one comes, with new counters and a new index
//	kernel: new | old       needs no device
//
// STAT is a name as the driver lists it, cut to 31 bytes; queue_*_tx_cnt stands
// for that of each queue.
//
// # Faults
//
//	admin: stopped   the admin queue takes no commands: nothing is submitted
//	admin: timeout   the next command is never completed, then as stopped
//	admin: error     commands are completed with an error status
//	admin: lag       completed_cmd lags behind by one
//	delay: 3s        a reading takes that long; for a timeout, that one does
//	errno: ENODEV    every command on the interface fails
//	errno: EOPNOTSUPP the driver keeps no stats
//
// End an errno by after: a program that gets one may not come to another
// reading.
//
// A reading whose commands failed still succeeds. It shows what the driver
// would show: zeros (allowances with customer_metrics, everything since 2.16),
// old values (upstream and up to 2.8.1) or the kernel's stack (2.13.3, as all
// of 2.13.2 to 2.15).
//
// # Contract
//
// Asked for another number of stats than there are, kernels since 2026 return
// none (new); earlier ones write all that there are (old).
//
// # End
//
// The script is done when every step has happened and every device that is
// there was read so many times since (end: {reads: 2}), or at a time (end: {at:
// 20s}). Without end, it is done when every step has happened. Only the rig
// uses this.
package simulate
