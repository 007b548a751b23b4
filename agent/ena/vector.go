package ena

import "math/bits"

// Set is a set of stats of the catalogue.
type Set [(NumStats + 63) / 64]uint64

// Has reports whether st is in the set.
func (s *Set) Has(st Stat) bool { return s[st/64]&(1<<(st%64)) != 0 }

// Add puts st into the set.
func (s *Set) Add(st Stat) { s[st/64] |= 1 << (st % 64) }

// Remove takes st out of the set.
func (s *Set) Remove(st Stat) { s[st/64] &^= 1 << (st % 64) }

// Len returns how many stats are in the set.
func (s *Set) Len() (n int) {
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// Vector is what an interface's stats were at one instant, by catalogue.
type Vector struct {
	// Values of absent stats are 0.
	Values [NumStats]uint64
	// Present tells which values are there. A stat that the driver does not
	// list is not 0: it is absent.
	Present Set
}

// ResetMark adds up the counters whose growth is evidence of a device reset
// (Entry.Reset). Two vectors of one network device with different marks have a
// reset, or an ifdown and ifup, between them.
func (v *Vector) ResetMark() (sum uint64) {
	for _, s := range resetStats {
		sum += v.Values[s] // absent ones are 0
	}
	return sum
}

var resetStats = func() (stats []Stat) {
	for s := range FirstQueue {
		if catalogue[s].Reset {
			stats = append(stats, s)
		}
	}
	return stats
}()
