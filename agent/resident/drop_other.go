//go:build !linux

package resident

// Drop does nothing on systems that the agent is not for.
func Drop(from, to uintptr) error { return nil }
