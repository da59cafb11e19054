//go:build unix

package health

import (
	"errors"
	"syscall"
)

// freeSpace is how many bytes may still be written below a folder, if the system
// says so.
func freeSpace(dir string) (int64, bool) {
	var fs syscall.Statfs_t
	if syscall.Statfs(dir, &fs) != nil {
		return 0, false
	}
	return int64(fs.Bavail) * int64(fs.Bsize), true
}

// noRoom says whether a write failed because the disk is full.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
