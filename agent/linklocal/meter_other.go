//go:build !linux

package linklocal

import (
	"errors"
	"net/netip"
)

// Meter counts on Linux only.
type Meter struct{}

// Open returns an error compatible with errors.Is(err, errors.ErrUnsupported).
func Open(Options) (*Meter, error) { return nil, errors.ErrUnsupported }

func (*Meter) SetResolvers([]netip.Addr) error       { return errors.ErrUnsupported }
func (*Meter) Watch(int, string)                     {}
func (*Meter) Unwatch(int)                           {}
func (*Meter) Tick()                                 {}
func (*Meter) Use(int) (Use, bool)                   { return Use{}, false }
func (*Meter) Totals(int) (Totals, bool)             { return Totals{}, false }
func (*Meter) Top(int, int) ([]Sender, Sender, bool) { return nil, Sender{}, false }
func (*Meter) Names(int) []QueryCount                { return nil }
func (*Meter) Retransmits() uint64                   { return 0 }
func (*Meter) Close() error                          { return nil }
