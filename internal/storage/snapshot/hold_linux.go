package snapshot

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// readMark is the byte of the shared memory that a reader locks who uses the
// last of the marks up to which the log must stay. While anybody holds it
// nobody begins the log anew. SQLite, src/wal.c (WAL_READ_LOCK) and src/os_unix.c
// (UNIX_SHM_BASE).
const readMark = 120 + 3 + 4

// hold keeps the log of a database from being begun anew, as a reader does,
// until release is called. It may fail: then the copy notices what happens to
// the log.
func hold(shm string) (release func()) {
	f, err := os.OpenFile(shm, os.O_RDWR, 0)
	if err != nil {
		return func() {}
	}
	// The lock belongs to this descriptor: other copies of the same database do
	// not end it.
	l := unix.Flock_t{Type: unix.F_RDLCK, Whence: unix.SEEK_SET, Start: readMark, Len: 1}
	for range 20 { // whoever has it for itself has it for microseconds
		err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l)
		if err != unix.EAGAIN && err != unix.EACCES && err != unix.EINTR {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return func() { f.Close() }
}
