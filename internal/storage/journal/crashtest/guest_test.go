package crashtest

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"golang.org/x/sys/unix"
	"zombiezen.com/go/sqlite"
)

// object is an object as a guest has it: a connection that commits, and the one
// of a keeper.
type object struct {
	t        testing.TB
	key      dormouse.Key
	seed     uint64
	engine   storage.Engine
	template []byte
	path     string
	answers  *sync.WaitGroup // that are outstanding

	main, keeper *sqlite.Conn
	life         int // how often it was deleted
	k            int // commits made in this life

	mu     sync.Mutex // guards the following
	acked  state      // what was promised
	latest int        // the commit that is being made, or was made last
	index  time.Time  // of alarms
	failed error      // a commit was refused
	going  bool       // it is being deleted: nothing is promised any more
}

func (o *object) promised() state {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.acked
}

func (o *object) broken() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed != nil
}

func (o *object) isOpen() bool { return o.main != nil }

// open opens the database, which it makes from the template if need be.
func (o *object) open() error {
	o.t.Helper()
	o.answers.Add(1)
	if err := o.engine.Open(o.key, storage.OtherProcess, o.ack(state{}, false)); err != nil {
		o.answers.Done()
		return err
	}
	if info, err := os.Stat(o.path); err != nil || info.Size() == 0 {
		o.create()
	}
	o.main, o.keeper = o.connect(), o.connect()
	o.pin() // opens the WAL
	sql(o.t, o.keeper, "COMMIT")
	o.life, o.k = o.read()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.latest, o.failed = o.k, nil
	return nil
}

func (o *object) create() {
	o.t.Helper()
	if err := os.MkdirAll(filepath.Dir(o.path), 0o700); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(o.path+".new", o.template, 0o600); err != nil {
		o.t.Fatal(err)
	}
	if err := os.Rename(o.path+".new", o.path); err != nil {
		o.t.Fatal(err)
	}
}

func (o *object) connect() *sqlite.Conn {
	o.t.Helper()
	conn, err := sqlite.OpenConn(o.path, sqlite.OpenReadWrite)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, q := range []string{"PRAGMA synchronous=OFF", "PRAGMA wal_autocheckpoint=0", "PRAGMA cache_size=8"} {
		sql(o.t, conn, q)
	}
	return conn
}

func (o *object) read() (life, k int) {
	o.t.Helper()
	life = o.life
	rows(o.t, o.main, "SELECT life, k FROM last", func(s *sqlite.Stmt) { life, k = s.ColumnInt(0), s.ColumnInt(1) })
	return life, k
}

// ack returns what is to be told about a commit.
func (o *object) ack(s state, commit bool) storage.Done {
	return func(_ storage.Bookmark, err error) {
		defer o.answers.Done()
		o.mu.Lock()
		defer o.mu.Unlock()
		if err != nil {
			o.failed = err
			return
		}
		if o.acked.before(s) && !o.going {
			o.acked = s
		}
		// The index of alarms moves later only after the commit.
		if commit && o.latest == s.k && o.acked == s && !o.index.Equal(alarmOf(s.k)) {
			o.wake(alarmOf(s.k))
		}
	}
}

func (o *object) wake(at time.Time) {
	o.index = at
	if err := o.engine.SetWake(o.key, storage.Wake{At: at}); err != nil {
		o.t.Error(err)
	}
}

// transact makes a commit without telling.
func (o *object) transact() {
	o.t.Helper()
	o.k++
	sql(o.t, o.main, "BEGIN")
	for _, s := range statements(o.seed, o.life, o.k) {
		sql(o.t, o.main, s.Query, s.Args...)
	}
	o.mu.Lock()
	o.latest = o.k
	// The index of alarms moves earlier before the commit.
	if at := alarmOf(o.k); !at.IsZero() && (o.index.IsZero() || at.Before(o.index)) {
		o.wake(at)
	}
	o.mu.Unlock()
	sql(o.t, o.main, "COMMIT")
}

// commit makes a commit and tells.
func (o *object) commit() {
	o.t.Helper()
	o.transact()
	o.answers.Add(1)
	if err := o.engine.Commit(o.key, o.ack(state{o.life, o.k}, true)); err != nil {
		o.answers.Done()
		o.mu.Lock()
		o.failed = err
		o.mu.Unlock()
	}
}

// spoil makes a transaction that is larger than the cache, and does not commit
// it: its frames are in the WAL, and the next ones overwrite them.
func (o *object) spoil() {
	o.t.Helper()
	sql(o.t, o.main, "BEGIN")
	sql(o.t, o.main, "INSERT INTO rows VALUES(-1, randomblob(200000))")
	sql(o.t, o.main, "UPDATE rows SET value=randomblob(500)")
	sql(o.t, o.main, "ROLLBACK")
}

// pin takes and holds a snapshot.
func (o *object) pin() {
	o.t.Helper()
	sql(o.t, o.keeper, "BEGIN")
	rows(o.t, o.keeper, "SELECT k FROM last", func(*sqlite.Stmt) {})
}

// checkpoint does what a keeper does. meanwhile is what the guest does between
// the steps.
func (o *object) checkpoint(meanwhile func()) {
	o.t.Helper()
	o.pin()
	defer sql(o.t, o.keeper, "COMMIT")
	meanwhile()
	ready := make(chan error, 1)
	if err := o.engine.Checkpoint(o.key, func(_ storage.Bookmark, err error) { ready <- err }); err != nil {
		return
	}
	meanwhile()
	if err := <-ready; err != nil {
		return
	}
	frames := 0
	mover := o.connect()
	rows(o.t, mover, "PRAGMA wal_checkpoint(PASSIVE)", func(s *sqlite.Stmt) { frames = max(0, s.ColumnInt(2)) })
	mover.Close()
	o.engine.Checkpointed(o.key, frames)
	meanwhile()
}

// close closes in the order that the contract asks for.
func (o *object) close() {
	o.t.Helper()
	o.main.Close()
	synced := make(chan error, 1)
	err := o.engine.Sync(o.key, func(_ storage.Bookmark, err error) { synced <- err })
	if err == nil {
		err = <-synced
	}
	o.main = o.keeper
	o.keeper = nil
	if err != nil {
		o.die()
		return
	}
	o.main.Close() // moves everything, and removes the WAL
	o.main = nil
	o.engine.Release(o.key)
}

// die leaves the files as the death of the guest does: the last close finds
// that somebody else has the database open, and so leaves everything.
func (o *object) die() {
	o.t.Helper()
	f, err := os.OpenFile(o.path, os.O_RDWR, 0)
	if err != nil {
		o.t.Fatal(err)
	}
	const sharedFirst, sharedSize = 0x40000002, 510 // of SQLite's locks
	lock := unix.Flock_t{Type: unix.F_RDLCK, Start: sharedFirst, Len: sharedSize}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		o.t.Fatal(err)
	}
	o.main.Close()
	if o.keeper != nil {
		o.keeper.Close()
	}
	f.Close()
	o.main, o.keeper = nil, nil
	o.engine.Release(o.key)
}

// remove deletes the object, which must not be open.
func (o *object) remove() error {
	o.mu.Lock()
	o.acked, o.going = state{o.life, 0}, true
	o.mu.Unlock()
	gone := make(chan error, 1)
	err := o.engine.Delete(o.key, func(_ storage.Bookmark, err error) { gone <- err })
	if err == nil {
		err = <-gone
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.going = false
	if err != nil {
		return err
	}
	o.life++
	o.k, o.latest = 0, 0
	o.acked = state{o.life, 0}
	return nil
}
