//go:build unix && !linux

package nodeguest

import "errors"

// residentBytes cannot be had without a child process here; the limit of V8's
// heap holds all the same.
func residentBytes(int) (int64, error) { return 0, errors.ErrUnsupported }

// FreeMemory is not told by every system.
func FreeMemory() int64 { return 0 }
