package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// run is one of the two goroutines that collect and write, in turns: while one
// waits for the disk the other collects the next batch. With a single object
// that commits there is no hand-over between them.
func (e *Engine) run() {
	defer e.workers.Done()
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		switch {
		case e.writableLocked():
			e.write()
		case e.collectableLocked():
			e.collect()
		case e.idle:
			return
		default:
			e.work.Wait()
		}
	}
}

// writableLocked: what waited when the last write ended is collected first. A
// sync costs as much as to collect ten commits, and one covers them all.
func (e *Engine) writableLocked() bool {
	return !e.writing && !e.collecting && (!e.batch.empty() || e.syncDue) && (e.due <= 0 || !e.collectableLocked())
}

func (e *Engine) collectableLocked() bool {
	return !e.collecting && !e.failing && !e.full(e.batch) &&
		(len(e.pending) > 0 || len(e.notes) > 0 || e.closing && len(e.wakes.changed) > 0)
}

// collect adds to the batch: what the upkeep wants written, then the alarms
// that were set, then what one object has committed. The order is a promise: a
// note is in the journal before anything that is asked for later, and an alarm
// not in a later batch than a commit that was made after it was set.
//
// e.mu is held, but not while files are read.
func (e *Engine) collect() {
	e.collecting = true
	b := e.batch
	for len(e.notes) > 0 && !e.full(b) {
		n := e.notes[0]
		e.notes = e.notes[1:]
		b.note(n)
	}
	for len(e.wakes.changed) > 0 && !e.full(b) {
		key := e.wakes.changed[0]
		e.wakes.changed = e.wakes.changed[1:]
		e.wakeLocked(b, key)
	}
	if len(e.notes) == 0 && len(e.wakes.changed) == 0 && len(e.pending) > 0 {
		o := e.pending[0]
		e.pending[0] = nil
		e.pending = e.pending[1:]
		e.due--
		o.queued = false
		e.serve(b, o)
	}
	e.collecting = false
	e.calm.Broadcast()
}

// add takes a buffer that a record was appended to.
func (b *batch) add(buf []byte) {
	b.buf = buf
	b.records++
}

// wakeLocked adds the object's alarm if it was set.
func (e *Engine) wakeLocked(b *batch, key dormouse.Key) {
	if w, ok := e.wakes.take(key); ok {
		b.add(appendWake(b.buf, key, w))
		b.wakes = append(b.wakes, key)
	}
}

func (b *batch) note(n note) {
	b.force = true
	b.notes = append(b.notes, n)
	switch n.kind {
	case stampNote:
		b.stamp = true
	case movedRecord:
		b.add(appendMoved(b.buf, n.key.Namespace, n.to))
	default:
		b.add(append(appendRecord(b.buf, n.kind, n.key, len(n.body)), n.body...))
	}
}

// serve does one step for the requests of an object.
func (e *Engine) serve(b *batch, o *object) {
	halfway := o.tail.halfway()
	fresh := len(o.serving)
	o.serving = append(o.serving, o.waiting...)
	for i := range o.serving {
		o.serving[i].late = halfway && (i >= fresh || o.serving[i].late)
	}
	clear(o.waiting)
	o.waiting = o.waiting[:0]
	err := o.failed
	opens := o.opens
	e.mu.Unlock()

	var more bool
	before := o.tail
	if err == nil {
		more, err = e.step(b, o, opens)
	}
	if err != nil {
		o.tail = before
		if !errors.Is(err, storage.ErrDamaged) {
			err = fmt.Errorf("object %s: %w: %w", o.key, storage.ErrDamaged, err)
		}
		more = false
	}
	if more {
		o.limit()
	}

	e.mu.Lock()
	e.wakeLocked(b, o.key) // an alarm that was set, and then committed, while the WAL was read
	n := 0
	for n < len(o.serving) && (err != nil || o.serving[n].served(&o.tail, !more)) {
		n++
	}
	for _, r := range o.serving[:n] {
		b.answers = append(b.answers, answer{o, r.kind, r.done, err, b.records, o.tail})
		b.force = b.force || r.kind == syncRequest || r.kind == checkpointRequest || r.kind == restRequest
		if r.kind == restRequest {
			e.wals.close(o)
		}
	}
	o.serving = append(o.serving[:0], o.serving[n:]...)
	if len(o.serving)+len(o.waiting) > 0 {
		e.queueLocked(o)
	}
}

// limit says of the requests that are new how far the WAL has to be taken for
// them: others may go on committing faster than it is taken.
func (o *object) limit() {
	var size int64
	for i := range o.serving {
		r := &o.serving[i]
		if r.limit > 0 {
			continue
		}
		if size == 0 {
			info, err := o.log.Stat()
			if err != nil {
				return // then they wait for the end
			}
			size = info.Size
		}
		r.generation, r.limit = o.tail.generation, size
	}
}

