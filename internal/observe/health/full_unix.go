//go:build unix

package health

import (
	"errors"
	"syscall"
)

// noRoom says whether a write failed because the disk is full.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
