package disk

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"golang.org/x/sys/windows"

	"github.com/dormouse-dev/dormouse/internal/storage"
)

// SyncAllWaits: there is no such thing here that a user may ask for.
const SyncAllWaits = false

// Sync waits for a file's content.
func Sync(f *os.File) error { return f.Sync() }

func (f osFile) Sync() error { return Sync(f.File) }

func (osFile) Allocate(int64) error { return errors.ErrUnsupported }

func (f osFile) Stat() (Info, error) {
	var about windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &about); err != nil {
		return Info{}, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return Info{
		Size:  int64(about.FileSizeHigh)<<32 | int64(about.FileSizeLow),
		Links: uint64(about.NumberOfLinks),
		Born:  time.Unix(0, about.CreationTime.Nanoseconds()),
	}, nil
}

func (OS) Stat(name string) (Info, error) {
	f, err := os.Open(name)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	return osFile{f}.Stat()
}

// SyncDir does nothing: NTFS writes the entries of folders to its own log, and a
// folder cannot be flushed.
func (OS) SyncDir(string) error { return nil }

// SyncAll does nothing: to flush a volume takes an administrator.
func (OS) SyncAll(string) error { return nil }

func (OS) Free(name string) (int64, error) {
	wide, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(wide, &free, nil, nil); err != nil {
		return 0, &os.PathError{Op: "GetDiskFreeSpaceEx", Path: name, Err: err}
	}
	return int64(min(free, math.MaxInt64)), nil
}

func (OS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := TryLock(f); err != nil {
		f.Close()
		if errors.Is(err, storage.ErrLocked) {
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		return nil, &os.PathError{Op: "lock", Path: name, Err: err}
	}
	return f, nil
}

// TryLock takes the lock of a file until it is closed, or fails with
// storage.ErrLocked. What is locked is one byte far behind the content: others
// may read that.
func TryLock(f *os.File) error {
	far := &windows.Overlapped{OffsetHigh: 1 << 30}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, far)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return storage.ErrLocked
	}
	return err
}

func leaveTime(*os.File) {}
