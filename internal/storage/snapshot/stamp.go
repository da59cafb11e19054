package snapshot

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/dormouse-dev/dormouse/internal/storage/wal"
)

// Stamp tells whether a database has changed between two looks. The zero value
// is the same as no other.
type Stamp struct {
	database, log fileStamp
	header        wal.Header
}

type fileStamp struct {
	number   uint64 // of the file in its file system
	size     int64
	modified int64
}

// StampOf looks at a database. It returns the zero value when that would not
// tell: a change that follows could have the time of the last one.
func StampOf(path string) (s Stamp) {
	if !s.database.read(path) {
		return Stamp{}
	}
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		return s
	}
	state, err := look(path)
	if err != nil || state.torn || !s.log.read(path+"-wal") {
		return Stamp{}
	}
	s.header = state.header
	return s
}

// read says whether the stamp tells anything.
func (f *fileStamp) read(path string) bool {
	info, err := os.Stat(path)
	if err != nil || time.Since(info.ModTime()).Abs() < settled {
		return false
	}
	number, ok := fileNumber(path, info)
	if !ok {
		return false
	}
	*f = fileStamp{number, info.Size(), info.ModTime().UnixNano()}
	return true
}

// Same says whether nothing has changed from one look to the other.
func (s Stamp) Same(o Stamp) bool { return s != Stamp{} && s == o }
