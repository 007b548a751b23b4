package emf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/enawatch/enawatch/agent/sink"
)

// File appends documents to a file, each request by one write of whole lines.
//
// A request is delivered once it has been written and synced to disk (fsync),
// so that what the spool gives up is not lost with the host's power. A write
// that fails half-way, as on a full disk, or is cut short by a crash, goes on
// where it stopped: the end of the file says how much of the request it has. If
// it is the end of another line, that line is ended first.
//
// The file may be renamed or removed (logrotate's nocreate): that is noticed
// before each write, and a new one is made. It may be truncated (copytruncate):
// what follows is written at its new end, but lines that come between logrotate's
// copy and its truncation are lost, of which this program can't know. Fluent
// Bit's tail sees whole lines, under a path that is always the newest file.
type File struct {
	*packer
	o    FileOptions
	path string
	log  *slog.Logger
	now  func() time.Time
	// asked is true while the file is to be closed, which a request under way held up.
	asked atomic.Bool

	mu   sync.Mutex // guards what follows: Reopen is called beside Deliver
	f    *os.File   // nil while closed
	info fs.FileInfo
	// whole is true while it is known that the file ends with a whole request.
	whole bool
	// written is the time of the newest write.
	written time.Time
	// stuck is true after a rotation failed, until one succeeds.
	stuck bool
}

func newFile(p *packer, o Options) (*File, error) {
	f := o.File
	if f.Mode == 0 {
		f.Mode = DefaultMode
	}
	if f.Keep == 0 {
		f.Keep = DefaultKeep
	}
	switch {
	case f.Mode&^fs.ModePerm != 0 || f.Mode&0o600 != 0o600:
		return nil, fmt.Errorf("file mode %#o: give permissions that let the owner read and write, as 0600 or 0640", uint32(f.Mode))
	case f.RotateMiB < 0:
		return nil, fmt.Errorf("rotation at %d MiB: give a positive number, or 0 for none", f.RotateMiB)
	case f.RotateAge < 0:
		return nil, fmt.Errorf("rotation after %v: give a positive duration, or 0 for none", f.RotateAge)
	case f.Keep < 1:
		return nil, fmt.Errorf("%d rotated files to keep: give a positive number", f.Keep)
	}
	return &File{packer: p, o: f, path: o.Output.Address, log: o.Log.With("sink", p.Name()), now: time.Now}, nil
}

// Reopen closes the file, so that whoever moved it may do with it as they like.
// The next request opens it anew. After a write that failed half-way, the file
// stays open until the rest is written.
//
// It does not wait for a request under way, which the disk may hold up, and which
// closes the file when it is through.
func (s *File) Reopen() {
	s.asked.Store(true)
	if s.mu.TryLock() {
		defer s.mu.Unlock()
		s.heed()
	}
}

// heed closes the file if that was asked for and can be.
func (s *File) heed() {
	if s.asked.Swap(false) && s.whole {
		s.close()
	}
}

// Deliver appends one request. An error is a *sink.Error; it is ambiguous only
// if the file was moved after a write that failed.
func (s *File) Deliver(_ context.Context, data []byte) error {
	if err := whole(data); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.heed()
	if err := s.follow(); err != nil {
		return err
	}
	if err := s.write(data); err != nil {
		return s.fail(err)
	}
	return nil
}

// fail says what an error of the file system means.
func (s *File) fail(err error) *sink.Error {
	e := &sink.Error{Kind: sink.Transient, Err: fmt.Errorf("append EMF to a file: %w", err)}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Remedy = "make room"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		e.Remedy = "let enawatch write to the file and its directory"
	case errors.Is(err, fs.ErrNotExist):
		e.Remedy = "make the directory, and let enawatch write to it"
	}
	return e
}

// follow closes a file that is no longer at its path.
func (s *File) follow() error {
	if s.f == nil {
		return nil
	}
	at, err := os.Stat(s.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.fail(err)
	}
	if err == nil && os.SameFile(at, s.info) {
		return nil
	}
	torn := !s.whole
	s.close()
	if torn {
		return &sink.Error{Kind: sink.Transient, Ambiguous: true,
			Err: errors.New("append EMF to a file: it was moved after a write that failed: the request is written again, to the new one")}
	}
	return nil
}

func (s *File) close() {
	if s.f != nil {
		s.f.Close() // what was written has been synced
	}
	s.f, s.whole = nil, false
}

// write appends data, or what the file does not have of it, to the right file.
func (s *File) write(data []byte) error {
	if err := s.open(); err != nil {
		return err
	}
	info, err := s.f.Stat()
	if err != nil {
		return err
	}
	rest := data
	if !s.whole {
		if rest, err = s.missing(info.Size(), data); err != nil {
			return err
		}
		s.whole = len(rest) == len(data)
	}
	if s.whole && s.due(info.Size(), len(data)) {
		if err := s.rotate(); err != nil {
			return err
		}
	}
	s.whole = false
	if len(rest) > 0 {
		if _, err := s.f.Write(rest); err != nil {
			return err
		}
	}
	if err := s.f.Sync(); err != nil {
		return err
	}
	s.whole, s.written = true, s.now()
	return nil
}

// open opens the file unless it is open.
func (s *File) open() error {
	if s.f != nil {
		return nil
	}
	_, err := os.Stat(s.path)
	made := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, s.o.Mode)
	if err != nil {
		return err
	}
	if s.info, err = f.Stat(); err == nil && !s.info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file: give the path of one", s.path)
	}
	if err == nil && made {
		err = f.Chmod(s.o.Mode) // whatever the umask
	}
	if err != nil {
		f.Close()
		return err
	}
	s.f, s.whole, s.written = f, s.info.Size() == 0, s.now()
	if !s.whole {
		s.written = s.info.ModTime()
	}
	return nil
}

// missing returns what the file, of size bytes, does not have of data. If the
// file ends within another line, a newline comes first.
func (s *File) missing(size int64, data []byte) ([]byte, error) {
	// One byte more tells where a line begins.
	tail := make([]byte, min(size, int64(len(data))+1))
	if _, err := s.f.ReadAt(tail, size-int64(len(tail))); err != nil {
		return nil, err
	}
	for start := range tail {
		begins := start == 0 && int64(len(tail)) == size || start > 0 && tail[start-1] == '\n'
		if begins && bytes.HasPrefix(data, tail[start:]) {
			return data[len(tail)-start:], nil
		}
	}
	if len(tail) > 0 && tail[len(tail)-1] != '\n' {
		return slices.Concat([]byte("\n"), data), nil
	}
	return data, nil
}
