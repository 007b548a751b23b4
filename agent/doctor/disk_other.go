//go:build !linux

package doctor

import "errors"

func room(string) (int64, bool, error) { return 0, false, errors.ErrUnsupported }
