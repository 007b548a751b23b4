package linklocal

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// batch reads a whole hash map of senders by BPF_MAP_LOOKUP_BATCH, into memory
// that it keeps: one call a second, no allocation. The library's own batches
// allocate a cursor each.
type batch struct {
	attr   *batchAttr
	cursor *[8]byte // what the kernel keeps its place with: a u32 for hashes
	keys   []programsSenderKey
	values []programsSender
	fd     int
}

// batchAttr is the part of union bpf_attr that is about batches (linux/bpf.h).
type batchAttr struct {
	in, out, keys, values  uint64
	count, fd              uint32
	elementFlags, mapFlags uint64
}

func newBatch(m *ebpf.Map) *batch {
	n := m.MaxEntries()
	return &batch{
		attr: &batchAttr{}, cursor: &[8]byte{},
		keys: make([]programsSenderKey, n), values: make([]programsSender, n), fd: m.FD(),
	}
}

// read fetches every entry and returns how many there are.
func (b *batch) read() (n int, err error) {
	b.attr.in = 0
	for n < len(b.keys) {
		b.attr.out = uint64(uintptr(unsafe.Pointer(b.cursor)))
		b.attr.keys = uint64(uintptr(unsafe.Pointer(&b.keys[n])))
		b.attr.values = uint64(uintptr(unsafe.Pointer(&b.values[n])))
		b.attr.count, b.attr.fd = uint32(len(b.keys)-n), uint32(b.fd)
		_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_MAP_LOOKUP_BATCH, uintptr(unsafe.Pointer(b.attr)), unsafe.Sizeof(*b.attr))
		runtime.KeepAlive(b)
		switch {
		case errors.Is(errno, unix.ENOENT): // the last batch
			return n + int(b.attr.count), nil
		case errors.Is(errno, unix.EINTR), errors.Is(errno, unix.EAGAIN):
			continue
		case errno != 0:
			return n, fmt.Errorf("read the counts of senders: %w", errno)
		}
		n += int(b.attr.count)
		b.attr.in = b.attr.out
	}
	return n, nil
}
