package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// segments are the files of the journal. One is written to; the next one is
// prepared beforehand, so that its blocks exist and a sync writes little but
// content, and so that a full disk is met there.
type segments struct {
	// Set once.
	fs   disk.FS
	dir  string
	size int64 // of a full segment

	plain bool // what checkpoints write over is not in the journal

	// retire is given a segment that is not needed any more, and says whether it
	// has taken the file.
	retire func(name string, number uint64) bool

	preparers sync.WaitGroup

	// Owned by the writer, which is whoever has set Engine.writing.
	current   *segment
	end       int64 // where the next batch begins
	dirty     bool  // something confirmed is not synced
	preparing chan prepared
	last      uint64 // number of the newest segment

	mu    sync.Mutex // guards the following
	live  []liveSegment
	spare bool // there is a file to be used again
}

type segment struct {
	number uint64
	size   int64
	file   disk.File
}

type prepared struct {
	segment *segment
	filler  *filler
	err     error
}

type liveSegment struct {
	number uint64
	size   int64
	first  uint64 // number of its first batch
}

const (
	segmentSuffix = ".log"
	spareName     = "spare"     // a segment to be used again
	preparingName = "preparing" // a segment that is not whole
)

func (s *segments) name(number uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%016x%s", number, segmentSuffix))
}

func parseSegmentName(name string) (number uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 16, 64)
	return number, err == nil && fmt.Sprintf("%016x", number) == digits
}

// errLost: something that was confirmed is not on disk and cannot be brought
// there.
var errLost = errors.New("the disk has not kept what was written")

// write appends a batch, and waits until it is on disk if sync says so. It
// returns the segment that holds it.
//
// After a failed sync nobody knows what of the file is on disk, and a later
// success would say nothing about it. So the segment is given up where it was
// last known to be good, and the batch is written once more to a new one.
func (s *segments) write(b *batch, h batchHeader, sync bool) (uint64, error) {
	if !b.written() {
		if !sync || !s.dirty {
			return 0, nil
		}
		return 0, s.sync()
	}
	h.body = len(b.buf) - batchHeaderSize
	if h.body > maxBody {
		panic(fmt.Sprintf("batch of %d bytes", h.body))
	}
	padded := pad(b)
	for try := 0; ; try++ {
		if err := s.room(int64(len(padded)), &h); err != nil {
			return 0, err
		}
		h.segment, h.written = s.current.number, time.Now()
		h.encode(b.buf)
		_, err := s.current.file.WriteAt(padded, s.end)
		if err == nil && sync {
			err = s.current.file.Sync()
		}
		if err == nil {
			s.end += int64(len(padded))
			s.dirty = !sync
			s.prepareInTime()
			return h.segment, nil
		}
		if lost := s.giveUp(); lost || try > 0 {
			if lost {
				err = fmt.Errorf("%w: %w", errLost, err)
			}
			return 0, err
		}
	}
}

// pad returns the batch with zeros up to the end of its last block.
func pad(b *batch) []byte {
	n := len(b.buf)
	var zeros [blockSize]byte
	b.buf = append(b.buf, zeros[:blocks(int64(n))-int64(n)]...)
	padded := b.buf
	b.buf = b.buf[:n]
	return padded
}

func (s *segments) sync() error {
	if err := s.current.file.Sync(); err != nil {
		s.giveUp()
		return fmt.Errorf("%w: %w", errLost, err)
	}
	s.dirty = false
	return nil
}

// giveUp ends the current segment after an error. Without a batch that was
// confirmed it is removed. lost says that something confirmed was not synced.
func (s *segments) giveUp() (lost bool) {
	lost = s.dirty
	s.dirty = false
	s.current.file.Close()
	if s.end == blockSize {
		s.mu.Lock()
		s.live = s.live[:len(s.live)-1]
		s.mu.Unlock()
		s.fs.Remove(s.name(s.current.number)) // recovery reads nothing from it
	}
	s.current = nil
	return lost
}

// room sees to it that a batch of the given size fits into the current segment.
func (s *segments) room(size int64, h *batchHeader) error {
	if s.current != nil && s.end+size <= s.current.size {
		return nil
	}
	if s.current != nil {
		if s.dirty {
			if err := s.sync(); err != nil {
				return err
			}
		}
		s.current.file.Close() // everything in it is synced
		s.current = nil
	}
	seg, err := s.next()
	if err != nil {
		return fmt.Errorf("prepare a segment of the journal: %w", err)
	}
	header := segmentHeader{number: seg.number, first: h.number, oldest: h.oldest, created: time.Now(), plain: s.plain}
	if _, err := seg.file.WriteAt(header.encode(), 0); err != nil {
		s.drop(seg)
		return err
	}
	s.current, s.end = seg, blockSize
	s.mu.Lock()
	s.live = append(s.live, liveSegment{seg.number, seg.size, h.number})
	s.mu.Unlock()
	return nil
}

// next returns the prepared segment, or prepares one now.
func (s *segments) next() (*segment, error) {
	if s.preparing != nil {
		p := <-s.preparing
		s.preparing = nil
		if p.err == nil {
			if p.err = p.filler.stop(); p.err == nil {
				return p.segment, nil
			}
			s.drop(p.segment)
		}
	}
	s.last++
	seg, _, err := s.prepare(s.last, s.nextSize())
	return seg, err
}

// drop removes a segment that nothing was written to.
func (s *segments) drop(seg *segment) {
	seg.file.Close()
	s.fs.Remove(s.name(seg.number))
}

