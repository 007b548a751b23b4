package simulate

import (
	"errors"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/ena"
)

// load returns a machine that plays the scenario in text.
func load(t *testing.T, text string) *Machine {
	t.Helper()
	s, err := Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return New(s, SystemClock{})
}

// reader reads a machine as a program would.
type reader struct {
	t   *testing.T
	m   *Machine
	buf *ena.Buffer
}

func newReader(t *testing.T, m *Machine) *reader {
	t.Helper()
	b, err := ena.NewBuffer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return &reader{t, m, b}
}

// read takes one reading of name and returns the stats asked for.
func (r *reader) read(name string, stats ...string) []uint64 {
	r.t.Helper()
	names, err := r.m.StatNames(name)
	if err != nil {
		r.t.Fatal(err)
	}
	n, err := r.m.Stats(name, 0, r.buf)
	if err != nil {
		r.t.Fatal(err)
	}
	if n != len(names) { // the reading itself changed the names
		if names, err = r.m.StatNames(name); err != nil || n != len(names) {
			r.t.Fatalf("read %s: %d values for %d names, %v", name, n, len(names), err)
		}
	}
	values := r.buf.Values(n)
	var got []uint64
	for _, s := range stats {
		i := slices.Index(names, s)
		if i < 0 {
			r.t.Fatalf("read %s: no stat %q", name, s)
		}
		got = append(got, values[i])
	}
	return got
}

const (
	bwIn       = "bw_in_allowance_exceeded"
	bwOut      = "bw_out_allowance_exceeded"
	srdTx      = "ena_srd_tx_pkts"
	available  = "conntrack_allowance_available"
	submitted  = "ena_admin_q_submitted_cmd"
	completed  = "ena_admin_q_completed_cmd"
	unanswered = "ena_admin_q_no_completion"
)

