package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// Recovery is what was found and done when a journal was opened.
type Recovery struct {
	Batches int            // that the journal held
	Objects int            // whose databases were brought to their last commit
	Missing []dormouse.Key // whose databases should have been there
	// Clean: the last process ended in order, and no log lies beside a database.
	// Otherwise somebody should look for logs, and call Looked.
	Clean bool
	Took  time.Duration
}

// batchesSkipped at each start: so that the numbers of batches that a power cut
// has taken (relaxed durability) are not given to others.
const batchesSkipped = 1 << 16

// Open opens the journal of a data folder. It first brings everything in order
// that the last process left behind; nobody may have a database of the folder
// open meanwhile.
func Open(data string, opts Options) (*Engine, Recovery, error) {
	opts.fill()
	e := &Engine{
		opts: opts, fs: opts.Disk, data: filepath.Clean(data), dir: journalDir(data),
		chunk:   int(min(maxChunk, max(min(firstSegment, opts.SegmentBytes)/8, 68<<10))),
		objects: make(map[dormouse.Key]*object),
		batch:   newBatch(),
	}
	e.buf = make([]byte, e.chunk)
	e.work, e.calm = sync.NewCond(&e.mu), sync.NewCond(&e.mu)
	if err := e.fs.MkdirAll(e.dir); err != nil {
		return nil, Recovery{}, fmt.Errorf("open the journal: %w", err)
	}
	lock, err := e.fs.Lock(filepath.Join(e.dir, "lock"))
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("open the journal: %w", err)
	}
	e.lock = lock
	err = e.startPast()
	var r Recovery
	if err == nil {
		r, err = e.recover()
	}
	if err != nil {
		e.lock.Close()
		return nil, Recovery{}, fmt.Errorf("open the journal: %w", err)
	}
	e.upkeep.start(e)
	e.workers.Add(2)
	go e.run()
	go e.run()
	return e, r, nil
}

// recover brings the databases to their last commit, and begins a new segment.
//
// It can be interrupted anywhere and begun again: until the new segment says
// that the old ones do not count, they say what to do.
func (e *Engine) recover() (Recovery, error) {
	start := time.Now()
	h, err := readHistory(e.fs, e.dir)
	if err != nil {
		return Recovery{}, err
	}
	if err := e.number(h); err != nil {
		return Recovery{}, err
	}
	e.looked = e.readClean(h)
	wakesFrom, err := readWakes(e.fs, e.dir, e.wakes.load)
	if err != nil {
		return Recovery{}, err
	}
	p, err := replayHistory(h, func(dormouse.Key) bool { return true }, func(segment uint64, r record) error {
		if segment < wakesFrom {
			return nil // the file knows
		}
		if r.kind == movedRecord {
			e.wakes.move(r.key.Namespace, dormouse.Namespace(r.body))
			return nil
		}
		w, err := parseWake(r.body)
		if err == nil {
			e.wakes.load(r.key, w)
		}
		return err
	})
	if err != nil {
		return Recovery{}, err
	}
	r := Recovery{Batches: len(h.batches), Clean: e.looked}
	if err := e.redoMoves(p.moves); err != nil {
		return Recovery{}, err
	}
	if err := e.captureRecovered(h, p); err != nil {
		return Recovery{}, err
	}
	var written []string
	for _, key := range p.keys() {
		path := storage.Path(e.data, key)
		switch err := p.objects[key].apply(e.fs, h, path); {
		case errors.Is(err, errMissing):
			r.Missing = append(r.Missing, key)
		case err != nil:
			return Recovery{}, fmt.Errorf("bring object %s to its last commit: %w", key, err)
		default:
			r.Objects++
			written = append(written, path)
		}
	}
	if err := e.syncEverything(written); err != nil {
		return Recovery{}, err
	}
	if err := e.begin(h); err != nil {
		return Recovery{}, err
	}
	r.Took = time.Since(start)
	return r, nil
}

// redoMoves renames the folders that a power cut has not let be renamed. While
// a namespace is moved none of its objects is open, so if both folders exist
// it was done, and the first one is new.
func (e *Engine) redoMoves(moves []move) error {
	for _, m := range moves {
		from, to := e.folder(m.from), e.folder(m.to)
		if _, err := e.fs.Stat(to); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return err
			}
			continue
		}
		if err := e.fs.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (e *Engine) folder(n dormouse.Namespace) string {
	return filepath.Join(e.data, storage.Folder(n))
}

// syncEverything makes durable what recovery has written, and all else in the
// data folder: from here on a file that is older than its object's Open counts
// as being on disk.
func (e *Engine) syncEverything(paths []string) error {
	if !disk.SyncAllWaits {
		dirs := syncedDirs{fs: e.fs, root: e.data, seen: make(map[string]bool)}
		for _, path := range paths {
			if err := syncFile(e.fs, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if err := dirs.sync(filepath.Dir(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if err := e.fs.SyncDir(filepath.Dir(e.data)); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return e.fs.SyncAll(e.data)
}

func syncFile(fsys disk.FS, name string) error {
	f, err := fsys.Open(name, openWrite)
	if err != nil {
		return err
	}
	err = f.Sync()
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// begin writes the alarms down, begins a new segment and removes the old ones.
func (e *Engine) begin(h *history) error {
	s := &e.log
	s.fs, s.dir, s.size = e.fs, e.dir, e.opts.SegmentBytes
	s.retire, s.plain = e.past.takeLocked, e.past.off
	s.last++
	e.durable, e.oldest = e.next-1, e.next
	e.mark = storage.Bookmark{Batch: e.next - 1}
	if err := e.writeWakes(s.last); err != nil {
		return err
	}
	removeAll(e.fs, filepath.Join(e.dir, spareName), filepath.Join(e.dir, preparingName)) // of the last process
	if err := s.begin(segmentHeader{first: e.next, oldest: e.oldest, created: time.Now()}); err != nil {
		return err
	}
	if err := e.removeClean(); err != nil {
		return err
	}
	e.past.mu.Lock()
	defer e.past.mu.Unlock()
	for _, n := range h.segments {
		s.discard(n)
	}
	return nil
}

// Close implements storage.Engine.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closing {
		e.mu.Unlock()
		return storage.ErrClosed
	}
	e.closing = true
	e.mu.Unlock()

	e.upkeep.stop()

	e.mu.Lock()
	if e.upkeep.syncTimer != nil {
		e.upkeep.syncTimer.Stop()
	}
	e.syncDue = true
	e.work.Broadcast()
	for len(e.pending) > 0 || len(e.notes) > 0 || len(e.wakes.changed) > 0 || !e.batch.empty() || e.syncDue || e.writing || e.collecting || e.past.captures.running {
		e.calm.Wait()
	}
	e.idle = true
	e.work.Broadcast()
	broken := e.broken
	e.mu.Unlock()
	e.workers.Wait()

	for _, o := range e.objects {
		e.wals.close(o)
		o.file.rest()
	}
	e.log.close()
	e.writeClean()
	e.lock.Close()
	return broken
}
