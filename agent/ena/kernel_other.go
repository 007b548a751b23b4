//go:build !linux

package ena

import (
	"errors"
	"fmt"
)

// NewKernel fails: ENA stats are read through Linux' ethtool ioctl. The error
// is compatible with errors.Is(err, errors.ErrUnsupported).
func NewKernel() (Kernel, error) {
	return nil, fmt.Errorf("read ENA stats: only Linux has them: %w", errors.ErrUnsupported)
}
