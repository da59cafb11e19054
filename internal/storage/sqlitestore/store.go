package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest/goguest"
)

// Store is the storage of one instance.
//
// The lock is held while SQLite works, and never while the author's code runs.
// Hooks are called under it: whoever calls them back into Close finds the lock
// taken, and the work is left to the one who holds it.
type Store struct {
	// Set once.
	stores *Stores
	key    dormouse.Key
	path   string
	hooks  goguest.StoreHooks

	closed atomic.Bool

	mu      sync.Mutex // guards the following
	handle  *handle    // nil: there is no database, as far as is known
	looked  bool       // it is known whether there is one
	empty   *handle    // in memory, for questions to a database that there is not
	let     bool       // what is above has been let go of
	broken  error
	begun   bool     // BEGIN was run
	frames  []*frame // Transactions that run, the outermost first
	rows    map[*rows]struct{}
	hasKV   known
	hasMeta known
	beside
	moved       bool  // the alarm has been set in this transaction
	alarmBefore int64 // as it is committed, in milliseconds; 0: none
}

// beside is what a rollback takes back beside the database.
type beside struct {
	hidden     bool // the alarm runs: its author does not see it
	deletedAll bool // the pages are to be given back after the commit
}

// frame is a Transaction that runs.
type frame struct {
	begun  bool // it has its savepoint. Invariant: then every frame around it has one
	before beside
}

// known is whether a table is there; the zero value is that it has to be looked
// up. A rollback may undo its making.
type known uint8

const (
	absent known = iota + 1
	present
)

var _ goguest.Store = (*Store)(nil)

// enter takes the lock. Pairs with leave.
func (s *Store) enter() error {
	s.mu.Lock()
	switch {
	case s.closed.Load():
		s.leave()
		return dormouse.ErrGone
	case s.broken != nil:
		defer s.leave()
		return s.broken
	}
	return nil
}

func (s *Store) leave() {
	s.mu.Unlock()
	if s.closed.Load() {
		s.letGo()
	}
}

// Close implements goguest.Store.
func (s *Store) Close() {
	s.closed.Store(true)
	s.letGo()
}

// letGo gives the database back, unless somebody is inside: then that one does.
func (s *Store) letGo() {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	if s.let {
		return
	}
	s.let = true
	for r := range s.rows {
		r.endLocked(dormouse.ErrGone)
	}
	if s.empty != nil {
		s.empty.end(nil)
	}
	if s.handle == nil {
		return
	}
	if s.begun {
		s.rollbackLocked()
	}
	if s.broken != nil {
		s.stores.discard(s.handle)
	} else {
		s.stores.release(s.handle)
	}
	s.handle = nil
}

// reading returns the database to ask: an empty one in memory, if there is none.
func (s *Store) reading() (*handle, error) {
	if !s.looked {
		h, err := s.stores.acquire(s.key, s.path, false)
		if err != nil {
			return nil, s.fail(err)
		}
		s.handle, s.looked = h, true
	}
	if s.handle != nil {
		return s.handle, nil
	}
	if s.empty == nil {
		h := new(handle)
		if err := h.connect(false); err != nil {
			return nil, err
		}
		s.empty = h
	}
	return s.empty, nil
}

// exists says whether there is a database.
func (s *Store) exists() (bool, error) {
	_, err := s.reading()
	return s.handle != nil, err
}

// writing returns the database within the turn's transaction, which begins with
// the first write, and within a savepoint for each Transaction that runs.
func (s *Store) writing() (*handle, error) {
	if _, err := s.reading(); err != nil {
		return nil, err
	}
	if s.handle == nil {
		h, err := s.stores.acquire(s.key, s.path, true)
		if err != nil {
			return nil, s.fail(err)
		}
		s.handle, s.hasKV, s.hasMeta = h, absent, absent
	}
	if !s.begun {
		if _, err := s.handle.ask("BEGIN IMMEDIATE"); err != nil {
			return nil, s.fail(err)
		}
		s.begun = true
		s.hooks.Written()
	}
	for n, f := range s.frames {
		if !f.begun {
			if _, err := s.handle.ask("SAVEPOINT " + savepoint(n)); err != nil {
				return nil, s.fail(err)
			}
			f.begun = true
		}
	}
	return s.handle, nil
}

