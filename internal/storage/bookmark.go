package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/dormouse-dev/dormouse"
)

// Bookmark names a point in the history of a data folder: the state of every
// object after all records up to this one. Bookmarks of one data folder are
// ordered, and are never used again.
type Bookmark struct {
	Batch  uint64 // counts the batches that were synced together
	Record uint32 // counts in the batch
}

// nextRestore is set in the Record of a bookmark that names the state just before
// the first restore after it, which may be still to come.
const nextRestore = 1 << 31

// EndOfBatch is greater than any record's number.
const EndOfBatch = nextRestore - 1

// BeforeNextRestore returns the bookmark of the state that an object will have
// just before it is next restored after b, so that the restore can be undone.
func (b Bookmark) BeforeNextRestore() Bookmark {
	return Bookmark{b.Batch, b.Record | nextRestore}
}

// NextRestore undoes BeforeNextRestore; ok says whether there was anything to
// undo.
func (b Bookmark) NextRestore() (after Bookmark, ok bool) {
	return Bookmark{b.Batch, b.Record &^ nextRestore}, b.Record&nextRestore != 0
}

// Compare returns -1, 0 or +1 when b is before, at or after o.
func (b Bookmark) Compare(o Bookmark) int {
	switch {
	case b.Batch < o.Batch || b.Batch == o.Batch && b.Record < o.Record:
		return -1
	case b == o:
		return 0
	}
	return 1
}

// Text returns the bookmark as an author of objects sees it: four groups of
// hexadecimal digits whose order as text is the order of the bookmarks. The
// last group ties it to the object.
func (b Bookmark) Text(key dormouse.Key) string {
	return fmt.Sprintf("%08x-%08x-%08x-%s", b.Batch>>32, uint32(b.Batch), b.Record, seal(key))
}

// Errors of ParseBookmark.
var (
	ErrInvalidBookmark = errors.New("bookmark is not valid")
	ErrForeignBookmark = errors.New("bookmark belongs to another object")
)

// ParseBookmark reads what Text wrote for the same object.
func ParseBookmark(s string, key dormouse.Key) (Bookmark, error) {
	const digits = 8
	if len(s) != 3*(digits+1)+2*sealLen || s[8] != '-' || s[17] != '-' || s[26] != '-' {
		return Bookmark{}, ErrInvalidBookmark
	}
	var part [3]uint64
	for i := range part {
		group := s[i*(digits+1):][:digits]
		n, err := strconv.ParseUint(group, 16, 32)
		if err != nil || fmt.Sprintf("%08x", n) != group {
			return Bookmark{}, ErrInvalidBookmark
		}
		part[i] = n
	}
	if s[27:] != seal(key) {
		return Bookmark{}, ErrForeignBookmark
	}
	return Bookmark{Batch: part[0]<<32 | part[1], Record: uint32(part[2])}, nil
}

const sealLen = 16 // bytes

func seal(key dormouse.Key) string {
	sum := sha256.Sum256([]byte("bookmark " + key.String()))
	return hex.EncodeToString(sum[:sealLen])
}
