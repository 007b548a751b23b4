package emf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// due reports whether a file of size bytes is to be rotated before more bytes
// are written to it.
func (s *File) due(size int64, more int) bool {
	switch {
	case size == 0:
		return false
	case s.o.RotateMiB > 0 && size+int64(more) > int64(s.o.RotateMiB)<<20:
		return true
	case s.o.RotateAge > 0:
		return !s.now().Truncate(s.o.RotateAge).Equal(s.written.Truncate(s.o.RotateAge))
	}
	return false
}

// rotate moves the file out of the way and opens a new one. If it can't be
// moved, it only grows: that is said once, and is no reason to lose data.
func (s *File) rotate() error {
	if err := shift(s.path, s.o.Keep); err != nil {
		if !s.stuck {
			s.log.Error("the EMF file can't be rotated and grows", "err", err, "remedy", "let enawatch write to its directory")
		}
		s.stuck = true
		return nil
	}
	s.stuck = false
	s.close()
	return s.open()
}

// shift renames PATH to PATH.1, that to PATH.2 and so on up to the first number
// that is free; without one, the file numbered keep goes.
func shift(path string, keep int) error {
	numbered := func(n int) string {
		if n == 0 {
			return path
		}
		return fmt.Sprintf("%s.%d", path, n)
	}
	free := 1
	for free < keep {
		if _, err := os.Lstat(numbered(free)); errors.Is(err, fs.ErrNotExist) {
			break
		}
		free++
	}
	for n := free; n > 0; n-- {
		if err := os.Rename(numbered(n-1), numbered(n)); err != nil {
			return err
		}
	}
	return nil
}
