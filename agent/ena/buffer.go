package ena

import (
	"fmt"
	"unsafe"
)

const (
	// ifreqSize is sizeof(struct ifreq) on 64-bit kernels: a name of 16 bytes,
	// a union of 24. The kernel copies all 40 in and out.
	ifreqSize = 40
	// statsHeader is struct ethtool_stats without its data: u32 cmd, u32 n_stats.
	statsHeader = 8
	// statsOffset is where the values stand in a Buffer.
	statsOffset = ifreqSize + statsHeader
)

// Buffer holds one request and its answer for ETHTOOL_GSTATS. It has room for
// MaxStats values whatever the kernel was asked for, lives outside the Go heap
// and ends at a guard page: kernels before 2026 write as many values as the
// driver has, not as many as were asked for. Only pages that were written to
// cost memory.
type Buffer struct {
	mem []byte // struct ifreq, struct ethtool_stats, MaxStats values
}

// NewBuffer maps an empty buffer. Release it with Close.
func NewBuffer() (*Buffer, error) {
	mem, err := mapGuarded(statsOffset + 8*MaxStats)
	if err != nil {
		return nil, fmt.Errorf("map a stats buffer: %w", err)
	}
	return &Buffer{mem: mem}, nil
}

// Values returns the first n values, which the next reading overwrites.
func (b *Buffer) Values(n int) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(&b.mem[statsOffset])), MaxStats)[:n]
}

// Close unmaps the buffer. Slices from Values must not be used after it. To
// close it again does nothing.
func (b *Buffer) Close() error {
	mem := b.mem
	if b.mem = nil; mem == nil {
		return nil
	}
	return unmapGuarded(mem)
}
