//go:build unix

package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

func (OS) Free(name string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(name, &fs); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: name, Err: err}
	}
	return int64(fs.Bavail) * int64(fs.Bsize), nil
}
