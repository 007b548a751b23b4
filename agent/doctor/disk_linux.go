package doctor

import "golang.org/x/sys/unix"

// room returns how many bytes a process without privileges may still write to
// the file system of dir, and whether it is read-only.
func room(dir string) (free int64, readOnly bool, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false, err
	}
	return int64(s.Bavail) * s.Bsize, s.Flags&unix.ST_RDONLY != 0, nil
}
