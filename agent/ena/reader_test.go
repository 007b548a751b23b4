package ena

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var allowances = []string{
	"bw_in_allowance_exceeded", "bw_out_allowance_exceeded", "pps_allowance_exceeded",
	"conntrack_allowance_exceeded", "linklocal_allowance_exceeded",
}

var adminStats = []string{
	"ena_admin_q_aborted_cmd", "ena_admin_q_submitted_cmd", "ena_admin_q_completed_cmd",
	"ena_admin_q_out_of_space", "ena_admin_q_no_completion",
}

// healthy returns a device that answers commands commands for each reading.
func healthy(commands uint64, names ...string) *fakeStats {
	s := &fakeStats{names: slices.Concat(names, adminStats), values: map[string]uint64{"ena_admin_q_submitted_cmd": 90, "ena_admin_q_completed_cmd": 90}}
	s.onRead = func() {
		s.values["ena_admin_q_submitted_cmd"] += commands
		s.values["ena_admin_q_completed_cmd"] += commands
	}
	return s
}

func reader(t *testing.T, k *fakeKernel, name string, queues ...Stat) *Reader {
	t.Helper()
	r, err := NewReader(k, name, func(s Stat) bool { return slices.Contains(queues, s) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestVerdictFollowsTheAdminQueue(t *testing.T) {
	const srd = "ena_srd_mode"
	tests := []struct {
		name   string
		names  []string
		normal uint64            // commands of a good reading
		then   map[string]uint64 // what the queue's counters do in the next
		want   Reason
	}{
		{"answered", allowances, 1, map[string]uint64{"submitted": 1, "completed": 1}, ""},
		{"the completion lags", allowances, 1, map[string]uint64{"submitted": 1}, ""},
		{"others send commands too", allowances, 1, map[string]uint64{"submitted": 9, "completed": 9}, ""},
		{"queue stopped", allowances, 1, nil, AdminQueueStopped},
		{"timeout", allowances, 1, map[string]uint64{"submitted": 1, "no_completion": 1}, AdminNoAnswer},
		{"aborted", allowances, 1, map[string]uint64{"submitted": 1, "aborted": 1}, AdminCommandAborted},
		{"full", allowances, 1, map[string]uint64{"submitted": 1, "completed": 1, "out_of_space": 1}, AdminQueueFull},
		{"SRD answered", append([]string{srd}, allowances...), 2, map[string]uint64{"submitted": 2, "completed": 1}, ""},
		{"SRD not sent", append([]string{srd}, allowances...), 2, map[string]uint64{"submitted": 1, "completed": 1}, AdminQueueStopped},
		{"SRD not completed", append([]string{srd}, allowances...), 2, map[string]uint64{"submitted": 2}, AdminIncomplete},
		{"nothing is asked of the card", []string{"tx_timeout"}, 0, nil, ""},
	}
	full := map[string]string{
		"submitted": adminStats[1], "completed": adminStats[2], "no_completion": adminStats[4],
		"aborted": adminStats[0], "out_of_space": adminStats[3],
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := newFakeKernel()
			s := healthy(tt.normal, tt.names...)
			k.stats["ens5"] = s
			r := reader(t, k, "ens5")
			if got := r.Read(); got.Verdict != Valid {
				t.Fatalf("first reading: %v %s", got.Verdict, got.Reason)
			}
			s.onRead = func() {
				for n, d := range tt.then {
					s.values[full[n]] += d
				}
			}
			got := r.Read()
			want := Valid
			if tt.want != "" {
				want = Suspect
			}
			if got.Verdict != want || got.Reason != tt.want {
				t.Errorf("got %v %q, want %v %q", got.Verdict, got.Reason, want, tt.want)
			}
		})
	}
}

// The first vector of a device can't be judged: a failing queue would make it
// a baseline of zeros, and the next one a spike of the counter's whole life.
func TestFirstReadingIsProvenByASecond(t *testing.T) {
	k := newFakeKernel()
	s := healthy(1, allowances...)
	frozen := s.onRead
	s.onRead = nil
	k.stats["ens5"] = s
	r := reader(t, k, "ens5")
	if got := r.Read(); got.Verdict != Suspect || got.Reason != AdminQueueStopped {
		t.Fatalf("frozen from the start: %v %q", got.Verdict, got.Reason)
	}
	if s.reads != 2 {
		t.Errorf("%d system calls, want 2", s.reads)
	}
	s.onRead = frozen
	s.values["pps_allowance_exceeded"] = 7000
	got := r.Read()
	if got.Verdict != Valid || got.Vector.Values[PPSAllowanceExceeded] != 7000 {
		t.Errorf("after it: %v %q", got.Verdict, got.Reason)
	}
	if s.reads != 3 {
		t.Errorf("%d system calls, want one more", s.reads)
	}
	// A new network device under the same name has a new admin queue.
	s.values["ena_admin_q_submitted_cmd"], s.values["ena_admin_q_completed_cmd"] = 20, 20
	if got := r.Read(); got.Verdict != Valid {
		t.Errorf("new device: %v %q", got.Verdict, got.Reason)
	}
	if s.reads != 5 {
		t.Errorf("%d system calls, want two for the new device", s.reads)
	}
}

func TestNamesFollowTheDevice(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprintf("old kernel %v", old), func(t *testing.T) {
			k := newFakeKernel()
			s := healthy(1, append([]string{"queue_0_tx_queue_stop"}, allowances...)...)
			s.old = old
			k.stats["ens5"] = s
			stop, _ := Lookup("queue_0_tx_queue_stop")
			r := reader(t, k, "ens5", stop)
			r.Read()
			s.values["queue_0_tx_queue_stop"], s.values["queue_1_tx_queue_stop"] = 3, 4
			s.values["bw_in_allowance_exceeded"] = 5
			s.names = append([]string{"queue_0_tx_queue_stop", "queue_1_tx_queue_stop"}, s.names[1:]...)
			got := r.Read()
			if got.Verdict != Valid {
				t.Fatalf("%v %q", got.Verdict, got.Reason)
			}
			if v := got.Vector.Values; v[stop] != 7 || v[BWInAllowanceExceeded] != 5 {
				t.Errorf("queue_stop %d, bw_in %d; want 7 and 5", v[stop], v[BWInAllowanceExceeded])
			}
		})
	}
}

