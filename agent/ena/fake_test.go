package ena

import (
	"fmt"
	"maps"
	"slices"
)

// fakeKernel is a kernel whose devices a test moves by hand.
type fakeKernel struct {
	links  map[int]Link
	driver map[string]DriverIdentity
	stats  map[string]*fakeStats
	events []LinkEvent
	lost   bool
	asked  map[string]int // GDRVINFO by name
	listed int
}

type fakeStats struct {
	names  []string
	values map[string]uint64
	old    bool // a kernel before 2026: answers whatever was asked for
	err    error
	reads  int
	onRead func() // runs before each answer
}

func newFakeKernel() *fakeKernel {
	return &fakeKernel{links: map[int]Link{}, driver: map[string]DriverIdentity{}, stats: map[string]*fakeStats{}, asked: map[string]int{}}
}

func (k *fakeKernel) add(index int, name, driver string) {
	l := Link{Index: index, Name: name, MAC: fmt.Sprintf("02:00:00:00:00:%02x", index)}
	k.links[index] = l
	k.driver[name] = DriverIdentity{Driver: driver, Version: "2.13.0g", BusInfo: fmt.Sprintf("0000:00:%02x.0", index)}
	k.events = append(k.events, LinkEvent{Link: l})
}

func (k *fakeKernel) remove(index int) {
	l := k.links[index]
	delete(k.links, index)
	delete(k.driver, l.Name)
	k.events = append(k.events, LinkEvent{Link: l, Left: true})
}

func (k *fakeKernel) rename(index int, name string) {
	l := k.links[index]
	k.driver[name] = k.driver[l.Name]
	delete(k.driver, l.Name)
	l.Name = name
	k.links[index] = l
	k.events = append(k.events, LinkEvent{Link: l})
}

func (k *fakeKernel) up(index int) {
	l := k.links[index]
	l.Up = true
	k.links[index] = l
	k.events = append(k.events, LinkEvent{Link: l})
}

func (k *fakeKernel) BootID() (string, error) { return "boot", nil }
func (k *fakeKernel) Close() error            { return nil }

func (k *fakeKernel) Links() ([]Link, error) {
	k.listed++
	all := slices.Collect(maps.Values(k.links))
	slices.SortFunc(all, func(a, b Link) int { return b.Index - a.Index }) // not by index
	return all, nil
}

func (k *fakeKernel) Events(f func(LinkEvent)) (bool, error) {
	events, lost := k.events, k.lost
	k.events, k.lost = nil, false
	if lost {
		return true, nil
	}
	for _, e := range events {
		f(e)
	}
	return false, nil
}

func (k *fakeKernel) Driver(name string) (DriverIdentity, error) {
	k.asked[name]++
	d, ok := k.driver[name]
	if !ok {
		return d, fmt.Errorf("GDRVINFO of %s: %w", name, ErrGone)
	}
	return d, nil
}

func (k *fakeKernel) StatNames(name string) ([]string, error) {
	s, ok := k.stats[name]
	if !ok {
		return nil, fmt.Errorf("GSTRINGS of %s: %w", name, ErrGone)
	}
	return slices.Clone(s.names), s.err
}

func (k *fakeKernel) Stats(name string, want int, b *Buffer) (int, error) {
	s, ok := k.stats[name]
	if !ok {
		return 0, fmt.Errorf("GSTATS of %s: %w", name, ErrGone)
	}
	s.reads++
	if s.onRead != nil {
		s.onRead()
	}
	if s.err != nil {
		return 0, s.err
	}
	if want != len(s.names) && !s.old {
		return 0, nil
	}
	values := b.Values(len(s.names))
	for i, n := range s.names {
		values[i] = s.values[n]
	}
	return len(s.names), nil
}