// TestReadings plays scripts by readings: want[i] is what reading i+1 shows.
func TestReadings(t *testing.T) {
	tests := []struct {
		name, script string
		stats        []string
		want         [][]uint64
	}{
		{"add and rate show in the reading they name", `
devices: [{name: ens5, driver: 2.17.0, initial: {bw_in_allowance_exceeded: 100}}]
steps:
- {read: 2, add: {bw_in_allowance_exceeded: 5}}
- {read: 3, rate: {bw_out_allowance_exceeded: 2}, for: 2}
`, []string{bwIn, bwOut}, [][]uint64{{100, 0}, {105, 0}, {105, 2}, {105, 4}, {105, 4}}},

		{"a rate follows the queues", `
devices: [{name: ens5, driver: 2.2.10, queues: 1}]
steps:
- {read: 1, rate: {queue_*_tx_cnt: 3, ena_admin_q_out_of_space: 1}, for: 3}
- {read: 2, queues: 2}
`, []string{"queue_0_tx_cnt", "ena_admin_q_out_of_space"}, [][]uint64{{3, 1}, {3, 2}, {6, 3}, {6, 3}}},

		{"a step after 0s shows in the same reading", `
devices: [{name: ens5, driver: 2.17.0}]
steps:
- {read: 2, add: {bw_in_allowance_exceeded: 5}}
- {after: 0s, add: {bw_out_allowance_exceeded: 6}}
`, []string{bwIn, bwOut}, [][]uint64{{0, 0}, {5, 6}}},

		{"each reading sends one command", `
devices: [{name: ens5, driver: 2.17.0}]
`, []string{submitted, completed}, [][]uint64{{1029, 1029}, {1030, 1030}}},

		{"and another for SRD", `
devices: [{name: ens5, driver: 2.17.0, srd: true}]
`, []string{submitted, completed}, [][]uint64{{1030, 1030}, {1032, 1032}}},

		{"a stopped queue: zeros by customer metrics", `
devices: [{name: ens5, driver: 2.8.1, initial: {bw_in_allowance_exceeded: 7, conntrack_allowance_available: 9}}]
steps:
- {read: 2, fault: {admin: stopped}}
- {read: 3, add: {bw_in_allowance_exceeded: 1}}
- {read: 4, fault: none}
`, []string{bwIn, available, submitted, completed, unanswered}, [][]uint64{
			{7, 9, 1029, 1029, 0}, {0, 0, 1029, 1029, 0}, {0, 0, 1029, 1029, 0}, {8, 9, 1030, 1030, 0}}},

		{"a stopped queue: old values without", `
devices: [{name: ens5, driver: upstream-6.12, customer_metrics: false, srd: true, initial: {bw_in_allowance_exceeded: 7, ena_srd_tx_pkts: 3}}]
steps:
- {read: 2, fault: {admin: stopped}}
- {read: 2, add: {bw_in_allowance_exceeded: 1, ena_srd_tx_pkts: 1}}
- {read: 3, fault: none}
`, []string{bwIn, srdTx, submitted}, [][]uint64{{7, 3, 1030}, {7, 3, 1030}, {8, 4, 1032}}},

		{"a stopped queue: zeros since 2.16", `
devices: [{name: ens5, driver: 2.17.0, customer_metrics: false, srd: true, initial: {bw_in_allowance_exceeded: 7, ena_srd_tx_pkts: 3}}]
steps:
- {read: 2, fault: {admin: stopped}}
- {read: 3, fault: none}
`, []string{bwIn, srdTx}, [][]uint64{{7, 3}, {0, 0}, {7, 3}}},

		{"a timeout is submitted once", `
devices: [{name: ens5, driver: upstream-6.12, srd: true, initial: {bw_in_allowance_exceeded: 7, ena_srd_tx_pkts: 3}}]
steps:
- {read: 2, fault: {admin: timeout}}
- {read: 4, reset: admin-timeout}
`, []string{bwIn, srdTx, submitted, completed, unanswered, "admin_q_pause", "interface_up"}, [][]uint64{
			{7, 3, 1030, 1030, 0, 0, 1}, {0, 3, 1031, 1030, 1, 0, 1}, {0, 3, 1031, 1030, 1, 0, 1}, {0, 0, 1061, 1060, 1, 1, 2}}},

		{"an error is completed", `
devices: [{name: ens5, driver: 2.8.1, initial: {bw_in_allowance_exceeded: 7}}]
steps:
- {read: 2, fault: {admin: error}}
- {read: 3, fault: none}
`, []string{bwIn, submitted, completed}, [][]uint64{{7, 1029, 1029}, {0, 1030, 1030}, {7, 1031, 1031}}},

		{"completions may lag", `
devices: [{name: ens5, driver: 2.8.1, initial: {bw_in_allowance_exceeded: 7}}]
steps:
- {read: 2, fault: {admin: lag}}
- {read: 4, fault: none}
`, []string{bwIn, submitted, completed}, [][]uint64{{7, 1029, 1029}, {7, 1030, 1029}, {7, 1031, 1030}, {7, 1032, 1032}}},

		{"a reset starts the card's counters again, and those of queues", `
devices: [{name: ens5, driver: 2.13.3, initial: {bw_in_allowance_exceeded: 7, conntrack_allowance_available: 9, queue_*_tx_cnt: 4}}]
steps:
- {read: 2, reset: keep-alive}
- {read: 2, add: {bw_in_allowance_exceeded: 2, queue_1_tx_cnt: 1}}
`, []string{bwIn, available, "queue_1_tx_cnt", "total_resets", "wd_expired", "admin_to", "interface_down", "interface_up"}, [][]uint64{
			{7, 9, 4, 0, 0, 0, 0, 1}, {2, 9, 1, 1, 1, 0, 1, 2}}},

		{"a reset keeps the queues' counters since 2.16", `
devices: [{name: ens5, driver: 2.17.0, srd: true, initial: {ena_srd_tx_pkts: 7, ena_srd_mode: 3, queue_*_tx_cnt: 4}}]
steps: [{read: 2, reset: device-request}]
`, []string{srdTx, "ena_srd_mode", "queue_1_tx_cnt", "total_resets", "device_request_reset"}, [][]uint64{{7, 3, 4, 0, 0}, {0, 3, 4, 1, 1}}},

		{"ethtool -L lists other queues and zeroes them", `
devices: [{name: ens5, driver: 2.13.3, queues: 1, initial: {bw_in_allowance_exceeded: 7, queue_0_rx_cnt: 4}}]
steps:
- {read: 2, queues: 3}
- {read: 3, add: {queue_*_rx_cnt: 1}}
`, []string{bwIn, "queue_0_rx_cnt", "interface_up"}, [][]uint64{{7, 4, 1}, {7, 0, 2}, {7, 1, 2}}},

		{"ethtool -L changes a gauge since 2.16", `
devices: [{name: ens5, driver: 2.17.0, queues: 1, initial: {queue_0_rx_cnt: 4}}]
steps:
- {read: 2, queues: 3}
`, []string{"num_of_active_io_queues", "queue_0_rx_cnt", "queue_2_rx_cnt"}, [][]uint64{{1, 4, 0}, {3, 4, 0}}},

		{"gauges are set", `
devices: [{name: ens5, driver: 2.17.0, initial: {conntrack_allowance_available: 9}}]
steps: [{read: 2, set: {conntrack_allowance_available: 3}}]
`, []string{available}, [][]uint64{{9}, {3}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newReader(t, load(t, tt.script))
			for i, want := range tt.want {
				if diff := cmp.Diff(want, r.read("ens5", tt.stats...)); diff != "" {
					t.Errorf("reading %d of %v (-want +got):\n%s", i+1, tt.stats, diff)
				}
			}
		})
	}
}

