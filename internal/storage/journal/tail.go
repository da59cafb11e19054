package journal

import (
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/dormouse-dev/dormouse/internal/storage/wal"
)

// tail follows the WAL of one object: which of its commits have been taken for
// the journal. A copy of a tail is a state that can be gone back to.
type tail struct {
	based      bool       // it was seen to that the database itself outlives a power cut
	generation int        // counts the generations that were seen; 0: none
	header     wal.Header // of this generation
	taken      wal.Position

	// A transaction that is larger than one step is first looked through up to
	// its end, and then taken. What was looked through may still be rolled
	// back, and something else written over it.
	looked wal.Position // taken <= looked; between them no commit ended
	target wal.Position // where a commit ends that was seen but not taken, or zero
}

// frames returns the number of frames of the generation that were taken.
func (t *tail) frames() int {
	if t.header == (wal.Header{}) {
		return 0
	}
	return t.header.Frames(t.taken.Offset)
}

// start begins another generation.
func (t *tail) start(h wal.Header) {
	*t = tail{based: t.based, generation: t.generation + 1, header: h, taken: h.Start(), looked: h.Start()}
}

// halfway says that the next step goes on looking from where the last one
// stopped. What was committed since then may lie before that place.
func (t *tail) halfway() bool { return t.looked != t.taken }

// lose is told that the WAL is gone, with all of it in the database.
func (t *tail) lose() { *t = tail{based: t.based, generation: t.generation} }

// Reasons why a WAL cannot be followed.
var (
	errTruncated = errors.New("the write-ahead log was truncated by someone else")
	errChanged   = errors.New("the write-ahead log has changed while it was read")
)

// found is what a step has found to take. The frames are borrowed from the
// step's buffer and may be empty.
type found struct {
	offset int64
	frames []byte
	more   bool // the end of the WAL was not reached
}

// step takes what it finds, up to the length of buf, in a WAL that had the
// given size a moment ago. With replaced it may be another file than the last
// time.
func (t *tail) step(log io.ReaderAt, size int64, buf []byte, replaced bool) (found, error) {
	if f, ok := t.goOn(log, size, buf, replaced); ok {
		return f, nil
	}
	h, err := readHeader(log)
	switch {
	case errors.Is(err, wal.ErrNoHeader):
		if t.frames() > 0 && !replaced {
			return found{}, errTruncated
		}
		t.lose()
		return found{}, nil
	case err != nil:
		return found{}, err
	case h != t.header:
		t.start(h)
	case size < t.taken.Offset:
		return found{}, errTruncated
	}
	if t.target.Offset > t.taken.Offset {
		return t.take(log, buf)
	}
	return t.look(log, size, buf)
}

// goOn is the step of most commits: what was appended goes on from what was
// taken, and so vouches for the generation. The header need not be read then. ok
// is false, and t as it was, when there is anything else to find.
func (t *tail) goOn(log io.ReaderAt, size int64, buf []byte, replaced bool) (f found, ok bool) {
	if replaced || t.header == (wal.Header{}) || t.halfway() || t.target != (wal.Position{}) {
		return found{}, false
	}
	before := *t
	f, err := t.look(log, size, buf)
	if err != nil || len(f.frames) == 0 {
		*t = before
		return found{}, false
	}
	return f, true
}

// readHeader reads the header, more than once if it is just being written.
func readHeader(log io.ReaderAt) (wal.Header, error) {
	var b [wal.HeaderSize]byte
	for try := 0; ; try++ {
		n, err := log.ReadAt(b[:], 0)
		if err != nil && err != io.EOF {
			return wal.Header{}, err
		}
		h, err := wal.ParseHeader(b[:n])
		if !errors.Is(err, wal.ErrHeader) || try == 100 {
			return h, err
		}
		runtime.Gosched()
	}
}

// look verifies from where it last stopped. What lies behind the last valid
// frame can be megabytes of an older generation, so it reads in portions that
// grow. It asks for no more than there was: at the end of a file, a reader asks
// twice.
func (t *tail) look(log io.ReaderAt, size int64, buf []byte) (found, error) {
	frame := t.header.FrameSize()
	from := t.looked
	there := max(size-from.Offset, 0) / int64(frame) * int64(frame)
	limit := int(min(there, int64(len(buf)/frame*frame)))
	more := there > int64(limit)
	scan := wal.Scan{Valid: from, Committed: from}
	have := 0
	for portion := max(2*frame, 8<<10) / frame * frame; have < limit; portion *= 2 {
		want := min(have+portion, limit)
		n, err := log.ReadAt(buf[have:want], from.Offset+int64(have))
		if err != nil && err != io.EOF {
			return found{}, err
		}
		have += n
		valid := int(scan.Valid.Offset - from.Offset)
		next := t.header.Scan(scan.Valid, buf[valid:have])
		if next.Commits > 0 {
			scan.Committed = next.Committed
		}
		scan.Valid = next.Valid
		if have < want || scan.Valid.Offset < from.Offset+int64(have) {
			more = false
			break
		}
	}
	switch {
	case scan.Committed.Offset > from.Offset && from == t.taken:
		t.taken, t.looked = scan.Committed, scan.Committed
		return found{from.Offset, buf[:scan.Committed.Offset-from.Offset], more}, nil
	case scan.Committed.Offset > from.Offset:
		t.target = scan.Committed
		return found{more: true}, nil
	case more:
		t.looked = scan.Valid
		return found{more: true}, nil
	}
	t.looked = t.taken
	return found{}, nil
}

// take takes a part of a transaction whose end has been seen.
func (t *tail) take(log io.ReaderAt, buf []byte) (found, error) {
	size := t.header.FrameSize()
	from := t.taken
	n := min(int64(len(buf)/size*size), t.target.Offset-from.Offset)
	if _, err := log.ReadAt(buf[:n], from.Offset); err != nil {
		if err == io.EOF {
			err = errTruncated
		}
		return found{}, err
	}
	scan := t.header.Scan(from, buf[:n])
	if scan.Valid.Offset != from.Offset+n {
		return found{}, fmt.Errorf("%w (at offset %d)", errChanged, scan.Valid.Offset)
	}
	t.taken, t.looked = scan.Valid, scan.Valid
	if t.taken == t.target {
		t.target = wal.Position{}
	}
	return found{from.Offset, buf[:n], true}, nil
}