func savepoint(n int) string { return fmt.Sprintf("dormouse_%d", n) }

// advice says what an operator can do.
var advice = map[sqlite.ResultCode]string{
	sqlite.ResultCorrupt:  "its file is damaged: restore the object from a backup, or move the file away to begin anew",
	sqlite.ResultNotADB:   "its file is not a database: restore the object from a backup, or move the file away to begin anew",
	sqlite.ResultFull:     "the disk is full: make room, the object starts again with its next event",
	sqlite.ResultIOErr:    "the disk could not be read or written: look into the system's log",
	sqlite.ResultReadOnly: "the data folder must be writable for the user that runs this",
	sqlite.ResultCantOpen: "its file could not be opened: look at the permissions of the data folder and the limit of open files",
}

// check passes an error of SQLite on, and ends the use of the database if it is
// one that does.
func (s *Store) check(err error) error {
	if err == nil {
		return nil
	}
	if _, ends := advice[sqlite.ErrCode(err).ToPrimary()]; ends {
		return s.fail(err)
	}
	if s.begun && s.handle != nil && s.handle.conn.AutocommitEnabled() {
		return s.fail(fmt.Errorf("SQLite has rolled the handler's transaction back: %w", err))
	}
	return err
}

// fail ends the use of the database. The object is reset.
func (s *Store) fail(err error) error {
	if what := advice[sqlite.ErrCode(err).ToPrimary()]; what != "" {
		err = fmt.Errorf("%w (%s)", err, what)
	}
	if s.broken == nil {
		s.broken = err
		s.hooks.Broken(err)
	}
	return err
}

// Commit implements goguest.Store.
func (s *Store) Commit() (goguest.Commit, error) {
	if err := s.enter(); err != nil {
		if errors.Is(err, dormouse.ErrGone) {
			return goguest.Commit{}, nil
		}
		return goguest.Commit{}, err
	}
	defer s.leave()
	if len(s.frames) > 0 {
		return goguest.Commit{}, errYielded
	}
	if s.handle == nil || !s.begun {
		return goguest.Commit{}, s.checkpointLocked()
	}
	c, err := s.alarmMoved()
	if err == nil {
		_, err = s.handle.ask("COMMIT")
	}
	if err != nil {
		s.rollbackLocked()
		if s.broken == nil {
			s.broken = err
		}
		return goguest.Commit{}, err
	}
	s.begun, s.moved = false, false
	if s.deletedAll {
		s.deletedAll = false
		s.handle.vacuum()
	}
	return c, s.checkpointLocked()
}

var errYielded = errors.New("a handler has yielded within a Transaction, which is not possible: others would write into it. Yield before or after it")

// checkpointLocked does what the engine has asked for. Between transactions.
func (s *Store) checkpointLocked() error {
	if s.handle == nil {
		return nil
	}
	return s.handle.checkpoint(s.stores.engine)
}

// rollbackLocked undoes what is not committed.
func (s *Store) rollbackLocked() {
	if !s.handle.conn.AutocommitEnabled() {
		s.handle.ask("ROLLBACK")
	}
	s.begun, s.moved, s.deletedAll = false, false, false
	s.hasKV, s.hasMeta = 0, 0
}

// Transaction implements author.Storage.
func (s *Store) Transaction(f func() error) error {
	if err := s.enter(); err != nil {
		return err
	}
	s.frames = append(s.frames, &frame{before: s.beside})
	depth := len(s.frames)
	s.leave()

	err := errUnwound
	defer func() {
		// Also when f has panicked or ended its goroutine.
		if err != nil {
			s.endFrame(depth, false)
		}
	}()
	if err = f(); err != nil {
		return err
	}
	return s.endFrame(depth, true)
}

