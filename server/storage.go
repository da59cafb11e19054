package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/journal"
	"github.com/dormouse-dev/dormouse/internal/storage/sqlitefile"
)

// DatabaseFolder is where the databases of a data folder lie, with the journal
// that makes them durable.
func DatabaseFolder(data string) string { return filepath.Join(data, "do") }

// DatabasePath is where an object's database lies.
func DatabasePath(data string, k dormouse.Key) string {
	return storage.Path(DatabaseFolder(data), k)
}

// store is the journal of a data folder, and can be given to another process and
// taken back: while it is not open everything is refused with storage.ErrClosed.
type store struct {
	folder  string
	options journal.Options
	engine  atomic.Pointer[journal.Engine] // nil: not open
}

var (
	_ storage.Engine = (*store)(nil)
	_ wakes          = (*store)(nil)
)

// newStore makes the store of a server, which is not open yet.
func (s *Server) newStore() *store {
	t := &store{folder: DatabaseFolder(s.Data)}
	t.options.NeedCheckpoint = s.needCheckpoint
	t.options.Observe = s.syncs.wrote
	t.options.KeepFor, t.options.KeepBytes = s.HistoryTime, s.HistoryBytes
	if s.HistoryBytes < 0 {
		t.options.KeepBytes = journal.NoHistory
	}
	t.options.CheckImage = checkImage
	t.options.PastFailed = func(err error) { s.log.Error("history cannot be kept as it should be", "reason", err) }
	if s.Relaxed {
		t.options.Durability = storage.Relaxed
		s.log.Warn("durability is relaxed: what is confirmed outlives the death of any process, but a power cut may take the last second of it")
	}
	return t
}

// openStorage opens the journal, which first brings everything in order that the
// last process left behind. The data folder is locked, so nobody has a database
// of it open.
func (s *Server) openStorage() error {
	t := s.engine
	if err := os.MkdirAll(t.folder, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	for _, n := range (runtime{s}).Namespaces() {
		if err := storage.CheckNamespace(n); err != nil {
			return err
		}
		if err := s.renameFolder(t.folder, n); err != nil {
			return err
		}
	}
	engine, r, err := journal.Open(t.folder, t.options)
	if err != nil {
		return fmt.Errorf("data folder %s: %w", s.Data, err)
	}
	t.engine.Store(engine)
	s.left = !r.Clean
	level := slog.LevelDebug
	if r.Objects > 0 {
		level = slog.LevelInfo
	}
	s.log.Log(context.Background(), level, "journal opened", "objects recovered", r.Objects, "batches", r.Batches, "clean", r.Clean, "took", r.Took)
	for _, k := range r.Missing {
		s.log.Error("an object's database is missing; it begins anew: restore it from a backup if it should not", "namespace", k.Namespace, "object", k.ID)
	}
	return nil
}

// checkImage looks for damage in a database that was made out of history.
func checkImage(path string) error {
	db, err := sqlitefile.OpenCopy(path)
	if err != nil {
		return err
	}
	return errors.Join(db.Check(context.Background()), db.Close())
}

// Close ends the engine, if it is open. The store can be opened again.
func (t *store) Close() error {
	if t == nil {
		return nil
	}
	if e := t.engine.Swap(nil); e != nil {
		return e.Close()
	}
	return nil
}

// Leave is Close for a successor that waits, and Tidy prepares it.
func (t *store) Leave() error {
	if t == nil {
		return nil
	}
	if e := t.engine.Swap(nil); e != nil {
		return e.Leave()
	}
	return nil
}

func (t *store) Tidy() {
	if t == nil {
		return
	}
	if e := t.engine.Load(); e != nil {
		e.Tidy()
	}
}

// ask calls f with the engine.
func (t *store) ask(f func(*journal.Engine) error) error {
	if e := t.engine.Load(); e != nil {
		return f(e)
	}
	return storage.ErrClosed
}

// Open implements storage.Engine.
func (t *store) Open(k dormouse.Key, user storage.User, done storage.Done) error {
	return t.ask(func(e *journal.Engine) error { return e.Open(k, user, done) })
}

// Commit implements storage.Engine.
func (t *store) Commit(k dormouse.Key, done storage.Done) error {
	return t.ask(func(e *journal.Engine) error { return e.Commit(k, done) })
}

// Sync implements storage.Engine.
func (t *store) Sync(k dormouse.Key, done storage.Done) error {
	return t.ask(func(e *journal.Engine) error { return e.Sync(k, done) })
}

// Checkpoint implements storage.Engine.
func (t *store) Checkpoint(k dormouse.Key, ready storage.Done) error {
	return t.ask(func(e *journal.Engine) error { return e.Checkpoint(k, ready) })
}

// Checkpointed implements storage.Engine.
func (t *store) Checkpointed(k dormouse.Key, frames int) {
	if e := t.engine.Load(); e != nil {
		e.Checkpointed(k, frames)
	}
}

// Release implements storage.Engine.
func (t *store) Release(k dormouse.Key) {
	if e := t.engine.Load(); e != nil {
		e.Release(k)
	}
}

// Delete implements storage.Engine.
func (t *store) Delete(k dormouse.Key, done storage.Done) error {
	return t.ask(func(e *journal.Engine) error { return e.Delete(k, done) })
}

// Move implements storage.Engine.
func (t *store) Move(from, to dormouse.Namespace, done storage.Done) error {
	return t.ask(func(e *journal.Engine) error { return e.Move(from, to, done) })
}

// SetWake implements storage.Engine.
func (t *store) SetWake(k dormouse.Key, w storage.Wake) error {
	return t.ask(func(e *journal.Engine) error { return e.SetWake(k, w) })
}

// Wakes yields when objects have to be woken.
func (t *store) Wakes() iter.Seq2[dormouse.Key, storage.Wake] {
	if e := t.engine.Load(); e != nil {
		return e.Wakes()
	}
	return func(func(dormouse.Key, storage.Wake) bool) {}
}

// renameFolder gives the folder of a namespace the name that it has since names
// are escaped. Dormouse before 0.1 used the namespace as it is.
func (s *Server) renameFolder(folder string, n dormouse.Namespace) error {
	was, is := filepath.Join(folder, string(n)), filepath.Join(folder, storage.Folder(n))
	if was == is || !filepath.IsLocal(string(n)) {
		return nil
	}
	if _, err := os.Stat(was); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := os.Stat(is); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.log.Info("renaming the folder of a namespace", "from", was, "to", is)
	return os.Rename(was, is)
}

// durability is an engine as hosts know it.
type durability struct {
	storage.Engine
	folder string
}

var _ host.Durability = durability{}

func (d durability) Path(k dormouse.Key) string { return storage.Path(d.folder, k) }

func (d durability) Open(k dormouse.Key, done func(error)) error {
	return d.Engine.Open(k, storage.OtherProcess, outcome(done))
}

func (d durability) Commit(k dormouse.Key, done func(error)) error {
	return d.Engine.Commit(k, outcome(done))
}

func (d durability) Checkpoint(k dormouse.Key, ready func(error)) error {
	return d.Engine.Checkpoint(k, outcome(ready))
}

func outcome(done func(error)) storage.Done {
	return func(_ storage.Bookmark, err error) { done(err) }
}
