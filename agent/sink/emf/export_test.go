package emf

import (
	"context"
	"time"

	"github.com/enawatch/enawatch/agent/sink/awsclient"
)

// SetMaxEvent makes e take a log event for smaller than it is.
func (e *Encoder) SetMaxEvent(bytes int) { e.maxEvent = bytes }

// SetNow gives s another clock.
func (s *File) SetNow(now func() time.Time) { s.now = now }

// SetTimeout changes how long a receiver may take.
func (s *Stream) SetTimeout(d time.Duration) { s.timeout = d }

// SetHTTP connects s now, and has its requests go through c.
func (s *Logs) SetHTTP(ctx context.Context, c awsclient.HTTPClient) error {
	if failure := s.connect(ctx); failure != nil {
		return failure
	}
	s.service.HTTP = c
	return nil
}

// Hold holds s up as a write does that the disk does not take, until release.
func (s *File) Hold() (release func()) {
	s.mu.Lock()
	return s.mu.Unlock
}

// Open reports whether s has its file open.
func (s *File) Open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.f != nil
}
