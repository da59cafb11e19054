package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// image is what history says of a database as of a bookmark.
//
// A page of it is, in this order: what the last commit up to the bookmark wrote,
// as far as history goes back; what the page was before the first checkpoint
// after the bookmark that wrote over it; what it is in the file now. For if
// there is no such commit, nobody has changed the page between the beginning of
// history and the bookmark. The change that came first after it was written over
// the page by a checkpoint, before which the page went into the journal; or it
// was not written over it yet.
//
// That a commit from before the beginning was not moved into the file yet when
// the checkpoint wrote down what was before is the one case in which this would
// be wrong. Each beforeRecord says how far back its frames go, so it is noticed.
type image struct {
	at   storage.Bookmark
	past redo // up to the bookmark

	before  map[uint32]page // after it
	size    uint32          // of the file before the first checkpoint after it
	page    int             // size of one
	since   uint64          // the least that one of them says; 0: there is none
	made    place           // the first whole file after the bookmark
	image   int
	broken  error
	stopped bool // what follows says nothing of the bookmark
}

// imageVisitor finds images of one object under all the names that its namespace
// has had.
type imageVisitor struct {
	id     dormouse.ID
	at     storage.Bookmark
	images map[dormouse.Namespace]*image
}

func (v *imageVisitor) restart() { v.images = make(map[dormouse.Namespace]*image) }

func (v *imageVisitor) take(r pastRecord) error {
	if r.kind == movedRecord {
		from, to := r.key.Namespace, dormouse.Namespace(r.body)
		if im := v.images[from]; im != nil {
			delete(v.images, from)
			v.images[to] = im
		}
		return nil
	}
	if r.key.ID != v.id || r.kind == wakeRecord {
		return nil
	}
	im := v.images[r.key.Namespace]
	if im == nil {
		im = &image{at: v.at, before: make(map[uint32]page)}
		v.images[r.key.Namespace] = im
	}
	return im.take(r)
}

func (im *image) take(r pastRecord) error {
	if im.stopped {
		return nil
	}
	if r.at.Compare(im.at) <= 0 {
		switch r.kind {
		case baseRecord, framesRecord, deletedRecord:
			return im.past.take(r.recordPlace)
		}
		return nil // the file is whole: that does not make the pages different
	}
	switch r.kind {
	case beforeRecord:
		return im.takeBefore(r)
	case baseRecord:
		// All of the file, into which everything before had been moved.
		im.stopped = true
		im.made, im.image = place{r.segment, r.offset}, len(r.body)
	case deletedRecord:
		im.stopped, im.broken = true, storage.ErrPurged
	}
	return nil
}

func (im *image) takeBefore(r pastRecord) error {
	b, err := parseBefore(r.body)
	if err != nil {
		return err
	}
	if im.since == 0 {
		im.size, im.page = b.size, b.pageSize
		im.since = b.since
	}
	im.since = min(im.since, b.since)
	b.each(func(number uint32, offset int64) {
		if _, ok := im.before[number]; !ok {
			im.before[number] = page{r.segment, r.offset + offset}
		}
	})
	return nil
}

// pages returns where the pages lie that are not those of the file now, and how
// many the database has; 0: as many as the file.
func (im *image) pages() (pages map[uint32]page, size uint32) {
	pages = maps.Clone(im.past.pages)
	if pages == nil {
		pages = make(map[uint32]page)
	}
	for number, p := range im.before {
		if _, ok := pages[number]; !ok && im.past.image == 0 {
			pages[number] = p
		}
	}
	switch {
	case im.past.size > 0:
		size = im.past.size
	case im.since > 0 && im.past.image == 0:
		size = im.size
	}
	return pages, size
}

