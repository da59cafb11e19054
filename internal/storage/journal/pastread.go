package journal

import (
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

func headerOf(f disk.File) (segmentHeader, error) {
	block := make([]byte, segmentHeaderSize)
	if n, err := f.ReadAt(block, 0); err != nil && err != io.EOF {
		return segmentHeader{}, err
	} else if n < len(block) {
		return segmentHeader{}, errUnused
	}
	return parseSegmentHeader(block)
}

// eachHeader calls f with the headers of a segment's batches, which it does not
// verify, until one is not that of the next batch or f returns false.
func eachHeader(file disk.File, segment uint64, f func(h batchHeader, offset, size int64) bool) error {
	var last uint64
	for offset := int64(blockSize); ; {
		var head [batchHeaderSize]byte
		if n, err := file.ReadAt(head[:], offset); err != nil && err != io.EOF {
			return err
		} else if n < len(head) {
			return nil
		}
		h, ok := parseBatchHeader(head[:])
		if !ok || h.segment != segment || last != 0 && h.number != last+1 || !f(h, offset, h.size()) {
			return nil
		}
		last = h.number
		offset += h.size()
	}
}

// pastRecord is a record, and which one it is.
type pastRecord struct {
	recordPlace
	at      storage.Bookmark
	written time.Time
}

// pastReader reads the past and what is live, up to a batch. past.mu is held for
// reading from its making to the last use of the places that it has given out.
type pastReader struct {
	e        *Engine
	upto     uint64
	segments []pastSegment

	// What is there without a gap up to now, as far as it has been read.
	first  uint64 // the first batch
	from   time.Time
	damage error // what lies before it
}

type pastSegment struct {
	number uint64
	path   string
	header segmentHeader
	err    error // why it cannot be read
	live   bool
}

// begins says whether a process began with this segment: the numbers of batches
// do not go on from the ones before.
func (s *pastSegment) begins() bool { return s.header.first == s.header.oldest }

// visitor hears what was.
type visitor interface {
	// restart: what was said before does not lead to what follows.
	restart()
	// take takes a record. Its body is borrowed.
	take(pastRecord) error
}

// openPast begins to read. The caller holds past.mu for reading.
func (e *Engine) openPast() (*pastReader, error) {
	p := &e.past
	e.mu.Lock()
	r := &pastReader{e: e, upto: e.mark.Batch}
	e.mu.Unlock()
	for _, k := range p.kept {
		r.segments = append(r.segments, pastSegment{number: k.number, path: p.name(k.number)})
	}
	e.log.mu.Lock()
	for _, l := range e.log.live {
		r.segments = append(r.segments, pastSegment{number: l.number, path: e.log.name(l.number), live: true})
	}
	e.log.mu.Unlock()
	for i := range r.segments {
		s := &r.segments[i]
		f, err := e.fs.Open(s.path, openRead)
		if err == nil {
			s.header, err = headerOf(f)
			f.Close()
		}
		if err == nil && s.header.number != s.number {
			err = errUnused
		}
		s.err = err
	}
	return r, nil
}

// rlockPast holds what there is in place.
func (e *Engine) rlockPast() error {
	p := &e.past
	p.mu.Lock()
	err := p.loadLocked()
	p.mu.Unlock()
	p.mu.RLock()
	return err
}

// path returns where a segment lies.
func (r *pastReader) path(number uint64) (string, error) {
	for _, s := range r.segments {
		if s.number == number {
			return s.path, nil
		}
	}
	return "", fmt.Errorf("segment %016x: %w", number, fs.ErrNotExist)
}

// read reads everything. A part of the past that cannot be read takes all
// before it away, and nothing else.
func (r *pastReader) read(v visitor) error {
	skip := false // to where a process began: a power cut has taken what lies between
	for i := range r.segments {
		s := &r.segments[i]
		if s.err != nil {
			if s.live {
				return fmt.Errorf("segment %016x of the journal: %w", s.number, s.err)
			}
			r.lose(v, fmt.Errorf("segment %016x of the history cannot be read: %w", s.number, s.err))
			continue
		}
		skip = skip && !s.begins()
		if skip {
			continue
		}
		if r.first == 0 {
			r.first, r.from = s.header.first, s.header.created
		}
		limit := r.upto + 1
		var next *pastSegment // goes on from this one
		if i+1 < len(r.segments) {
			if n := &r.segments[i+1]; n.err == nil && !n.begins() {
				next, limit = n, min(limit, n.header.first)
			}
		}
		end, err := r.readSegment(s, limit, v)
		switch {
		case err != nil && s.live:
			return err
		case err != nil:
			r.lose(v, err)
		case next != nil && end < limit && limit <= r.upto:
			if durable, err := r.firstDurable(next); err != nil || durable >= end {
				r.lose(v, fmt.Errorf("segment %016x of the history is damaged: batch %d is missing", s.number, end))
			} else {
				skip = true
			}
		}
	}
	return nil
}

// lose makes what was read so far unreachable.
func (r *pastReader) lose(v visitor, err error) {
	r.first, r.from, r.damage = 0, time.Time{}, err
	v.restart()
}

// firstDurable is up to which batch the first one of a segment says that all
// were on disk.
func (r *pastReader) firstDurable(s *pastSegment) (uint64, error) {
	f, err := r.e.fs.Open(s.path, openRead)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	h, _, err := readBatch(f, s.number, blockSize)
	return h.durable, err
}

// readSegment reads the batches before limit, and returns the number of the
// first one that it has not read.
func (r *pastReader) readSegment(s *pastSegment, limit uint64, v visitor) (end uint64, err error) {
	f, err := r.e.fs.Open(s.path, openRead)
	if err != nil {
		return s.header.first, err
	}
	defer f.Close()
	end = s.header.first
	offset := int64(blockSize)
	var buf []byte
	for end < limit {
		h, size, err := readBatch(f, s.number, offset)
		if err != nil {
			return end, err
		}
		if size == 0 || h.number != end {
			break
		}
		if cap(buf) < size {
			buf = make([]byte, size)
		}
		buf = buf[:size]
		if _, err := f.ReadAt(buf, offset); err != nil {
			return end, err
		}
		if err := r.readRecords(s, h, buf, offset, v); err != nil {
			return end, fmt.Errorf("batch %d of the history: %w", h.number, err)
		}
		offset += h.size()
		end++
	}
	if end < limit && !s.live {
		sr := segmentReader{header: s.header, batches: make([]batchPlace, end-s.header.first)}
		return end, sr.lookBehind(f, offset)
	}
	return end, nil
}

func (r *pastReader) readRecords(s *pastSegment, h batchHeader, batch []byte, offset int64, v visitor) error {
	index := uint32(0)
	for rest := batch[batchHeaderSize:]; len(rest) > 0; {
		rec, after, err := parseRecord(rest)
		if err != nil {
			return err
		}
		index++
		place := offset + int64(len(batch)-len(after)-len(rec.body))
		err = v.take(pastRecord{
			recordPlace: recordPlace{rec, s.number, place},
			at:          storage.Bookmark{Batch: h.number, Record: index}, written: h.written,
		})
		if err != nil {
			return err
		}
		rest = after
	}
	return nil
}

// reachable says whether a bookmark lies in what was read.
func (r *pastReader) reachable(b storage.Bookmark) error {
	if b.Batch+1 >= r.first {
		return nil
	}
	if r.damage != nil {
		return fmt.Errorf("%w: %w; what was from %s on can be reached", storage.ErrTooOld, r.damage, r.from.UTC().Format(time.RFC3339))
	}
	return fmt.Errorf("%w: it begins %s", storage.ErrTooOld, r.from.UTC().Format(time.RFC3339))
}
