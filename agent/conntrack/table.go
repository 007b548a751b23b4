package conntrack

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
)

// sysctls is where the kernel tells of its table (Documentation/networking/
// nf_conntrack-sysctl.rst). The count is of the reader's network namespace; the
// limit holds for each namespace, and the first one sets it.
const sysctls = "/proc/sys/net/netfilter"

// table reads how many entries the kernel's table has.
type table struct {
	dir        string
	count, max *os.File
	buf        [32]byte
}

func newTable(dir string) *table { return &table{dir: cmp.Or(dir, sysctls)} }

// open opens the files. An error that is compatible with errors.Is(err,
// os.ErrNotExist) says that this kernel tracks nothing so far.
func (t *table) open() error {
	t.close()
	if t.dir == "-" {
		return errors.New("it is not looked at")
	}
	var err error
	if t.count, err = os.Open(filepath.Join(t.dir, "nf_conntrack_count")); err != nil {
		return err
	}
	if t.max, err = os.Open(filepath.Join(t.dir, "nf_conntrack_max")); err != nil {
		t.close()
		return err
	}
	return nil
}

func (t *table) ok() bool { return t.max != nil }

func (t *table) close() {
	t.count.Close() // nil is fine
	t.max.Close()
	t.count, t.max = nil, nil
}

// read returns how many entries there are, and how many there may be.
func (t *table) read() (entries, size uint64, ok bool) {
	if !t.ok() {
		return 0, 0, false
	}
	entries, ok = t.number(t.count)
	size, sized := t.number(t.max)
	if !ok || !sized {
		t.close() // the module went away; it is looked for later
		return 0, 0, false
	}
	return entries, size, true
}

// number reads a number, without an allocation.
func (t *table) number(f *os.File) (v uint64, ok bool) {
	n, _ := f.ReadAt(t.buf[:], 0) // with EOF, as the buffer is larger
	for _, c := range t.buf[:n] {
		if c < '0' || c > '9' {
			break
		}
		v, ok = v*10+uint64(c-'0'), true
	}
	return v, ok
}
