package ena

import "golang.org/x/sys/unix"

// mapGuarded maps size bytes, page-aligned at their start, with an inaccessible
// page behind them.
func mapGuarded(size int) ([]byte, error) {
	page := unix.Getpagesize()
	size = (size + page - 1) / page * page
	mem, err := unix.Mmap(-1, 0, size+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	if err := unix.Mprotect(mem[size:], unix.PROT_NONE); err != nil {
		return nil, err
	}
	return mem, nil
}

func unmapGuarded(mem []byte) error { return unix.Munmap(mem) }