// TestGarbage: of the five allowances, some are absurd in every reading, and a
// good command brings the truth back.
func TestGarbage(t *testing.T) {
	r := newReader(t, load(t, `
devices: [{name: ens5, driver: 2.13.3, customer_metrics: false, srd: true, initial: {bw_in_allowance_exceeded: 7}}]
steps:
- {read: 2, fault: {admin: stopped}}
- {read: 5, fault: none}
`))
	var previous []uint64
	for reading := 1; reading <= 5; reading++ {
		got := r.read("ens5", allowances...)
		absurd := slices.ContainsFunc(got, func(v uint64) bool { return v > 1<<40 })
		if want := reading >= 2 && reading <= 4; absurd != want {
			t.Errorf("reading %d: absurd = %t, want %t: %x", reading, absurd, want, got)
		}
		if slices.Equal(got, previous) {
			t.Errorf("reading %d shows the same garbage as the one before", reading)
		}
		previous = got
	}
	if previous[0] != 7 {
		t.Errorf("after the fault: %d, want 7", previous[0])
	}
}

func TestContract(t *testing.T) {
	m := load(t, `
devices: [{name: ens5, driver: 2.2.10, queues: 1}]
steps: [{read: 5, kernel: old}]
`)
	r := newReader(t, m)
	names, err := m.StatNames("ens5")
	if err != nil {
		t.Fatal(err)
	}
	n := len(names)
	for reading, tt := range []struct{ want, got int }{
		{n, n}, {0, n}, {n - 1, 0}, {n + 1, 0}, // a new kernel
		{n - 1, n}, {n + 1, n}, // an old one
	} {
		got, err := m.Stats("ens5", tt.want, r.buf)
		if err != nil || got != tt.got {
			t.Errorf("reading %d with %d of %d: got %d, %v; want %d", reading+1, tt.want, n, got, err, tt.got)
		}
	}
	// A kernel that writes nothing does not ask the driver either.
	l := m.Ledger().Devices[0]
	if l.Reads != 6 || l.Mismatched != 4 || l.Stats[submitted].Added != 4 {
		t.Errorf("ledger: %d reads, %d mismatched, %d commands; want 6, 4, 4", l.Reads, l.Mismatched, l.Stats[submitted].Added)
	}
}

func TestErrno(t *testing.T) {
	m := load(t, `
devices: [{name: ens5, driver: 2.2.10}]
steps:
- {read: 1, fault: {errno: ENODEV}}
- {read: 2, fault: {errno: EOPNOTSUPP}}
- {read: 3, fault: none}
`)
	r := newReader(t, m)
	for _, tt := range []struct {
		sentinel error
		errno    syscall.Errno
		driver   bool // still answers
	}{{ena.ErrGone, syscall.ENODEV, false}, {ena.ErrNoStats, syscall.EOPNOTSUPP, true}} {
		_, err := m.Stats("ens5", 0, r.buf)
		_, namesErr := m.StatNames("ens5")
		for _, err := range []error{err, namesErr} {
			var errno syscall.Errno
			if !errors.Is(err, tt.sentinel) || !errors.As(err, &errno) || errno != tt.errno {
				t.Errorf("got %v, want %v and %v", err, tt.sentinel, tt.errno)
			}
		}
		if _, err := m.Driver("ens5"); (err == nil) != tt.driver {
			t.Errorf("with %v, the driver said %v", tt.errno, err)
		}
	}
	if _, err := m.Stats("ens5", 0, r.buf); err != nil {
		t.Errorf("after the fault: %v", err)
	}
	if _, err := m.Stats("eth9", 0, r.buf); !errors.Is(err, ena.ErrGone) {
		t.Errorf("an unknown interface: %v, want %v", err, ena.ErrGone)
	}
	if l := m.Ledger().Devices[0]; l.Reads != 3 || l.Errors != 2 {
		t.Errorf("ledger: %d reads, %d errors; want 3, 2", l.Reads, l.Errors)
	}
}

