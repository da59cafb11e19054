package direct

import (
	"os"

	"golang.org/x/sys/unix"
)

// fdatasync waits for a file's contents and for what is needed to find them.
func fdatasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err != unix.EINTR {
			return err
		}
	}
}