var errUnwound = errors.New("the function did not return")

// endFrame ends the Transaction at a depth.
func (s *Store) endFrame(depth int, commit bool) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if len(s.frames) != depth {
		return errors.New("a Transaction inside this one has not ended: do not use goroutines within it")
	}
	f := s.frames[depth-1]
	s.frames = s.frames[:depth-1]
	if !commit {
		s.beside = f.before
	}
	if !f.begun {
		return nil
	}
	name := savepoint(depth - 1)
	if !commit {
		s.hasKV, s.hasMeta = 0, 0
		if _, err := s.handle.ask("ROLLBACK TO " + name); err != nil {
			return s.fail(err)
		}
	}
	if _, err := s.handle.ask("RELEASE " + name); err != nil {
		return s.fail(err)
	}
	return nil
}

// Sync implements author.Storage.
func (s *Store) Sync(ctx context.Context) error { return s.hooks.Durable(ctx) }

// Size implements author.Storage.
func (s *Store) Size() (int64, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	h, err := s.reading()
	if err != nil {
		return 0, err
	}
	rows, err := h.ask("SELECT (c.page_count - f.freelist_count) * s.page_size FROM pragma_page_count() c, pragma_freelist_count() f, pragma_page_size() s")
	if err != nil || len(rows) == 0 {
		return 0, s.check(err)
	}
	n, _ := rows[0][0].(int64)
	return max(n, 4096), nil // what an empty one has
}

// DeleteAll implements author.Storage.
func (s *Store) DeleteAll() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if there, err := s.exists(); err != nil || !there {
		return err
	}
	if err := s.noteAlarm(); err != nil {
		return err
	}
	h, err := s.writing()
	if err != nil {
		return err
	}
	for r := range s.rows {
		r.endLocked(errDeleted)
	}
	s.hasKV, s.hasMeta, s.deletedAll = 0, 0, true
	return s.check(dropAll(h))
}

var errDeleted = errors.New("SQLite query was canceled because the database was deleted.")

// dropAll drops virtual tables before others, which may be their shadows. Foreign
// keys are not looked at before the commit.
func dropAll(h *handle) error {
	h.conn.SetDefensive(false) // shadow tables that have lost their table
	defer h.conn.SetDefensive(true)
	if _, err := h.ask("PRAGMA defer_foreign_keys = ON"); err != nil {
		return err
	}
	const which = "SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
	for _, more := range []string{" AND type = 'view'", " AND rootpage = 0", ""} {
		list, err := h.ask(which + more)
		if err != nil {
			return err
		}
		for _, o := range list {
			if _, err := h.ask(fmt.Sprintf("DROP %s %s", o[0], quote(o[1].(string)))); err != nil {
				return err
			}
		}
	}
	_, err := h.ask("PRAGMA defer_foreign_keys = OFF") // what follows is checked at once again
	return err
}

// vacuum gives pages that are not used back to the file system. A query that runs
// prevents it; then they are used again later.
func (h *handle) vacuum() {
	h.conn.Limit(sqlite.LimitAttached, 1) // it attaches a database of its own
	h.ask("VACUUM")
	h.conn.Limit(sqlite.LimitAttached, 0)
}

func quote(name string) string {
	b := []byte{'"'}
	for i := range len(name) {
		if name[i] == '"' {
			b = append(b, '"')
		}
		b = append(b, name[i])
	}
	return string(append(b, '"'))
}

// table says whether one of our tables is there.
func (s *Store) table(h *handle, k *known, name string) (bool, error) {
	if *k == 0 || h == s.empty {
		rows, err := h.ask("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", name)
		if err != nil {
			return false, s.check(err)
		}
		if *k = absent; len(rows) > 0 {
			*k = present
		}
	}
	return *k == present, nil
}

// The time of an alarm in JavaScript's milliseconds, at most.
var latestAlarm = time.Date(2190, 1, 1, 0, 0, 0, 0, time.UTC)
