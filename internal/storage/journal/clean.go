package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"

	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// A process that ends in order leaves a file that says so: no database has a log
// with anything in it beside it, and nothing was committed that the journal does not know. So who
// begins next need not look through all folders for what a killed process has
// left.
//
// The file names the batch that would have followed. Each start skips numbers,
// durably and before anybody can commit, so a file that has stayed behind, or
// came back with an old copy of the folder, names one that is past and is not
// believed.
const (
	cleanName  = "clean"
	cleanMagic = "DORMCLEN"
	cleanSize  = 28
)

func appendClean(b []byte, next uint64) []byte {
	b = append(b, cleanMagic...)
	b = binary.LittleEndian.AppendUint32(b, formatVersion)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, next)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseClean returns the batch that a file names, or 0 for one that says nothing.
func parseClean(b []byte) (next uint64) {
	const sum = cleanSize - 4
	if len(b) != cleanSize || string(b[:8]) != cleanMagic || binary.LittleEndian.Uint32(b[8:]) > formatVersion ||
		crc32.Checksum(b[:sum], castagnoli) != binary.LittleEndian.Uint32(b[sum:]) {
		return 0
	}
	return binary.LittleEndian.Uint64(b[16:])
}

// readClean says whether the last process ended in order, h being what it has
// left. A file that cannot be read only costs a look.
func (e *Engine) readClean(h *history) bool {
	if len(h.segments) == 0 {
		return false // files may lie here from before there was a journal
	}
	f, err := e.fs.Open(filepath.Join(e.dir, cleanName), openRead)
	if err != nil {
		return false
	}
	defer f.Close()
	var b [cleanSize + 1]byte // one more, so that a longer file shows
	n, _ := f.ReadAt(b[:], 0)
	return parseClean(b[:n]) == h.next()
}

// removeClean: from here on the file would not be true. That it is gone need not
// be durable, because the segment that was begun contradicts it.
func (e *Engine) removeClean() error {
	err := e.fs.Remove(filepath.Join(e.dir, cleanName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the mark of an orderly end: %w", err)
	}
	return nil
}

// Looked tells that everything has been looked through that a killed process may
// have left; see Recovery.Clean.
func (e *Engine) Looked() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.looked = true
}

// writeClean leaves the file, if there is nothing that it would be wrong about.
// Nothing runs any more, and everything is on disk. If it cannot be written the
// next start looks, which is all that comes of it.
func (e *Engine) writeClean() {
	e.mu.Lock()
	orderly := e.looked && e.broken == nil && len(e.objects) == 0 && e.durable == e.next-1
	next := e.next
	e.mu.Unlock()
	if orderly {
		disk.Replace(e.fs, filepath.Join(e.dir, cleanName), appendClean(nil, next))
	}
}