// A reset can swap names without changing their number (a capability refresh).
func TestNamesAreLookedUpAgainAfterAReset(t *testing.T) {
	k := newFakeKernel()
	s := healthy(1, append([]string{"interface_up"}, allowances...)...)
	k.stats["ens5"] = s
	r := reader(t, k, "ens5")
	r.Read()
	s.names[1], s.names[2] = s.names[2], s.names[1]
	s.values["interface_up"]++
	s.values["bw_in_allowance_exceeded"], s.values["bw_out_allowance_exceeded"] = 1, 2
	got := r.Read()
	if got.Verdict != Valid || got.Vector.Values[BWInAllowanceExceeded] != 1 || got.Vector.Values[BWOutAllowanceExceeded] != 2 {
		t.Errorf("%v %q: bw_in %d, bw_out %d", got.Verdict, got.Reason, got.Vector.Values[BWInAllowanceExceeded], got.Vector.Values[BWOutAllowanceExceeded])
	}
}

func TestReadErrors(t *testing.T) {
	k := newFakeKernel()
	r := reader(t, k, "ens5")
	if got := r.Read(); got.Verdict != Gone || !errors.Is(got.Err, ErrGone) {
		t.Errorf("no device: %v %v", got.Verdict, got.Err)
	}
	k.stats["ens5"] = &fakeStats{}
	if got := r.Read(); got.Verdict != Failed || !errors.Is(got.Err, ErrNoStats) {
		t.Errorf("no stats: %v %v", got.Verdict, got.Err)
	}
	s := healthy(1, allowances...)
	s.onRead = func() { s.names = append(s.names, "another") }
	k.stats["ens5"] = s
	if got := r.Read(); got.Verdict != Failed || !strings.Contains(got.Err.Error(), "changed 4 times") {
		t.Errorf("ever-changing: %v %v", got.Verdict, got.Err)
	}
}

func TestRawShowsTheLastBelievedReading(t *testing.T) {
	k := newFakeKernel()
	s := healthy(1, allowances...)
	s.values["bw_in_allowance_exceeded"] = 11072
	k.stats["ens5"] = s
	r := reader(t, k, "ens5")
	r.Read()
	r.Believe()
	s.values["bw_in_allowance_exceeded"] = 0
	s.onRead = nil
	if got := r.Read(); got.Verdict != Suspect {
		t.Fatalf("%v", got.Verdict)
	}
	raw := map[string]uint64{}
	r.Raw(func(n string, v uint64) { raw[n] = v })
	want := map[string]uint64{
		"bw_in_allowance_exceeded": 11072, "bw_out_allowance_exceeded": 0, "pps_allowance_exceeded": 0,
		"conntrack_allowance_exceeded": 0, "linklocal_allowance_exceeded": 0,
		"ena_admin_q_aborted_cmd": 0, "ena_admin_q_submitted_cmd": 92, "ena_admin_q_completed_cmd": 92,
		"ena_admin_q_out_of_space": 0, "ena_admin_q_no_completion": 0,
	}
	if diff := cmp.Diff(want, raw); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	k := newFakeKernel()
	k.stats["ens5"] = healthy(1, allowances...)
	r := reader(t, k, "ens5")
	r.Read()
	if n := testing.AllocsPerRun(100, func() { r.Read() }); n != 0 {
		t.Errorf("%v allocations a reading, want 0", n)
	}
}

// FuzzReader reads whatever a device may answer.
func FuzzReader(f *testing.F) {
	f.Add([]byte("bw_in_allowance_exceeded\x00queue_0_tx_cnt\x00ena_admin_q_submitted_cmd"), []byte("12345678abcdefgh"), uint8(2), true)
	f.Add([]byte(""), []byte(""), uint8(0), false)
	f.Fuzz(func(t *testing.T, names, values []byte, change uint8, old bool) {
		k := newFakeKernel()
		s := &fakeStats{names: strings.Split(string(names), "\x00"), values: map[string]uint64{}, old: old}
		s.onRead = func() {
			for i, n := range s.names {
				if len(values) > 0 {
					s.values[n] += uint64(values[(i+s.reads)%len(values)]) << (s.reads % 64)
				}
			}
			if change > 0 && s.reads%int(change) == 0 {
				s.names = append(s.names, "x")
			}
		}
		k.stats["ens5"] = s
		r, err := NewReader(k, "ens5", func(Stat) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for range 5 {
			if got := r.Read(); (got.Verdict == Valid) != (got.Vector != nil) {
				t.Fatalf("verdict %v with vector %v", got.Verdict, got.Vector != nil)
			} else if got.Verdict == Valid {
				r.Believe()
			}
			r.Raw(func(string, uint64) {})
		}
	})
}
