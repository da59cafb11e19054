package health

import (
	"errors"

	"golang.org/x/sys/windows"
)

// noRoom says whether a write failed because the disk is full.
func noRoom(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}