// TestLinks follows a device through all that can happen to its link.
func TestLinks(t *testing.T) {
	m := load(t, `
devices:
- {name: ens5, driver: 2.17.0}
- {name: ens6, driver: 2.8.1, attached: false, mac: "06:00:00:00:00:aa", initial: {bw_in_allowance_exceeded: 9, conntrack_allowance_available: 50}}
steps:
- {read: 1, of: ens5, device: ens6, attach: true}
- {read: 1, device: ens6, add: {bw_in_allowance_exceeded: 3}}
- {read: 2, device: ens6, rename: eth1}
- {read: 3, device: ens6, detach: true}
- {after: 0s, device: ens6, attach: true}
- {read: 4, device: ens6, add: {bw_in_allowance_exceeded: 1}}
end: {reads: 2}
`)
	var changes []LinkChange
	m.OnLink(func(c LinkChange) { changes = append(changes, c) })
	links, err := m.Links()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ena.Link{{Index: 2, Name: "ens5", MAC: "06:00:00:00:00:05", Up: true}}, links); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	r := newReader(t, m)
	r.read("ens5")
	if got := r.read("ens6", bwIn, available, submitted); !slices.Equal(got, []uint64{3, 50, 29}) {
		t.Errorf("the hot-attached device shows %d, want new counters and its gauge", got)
	}
	for _, name := range []string{"ens6", "eth1"} { // renamed, then detached
		if _, err := m.Stats(name, 0, r.buf); !errors.Is(err, ena.ErrGone) {
			t.Errorf("read %s as it left: %v, want %v", name, err, ena.ErrGone)
		}
	}
	if got := r.read("ens6", bwIn, available, submitted); !slices.Equal(got, []uint64{1, 50, 29}) {
		t.Errorf("the re-attached device shows %d, want new counters and its gauge", got)
	}
	if m.Done() {
		t.Error("done before its end")
	}
	for range 2 {
		r.read("ens5")
		r.read("ens6")
	}
	if !m.Done() {
		t.Error("not done at its end")
	}

	const mac = "06:00:00:00:00:aa"
	wantChanges := []LinkChange{{"", "ens6", mac}, {"ens6", "eth1", mac}, {"eth1", "", mac}, {"", "ens6", mac}}
	if diff := cmp.Diff(wantChanges, changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	var events []ena.LinkEvent
	lost, err := m.Events(func(e ena.LinkEvent) { events = append(events, e) })
	wantEvents := []ena.LinkEvent{
		{Link: ena.Link{Index: 3, Name: "ens6", MAC: mac, Up: true}},
		{Link: ena.Link{Index: 3, Name: "eth1", MAC: mac, Up: true}},
		{Link: ena.Link{Index: 3, Name: "eth1", MAC: mac}, Left: true},
		{Link: ena.Link{Index: 4, Name: "ens6", MAC: mac, Up: true}},
	}
	if diff := cmp.Diff(wantEvents, events); diff != "" || lost || err != nil {
		t.Errorf("events, lost %t, %v (-want +got):\n%s", lost, err, diff)
	}
	for name, want := range map[string]bool{"ens5": true, "ens6": true, "eth1": true, "eth0": false} {
		if m.Knows(name) != want {
			t.Errorf("Knows(%q) = %t, want %t", name, !want, want)
		}
	}

	got := m.Ledger().Devices[1]
	stats := map[string]StatLedger{bwIn: got.Stats[bwIn], available: got.Stats[available], "interface_up": got.Stats["interface_up"]}
	got.Stats = nil
	want := DeviceLedger{MAC: mac, Bus: "0000:00:06.0", Name: "ens6", Attached: true,
		Counts: Counts{Reads: 6, Errors: 2, Adapters: 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
	wantStats := map[string]StatLedger{bwIn: {0, 4, 1}, available: {50, 0, 50}, "interface_up": {1, 0, 1}}
	if diff := cmp.Diff(wantStats, stats); diff != "" {
		t.Errorf("ledger of stats (-want +got):\n%s", diff)
	}
}

func TestEventsOverflow(t *testing.T) {
	m := load(t, `
devices: [{name: ens5, driver: 2.2.10}]
repeat: 2s
steps:
- {at: 0s, detach: true}
- {at: 1s, attach: true}
`)
	for range maxEvents/2 + 1 {
		m.mu.Lock()
		m.advance(m.cycle.Add(2 * time.Second))
		m.mu.Unlock()
	}
	events := 0
	lost, _ := m.Events(func(ena.LinkEvent) { events++ })
	if !lost || events != maxEvents {
		t.Errorf("%d events, lost %t; want %d and true", events, lost, maxEvents)
	}
	if lost, _ := m.Events(func(ena.LinkEvent) {}); lost {
		t.Error("lost again without new events")
	}
}

func TestByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := load(t, `
repeat: 10s
devices: [{name: ens5, driver: 2.17.0, initial: {bw_in_allowance_exceeded: 1}}]
steps:
- {at: 1s, add: {bw_in_allowance_exceeded: 10}}
- {at: 2s, rate: {bw_out_allowance_exceeded: 3}, for: 1500ms}
- {at: 6s, reset: keep-alive}
- {at: 7s, add: {bw_in_allowance_exceeded: 4}}
`)
		r := newReader(t, m)
		start := time.Now()
		for _, tt := range []struct {
			at   time.Duration
			want []uint64
		}{
			{0, []uint64{1, 0, 0}},
			{time.Second, []uint64{11, 0, 0}},
			{2500 * time.Millisecond, []uint64{11, 1, 0}},
			{3 * time.Second, []uint64{11, 3, 0}},
			{5 * time.Second, []uint64{11, 4, 0}}, // 3 a second for 1.5 s
			{8 * time.Second, []uint64{4, 0, 1}},
			{12500 * time.Millisecond, []uint64{14, 1, 1}}, // the second time
			{98 * time.Second, []uint64{4, 0, 10}},
		} {
			time.Sleep(time.Until(start.Add(tt.at)))
			got := r.read("ens5", bwIn, bwOut, "total_resets")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("after %s (-want +got):\n%s", tt.at, diff)
			}
		}
		l := m.Ledger().Devices[0].Stats
		want := map[string]StatLedger{bwIn: {1, 140, 4}, bwOut: {0, 40, 0}}
		if diff := cmp.Diff(want, map[string]StatLedger{bwIn: l[bwIn], bwOut: l[bwOut]}); diff != "" {
			t.Errorf("ledger (-want +got):\n%s", diff)
		}
		if m.Done() {
			t.Error("a script that repeats is done")
		}
	})
}

