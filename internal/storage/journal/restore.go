package journal

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
	"github.com/dormouse-dev/dormouse/internal/storage/wal"
)

// Restore does what was ordered with OrderRestore, if anything was. The object
// must not be open, and can be opened again when done was called.
//
// A restore is a commit like others: the pages that differ go into the journal
// as frames of a log, and once the last of them is on disk it has happened. Then
// they are written to the file. A power cut in between is for recovery, and a
// restore can be undone by another one.
func (e *Engine) Restore(key dormouse.Key, done storage.Done) error {
	return e.whenClosed(key, e.restore, done)
}

// restore runs on the upkeep's goroutine.
func (e *Engine) restore(o *object) (storage.Bookmark, error) {
	e.mu.Lock()
	at, ordered := e.past.orders.pending[o.key]
	e.mu.Unlock()
	var err error
	over := ordered // nothing is left of the order
	if ordered {
		over, err = e.restoreTo(o, at)
	}
	if over {
		err = errors.Join(err, e.changeOrders(func(p map[dormouse.Key]storage.Bookmark) { delete(p, o.key) }))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o.removed = false
	e.restLocked(o)
	if err != nil {
		err = fmt.Errorf("restore object %s: %w", o.key, err)
	}
	return e.mark, err
}

// restoreTo puts an object back. over says that there is no sense in trying
// again: it has happened, or cannot happen.
func (e *Engine) restoreTo(o *object, at storage.Bookmark) (over bool, err error) {
	e.rest([]*object{o})
	e.mu.Lock()
	whole := o.failed == nil && len(o.needs) == 0 && o.last == 0
	failed := o.failed
	e.mu.Unlock()
	if !whole {
		return false, errors.Join(storage.ErrBusy, failed)
	}
	temporary := filepath.Join(e.past.dir, "restoring")
	if err := removeAll(e.fs, temporary); err != nil {
		return false, err
	}
	if err := e.copyAt(o.key, at, temporary); err != nil {
		return hopeless(err), err
	}
	defer removeAll(e.fs, temporary)
	if e.opts.CheckImage != nil {
		if err := e.opts.CheckImage(temporary); err != nil {
			return true, fmt.Errorf("%w: %w", storage.ErrNotWhole, err)
		}
	}
	return e.replaceWith(o, at, temporary)
}

func hopeless(err error) bool {
	for _, e := range []error{storage.ErrTooOld, storage.ErrNotYet, storage.ErrNoPast, storage.ErrPurged, storage.ErrNoObject} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// replaceWith gives an object that is at rest the content of another file.
func (e *Engine) replaceWith(o *object, at storage.Bookmark, path string) (over bool, err error) {
	image, err := e.fs.Open(path, openRead)
	if err != nil {
		return false, err
	}
	defer image.Close()

	// Whatever alarm it has then, the index is not later. The object is asked.
	if err := e.SetWake(o.key, storage.Wake{At: time.Now()}); err != nil {
		return false, err
	}
	_, current := e.log.extent()
	e.mu.Lock()
	since := e.next
	o.needs = []need{{segment: current, generation: math.MaxInt, frames: math.MaxInt}}
	e.mu.Unlock()

	q := puts{e: e}
	var d difference
	err = q.put(note{kind: restoredRecord, key: o.key, object: o, body: appendMark(nil, at)})
	if err == nil {
		err = e.withDatabase(o, openRead, func(db disk.File) error {
			return d.write(db, image, func(body []byte) error {
				return q.put(note{kind: framesRecord, key: o.key, object: o, body: body})
			})
		})
	}
	if err = errors.Join(err, q.wait()); err != nil {
		e.mu.Lock()
		o.needs = nil
		e.mu.Unlock()
		return false, err // the last frame is not there, so nothing has happened
	}
	if len(d.changed) > 0 {
		if err = e.applyDifference(o, &d, since, image); err != nil {
			e.mu.Lock()
			o.failLocked(err) // it is mended from the journal
			e.mu.Unlock()
			return true, err
		}
	}
	err = e.put(note{kind: cleanRecord, key: o.key, object: o})
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		e.dropLocked(o) // it stays, because it is removed
	}
	return true, err
}

// applyDifference brings to the file what is in the journal.
func (e *Engine) applyDifference(o *object, d *difference, since uint64, image disk.File) error {
	q := puts{e: e}
	b := before{pageSize: d.page, since: since}
	err := e.capturePages(&q, o, b, d.changed, d.size, nil)
	if err = errors.Join(err, q.wait()); err != nil {
		return err
	}
	err = e.withDatabase(o, openWrite, func(db disk.File) error {
		page := make([]byte, d.page)
		for _, number := range d.changed {
			at := int64(number-1) * int64(d.page)
			if _, err := image.ReadAt(page, at); err != nil {
				return err
			}
			if _, err := db.WriteAt(page, at); err != nil {
				return err
			}
		}
		if err := db.Truncate(int64(d.size) * int64(d.page)); err != nil {
			return err
		}
		return db.Sync()
	})
	if err != nil {
		return err
	}
	return removeAll(e.fs, o.path+"-wal", o.path+"-shm")
}

// difference is what makes one database another one.
type difference struct {
	page    int
	size    uint32 // of the other one, in pages
	changed []uint32
}

var errNoImage = errors.New("it is no database")

// write calls put with bodies of frames records that lead from one database to
// another one: a commit, if they differ.
func (d *difference) write(from, to disk.File, put func(body []byte) error) error {
	info, err := to.Stat()
	if err != nil {
		return err
	}
	was, err := from.Stat()
	if err != nil {
		return err
	}
	var head [100]byte
	if _, err := to.ReadAt(head[:], 0); err != nil {
		return errors.Join(errNoImage, err)
	}
	// https://www.sqlite.org/fileformat2.html#the_database_header
	d.page = int(head[16])<<8 | int(head[17])
	if d.page == 1 {
		d.page = wal.MaxPageSize
	}
	if string(head[:15]) != "SQLite format 3" || d.page < 512 || info.Size%int64(d.page) != 0 {
		return errNoImage
	}
	d.size = uint32(info.Size / int64(d.page))

	var salts [8]byte
	rand.Read(salts[:])
	w := frameWriter{header: wal.NewHeader(d.page, salts), offset: wal.HeaderSize, put: put}
	a, b := make([]byte, d.page), make([]byte, d.page)
	for number := uint32(1); number <= d.size; number++ {
		at := int64(number-1) * int64(d.page)
		if _, err := to.ReadAt(b, at); err != nil {
			return err
		}
		n, err := from.ReadAt(a, at)
		if err != nil && err != io.EOF {
			return err
		}
		if n == len(a) && bytes.Equal(a, b) && !(number == d.size && len(d.changed) == 0 && was.Size != info.Size) {
			continue // the last one stands for a size that alone differs
		}
		if err := w.add(number, b); err != nil {
			return err
		}
		d.changed = append(d.changed, number)
	}
	if len(d.changed) == 0 {
		return nil
	}
	return w.commit(d.size)
}

// frameWriter makes records of frames. The last frame waits until it is known to
// be that.
type frameWriter struct {
	header wal.Header
	offset int64 // of the next record's frames
	body   []byte
	number uint32
	page   []byte // of the last frame
	put    func(body []byte) error
}

func (w *frameWriter) add(number uint32, page []byte) error {
	if w.number != 0 {
		w.append(0)
		if len(w.body) >= captureBytes {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	w.number, w.page = number, append(w.page[:0], page...)
	return nil
}

func (w *frameWriter) append(commit uint32) {
	if w.body == nil {
		w.body = make([]byte, framesHeaderSize, captureBytes+2*wal.MaxPageSize)
	}
	w.body = wal.AppendRaw(w.body, wal.Frame{Number: w.number, Commit: commit, Page: w.page})
}

func (w *frameWriter) flush() error {
	body := w.body
	copy(body, framesHeader(&w.header, w.offset))
	w.offset += int64(len(body) - framesHeaderSize)
	w.body = nil
	return w.put(body)
}

func (w *frameWriter) commit(size uint32) error {
	w.append(size)
	return w.flush()
}