// step takes a part of the object's WAL.
func (e *Engine) step(b *batch, o *object, opens int) (more bool, err error) {
	log, info, err := e.wals.use(e.fs, o, e.opts.OpenFiles)
	replaced := o.seen != opens
	if errors.Is(err, fs.ErrNotExist) {
		if o.mayLackWAL() {
			o.tail.lose()
			o.seen = opens
			return false, nil
		}
		return false, errors.New("there is no write-ahead log: the database must be in WAL mode and open")
	}
	if err != nil {
		return false, err
	}
	f, err := o.tail.step(log, info.Size, e.buf, replaced)
	if err != nil {
		return false, err
	}
	o.seen = opens
	if len(f.frames) == 0 {
		return f.more, nil
	}
	if !o.tail.based {
		if err := e.base(b, o); err != nil {
			return false, err
		}
		o.tail.based = true
	}
	b.add(appendFrames(b.buf, o.key, &o.tail.header, f.offset, f.frames))
	b.taken = append(b.taken, taken{o, o.tail})
	return f.more, nil
}

// mayLackWAL: before the first commit, and after the last close.
func (o *object) mayLackWAL() bool {
	for _, r := range o.serving {
		if r.kind == commitRequest || r.kind == syncRequest || r.kind == checkpointRequest {
			return false
		}
	}
	return true
}

const (
	// largestTemplate bounds what a new database may consist of before its
	// first commit, where the file system cannot say when a file was made.
	largestTemplate = 64 << 10

	// bornSlack is more than the clock of the file system is behind.
	bornSlack = 2 * time.Second
)

// base sees to it that the first frames of an object stand on ground that
// outlives a power cut: a database that is new, and so perhaps only in the
// kernel's memory, is put into the journal as a whole.
//
// It is new if it was made after Open, which is called before a guest can make
// it. Everything older was synced when the engine was opened, or before the
// engine forgot the object.
func (e *Engine) base(b *batch, o *object) error {
	info, err := e.fs.Stat(o.path)
	if err != nil {
		return err
	}
	if !o.mayBeNew(info, time.Now()) {
		return nil
	}
	if info.Size > int64(e.chunk) {
		return e.withDatabase(o, openRead, func(f disk.File) error {
			if err := f.Sync(); err != nil {
				return err
			}
			return e.upkeep.dirs.sync(filepath.Dir(o.path))
		})
	}
	image := make([]byte, info.Size)
	err = e.withDatabase(o, openRead, func(f disk.File) error {
		_, err := f.ReadAt(image, 0)
		return err
	})
	if err != nil {
		return err
	}
	b.add(appendBase(b.buf, o.key, image))
	return nil
}

func (o *object) mayBeNew(info disk.Info, now time.Time) bool {
	stepped := now.Round(0).Sub(o.opened.Round(0)) - now.Sub(o.opened) // the wall clock against the monotonic one
	if info.Born.IsZero() || stepped.Abs() > bornSlack/2 {
		return info.Size <= largestTemplate
	}
	return info.Born.After(o.opened.Add(-bornSlack))
}

// withDatabase calls f with the object's database file open. SQLite's locks are
// dropped when its process closes any descriptor of the file: if that is this
// process, the descriptor is kept until the object is at rest.
func (e *Engine) withDatabase(o *object, flag int, f func(disk.File) error) error {
	e.mu.Lock()
	if kept := o.file; kept != nil {
		kept.users++
		e.mu.Unlock()
		err := f(kept.files[0])
		e.mu.Lock()
		defer e.mu.Unlock()
		kept.users--
		kept.closeUnused()
		return err
	}
	e.mu.Unlock()
	if o.local {
		flag = openWrite // it may be needed for that later
	}
	db, err := e.fs.Open(o.path, flag)
	if err != nil {
		return err
	}
	err = f(db)
	e.mu.Lock()
	defer e.mu.Unlock()
	if o.local && o.open {
		if o.file == nil {
			o.file = &keptFile{}
		}
		o.file.files = append(o.file.files, db)
		return err
	}
	if e := db.Close(); err == nil {
		err = e
	}
	return err
}

// keptFile is the database of an object of this process, open until the object is
// at rest and nobody reads. Several may have opened it at once. Engine.mu guards it.
type keptFile struct {
	files []disk.File // never empty
	users int
	rests bool
}

func (k *keptFile) rest() {
	if k != nil {
		k.rests = true
		k.closeUnused()
	}
}

func (k *keptFile) closeUnused() {
	if k.users > 0 || !k.rests {
		return
	}
	for _, f := range k.files {
		f.Close()
	}
	k.files = nil
}
