package journal

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
)

// Delete implements storage.Engine. The journal says that the files have to go
// before they go: a power cut in between may not leave some of them.
func (e *Engine) Delete(key dormouse.Key, done storage.Done) error {
	if err := storage.CheckNamespace(key.Namespace); err != nil {
		return err
	}
	return e.whenClosed(key, e.delete, done)
}

// whenClosed gives the upkeep something to do with an object that nobody has open, and
// that nobody can open until done was called.
func (e *Engine) whenClosed(key dormouse.Key, do func(*object) (storage.Bookmark, error), done storage.Done) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.objects[key]
	if o != nil && (o.open || o.removed) || e.upkeep.moving[key.Namespace] {
		return fmt.Errorf("object %s: %w", key, storage.ErrBusy)
	}
	return e.jobLocked(func() {
		mark, err := do(o)
		done(mark, err)
	}, func() {
		if o == nil {
			o = e.newObjectLocked(key)
		}
		o.removed = true
	})
}

// jobLocked gives the upkeep something to do, after what it has to do already.
func (e *Engine) jobLocked(job, accepted func()) error {
	switch {
	case e.closing:
		return storage.ErrClosed
	case len(e.upkeep.jobs) >= maxJobs:
		return storage.ErrOverloaded
	}
	accepted()
	e.upkeep.jobs = append(e.upkeep.jobs, job)
	e.upkeep.wake()
	return nil
}

// delete runs on the upkeep's goroutine.
func (e *Engine) delete(o *object) (storage.Bookmark, error) {
	e.settle([]*object{o}) // nothing may be under way; that it is in order does not matter
	err := e.put(note{kind: deletedRecord, key: o.key, object: o})
	if err == nil {
		err = removeAll(e.fs, o.path, o.path+"-wal", o.path+"-shm")
	}
	if err == nil && e.Ordered(o.key) {
		err = e.changeOrders(func(p map[dormouse.Key]storage.Bookmark) { delete(p, o.key) })
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o.removed = false
	if err == nil {
		// Nobody is collecting from it: it has no requests.
		o.tail, o.kept, o.needs = tail{generation: o.tail.generation}, tail{generation: o.tail.generation}, nil
		o.gone, o.failed = true, nil
	}
	e.restLocked(o) // the folder has to be synced, or what is left put in order
	return e.mark, err
}

// Move implements storage.Engine.
func (e *Engine) Move(from, to dormouse.Namespace, done storage.Done) error {
	if err := errors.Join(storage.CheckNamespace(from), storage.CheckNamespace(to)); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	moving := e.upkeep.moving
	if from == to || moving[from] || moving[to] {
		return fmt.Errorf("move namespace %s to %s: %w", from, to, storage.ErrBusy)
	}
	for key, o := range e.objects {
		if (key.Namespace == from || key.Namespace == to) && (o.open || o.removed) {
			return fmt.Errorf("move namespace %s to %s: object %s: %w", from, to, key, storage.ErrBusy)
		}
	}
	return e.jobLocked(func() {
		mark, err := e.move(from, to)
		done(mark, err)
	}, func() { moving[from], moving[to] = true, true })
}

// move runs on the upkeep's goroutine. Once the journal says that the namespace
// is moved, it is: if the folder cannot be renamed now, the next start does it,
// and until then neither namespace can be used.
func (e *Engine) move(from, to dormouse.Namespace) (storage.Bookmark, error) {
	err := e.vacate(from, to)
	stuck := false
	if err == nil {
		err = e.moveOrders(from, to)
	}
	if err == nil {
		err = e.put(note{kind: movedRecord, key: dormouse.Key{Namespace: from}, to: to})
	}
	if err == nil {
		if err = e.fs.Rename(e.folder(from), e.folder(to)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err == nil {
			err = e.fs.SyncDir(e.data)
		}
		stuck = err != nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !stuck {
		delete(e.upkeep.moving, from)
		delete(e.upkeep.moving, to)
	}
	if err != nil {
		return storage.Bookmark{}, fmt.Errorf("move namespace %s to %s: %w", from, to, err)
	}
	e.wakes.move(from, to)
	if _, current := e.log.extent(); e.wakes.since == 0 {
		e.wakes.since = current
	}
	e.wakes.latest = max(e.wakes.latest, e.wakes.since)
	clear(e.upkeep.dirs.seen)
	return e.mark, nil
}

// vacate puts all objects of two namespaces in order, so that the engine has
// none of them in memory, and checks that the second one is free.
func (e *Engine) vacate(from, to dormouse.Namespace) error {
	of := func() (objects []*object) {
		e.mu.Lock()
		defer e.mu.Unlock()
		for key, o := range e.objects {
			if key.Namespace == from || key.Namespace == to {
				objects = append(objects, o)
			}
		}
		return objects
	}
	e.rest(of())
	if left := of(); len(left) > 0 {
		e.mu.Lock()
		defer e.mu.Unlock()
		return fmt.Errorf("object %s: %w", left[0].key, errors.Join(storage.ErrBusy, left[0].failed))
	}
	if _, err := e.fs.Stat(e.folder(to)); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("there are objects of it: choose another name, or move its folder away"), err)
	}
	return nil
}
