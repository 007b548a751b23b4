package emf

import "time"

// SetMaxEvent makes e take a log event for smaller than it is.
func (e *Encoder) SetMaxEvent(bytes int) { e.maxEvent = bytes }

// SetNow gives s another clock.
func (s *File) SetNow(now func() time.Time) { s.now = now }

// SetTimeout changes how long a receiver may take.
func (s *Stream) SetTimeout(d time.Duration) { s.timeout = d }
