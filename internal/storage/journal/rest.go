package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
	"github.com/dormouse-dev/dormouse/internal/storage/wal"
)

// syncTogether is the number of files from which on one sync of the whole file
// system is cheaper than one of each; docs/storage.md has figures.
const syncTogether = 24

// finishCheckpoints syncs what keepers have moved, and then drops the claims on
// the journal.
func (e *Engine) finishCheckpoints(done []checkpoint) {
	var objects []*object
	for _, c := range done {
		objects = append(objects, c.object)
	}
	failed := e.syncDatabases(objects)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range done {
		if err := failed[c.object]; err != nil {
			c.object.failLocked(err)
		} else {
			c.object.onDiskLocked(c.moved)
		}
	}
}

// onDiskLocked notes that frames are in the database file and on disk.
func (o *object) onDiskLocked(m moved) {
	if o.failed == nil { // else nothing is known of the file
		o.forget(m)
		o.synced = m
	}
}

// failLocked makes everything that is asked for an object fail until it has
// been mended.
func (o *object) failLocked(err error) {
	if o.failed == nil {
		o.failed = fmt.Errorf("object %s: %w: %w", o.key, storage.ErrDamaged, err)
	}
}

// syncDatabases makes the database files of the objects durable, and that they
// exist. It returns the errors of those where it failed: nobody knows then what
// of their files is on disk, and a later success would say nothing about it
// (see mend).
func (e *Engine) syncDatabases(objects []*object) map[*object]error {
	if len(objects) >= syncTogether && disk.SyncAllWaits && e.fs.SyncAll(e.data) == nil {
		return nil
	}
	failed := e.syncFolders(objects)
	for _, o := range objects {
		err := e.withDatabase(o, openWrite, disk.File.Sync)
		if err != nil && !(o.gone && errors.Is(err, fs.ErrNotExist)) {
			failed[o] = err
		}
	}
	return failed
}

// syncFolders makes the entries durable that the objects' files have in their
// folders.
func (e *Engine) syncFolders(objects []*object) map[*object]error {
	failed := make(map[*object]error)
	if len(objects) >= syncTogether && disk.SyncAllWaits && e.fs.SyncAll(e.data) == nil {
		return failed
	}
	dirs := make(map[string]error)
	for _, o := range objects {
		dir := filepath.Dir(o.path)
		err, done := dirs[dir]
		if !done {
			err = e.upkeep.dirs.sync(dir)
			dirs[dir] = err
		}
		if err != nil && !(o.gone && errors.Is(err, fs.ErrNotExist)) {
			failed[o] = err
		}
	}
	return failed
}

// rest puts the files of released objects in order, so that they are whole
// without the journal: everything in the database file, and no WAL. Then it
// forgets the objects. One that is opened meanwhile is left alone.
func (e *Engine) rest(objects []*object) {
	e.mu.Lock()
	objects = slices.DeleteFunc(objects, func(o *object) bool {
		o.restless, o.resting = false, o.opens
		return e.objects[o.key] != o || o.open
	})
	e.mu.Unlock()
	if len(objects) == 0 {
		return
	}
	unsettled := e.settle(objects)
	uncaptured := e.captureRest(slices.DeleteFunc(slices.Clone(objects), func(o *object) bool { return unsettled[o] != nil }))
	objects = e.each(objects, func(o *object) error {
		switch err := unsettled[o]; {
		case uncaptured[o] != nil:
			return uncaptured[o]
		case err == nil:
			return e.fold(o)
		case errors.Is(err, storage.ErrJournal):
			return err
		}
		return e.mend(o, unsettled[o])
	})
	objects = e.letGoUntouched(objects)
	objects = e.unfailed(objects, e.syncDatabases(objects))
	objects = e.each(objects, func(o *object) error {
		return e.alone(o, func() error { return removeAll(e.fs, o.path+"-wal", o.path+"-shm") })
	})
	objects = e.unfailed(objects, e.syncFolders(objects))
	e.letGo(objects)
}

// errOpened: the object was opened again, and perhaps released again.
var errOpened = errors.New("opened meanwhile")

// each calls f for each object and returns those for which it did not fail.
// Another attempt is planned for the others.
func (e *Engine) each(objects []*object, f func(*object) error) []*object {
	failed := make(map[*object]error)
	for _, o := range objects {
		err := f(o)
		if err == nil {
			continue
		}
		e.mu.Lock()
		if o.opens != o.resting {
			err = errOpened // and so the error may mean nothing
		}
		e.mu.Unlock()
		failed[o] = err
	}
	return e.unfailed(objects, failed)
}

// unfailed returns the objects that have not failed. Another attempt is planned
// for the others, and until it succeeds they cannot be opened.
func (e *Engine) unfailed(objects []*object, failed map[*object]error) []*object {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(objects, func(o *object) bool {
		err := failed[o]
		if err == nil {
			return false
		}
		if err != errOpened && !errors.Is(err, storage.ErrJournal) {
			o.failLocked(err)
		}
		if !o.open {
			e.restLocked(o)
		}
		return true
	})
}

// alone calls f while nobody can open the object. f must be short. It returns
// errOpened if somebody has opened it since it began to rest.
func (e *Engine) alone(o *object, f func() error) error {
	e.mu.Lock()
	if o.opens != o.resting {
		e.mu.Unlock()
		return errOpened
	}
	o.alone = true
	e.mu.Unlock()
	err := f()
	e.mu.Lock()
	o.alone = false
	e.calm.Broadcast()
	e.mu.Unlock()
	return err
}

