//go:build !linux

package store

import "os"

// anonymousFile returns a file that has no name any more.
func anonymousFile() (*os.File, error) {
	f, err := os.CreateTemp("", "enawatch-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}
