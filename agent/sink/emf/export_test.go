package emf

// SetMaxEvent makes e take a log event for smaller than it is.
func (e *Encoder) SetMaxEvent(bytes int) { e.maxEvent = bytes }