func (s *segments) prepareInTime() {
	if s.preparing != nil || s.end <= s.current.size/2 {
		return
	}
	s.last++
	number, size, result := s.last, s.nextSize(), make(chan prepared, 1)
	s.preparing = result
	s.preparers.Go(func() {
		seg, blank, err := s.prepare(number, size)
		if err != nil {
			result <- prepared{err: err}
			return
		}
		result <- prepared{segment: seg, filler: fill(seg.file, blank, size)}
	})
}

// nextSize doubles from segment to segment: a data folder that is hardly used
// stays small.
func (s *segments) nextSize() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := int64(firstSegment) / 2
	if n := len(s.live); n > 0 {
		size = s.live[n-1].size
	}
	return min(2*size, s.size)
}

// prepare makes a segment whose header is zero: unused. blank is as for
// allocate. On a disk without room for the size a smaller one is made, if there
// is room for that: what is old is cut only when something new can be written.
// Of what is free it takes no more than half: databases need room, too, or the
// journal would have it all and nobody could be opened.
func (s *segments) prepare(number uint64, size int64) (seg *segment, blank int64, err error) {
	if free, err := s.fs.Free(s.dir); err == nil && size > free/2 && !s.hasSpare(size) {
		size = max(free/2&^(blockSize-1), s.least())
	}
	for {
		seg, blank, err = s.create(number, size)
		if err == nil || size <= s.least() {
			return seg, blank, err
		}
		size = max(blocks(size/2), s.least())
	}
}

// least is the size of the first segment, and of the smallest: any batch fits.
func (s *segments) least() int64 { return min(firstSegment, s.size) }

func (s *segments) create(number uint64, size int64) (seg *segment, blank int64, err error) {
	from := filepath.Join(s.dir, preparingName)
	s.takeSpare(size, from)
	f, err := s.fs.Open(from, openCreate)
	if err != nil {
		return nil, 0, err
	}
	blank, err = allocate(f, size)
	if err == nil {
		err = s.fs.Rename(from, s.name(number))
	}
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	if err != nil {
		f.Close()
		s.fs.Remove(from)
		s.fs.Remove(s.name(number))
		return nil, 0, err
	}
	return &segment{number, size, f}, blank, nil
}

// hasSpare: a segment of this size takes no more room than is taken already.
func (s *segments) hasSpare(size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hasSpareLocked(size)
}

func (s *segments) hasSpareLocked(size int64) bool { return s.spare && size == s.size }

// takeSpare gives the spare file, if it has the right size, another name: under
// its own there may be another one soon.
func (s *segments) takeSpare(size int64, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hasSpareLocked(size) && s.fs.Rename(filepath.Join(s.dir, spareName), name) == nil {
		s.spare = false
	}
}

// begin makes the first segment of this process, durably.
func (s *segments) begin(h segmentHeader) error {
	seg, blank, err := s.prepare(s.last, s.least())
	if err != nil {
		return err
	}
	h.number, h.plain = seg.number, s.plain
	if err = zero(seg.file, blank, seg.size); err == nil { // nobody waits yet
		_, err = seg.file.WriteAt(h.encode(), 0)
	}
	if err == nil {
		err = seg.file.Sync()
	}
	if err != nil {
		seg.file.Close()
		return err
	}
	s.current, s.end = seg, blockSize
	s.live = []liveSegment{{seg.number, seg.size, h.first}}
	return nil
}

// firstOf is the number of a segment's first batch, or of the oldest segment's
// if it is not there any more.
func (s *segments) firstOf(number uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.live {
		if l.number >= number {
			return l.first
		}
	}
	return 0
}

// firstBatch is the number of a segment's first batch, or 0 if there is no
// older segment that could be cut.
func (s *segments) firstBatch(number uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, l := range s.live {
		if l.number == number && i > 0 {
			return l.first
		}
	}
	return 0
}

// cut removes the segments before the given one.
func (s *segments) cut(oldest uint64) {
	s.mu.Lock()
	n := 0
	for n < len(s.live)-1 && s.live[n].number < oldest {
		n++
	}
	old := s.live[:n]
	s.live = s.live[n:]
	s.mu.Unlock()
	for _, l := range old {
		s.discard(l.number)
	}
}

// discard takes a segment out of the journal. If it fails, or a power cut brings
// the file back, recovery knows that it does not count.
func (s *segments) discard(number uint64) {
	name := s.name(number)
	if !s.retire(name, number) {
		s.reuse(name)
	}
}

// reuse keeps a file to be used again, or removes it.
func (s *segments) reuse(name string) {
	info, err := s.fs.Stat(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && info.Size == s.size && !s.spare && s.fs.Rename(name, filepath.Join(s.dir, spareName)) == nil {
		s.spare = true
		return
	}
	s.fs.Remove(name)
}

// after returns the first segment behind the oldest n bytes.
func (s *segments) after(n int64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.live {
		if n <= 0 {
			return l.number
		}
		n -= l.size
	}
	return s.live[len(s.live)-1].number
}

// bytes is the size of the journal, and current the number of the segment that
// was last written to.
func (s *segments) extent() (bytes int64, current uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.live {
		bytes += l.size
	}
	if n := len(s.live); n > 0 {
		current = s.live[n-1].number
	}
	return bytes, current
}

// close waits for what is being prepared, which the next start will remove.
func (s *segments) close() {
	s.preparers.Wait()
	if s.preparing != nil {
		if p := <-s.preparing; p.err == nil {
			p.filler.stop() // it is removed
			p.segment.file.Close()
			s.fs.Remove(s.name(p.segment.number))
		}
		s.preparing = nil
	}
	if s.current != nil {
		s.current.file.Close()
		s.current = nil
	}
}
