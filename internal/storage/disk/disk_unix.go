//go:build unix && !linux

package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// SyncAllWaits: SyncAll only asks for it.
const SyncAllWaits = false

// Sync waits for a file's content.
func Sync(f *os.File) error { return f.Sync() }

func (f osFile) Sync() error { return Sync(f.File) }

func (osFile) Allocate(int64) error { return errors.ErrUnsupported }

func (f osFile) Stat() (Info, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return Info{}, &os.PathError{Op: "fstat", Path: f.Name(), Err: err}
	}
	return Info{Size: st.Size, Links: uint64(st.Nlink)}, nil
}

func leaveTime(*os.File) {}

func (OS) Stat(name string) (Info, error) {
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		return Info{}, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	return Info{Size: st.Size, Links: uint64(st.Nlink)}, nil
}

// SyncAll has no better means here than to ask for everything; it does not
// hear of errors.
func (OS) SyncAll(string) error { return unix.Sync() }
