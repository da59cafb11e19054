package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// number finds the numbers from which segments and batches go on.
func (e *Engine) number(h *history) error {
	for _, n := range h.segments {
		e.log.last = max(e.log.last, n)
	}
	e.next = h.next() + batchesSkipped
	n, err := e.past.newest()
	if err != nil || n <= e.log.last {
		return err
	}
	// A recovery was interrupted that had written down what was before.
	e.log.last = n
	f, err := e.fs.Open(e.past.name(n), openRead)
	if err != nil {
		return err
	}
	defer f.Close()
	return eachHeader(f, n, func(b batchHeader, _, _ int64) bool {
		e.next = max(e.next, b.number+1)
		return true
	})
}

// captureRecovered writes down what recovery will write over: a segment of the
// past of its own, on disk before a database is touched. History is given up
// rather than the start if that cannot be done.
func (e *Engine) captureRecovered(h *history, p *replay) error {
	if e.past.off || !slices.ContainsFunc(p.keys(), func(k dormouse.Key) bool { return p.objects[k].rewrites() }) {
		return nil
	}
	err := e.writeRecovered(h, p)
	if err == nil {
		return nil
	}
	e.past.mu.Lock()
	defer e.past.mu.Unlock()
	e.past.off = true // for what is live at the moment, too
	if e.opts.PastFailed != nil {
		e.opts.PastFailed(fmt.Errorf("history is given up: what recovery changes cannot be written down: %w", err))
	}
	return e.past.removeAll()
}

// removeAll forgets the past.
func (p *past) removeAll() error {
	names, err := p.fs.ReadDir(p.dir)
	for _, name := range names {
		err = errors.Join(err, removeAll(p.fs, filepath.Join(p.dir, name)))
	}
	p.kept, p.loaded = nil, true
	return err
}

func (r *redo) rewrites() bool { return r.touched && (len(r.pages) > 0 || r.image > 0) }

// since returns the first batch of the oldest segment that holds anything that
// apply writes.
func (r *redo) since(h *history) uint64 {
	oldest := r.base.segment
	for _, p := range r.pages {
		if oldest == 0 || p.segment < oldest {
			oldest = p.segment
		}
	}
	for _, b := range h.batches {
		if b.segment >= oldest {
			return b.number
		}
	}
	return h.next()
}

// capture says what apply will write over. Of a database that is in the journal
// as a whole only that it is so: before it there was none, and after it the
// journal says everything.
func (r *redo) capture(fsys disk.FS, h *history, path string, put func(body []byte) error) error {
	b := before{pageSize: r.header.PageSize(), since: r.since(h)}
	if r.image > 0 || b.pageSize == 0 {
		b.pageSize = max(b.pageSize, 512)
		return put(b.header())
	}
	db, err := fsys.Open(path, openRead)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer db.Close()
	journal := openSegments{h: h}
	defer journal.close()
	same := func(number uint32, page []byte) (bool, error) {
		will, err := journal.read(r.pages[number], len(page))
		return bytes.Equal(will, page), err
	}
	return b.capture(db, slices.Sorted(maps.Keys(r.pages)), r.size, same, put)
}

// writeRecovered writes the segment.
func (e *Engine) writeRecovered(h *history, p *replay) (err error) {
	from := filepath.Join(e.past.dir, preparingName)
	if err := removeAll(e.fs, from); err != nil {
		return err
	}
	f, err := e.fs.Open(from, openCreate)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	number := e.log.last + 1
	w := undoWriter{file: f, segment: number, next: e.next, end: blockSize, batch: newBatch()}
	header := segmentHeader{number: number, first: e.next, oldest: e.next, created: time.Now()}
	if _, err := f.WriteAt(header.encode(), 0); err != nil {
		return err
	}
	for _, key := range p.keys() {
		r := p.objects[key]
		if !r.rewrites() {
			continue
		}
		err := r.capture(e.fs, h, storage.Path(e.data, key), func(body []byte) error { return w.add(key, body) })
		if err != nil {
			return fmt.Errorf("object %s: %w", key, err)
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := e.fs.Rename(from, e.past.name(number)); err != nil {
		return err
	}
	e.log.last, e.next = number, w.next
	return e.fs.SyncDir(e.past.dir)
}

// undoWriter writes batches of a segment that nobody reads yet.
type undoWriter struct {
	file    disk.File
	segment uint64
	next    uint64
	end     int64
	batch   *batch
}

func (w *undoWriter) add(key dormouse.Key, body []byte) error {
	w.batch.add(append(appendRecord(w.batch.buf, beforeRecord, key, len(body)), body...))
	if len(w.batch.buf) < 4<<20 {
		return nil
	}
	return w.flush()
}

func (w *undoWriter) flush() error {
	b := w.batch
	if b.records == 0 {
		return nil
	}
	h := batchHeader{
		segment: w.segment, number: w.next, durable: w.next - 1, oldest: w.next, written: time.Now(),
		body: len(b.buf) - batchHeaderSize, records: b.records,
	}
	padded := pad(b)
	h.encode(b.buf)
	if _, err := w.file.WriteAt(padded, w.end); err != nil {
		return err
	}
	w.end += int64(len(padded))
	w.next++
	b.reset()
	return nil
}

// captureMended writes down what mending an object will write over.
func (e *Engine) captureMended(o *object, h *history, r *redo) error {
	if e.past.off || !r.rewrites() {
		return nil
	}
	q := puts{e: e}
	err := r.capture(e.fs, h, o.path, func(body []byte) error {
		return q.put(note{kind: beforeRecord, key: o.key, body: body})
	})
	return errors.Join(err, q.wait())
}

// read returns a part of the journal, until the next call.
func (s *openSegments) read(from place, size int) ([]byte, error) {
	if s.file == nil || s.number != from.segment {
		s.close()
		f, err := s.h.fs.Open(s.h.name(from.segment), openRead)
		if err != nil {
			return nil, err
		}
		s.file, s.number = f, from.segment
	}
	s.buf = slices.Grow(s.buf[:0], size)[:size]
	if _, err := s.file.ReadAt(s.buf, from.offset); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return s.buf, nil
}
