// Package direct makes commits durable in the simplest way: it waits for the
// write-ahead log of the object that made them. Commits of one object that come
// while the disk is waited for share the next wait; different objects do not
// share one. It knows paths and syncs, and never sees SQL or an output.
package direct

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/dormouse-dev/dormouse"
)

// workers is how many objects may wait for the disk at a time: with more the
// disk gains nothing.
const workers = 16

// Engine makes commits durable. Use New, and Close when no guest is left.
type Engine struct {
	path func(dormouse.Key) string
	wait sync.WaitGroup
	work *sync.Cond // signals that ready has grown, or that closed is set

	mu      sync.Mutex // guards the following
	objects map[dormouse.Key]*object
	ready   []*object // have something to do and no worker; each at most once
	closed  bool
}

// object is what the engine knows of an object that is in memory, or whose
// questions have not been answered. Its files are touched by one worker at a
// time.
type object struct {
	key     dormouse.Key
	path    string // of the database; the log is beside it
	waiting []func(error)
	queued  bool // is in ready, or a worker has it
	open    int  // activations

	// Owned by the worker that has the object.
	log   *os.File
	named bool // database and folders have been synced
}

// New makes an engine. path gives the database of an object.
func New(path func(dormouse.Key) string) *Engine {
	e := &Engine{path: path, objects: make(map[dormouse.Key]*object)}
	e.work = sync.NewCond(&e.mu)
	for range workers {
		e.wait.Go(e.run)
	}
	return e
}

// Opened asks that what the object's log holds already be made durable.
func (e *Engine) Opened(k dormouse.Key, done func(error)) { e.ask(k, 1, done) }

// Commit asks that everything in the object's log be made durable. done is
// called once, on a goroutine of the engine, in order for one object.
func (e *Engine) Commit(k dormouse.Key, done func(error)) { e.ask(k, 0, done) }

// Closed tells that an instance is gone.
func (e *Engine) Closed(k dormouse.Key) { e.ask(k, -1, nil) }

func (e *Engine) ask(k dormouse.Key, opened int, done func(error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.objects[k]
	if o == nil {
		o = &object{key: k, path: e.path(k)}
		e.objects[k] = o
	}
	o.open += opened
	if done != nil {
		o.waiting = append(o.waiting, done)
	}
	if !o.queued && !e.closed {
		o.queued = true
		e.ready = append(e.ready, o)
		e.work.Signal()
	}
}

// Close answers what was asked and ends the engine.
func (e *Engine) Close() {
	e.mu.Lock()
	e.closed = true
	e.work.Broadcast()
	e.mu.Unlock()
	e.wait.Wait()
}

// run is a worker.
func (e *Engine) run() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		for len(e.ready) == 0 {
			if e.closed {
				return
			}
			e.work.Wait()
		}
		o := e.ready[0]
		e.ready = e.ready[1:]
		e.serve(o)
	}
}

// serve answers what was asked of an object, with one sync for all of it. It is
// called with mu held, and gives it up while it waits for the disk.
func (e *Engine) serve(o *object) {
	waiting, last := o.waiting, o.open <= 0
	o.waiting = nil
	e.mu.Unlock()
	var err error
	if len(waiting) > 0 {
		err = o.sync()
	}
	if last || err != nil {
		o.drop() // a log that could not be synced once is opened anew
	}
	for _, done := range waiting {
		done(err)
	}
	e.mu.Lock()
	switch {
	case len(o.waiting) > 0 || o.open <= 0 && !last:
		e.ready = append(e.ready, o)
		e.work.Signal()
	case o.open <= 0:
		delete(e.objects, o.key)
	default:
		o.queued = false
	}
}

// sync waits until the log, and that there is one, is on disk.
func (o *object) sync() error {
	if o.log == nil {
		f, err := os.Open(o.path + "-wal")
		if errors.Is(err, fs.ErrNotExist) {
			return nil // nothing has been written since the last checkpoint, which synced
		}
		if err != nil {
			return fmt.Errorf("open log: %w", err)
		}
		o.log = f
	}
	if err := fdatasync(o.log); err != nil {
		return fmt.Errorf("sync %s: %w", o.log.Name(), err)
	}
	if o.named {
		return nil
	}
	if err := syncPath(o.path); err != nil {
		return err
	}
	for dir := filepath.Dir(o.path); ; dir = filepath.Dir(dir) {
		if err := syncPath(dir); err != nil {
			return err
		}
		// The namespace's folder is in the folder of databases, which was there.
		if filepath.Base(dir) == string(o.key.Namespace) || dir == filepath.Dir(dir) {
			if err := syncPath(filepath.Dir(dir)); err != nil {
				return err
			}
			break
		}
	}
	o.named = true
	return nil
}

func (o *object) drop() {
	if o.log != nil {
		o.log.Close()
		o.log = nil
	}
	o.named = false
}

// syncPath syncs a file or a folder.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some folders cannot be
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}
