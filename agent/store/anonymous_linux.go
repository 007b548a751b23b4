package store

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// anonymousFile returns a file in memory that has no name.
func anonymousFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("enawatch", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	return os.NewFile(uintptr(fd), "a copy of the state file"), nil
}
