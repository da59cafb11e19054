// Package disk is all that storage asks of a file system, and the real one.
// Tests put a layer in between that knows what a power cut would leave. It
// knows files and what makes them durable, and never sees what is in them.
package disk

import (
	"io"
	"os"
	"time"
)

// FS is a file system. Names are as for package os, and so are errors.
type FS interface {
	Open(name string, flag int) (File, error)
	Stat(name string) (Info, error)
	ReadDir(name string) ([]string, error)
	MkdirAll(name string) error
	Rename(from, to string) error
	Remove(name string) error

	// SyncDir makes the entries of a folder durable.
	SyncDir(name string) error
	// SyncAll makes everything durable that was written to the file system
	// that holds the folder, see SyncAllWaits.
	SyncAll(name string) error

	// Free is how many bytes may still be written to the file system that holds
	// the folder, if the system says so.
	Free(name string) (int64, error)

	// Lock takes the file's lock for this process, or fails with
	// storage.ErrLocked.
	Lock(name string) (io.Closer, error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	// Allocate makes the file that long, and the blocks that it lacks; they read
	// as zeros. Where the file system cannot, errors.ErrUnsupported.
	Allocate(size int64) error
	Sync() error // the content and what is needed to find it
	Stat() (Info, error)
}

// Info is what is known of a file.
type Info struct {
	Size  int64
	Links uint64    // 0: removed
	Born  time.Time // zero: not known
}

// OS is the real file system.
type OS struct{}

func (OS) Open(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err // not a file that holds a nil *os.File
	}
	if flag == os.O_RDONLY {
		leaveTime(f)
	}
	return osFile{f}, nil
}

func (OS) ReadDir(name string) ([]string, error) {
	entries, err := os.ReadDir(name)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

func (OS) MkdirAll(name string) error   { return os.MkdirAll(name, 0o700) }
func (OS) Rename(from, to string) error { return os.Rename(from, to) }
func (OS) Remove(name string) error     { return os.Remove(name) }

type osFile struct{ *os.File }
