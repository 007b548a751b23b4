//go:build !linux

package ena

func mapGuarded(size int) ([]byte, error) { return make([]byte, size), nil }

func unmapGuarded([]byte) error { return nil }