func TestAdvance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := load(t, `
devices: [{name: ens5, driver: 2.2.10}]
steps:
- {at: 3s, detach: true}
- {after: 2s, attach: true}
end: {at: 9s}
`)
		start := time.Now()
		for _, want := range []time.Duration{3 * time.Second, 5 * time.Second, 9 * time.Second} {
			next, ok := m.Advance()
			if !ok || next.Sub(start) != want {
				t.Fatalf("next is after %s, %t; want %s", next.Sub(start), ok, want)
			}
			if m.Done() {
				t.Errorf("done before %s", want)
			}
			time.Sleep(time.Until(next))
		}
		if _, ok := m.Advance(); ok || !m.Done() {
			t.Errorf("at the end: more to come %t, done %t", ok, m.Done())
		}
	})
}

// TestEnd: the script is done so many readings of every device after the last
// thing happened.
func TestEnd(t *testing.T) {
	m := load(t, `
devices:
- {name: ens5, driver: 2.2.10}
- {name: ens6, driver: 2.2.10}
- {name: ens7, driver: 2.2.10, attached: false}
steps:
- {read: 2, device: ens5, rate: {bw_in_allowance_exceeded: 1}, for: 4}
- {read: 1, device: ens6, add: {bw_in_allowance_exceeded: 1}}
end: {reads: 2}
`)
	r := newReader(t, m)
	var done []bool
	for _, part := range []struct {
		name string
		n    int
	}{{"ens6", 3}, {"ens5", 2}, {"ens6", 2}, {"ens5", 3 /* and the rate ends */}, {"ens5", 2}, {"ens6", 2}} {
		for range part.n {
			r.read(part.name)
			done = append(done, m.Done())
		}
	}
	if slices.Index(done, true) != len(done)-1 {
		t.Errorf("done after each reading: %t, want it after the last", done)
	}
}