// findImage reads history for the image of an object at a bookmark. nil: as it
// is now. The reader's places count as long as past.mu is held.
func (e *Engine) findImage(key dormouse.Key, at storage.Bookmark) (*image, *pastReader, error) {
	r, err := e.openPast()
	if err != nil {
		return nil, nil, err
	}
	if at, err = e.resolve(r, key, at); err != nil {
		return nil, nil, err
	}
	if at.Compare(storage.Bookmark{Batch: r.upto, Record: storage.EndOfBatch}) > 0 {
		return nil, nil, storage.ErrNotYet
	}
	v := &imageVisitor{id: key.ID, at: at}
	v.restart()
	if err := r.read(v); err != nil {
		return nil, nil, err
	}
	if err := r.reachable(at); err != nil {
		return nil, nil, err
	}
	im := v.images[key.Namespace]
	switch {
	case im == nil:
	case im.broken != nil:
		err = im.broken
	case im.past.gone && !im.past.touched:
		err = fmt.Errorf("%w, and not made again until then", storage.ErrPurged)
	case im.since > 0 && im.since < r.first && im.past.image == 0:
		err = fmt.Errorf("%w: it begins %s, and for this object somewhat later", storage.ErrTooOld, r.from.UTC().Format(time.RFC3339))
	}
	if err != nil {
		return nil, nil, err
	}
	return im, r, nil
}

// copyAt makes a copy of an object's database as it was at a bookmark. Only what
// the object's guests have committed meanwhile may differ in the file now.
func (e *Engine) copyAt(key dormouse.Key, at storage.Bookmark, to string) (err error) {
	if e.past.off {
		return storage.ErrNoPast
	}
	// The file first: what a checkpoint writes over meanwhile is in the journal
	// before, and read after it.
	if err := e.copyFile(key, to); err != nil {
		return err
	}
	if err = e.rlockPast(); err == nil {
		var im *image
		var r *pastReader
		if im, r, err = e.findImage(key, at); err == nil && im != nil {
			err = im.write(e.fs, r, to)
		}
	}
	e.past.mu.RUnlock()
	if err != nil {
		return errors.Join(err, removeAll(e.fs, to))
	}
	return nil
}

// copyFile copies the file as it is, without what is in its log.
func (e *Engine) copyFile(key dormouse.Key, to string) error {
	e.mu.Lock()
	o := e.objects[key]
	if o == nil {
		o = &object{key: key, path: storage.Path(e.data, key)} // nobody has it open
	}
	e.mu.Unlock()
	out, err := e.fs.Open(to, openCreate)
	if err != nil {
		return err
	}
	err = e.withDatabase(o, openRead, func(db disk.File) error {
		buf := make([]byte, 1<<20)
		for at := int64(0); ; {
			n, err := db.ReadAt(buf, at)
			if n > 0 {
				if _, err := out.WriteAt(buf[:n], at); err != nil {
					return err
				}
				at += int64(n)
			}
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
	if e := out.Close(); err == nil {
		err = e
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = storage.ErrNoObject
	}
	if err != nil {
		return errors.Join(err, removeAll(e.fs, to))
	}
	return nil
}

// write makes the image out of a copy of the file.
func (im *image) write(fsys disk.FS, r *pastReader, to string) (err error) {
	db, err := fsys.Open(to, openWrite)
	if err != nil {
		return err
	}
	defer func() {
		if e := db.Close(); err == nil {
			err = e
		}
	}()
	from := pastSegments{r: r}
	defer from.close()
	whole, length := im.past.base, im.past.image
	if length == 0 {
		whole, length = im.made, im.image // of an object that was made later: empty
	}
	if length > 0 {
		if err := db.Truncate(0); err != nil {
			return err
		}
		if err := from.copy(db, 0, whole, length); err != nil {
			return err
		}
	}
	pages, size := im.pages()
	page := im.past.header.PageSize()
	if page == 0 {
		page = im.page
	}
	for _, number := range slices.Sorted(maps.Keys(pages)) {
		if size > 0 && number > size {
			continue
		}
		if err := from.copy(db, int64(number-1)*int64(page), pages[number], page); err != nil {
			return err
		}
	}
	if size == 0 {
		return nil
	}
	return db.Truncate(int64(size) * int64(page))
}

// pastSegments reads places of history.
type pastSegments struct {
	r      *pastReader
	number uint64
	file   disk.File
	buf    []byte
}

func (s *pastSegments) close() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
}

func (s *pastSegments) copy(db disk.File, to int64, from place, size int) error {
	if s.file == nil || s.number != from.segment {
		s.close()
		path, err := s.r.path(from.segment)
		if err != nil {
			return err
		}
		f, err := s.r.e.fs.Open(path, openRead)
		if err != nil {
			return err
		}
		s.file, s.number = f, from.segment
	}
	s.buf = slices.Grow(s.buf[:0], size)[:size]
	if _, err := s.file.ReadAt(s.buf, from.offset); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	_, err := db.WriteAt(s.buf, to)
	return err
}
