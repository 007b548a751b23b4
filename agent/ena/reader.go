package ena

import (
	"errors"
	"fmt"
	"slices"
)

// Verdict says what a reading is worth.
type Verdict uint8

const (
	// Valid readings come from the device.
	Valid Verdict = iota
	// Suspect readings do not: the driver filled in zeros, old values or
	// garbage, because the device did not answer. They change nothing.
	Suspect
	// Gone says that there is no such interface any more.
	Gone
	// Failed says that the reading could not be made.
	Failed
)

// String returns the verdict in lower case.
func (v Verdict) String() string {
	return [...]string{"valid", "suspect", "gone", "failed"}[v]
}

// Reason says why a reading is not valid.
type Reason string

// Reasons for Suspect, by the driver's own admin-queue counters.
const (
	AdminQueueStopped   Reason = "the admin queue is stopped: no command was submitted"
	AdminNoAnswer       Reason = "an admin command was never completed"
	AdminCommandAborted Reason = "an admin command was aborted"
	AdminQueueFull      Reason = "the admin queue was full"
	AdminIncomplete     Reason = "not every admin command was completed"
)

// Reading is all wanted stats of one interface at one instant.
type Reading struct {
	Verdict Verdict
	Reason  Reason
	// Err is set if the verdict is Gone or Failed.
	Err error
	// Vector holds the values, for Valid readings and until the next Read.
	Vector *Vector
}

// slot says that value at of the driver's vector belongs to stat.
type slot struct {
	at   int
	stat Stat
}

// Reader reads one interface. It is not safe for concurrent use but for Raw.
type Reader struct {
	kernel Kernel
	name   string
	queues func(Stat) bool

	names    []string
	slots    []slot
	present  Set
	commands uint64 // admin commands that one reading sends

	buf, believed *Buffer // the newest vector; the last that was believed
	believedNames []string
	vector        Vector

	// before is the vector of the reading before this one, believed or not.
	before     Vector
	haveBefore bool
}

// NewReader returns a reader of the interface called name. Stats of queues are
// read if queues says so.
func NewReader(k Kernel, name string, queues func(Stat) bool) (*Reader, error) {
	r := &Reader{kernel: k, name: name, queues: queues}
	for _, b := range []**Buffer{&r.buf, &r.believed} {
		var err error
		if *b, err = NewBuffer(); err != nil {
			r.Close()
			return nil, err
		}
	}
	return r, nil
}

// Rename follows the interface to its new name. What was read by the old one
// may be another interface's, so that the next reading starts anew.
func (r *Reader) Rename(name string) { r.name, r.names, r.haveBefore = name, nil, false }

// Refresh makes the next reading look up the names again.
func (r *Reader) Refresh() { r.names = nil }

// Close releases the reader's buffers. Raw shows nothing after it.
func (r *Reader) Close() error {
	r.believedNames = nil
	var failed []error
	for _, b := range []*Buffer{r.buf, r.believed} {
		if b != nil {
			failed = append(failed, b.Close())
		}
	}
	return errors.Join(failed...)
}

// Raw calls f for each stat of the last reading that was believed, in the
// driver's order. It may run beside Read, not beside Believe.
func (r *Reader) Raw(f func(name string, value uint64)) {
	if len(r.believedNames) == 0 {
		return
	}
	for i, v := range r.believed.Values(len(r.believedNames)) {
		f(r.believedNames[i], v)
	}
}

// Read takes a reading: one system call, while the device's set of stats stays
// as it is. The first one of a network device takes two, because only the
// second can be judged.
func (r *Reader) Read() Reading {
	if err := r.read(); err != nil {
		return r.fail(err)
	}
	if r.unproven() {
		r.before, r.haveBefore = r.vector, true
		if err := r.read(); err != nil {
			return r.fail(err)
		}
	}
	// A reset may have changed which stats there are without changing how many.
	if r.haveBefore && r.vector.ResetMark() != r.before.ResetMark() {
		if err := r.reread(); err != nil {
			return r.fail(err)
		}
	}
	reason := r.judge()
	r.before, r.haveBefore = r.vector, true
	if reason != "" {
		return Reading{Verdict: Suspect, Reason: reason}
	}
	return Reading{Vector: &r.vector}
}

