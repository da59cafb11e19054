package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
	"github.com/dormouse-dev/dormouse/internal/storage/wal"
)

// redo is what the journal says of one object: enough to bring its database to
// the state after the last commit that the journal holds, whatever of the
// object's own files has reached the disk.
//
// That is possible because no frame reaches the database file before it is in
// the journal, and nothing leaves the journal before it is in the database file
// and on disk. So the file differs from the wanted state at most in pages that
// are here.
type redo struct {
	touched bool // something was said since the files were last whole
	gone    bool // the files have to go
	base    place
	image   int // bytes of the base; 0: none

	header  wal.Header
	next    int64           // where the next frames begin
	pages   map[uint32]page // as of the last commit
	pending []frame         // after it
	size    uint32          // of the database, in pages
}

// place is a place in the journal.
type place struct {
	segment uint64
	offset  int64
}

type page = place

type frame struct {
	number uint32
	offset int64 // in the WAL
	page   page
}

// take takes a record about the object.
func (r *redo) take(rec recordPlace) error {
	switch rec.kind {
	case baseRecord:
		*r = redo{touched: true, base: place{rec.segment, rec.offset}, image: len(rec.body)}
	case framesRecord:
		r.touched = true
		return r.takeFrames(rec)
	case syncedRecord:
		r.touched = true
	case cleanRecord:
		*r = redo{}
	case deletedRecord:
		*r = redo{gone: true}
	case beforeRecord, restoredRecord: // for history
	default:
		return fmt.Errorf("record of kind %d: %w", rec.kind, errRecord)
	}
	return nil
}

func (r *redo) takeFrames(rec recordPlace) error {
	h, offset, frames, err := rec.frames()
	if err != nil {
		return err
	}
	if h != r.header {
		r.header, r.next, r.pending = h, offset, nil
	}
	if offset > r.next {
		return fmt.Errorf("object %s: frames from %d to %d of its log are missing: %w", rec.key, r.next, offset, errRecord)
	}
	for len(r.pending) > 0 && r.pending[len(r.pending)-1].offset >= offset {
		r.pending = r.pending[:len(r.pending)-1]
	}
	at := rec.offset + framesHeaderSize
	for size := h.FrameSize(); len(frames) > 0; frames = frames[size:] {
		f := wal.Raw(frames[:size])
		r.pending = append(r.pending, frame{f.Number, offset, page{rec.segment, at + wal.FrameHeaderSize}})
		offset += int64(size)
		at += int64(size)
		if f.Commit != 0 {
			r.commit(f.Commit)
		}
	}
	r.next = offset
	return nil
}

func (r *redo) commit(size uint32) {
	if r.pages == nil {
		r.pages = make(map[uint32]page)
	}
	for _, f := range r.pending {
		r.pages[f.number] = f.page
	}
	r.pending = r.pending[:0]
	r.size = size
}

// errMissing: the database is not there, and the journal does not contain it.
var errMissing = errors.New("the database file is missing")

// apply brings the object's files to what the journal says. It syncs nothing.
func (r *redo) apply(fsys disk.FS, h *history, path string) error {
	if r.gone && !r.touched {
		return removeAll(fsys, path, path+"-wal", path+"-shm")
	}
	if err := r.write(fsys, h, path); err != nil {
		return err
	}
	return removeAll(fsys, path+"-wal", path+"-shm")
}

func removeAll(fsys disk.FS, names ...string) error {
	for _, name := range names {
		if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (r *redo) write(fsys disk.FS, h *history, path string) error {
	flag := openWrite
	if r.image > 0 {
		flag = openCreate
		if err := fsys.MkdirAll(filepath.Dir(path)); err != nil {
			return err
		}
	}
	db, err := fsys.Open(path, flag)
	if errors.Is(err, fs.ErrNotExist) {
		return errMissing
	}
	if err != nil {
		return err
	}
	defer db.Close()
	journal := openSegments{h: h}
	defer journal.close()
	if r.image > 0 {
		if err := db.Truncate(0); err != nil {
			return err
		}
		if err := journal.copy(db, 0, r.base, r.image); err != nil {
			return err
		}
	}
	size := r.header.PageSize()
	for _, number := range slices.Sorted(maps.Keys(r.pages)) {
		if number > r.size {
			continue // was cut off later
		}
		if err := journal.copy(db, int64(number-1)*int64(size), r.pages[number], size); err != nil {
			return err
		}
	}
	if r.size == 0 {
		return nil
	}
	return db.Truncate(int64(r.size) * int64(size))
}

// openSegments reads from the segment that was read from last.
type openSegments struct {
	h      *history
	number uint64
	file   disk.File
	buf    []byte
}

func (s *openSegments) close() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
}

// copy copies size bytes of the journal to the database.
func (s *openSegments) copy(db disk.File, to int64, from place, size int) error {
	b, err := s.read(from, size)
	if err != nil {
		return err
	}
	_, err = db.WriteAt(b, to)
	return err
}

// move is a namespace that was given to another one.
type move struct {
	from, to dormouse.Namespace
}

// replay is what a journal says of all objects, or of one.
type replay struct {
	objects map[dormouse.Key]*redo
	moves   []move
}

// replayHistory reads the records of a journal. Those of wakes go to wake.
func replayHistory(h *history, wanted func(dormouse.Key) bool, wake func(segment uint64, r record) error) (*replay, error) {
	p := &replay{objects: make(map[dormouse.Key]*redo)}
	err := h.records(func(r recordPlace) error {
		switch {
		case r.kind == wakeRecord:
			return wake(r.segment, r.record)
		case r.kind == movedRecord:
			to := dormouse.Namespace(r.body)
			if err := storage.CheckNamespace(to); err != nil {
				return errors.Join(errRecord, err)
			}
			p.move(r.key.Namespace, to)
			return wake(r.segment, r.record)
		case !wanted(r.key):
			return nil
		}
		o := p.objects[r.key]
		if o == nil {
			o = new(redo)
			p.objects[r.key] = o
		}
		return o.take(r)
	})
	return p, err
}

func (p *replay) move(from, to dormouse.Namespace) {
	p.moves = append(p.moves, move{from, to})
	for key, o := range p.objects {
		if key.Namespace == from {
			delete(p.objects, key)
			p.objects[dormouse.Key{Namespace: to, ID: key.ID}] = o
		}
	}
}

// keys returns the objects that have to be brought in order, sorted by path.
func (p *replay) keys() []dormouse.Key {
	var keys []dormouse.Key
	for key, o := range p.objects {
		if o.touched || o.gone {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b dormouse.Key) int { return cmp.Compare(a.String(), b.String()) })
	return keys
}