// fold does for an object that nobody has open what a checkpoint does. All of
// its WAL must be in the journal. It can be left unfinished, like a checkpoint.
func (e *Engine) fold(o *object) error {
	e.mu.Lock()
	kept := o.kept
	e.mu.Unlock()
	pages, size, err := e.readPages(o, kept, 0)
	if err != nil {
		return err
	}
	if len(pages) > 0 {
		err = e.withDatabase(o, openWrite, func(db disk.File) error { return e.foldPages(o, db, kept, pages, size) })
		if err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o.folded = moved{kept.generation, kept.frames()}
	return nil
}

// readPages finds where in the WAL, behind the first frames, the last version of
// each page is. There is none if the last close of a connection has moved
// everything.
func (e *Engine) readPages(o *object, kept tail, from int) (pages map[uint32]int64, size uint32, err error) {
	if kept.frames() == 0 {
		return nil, 0, nil
	}
	log, err := e.fs.Open(o.path+"-wal", openRead)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer log.Close()
	h, err := readHeader(log)
	if errors.Is(err, wal.ErrNoHeader) || err == nil && h != kept.header {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	pages = make(map[uint32]int64)
	var head [wal.FrameHeaderSize]byte
	for at := h.Offset(from); at < kept.taken.Offset; at += int64(h.FrameSize()) {
		if _, err := log.ReadAt(head[:], at); err != nil {
			return nil, 0, err
		}
		f := wal.Raw(head[:])
		pages[f.Number] = at + wal.FrameHeaderSize
		if f.Commit != 0 {
			size = f.Commit
		}
	}
	return pages, size, nil
}

// foldPages copies pages of the WAL to the database, a few at a time so that an
// Open does not wait.
func (e *Engine) foldPages(o *object, db disk.File, kept tail, pages map[uint32]int64, size uint32) error {
	log, err := e.fs.Open(o.path+"-wal", openRead)
	if err != nil {
		return err
	}
	defer log.Close()
	page := make([]byte, kept.header.PageSize())
	for some := range slices.Chunk(slices.Sorted(maps.Keys(pages)), 16) {
		err := e.alone(o, func() error {
			for _, number := range some {
				if number > size {
					continue
				}
				if _, err := log.ReadAt(page, pages[number]); err != nil {
					return err
				}
				if _, err := db.WriteAt(page, int64(number-1)*int64(len(page))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return e.alone(o, func() error { return db.Truncate(int64(size) * int64(len(page))) })
}

// mend writes an object's database again from the journal, which holds all that
// was ever confirmed and may not be on disk. Until it has succeeded nobody can
// open the object.
func (e *Engine) mend(o *object, cause error) error {
	e.mu.Lock()
	if o.opens != o.resting {
		e.mu.Unlock()
		return errOpened
	}
	o.failLocked(cause)
	e.mu.Unlock()

	h, err := readHistory(e.fs, e.dir)
	if err != nil {
		return err
	}
	p, err := replayHistory(h, func(key dormouse.Key) bool { return key == o.key }, func(uint64, record) error { return nil })
	if err != nil {
		return err
	}
	r := p.objects[o.key]
	if r == nil || !r.touched {
		return cause // it was damaged before it was opened: leave it as it is
	}
	if err := e.captureMended(o, h, r); err != nil {
		return err
	}
	if err := r.apply(e.fs, h, o.path); err != nil {
		return err
	}
	if err := syncFile(e.fs, o.path); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o.failed = nil
	o.folded = moved{o.kept.generation, o.kept.frames()}
	return nil
}

// letGoUntouched forgets objects that made no commit, unless their files are
// new, and returns the others. Their logs stay: an empty one as a rule, or what a
// guest had begun when it died, of which the next start is to know.
func (e *Engine) letGoUntouched(objects []*object) []*object {
	return slices.DeleteFunc(objects, func(o *object) bool {
		info, err := e.fs.Stat(o.path)
		whole := errors.Is(err, fs.ErrNotExist) || err == nil && !o.mayBeNew(info, time.Now())
		log, err := e.fs.Stat(o.path + "-wal")
		empty := errors.Is(err, fs.ErrNotExist) || err == nil && log.Size == 0
		e.mu.Lock()
		defer e.mu.Unlock()
		if o.last != 0 || !whole {
			return false
		}
		if o.opens == o.resting {
			e.looked = e.looked && empty
			e.dropLocked(o)
		}
		return true
	})
}

// letGo forgets objects whose files are whole and on disk.
func (e *Engine) letGo(objects []*object) {
	var notes []note
	e.mu.Lock()
	for _, o := range objects {
		o.onDiskLocked(o.folded)
		switch {
		case o.opens != o.resting:
		case o.last == 0: // the journal knows nothing of it
			e.dropLocked(o)
		default:
			notes = append(notes, note{kind: cleanRecord, key: o.key, object: o})
		}
	}
	wait := e.putLocked(notes) // before anything that a new Open leads to
	e.mu.Unlock()
	if wait() != nil {
		return // the next cut, or the next start, will do
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, n := range notes {
		if n.object.opens == n.object.resting {
			e.dropLocked(n.object)
		}
	}
}

func (e *Engine) dropLocked(o *object) {
	o.file.rest()
	o.file = nil
	if o.removed { // is being restored, and stays as if it was new
		fresh := tail{generation: o.tail.generation}
		o.tail, o.kept, o.needs, o.last = fresh, fresh, nil, 0
		return
	}
	delete(e.objects, o.key)
}
