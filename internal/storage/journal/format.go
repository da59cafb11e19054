package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/dormouse-dev/dormouse/internal/storage"
)

// The bytes of a journal. docs/storage.md describes them; change both, and the
// version. All numbers are little-endian.
//
//	segment:  header, then batches; both begin at multiples of blockSize
//	batch:    header, records, zeros up to the next multiple of blockSize
//	record:   header, namespace, body (record.go)

const (
	formatVersion = 2

	// plainVersion is that of segments that say nothing of what checkpoints have
	// written over, and so are no history.
	plainVersion = 1

	// blockSize is the unit in which batches begin and end, so that writing
	// one never touches a block that holds an older one.
	blockSize = 4096

	segmentMagic      = "DORMJRNL"
	segmentHeaderSize = 52

	batchMagic      = "JBAT"
	batchHeaderSize = 56

	// maxBody bounds the records of a batch, which a reader holds in memory.
	maxBody = 16 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func blocks(size int64) int64 { return (size + blockSize - 1) &^ (blockSize - 1) }

// segmentHeader opens a segment.
type segmentHeader struct {
	number  uint64 // of this segment
	first   uint64 // number of its first batch
	oldest  uint64 // segments before this one are not needed
	created time.Time
	plain   bool // of plainVersion
}

func (h *segmentHeader) encode() []byte {
	b := make([]byte, 0, blockSize)
	b = append(b, segmentMagic...)
	version := uint32(formatVersion)
	if h.plain {
		version = plainVersion
	}
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, blockSize)
	b = binary.LittleEndian.AppendUint64(b, h.number)
	b = binary.LittleEndian.AppendUint64(b, h.first)
	b = binary.LittleEndian.AppendUint64(b, h.oldest)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.created.UnixNano()))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return b[:blockSize]
}

// errUnused: the segment was prepared and never written to, or nothing of it
// reached the disk.
var errUnused = errors.New("segment holds nothing")

// parseSegmentHeader reads the first block of a segment.
func parseSegmentHeader(b []byte) (segmentHeader, error) {
	if len(b) < segmentHeaderSize || string(b[:8]) != segmentMagic {
		return segmentHeader{}, errUnused
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v > formatVersion {
		return segmentHeader{}, fmt.Errorf("journal has format %d, and this version reads up to %d: %w; start that one",
			v, formatVersion, storage.ErrNewerFormat)
	}
	if crc32.Checksum(b[:segmentHeaderSize-4], castagnoli) != binary.LittleEndian.Uint32(b[segmentHeaderSize-4:]) {
		return segmentHeader{}, errUnused
	}
	return segmentHeader{
		number:  binary.LittleEndian.Uint64(b[16:]),
		first:   binary.LittleEndian.Uint64(b[24:]),
		oldest:  binary.LittleEndian.Uint64(b[32:]),
		created: time.Unix(0, int64(binary.LittleEndian.Uint64(b[40:]))),
		plain:   binary.LittleEndian.Uint32(b[8:]) == plainVersion,
	}, nil
}

// batchHeader opens what was written together.
type batchHeader struct {
	segment uint64 // tells the batch from an older one in a file used again
	number  uint64 // counts the batches of the data folder
	durable uint64 // all batches up to this one were on disk before this one was written
	oldest  uint64 // segments before this one are not needed
	written time.Time
	body    int // bytes after the header
	records int
}

// encode writes the header in front of the records, for which b has room, and
// the checksum over both.
func (h *batchHeader) encode(b []byte) {
	copy(b, batchMagic)
	binary.LittleEndian.PutUint64(b[8:], h.segment)
	binary.LittleEndian.PutUint64(b[16:], h.number)
	binary.LittleEndian.PutUint64(b[24:], h.durable)
	binary.LittleEndian.PutUint64(b[32:], h.oldest)
	binary.LittleEndian.PutUint64(b[40:], uint64(h.written.UnixNano()))
	binary.LittleEndian.PutUint32(b[48:], uint32(h.body))
	binary.LittleEndian.PutUint32(b[52:], uint32(h.records))
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:batchHeaderSize+h.body], castagnoli))
}

// parseBatchHeader reads a header without being able to verify it. ok is false
// when it cannot be one.
func parseBatchHeader(b []byte) (h batchHeader, ok bool) {
	if len(b) < batchHeaderSize || string(b[:4]) != batchMagic {
		return batchHeader{}, false
	}
	h = batchHeader{
		segment: binary.LittleEndian.Uint64(b[8:]),
		number:  binary.LittleEndian.Uint64(b[16:]),
		durable: binary.LittleEndian.Uint64(b[24:]),
		oldest:  binary.LittleEndian.Uint64(b[32:]),
		written: time.Unix(0, int64(binary.LittleEndian.Uint64(b[40:]))),
		body:    int(binary.LittleEndian.Uint32(b[48:])),
		records: int(binary.LittleEndian.Uint32(b[52:])),
	}
	return h, h.body <= maxBody && h.number > h.durable
}

// size is what the batch takes in its segment.
func (h *batchHeader) size() int64 { return blocks(int64(batchHeaderSize + h.body)) }

// verify says whether b, which begins with the header, is the batch as it was
// written.
func (h *batchHeader) verify(b []byte) bool {
	return len(b) >= batchHeaderSize+h.body &&
		crc32.Checksum(b[8:batchHeaderSize+h.body], castagnoli) == binary.LittleEndian.Uint32(b[4:])
}
