package sqlitestore

import (
	"bytes"
	"container/list"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
)

// state of a handle.
type state uint8

const (
	inUse state = iota
	atRest
	ending
)

// handle is an open database.
type handle struct {
	// Set once.
	key  dormouse.Key
	path string // empty: in memory

	// Guarded by Stores.mu.
	state   state
	element *list.Element // in Stores.resting
	gone    chan struct{} // closed when it is nobody's, or no more

	crowded atomic.Bool // the WAL is to be moved into the database

	// Owned by the one who has it.
	conn    *sqlite.Conn
	opened  bool // the engine knows it
	free    map[string]*stmt
	busy    map[*stmt]struct{}
	trusted bool     // statements are our own
	effects *effects // of the statement that is being compiled; nil: none is
	altered bool     // the author has changed the connection, which must not outlive the instance
}

const (
	busyTimeout = 5 * time.Second
	maxFree     = 64 // statements that are kept compiled
	rowBytes    = 2_200_000
)

// setup is run on each connection. The host makes commits durable, and moves the
// WAL into the database.
var setup = []string{"PRAGMA synchronous=OFF", "PRAGMA wal_autocheckpoint=0", "PRAGMA cache_size=-1024", "PRAGMA foreign_keys=ON"}

// The limits of Cloudflare's "SQLite-backed Durable Object Storage".
var sqlLimits = map[sqlite.Limit]int32{
	sqlite.LimitLength: rowBytes, sqlite.LimitSQLLength: 100_000, sqlite.LimitColumn: 100, sqlite.LimitExprDepth: 100,
	sqlite.LimitCompoundSelect: 5, sqlite.LimitFunctionArg: 127, sqlite.LimitAttached: 0,
	sqlite.LimitLikePatternLength: 50, sqlite.LimitVariableNumber: 100, sqlite.LimitTriggerDepth: 10,
}

// open opens the database. false: there is none, and create is false. After an
// error it is to be ended.
func (h *handle) open(e Engine, create bool) (bool, error) {
	there, err := exists(h.path)
	if err != nil || !there && !create {
		return false, err
	}
	if e != nil {
		// What the WAL holds is durable before anybody sees it.
		if err := wait(func(d storage.Done) error { return e.Open(h.key, storage.SameProcess, d) }); err != nil {
			if !errors.Is(err, storage.ErrBusy) {
				e.Release(h.key)
			}
			return false, err
		}
		h.opened = true
	}
	return true, h.connect(!there)
}

func (h *handle) connect(create bool) (err error) {
	path, flags := h.path, sqlite.OpenReadWrite
	if path == "" {
		path, flags = ":memory:", sqlite.OpenReadWrite|sqlite.OpenCreate|sqlite.OpenMemory
	} else if create {
		if err := createDatabase(path); err != nil {
			return err
		}
	}
	if h.conn, err = sqlite.OpenConn(path, flags); err != nil {
		h.conn = nil
		return err
	}
	h.free, h.busy = make(map[string]*stmt), make(map[*stmt]struct{})
	h.conn.SetBusyTimeout(busyTimeout)
	h.trusted = true
	if err := h.conn.SetAuthorizer(sqlite.AuthorizeFunc(h.authorize)); err != nil {
		return err
	}
	for _, q := range setup {
		if _, err := h.ask(q); err != nil {
			return err
		}
	}
	for id, n := range sqlLimits {
		h.conn.Limit(id, n)
	}
	return h.conn.SetDefensive(true)
}

// end closes the database, after the engine has let everything in its WAL be
// moved: the last close of a connection does that. If that cannot be had
// the connection stays open, and end returns false: the WAL is for the next one
// to open.
func (h *handle) end(e Engine) bool {
	if h.opened && wait(func(d storage.Done) error { return e.Checkpoint(h.key, d) }) != nil {
		return h.conn == nil
	}
	if h.conn != nil {
		h.finalize()
		h.conn.Close()
	}
	if h.opened {
		e.Release(h.key)
	}
	return true
}

// checkpoint moves the WAL into the database, if the engine wants it. Between
// transactions.
func (h *handle) checkpoint(e Engine) error {
	if !h.opened || !h.crowded.Swap(false) {
		return nil
	}
	// Nothing is written meanwhile, so no snapshot is needed.
	if err := wait(func(d storage.Done) error { return e.Checkpoint(h.key, d) }); err != nil {
		return err
	}
	rows, err := h.ask("PRAGMA wal_checkpoint(PASSIVE)")
	frames := 0
	if err == nil && len(rows) == 1 {
		n, _ := rows[0][2].(int64)
		frames = int(n)
	}
	e.Checkpointed(h.key, frames)
	return err
}

// wait does something that the engine answers later.
func wait(begin func(storage.Done) error) error {
	done := make(chan error, 1)
	if err := begin(func(_ storage.Bookmark, err error) { done <- err }); err != nil {
		return err
	}
	return <-done
}

// quiet says whether nothing of an instance is left in the handle.
func (h *handle) quiet() bool { return len(h.busy) == 0 && h.conn.AutocommitEnabled() }

// exists says whether there is a database. A file that is smaller than a new
// database was never committed to; nor was one of just that size without a
// header, which is what a power cut may leave of a new one.
func exists(path string) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s is not a file", filepath.Base(path))
	}
	empty, err := template()
	if err != nil || info.Size() != int64(len(empty)) {
		return info.Size() > int64(len(empty)), err
	}
	// No lock of SQLite's is lost by the close: the database is not open.
	is, err := os.ReadFile(path)
	return bytes.HasPrefix(is, empty[:16]), err
}

// createDatabase makes an empty database: a copy under another name, renamed
// when it is whole.
func createDatabase(path string) error {
	empty, err := template()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	// Of a database that was never committed to, or whose making was cut short.
	for _, end := range []string{"-wal", "-shm", ".new"} {
		if err := os.Remove(path + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.WriteFile(path+".new", empty, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// template returns the bytes of a database without tables, in WAL mode already,
// since entering it would sync.
var template = sync.OnceValues(func() ([]byte, error) {
	conn, err := sqlite.OpenConn(":memory:", sqlite.OpenReadWrite, sqlite.OpenCreate, sqlite.OpenMemory)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for _, q := range []string{"PRAGMA page_size=4096", "CREATE TABLE t (a)", "DROP TABLE t", "VACUUM"} {
		s, _, err := conn.PrepareTransient(q)
		if err != nil {
			return nil, err
		}
		_, err = s.Step()
		s.Finalize()
		if err != nil {
			return nil, err
		}
	}
	b, err := conn.Serialize("main")
	if err != nil {
		return nil, err
	}
	// https://www.sqlite.org/fileformat2.html#file_format_version_numbers
	b[18], b[19] = 2, 2
	return b, nil
})
