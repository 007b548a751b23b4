//go:build !linux

package resident

func drop(from, to uintptr) error { return nil }