// Believe keeps the newest reading for Raw. It is the caller's word that the
// reading is not only valid, but also follows from those before.
func (r *Reader) Believe() {
	r.buf, r.believed = r.believed, r.buf
	r.believedNames = r.names
}

func (r *Reader) fail(err error) Reading {
	v := Failed
	if errors.Is(err, ErrGone) {
		v = Gone
	}
	return Reading{Verdict: v, Reason: Reason(err.Error()), Err: err}
}

// maxCountChanges bounds how often one reading follows a changing set.
const maxCountChanges = 4

// read fills the vector, with the names that belong to it.
func (r *Reader) read() error {
	for range maxCountChanges {
		if r.names == nil {
			if err := r.lookUp(); err != nil {
				return err
			}
		}
		n, err := r.kernel.Stats(r.name, len(r.names), r.buf)
		if err != nil {
			return err
		}
		if n == len(r.names) {
			r.fill()
			return nil
		}
		r.names = nil
	}
	return fmt.Errorf("read %s: its set of stats changed %d times in a row", r.name, maxCountChanges)
}

// reread reads again if the names are not what they were.
func (r *Reader) reread() error {
	old := r.names
	if err := r.lookUp(); err != nil {
		return err
	}
	if slices.Equal(old, r.names) {
		return nil
	}
	return r.read()
}

func (r *Reader) lookUp() error {
	names, err := r.kernel.StatNames(r.name)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("read %s: %w", r.name, ErrNoStats)
	}
	r.names, r.slots, r.present = names, r.slots[:0], Set{}
	for at, name := range names {
		s, ok := Lookup(name)
		if !ok || s >= FirstQueue && !r.queues(s) {
			continue
		}
		r.slots = append(r.slots, slot{at, s})
		r.present.Add(s)
	}
	// Each reading fetches the allowances by one command, SRD by another.
	r.commands = 0
	if r.present.Has(BWInAllowanceExceeded) || r.present.Has(PPSAllowanceExceeded) ||
		r.present.Has(LinklocalAllowanceExceeded) || r.present.Has(ConntrackAllowanceExceeded) ||
		r.present.Has(BWOutAllowanceExceeded) || r.present.Has(ConntrackAllowanceAvailable) {
		r.commands++
	}
	if r.present.Has(SRDMode) {
		r.commands++
	}
	return nil
}

func (r *Reader) fill() {
	values := r.buf.Values(len(r.names))
	r.vector.Values = [NumStats]uint64{}
	r.vector.Present = r.present
	for _, s := range r.slots {
		r.vector.Values[s.stat] += values[s.at]
	}
}

// judged reports whether the driver keeps the counters to judge readings by.
func (r *Reader) judged() bool {
	return r.commands > 0 && r.present.Has(AdminSubmitted) && r.present.Has(AdminCompleted)
}

// unproven reports whether the vector is the first of its network device. A
// new one starts the admin queue's counters again; a device reset does not.
func (r *Reader) unproven() bool {
	return r.judged() && (!r.haveBefore || !r.before.Present.Has(AdminSubmitted) ||
		r.vector.Values[AdminSubmitted] < r.before.Values[AdminSubmitted])
}

// judge tells whether the device answered, by what its admin queue did since
// the reading before. The driver ignores a failed command and hands out zeros,
// its last values or, in 2.13.2 to 2.15.0, what lay on the kernel's stack
// (ena_ethtool.c, "Updating regardless of rc"). But a command that can't be
// sent is not counted as submitted (ena_com.c, ena_com_submit_admin_cmd), and
// one that fails is counted where it failed.
func (r *Reader) judge() Reason {
	if !r.judged() {
		return ""
	}
	grew := func(s Stat) uint64 { return r.vector.Values[s] - r.before.Values[s] }
	switch {
	case grew(AdminSubmitted) < r.commands:
		return AdminQueueStopped
	case grew(AdminNoCompletion) != 0:
		return AdminNoAnswer
	case grew(AdminAborted) != 0:
		return AdminCommandAborted
	case grew(AdminOutOfSpace) != 0:
		return AdminQueueFull
	case grew(AdminCompleted)+1 < r.commands:
		// The last completion is counted only after its waiter was woken
		// (ena_com_handle_single_admin_completion), so one may lag.
		return AdminIncomplete
	}
	return ""
}
