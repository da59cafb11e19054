package journal

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// errGap: something in the middle of the journal cannot be read although
// something after it can. That is no torn end but a damaged disk.
var errGap = errors.New("the journal is damaged; keep a copy of its folder, then restore a backup, or remove the folder and lose what was committed last")

// history is the part of the journal that counts: its batches, in order.
type history struct {
	fs       disk.FS
	dir      string
	segments []uint64 // files that exist
	batches  []batchPlace
	oldest   uint64 // batches before this one do not count
	missing  uint64 // the first batch that is not there although later ones are; 0: none
}

// batchPlace says where a batch lies.
type batchPlace struct {
	number  uint64
	segment uint64
	offset  int64
	size    int // with its header, without padding
}

// readHistory finds the batches of a journal. It reads and verifies everything.
func readHistory(fsys disk.FS, dir string) (*history, error) {
	h := &history{fs: fsys, dir: dir}
	names, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if number, ok := parseSegmentName(name); ok {
			h.segments = append(h.segments, number)
		}
	}
	slices.Sort(h.segments)
	var found []*segmentReader
	for _, number := range h.segments {
		s, err := h.readSegment(number)
		if err != nil {
			return nil, fmt.Errorf("segment %016x of the journal: %w", number, err)
		}
		if s != nil {
			found = append(found, s)
			h.oldest = max(h.oldest, s.oldest)
		}
	}
	for _, s := range found {
		if err := h.append(s); err != nil {
			return nil, fmt.Errorf("segment %016x of the journal: %w", s.header.number, err)
		}
	}
	return h, nil
}

// segmentReader is what a segment holds.
type segmentReader struct {
	header  segmentHeader
	oldest  uint64
	batches []batchPlace
	durable uint64 // batches up to this one were on disk once
}

// readSegment reads a segment, or returns nil if it was not used.
func (h *history) readSegment(number uint64) (*segmentReader, error) {
	f, err := h.fs.Open(h.name(number), openRead)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	block := make([]byte, blockSize)
	if _, err := f.ReadAt(block, 0); err != nil && err != io.EOF {
		return nil, err
	}
	header, err := parseSegmentHeader(block)
	if errors.Is(err, errUnused) || err == nil && header.number != number {
		return nil, nil // prepared, or a name that a power cut has brought back
	}
	if err != nil {
		return nil, err
	}
	s := &segmentReader{header: header, oldest: header.oldest}
	offset := int64(blockSize)
	for {
		b, size, err := readBatch(f, number, offset)
		if err != nil {
			return nil, err
		}
		if size == 0 || len(s.batches) > 0 && b.number != s.batches[len(s.batches)-1].number+1 ||
			len(s.batches) == 0 && b.number != header.first {
			break
		}
		s.batches = append(s.batches, batchPlace{b.number, number, offset, batchHeaderSize + b.body})
		s.oldest, s.durable = max(s.oldest, b.oldest), max(s.durable, b.durable)
		offset += b.size()
	}
	return s, s.lookBehind(f, offset)
}

func (h *history) name(number uint64) string {
	return filepath.Join(h.dir, fmt.Sprintf("%016x%s", number, segmentSuffix))
}

// readBatch reads and verifies the batch at the offset. The size is 0 when
// there is none.
func readBatch(f disk.File, segment uint64, offset int64) (h batchHeader, size int, err error) {
	block := make([]byte, blockSize)
	n, err := f.ReadAt(block, offset)
	if err != nil && err != io.EOF {
		return h, 0, err
	}
	h, ok := parseBatchHeader(block[:n])
	if !ok || h.segment != segment {
		return h, 0, nil
	}
	size = batchHeaderSize + h.body
	b := block
	if size > n {
		b = make([]byte, size)
		if n, err = f.ReadAt(b, offset); err != nil && err != io.EOF {
			return h, 0, err
		}
	}
	if n < size || !h.verify(b[:size]) {
		return h, 0, nil
	}
	return h, size, nil
}

// lookBehind looks whether the first batch that is missing was there once: a
// later one can say so.
func (s *segmentReader) lookBehind(f disk.File, end int64) error {
	missing := s.header.first + uint64(len(s.batches))
	info, err := f.Stat()
	if err != nil {
		return err
	}
	for offset := end + blockSize; offset < info.Size; offset += blockSize {
		var head [batchHeaderSize]byte
		if _, err := f.ReadAt(head[:], offset); err != nil && err != io.EOF {
			return err
		}
		h, ok := parseBatchHeader(head[:])
		if !ok || h.segment != s.header.number || h.durable < missing {
			continue
		}
		if h, size, err := readBatch(f, s.header.number, offset); err != nil || size > 0 && h.durable >= missing {
			return errors.Join(err, fmt.Errorf("batch %d at offset %d cannot be read, and batch %d at %d was written after it: %w", missing, end, h.number, offset, errGap))
		}
	}
	return nil
}

// append adds a segment's batches. A segment begins with the first batch that
// was not confirmed before, so what an older one holds of the same number does
// not count.
func (h *history) append(s *segmentReader) error {
	first := max(s.header.first, h.oldest)
	switch next := h.next(); {
	case h.missing == 0 && first > next:
		h.missing = next
		fallthrough
	case h.missing > 0:
		if s.durable >= h.missing {
			return fmt.Errorf("batch %d is missing, and was on disk: %w", h.missing, errGap)
		}
		return nil // relaxed durability: later ones may have reached the disk earlier
	}
	n := len(h.batches)
	for n > 0 && h.batches[n-1].number >= first {
		n--
	}
	h.batches = h.batches[:n]
	for _, b := range s.batches {
		if b.number >= h.oldest {
			h.batches = append(h.batches, b)
		}
	}
	return nil
}

// next is the number of the batch that would follow.
func (h *history) next() uint64 {
	if n := len(h.batches); n > 0 {
		return h.batches[n-1].number + 1
	}
	return max(h.oldest, 1)
}

// recordPlace is a record and where its body lies.
type recordPlace struct {
	record
	segment uint64
	offset  int64
}

// records calls f with every record in order. The record's body is borrowed.
func (h *history) records(f func(recordPlace) error) error {
	var open disk.File
	var number uint64
	var buf []byte
	defer func() {
		if open != nil {
			open.Close()
		}
	}()
	for _, b := range h.batches {
		if open == nil || number != b.segment {
			if open != nil {
				open.Close()
				open = nil
			}
			var err error
			if open, err = h.fs.Open(h.name(b.segment), openRead); err != nil {
				return err
			}
			number = b.segment
		}
		buf = slices.Grow(buf[:0], b.size)[:b.size]
		if _, err := open.ReadAt(buf, b.offset); err != nil {
			return err
		}
		for rest := buf[batchHeaderSize:]; len(rest) > 0; {
			r, after, err := parseRecord(rest)
			if err == nil {
				offset := b.offset + int64(b.size-len(after)-len(r.body))
				err = f(recordPlace{r, b.segment, offset})
			}
			if err != nil {
				return fmt.Errorf("batch %d of the journal: %w", b.number, err)
			}
			rest = after
		}
	}
	return nil
}
