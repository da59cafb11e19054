package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/wal"
)

// recordKind says what a record means. Kinds are appended, never reordered.
type recordKind uint8

const (
	// baseRecord: what follows is a database that was new; these are its
	// bytes. Everything before about the object is void.
	baseRecord recordKind = 1 + iota
	// framesRecord: frames of the object's WAL.
	framesRecord
	// syncedRecord: a checkpoint is on disk. It keeps the object in the
	// journal: as long as anything of it is there, its WAL file is not to be
	// trusted after a power cut.
	syncedRecord
	// cleanRecord: the object's files on disk are whole without the journal.
	cleanRecord
	// deletedRecord: the object's files are gone, or must go.
	deletedRecord
	// movedRecord: the objects of this namespace belong to another one.
	movedRecord
	// wakeRecord: when the object has to be woken.
	wakeRecord
	// beforeRecord: pages of the database file as they were before a
	// checkpoint. Only history needs it.
	beforeRecord
	// restoredRecord: what follows puts the object back to an earlier state.
	restoredRecord
)

// stampNote is no record: it asks for a batch whose header is up to date.
const stampNote recordKind = 0

const recordHeaderSize = 40

// record is one entry of a batch. Its body is borrowed from the batch.
type record struct {
	kind recordKind
	key  dormouse.Key
	body []byte
}

var errRecord = errors.New("record of the journal is damaged")

// parseRecord reads the record at the beginning of b.
func parseRecord(b []byte) (r record, rest []byte, err error) {
	if len(b) < recordHeaderSize {
		return record{}, nil, errRecord
	}
	n, size := int(binary.LittleEndian.Uint16(b[2:])), int(binary.LittleEndian.Uint32(b[4:]))
	r.kind = recordKind(b[0])
	copy(r.key.ID[:], b[8:recordHeaderSize])
	b = b[recordHeaderSize:]
	if n > storage.MaxNamespace || size > maxBody || len(b) < n+size {
		return record{}, nil, errRecord
	}
	r.key.Namespace = dormouse.Namespace(b[:n])
	r.body = b[n : n+size]
	return r, b[n+size:], nil
}

// appendRecord appends a record's header and namespace; its body of the given
// size is appended next.
func appendRecord(b []byte, kind recordKind, key dormouse.Key, size int) []byte {
	b = append(b, byte(kind), 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(key.Namespace)))
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	b = append(b, key.ID[:]...)
	return append(b, key.Namespace...)
}

func appendBase(b []byte, key dormouse.Key, image []byte) []byte {
	return append(appendRecord(b, baseRecord, key, len(image)), image...)
}

const framesHeaderSize = wal.HeaderSize + 8

// appendFrames appends frames that begin at the offset in the WAL.
func appendFrames(b []byte, key dormouse.Key, h *wal.Header, offset int64, frames []byte) []byte {
	b = appendRecord(b, framesRecord, key, framesHeaderSize+len(frames))
	b = append(b, framesHeader(h, offset)...)
	return append(b, frames...)
}

// framesHeader begins the body of a framesRecord.
func framesHeader(h *wal.Header, offset int64) []byte {
	b := make([]byte, 0, framesHeaderSize)
	b = append(b, h[:]...)
	return binary.LittleEndian.AppendUint64(b, uint64(offset))
}

// frames reads the body of a framesRecord: whole frames, of which at least one.
func (r *record) frames() (h wal.Header, offset int64, frames []byte, err error) {
	if len(r.body) < framesHeaderSize {
		return h, 0, nil, errRecord
	}
	h, err = wal.ParseHeader(r.body[:wal.HeaderSize])
	if err != nil {
		return h, 0, nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	raw := binary.LittleEndian.Uint64(r.body[wal.HeaderSize:])
	frames = r.body[framesHeaderSize:]
	size := uint64(h.FrameSize())
	if raw < wal.HeaderSize || raw > math.MaxInt64/2 || (raw-wal.HeaderSize)%size != 0 || len(frames) == 0 || uint64(len(frames))%size != 0 {
		return h, 0, nil, errRecord
	}
	return h, int64(raw), frames, nil
}

func appendMoved(b []byte, from, to dormouse.Namespace) []byte {
	return append(appendRecord(b, movedRecord, dormouse.Key{Namespace: from}, len(to)), to...)
}

const wakeSize = 12

func appendWake(b []byte, key dormouse.Key, w storage.Wake) []byte {
	return appendWakeBody(appendRecord(b, wakeRecord, key, wakeSize), w)
}

func appendWakeBody(b []byte, w storage.Wake) []byte {
	at := int64(math.MinInt64)
	if !w.At.IsZero() {
		at = w.At.UnixMilli()
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(at))
	return binary.LittleEndian.AppendUint32(b, uint32(w.Retry))
}

func parseWake(b []byte) (storage.Wake, error) {
	if len(b) != wakeSize {
		return storage.Wake{}, errRecord
	}
	at := int64(binary.LittleEndian.Uint64(b))
	if at == math.MinInt64 {
		return storage.Wake{}, nil
	}
	return storage.Wake{At: time.UnixMilli(at), Retry: int(binary.LittleEndian.Uint32(b[8:]))}, nil
}
