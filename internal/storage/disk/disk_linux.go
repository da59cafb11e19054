package disk

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// SyncAllWaits: SyncAll returns when everything is on disk, or with an error.
const SyncAllWaits = true

// Sync waits for a file's content and for the metadata without which it could
// not be read, but not for timestamps.
func Sync(f *os.File) error {
	return ignoringEINTR("fdatasync", f.Name(), func() error { return unix.Fdatasync(int(f.Fd())) })
}

func (f osFile) Sync() error { return Sync(f.File) }

func (f osFile) Allocate(size int64) error {
	return ignoringEINTR("fallocate", f.Name(), func() error { return unix.Fallocate(int(f.Fd()), 0, 0, size) })
}

func (f osFile) Stat() (Info, error) {
	var st unix.Stat_t
	err := ignoringEINTR("fstat", f.Name(), func() error { return unix.Fstat(int(f.Fd()), &st) })
	return Info{Size: st.Size, Links: uint64(st.Nlink)}, err
}

// leaveTime has reading not change the file's time of access: a log that is read
// after each commit would have its inode written for it each time. Only the
// file's owner may ask for that; for others it is as usual.
func leaveTime(f *os.File) {
	unix.FcntlInt(f.Fd(), unix.F_SETFL, unix.O_NOATIME)
}

func (OS) Stat(name string) (Info, error) {
	var st unix.Statx_t
	err := ignoringEINTR("stat", name, func() error {
		return unix.Statx(unix.AT_FDCWD, name, 0, unix.STATX_SIZE|unix.STATX_NLINK|unix.STATX_BTIME, &st)
	})
	info := Info{Size: int64(st.Size), Links: uint64(st.Nlink)}
	if st.Mask&unix.STATX_BTIME != 0 {
		info.Born = time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
	}
	return info, err
}

func (OS) SyncAll(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return ignoringEINTR("syncfs", name, func() error { return unix.Syncfs(int(d.Fd())) })
}

func ignoringEINTR(op, name string, call func() error) error {
	for {
		switch err := call(); err {
		case nil:
			return nil
		case unix.EINTR:
		default:
			return &os.PathError{Op: op, Path: name, Err: err}
		}
	}
}