// TestDelay: a slow reading takes its time and holds up no other device.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := load(t, `
devices:
- {name: ens5, driver: 2.17.0, initial: {bw_in_allowance_exceeded: 7}}
- {name: ens6, driver: 2.17.0}
steps:
- {read: 1, device: ens5, fault: {admin: timeout, delay: 3s}}
- {read: 4, device: ens5, fault: {delay: 2s}}
- {after: 1s, device: ens5, detach: true}
`)
		slow, fast := newReader(t, m), newReader(t, m)
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			if got := slow.read("ens5", bwIn, unanswered); !slices.Equal(got, []uint64{0, 1}) {
				t.Errorf("the blocked reading shows %d, want 0 and 1", got)
			}
			if d := time.Since(start); d != 3*time.Second {
				t.Errorf("the blocked reading took %s, want 3s", d)
			}
		})
		synctest.Wait()
		fast.read("ens6")
		if d := time.Since(start); d != 0 {
			t.Errorf("the other device's reading took %s", d)
		}
		wg.Wait()
		for range 2 { // a stopped queue refuses at once
			slow.read("ens5", unanswered)
		}
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("readings after a timeout took %s", d-3*time.Second)
		}
		if _, err := m.Stats("ens5", 0, slow.buf); !errors.Is(err, ena.ErrGone) {
			t.Errorf("a reading whose device left meanwhile: %v, want %v", err, ena.ErrGone)
		}
	})
}

func TestConcurrentReaders(t *testing.T) {
	m := load(t, `
devices: [{name: ens5, driver: 2.13.3}]
steps:
- {read: 10, rate: {bw_in_allowance_exceeded: 1}, for: 100}
- {read: 50, queues: 4}
- {read: 70, reset: keep-alive}
- {read: 90, rename: eth0}
`)
	var wg sync.WaitGroup
	for range 4 {
		r := newReader(t, m)
		wg.Go(func() {
			for range 200 {
				for _, name := range []string{"ens5", "eth0"} {
					m.StatNames(name)
					m.Driver(name)
					m.Stats(name, 0, r.buf)
				}
				m.Events(func(ena.LinkEvent) {})
			}
		})
	}
	wg.Wait()
	l := m.Ledger().Devices[0]
	if got := l.Stats[bwIn]; got.Added != 100 || l.Name != "eth0" {
		t.Errorf("ledger: %+v of %s, want 100 added to eth0", got, l.Name)
	}
}

func TestReadingDoesNotAllocate(t *testing.T) {
	m := load(t, `
devices: [{name: ens5, driver: 2.17.0, srd: true, queues: 8}]
steps: [{read: 1, rate: {queue_*_rx_cnt: 5}, for: 100000}]
`)
	r := newReader(t, m)
	r.read("ens5")
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := m.Stats("ens5", 0, r.buf); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("a reading allocates %v times", allocs)
	}
}

func TestBoot(t *testing.T) {
	s, err := Load(Default)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		a := New(s, SystemClock{})
		first, _ := a.BootID()
		time.Sleep(time.Nanosecond)
		second, _ := a.BootID()
		other, _ := New(s, SystemClock{}).BootID()
		if first != second || first == other {
			t.Errorf("boot ids %s, %s, and %s of another machine", first, second, other)
		}
	})
}

// What is added from outside the script is in the next reading, and in the ledger.
func TestAdd(t *testing.T) {
	s, err := Parse("test.yaml", []byte("devices:\n- {name: ens5, driver: 2.17.0}\n"))
	if err != nil {
		t.Fatal(err)
	}
	m := New(s, SystemClock{})
	if err := m.Add("ens5", "linklocal_allowance_exceeded", 476); err != nil {
		t.Fatal(err)
	}
	r, err := ena.NewReader(m, "ens5", func(ena.Stat) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if v := r.Read().Vector; v == nil || v.Values[ena.LinklocalAllowanceExceeded] != 476 {
		t.Errorf("read %v, want 476", v)
	}
	if n := m.Ledger().Devices[0].Stats["linklocal_allowance_exceeded"].Added; n != 476 {
		t.Errorf("the ledger has %d, want 476", n)
	}
	for _, wrong := range [][2]string{{"ens6", "linklocal_allowance_exceeded"}, {"ens5", "linklocal"}} {
		if err := m.Add(wrong[0], wrong[1], 1); err == nil {
			t.Errorf("%v was taken", wrong)
		}
	}
}
