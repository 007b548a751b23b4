package resident

import "golang.org/x/sys/unix"

// Drop unmaps the pages of a range until they are used again (MADV_DONTNEED of
// madvise(2): those of a file that were not written to are read from it again).
func Drop(from, to uintptr) error {
	_, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
	if errno != 0 {
		return errno
	}
	return nil
}
