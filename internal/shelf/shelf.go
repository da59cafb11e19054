// Package shelf keeps what a KV namespace or an R2 bucket holds: a folder with
// an index, which is an SQLite database, and files that the index names. It
// knows transactions, files and what has to be on disk before somebody is told
// so, and never sees a key, a value or an HTTP request.
//
//	index.sqlite    the index
//	files/ab/ab…    files, under 32 random digits; never changed once they are there
//	open            who has it open: if that process was killed, files may be left over
//
// A file is on disk before a transaction names it, and goes after the
// transaction that no longer does. So a crash at any moment can only leave files
// that nothing names; the next one to open the shelf removes them.
package shelf

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// Names within a shelf.
const (
	IndexName   = "index.sqlite"
	FilesFolder = "files"
	openName    = "open"
	draftPrefix = ".new-" // of files that are being written
)

// Bounds. Whoever comes when all readers are busy, or the queue of writes is
// full, waits. A body that is open past maxOpen is refused.
const (
	readers    = 3
	maxQueue   = 256 // writes that wait
	maxBatch   = 64  // of them in one transaction
	maxOpen    = 1000
	syncEvery  = time.Second // the log, when commits do not wait for it
	cacheBytes = 1 << 20     // of each connection
)

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the store is closed")

// ErrBusy is returned when too many files are open.
var ErrBusy = fmt.Errorf("%d bodies are being read at once: read them to their end, or cancel them", maxOpen)

// Config says how a shelf is kept.
type Config struct {
	Folder string // made if it is not there
	Schema string // of the index, for a new one and again for each that is opened
	// Names lists the files that the index names.
	Names string // SQL with one column
	// Relaxed lets Write return before the index is on disk: a power cut may take
	// the last second. It never takes half of a write.
	Relaxed bool
}

// Shelf is safe for use by several goroutines.
type Shelf struct {
	cfg   Config
	root  *os.Root // the folder
	token string

	writer  *sqlite.Conn      // of run
	free    chan *sqlite.Conn // of readers
	queue   chan *write
	ended   chan struct{} // closed by Close
	running sync.WaitGroup

	mu     sync.Mutex // guards the following
	closed bool
	swept  bool            // no files are left over
	young  map[string]bool // files made during sweep, which must not take them; nil: it is over
	open   int             // files being read
	pins   int             // copies in progress
	unused []string        // files to be removed when there are none
	// Folders of files that are on disk; at most 256.
	durable map[string]bool
}

// write is a transaction on its way.
type write struct {
	do   func(*sqlite.Conn) error
	done chan error // has room for one
}

// Open opens a shelf, or makes it. One process at a time.
func Open(c Config) (_ *Shelf, err error) {
	if err := os.MkdirAll(filepath.Join(c.Folder, FilesFolder), 0o700); err != nil {
		return nil, err
	}
	s := &Shelf{cfg: c, token: random(), free: make(chan *sqlite.Conn, readers), queue: make(chan *write, maxQueue), ended: make(chan struct{}), durable: make(map[string]bool)}
	if s.root, err = os.OpenRoot(c.Folder); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.closeConns(len(s.free))
			s.root.Close()
		}
	}()
	if s.writer, err = s.connect(true); err != nil {
		return nil, err
	}
	for range readers {
		conn, err := s.connect(false)
		if err != nil {
			return nil, err
		}
		s.free <- conn
	}
	_, err = s.root.Stat(openName)
	s.swept = errors.Is(err, fs.ErrNotExist)
	if err := s.root.WriteFile(openName, []byte(s.token), 0o600); err != nil {
		return nil, err
	}
	// The folder may be new, and the one that it is in, too.
	for _, folder := range []string{c.Folder, filepath.Dir(c.Folder), filepath.Dir(filepath.Dir(c.Folder))} {
		if err := (disk.OS{}).SyncDir(folder); err != nil {
			return nil, err
		}
	}
	s.running.Go(s.run)
	if !s.swept {
		before := time.Now()
		s.young = make(map[string]bool)
		s.running.Go(func() { s.sweep(before) })
	}
	return s, nil
}

func random() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// connect opens the index.
func (s *Shelf) connect(write bool) (*sqlite.Conn, error) {
	path := filepath.Join(s.cfg.Folder, IndexName)
	flags := sqlite.OpenReadWrite | sqlite.OpenCreate | sqlite.OpenWAL
	if !write {
		flags = sqlite.OpenReadOnly
	}
	conn, err := sqlite.OpenConn(path, flags)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	conn.SetBlockOnBusy()
	if err := s.prepare(conn, write); err != nil {
		conn.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return conn, nil
}

func (s *Shelf) prepare(conn *sqlite.Conn, write bool) error {
	run := func(query string) error { return sqlitex.ExecuteTransient(conn, query, nil) }
	err := run(fmt.Sprintf("PRAGMA cache_size = -%d", cacheBytes>>10))
	if err != nil || !write {
		return err
	}
	if err := checkFormat(conn); err != nil {
		return err
	}
	level := "FULL"
	if s.cfg.Relaxed {
		level = "NORMAL"
	}
	return errors.Join(run("PRAGMA synchronous = "+level), run(fmt.Sprintf("PRAGMA user_version = %d", format)),
		sqlitex.ExecuteScript(conn, s.cfg.Schema, nil))
}

// format is the version of indexes.
const format = 1

// checkFormat refuses an index that a newer Dormouse has written.
func checkFormat(conn *sqlite.Conn) error {
	have := 0
	err := sqlitex.ExecuteTransient(conn, "PRAGMA user_version", &sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
		have = st.ColumnInt(0)
		return nil
	}})
	if err == nil && have > format {
		err = fmt.Errorf("it has format %d, this Dormouse reads %d; use the version that wrote it, or a newer one", have, format)
	}
	return err
}

// Close waits for what has begun.
func (s *Shelf) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return nil
	}
	close(s.ended)
	s.running.Wait()
	err := s.closeConns(readers)
	// Another process may have it open by now: after an upgrade.
	if token, bad := s.root.ReadFile(openName); bad == nil && string(token) == s.token && s.swept {
		s.root.Remove(openName)
	}
	return errors.Join(err, s.root.Close())
}

// closeConns closes n readers, and the writer last: it moves the log into the
// database.
func (s *Shelf) closeConns(n int) error {
	for range n {
		(<-s.free).Close()
	}
	if s.writer == nil {
		return nil
	}
	return s.writer.Close()
}

// Read runs a function that reads the index, as of one moment. It must not keep
// what it is given.
func (s *Shelf) Read(ctx context.Context, f func(*sqlite.Conn) error) (err error) {
	select {
	case <-s.ended:
		return ErrClosed
	default:
	}
	var conn *sqlite.Conn
	select {
	case conn = <-s.free:
	case <-s.ended:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	old := conn.SetInterrupt(ctx.Done())
	defer func() {
		conn.SetInterrupt(old)
		s.free <- conn
	}()
	defer sqlitex.Transaction(conn)(&err)
	return f(conn)
}

// Write runs a function that changes the index, and returns when that is
// durable. After an error of it, or of the commit, nothing of it has changed.
// Others may be in the same transaction.
func (s *Shelf) Write(ctx context.Context, f func(*sqlite.Conn) error) error {
	w := &write{do: f, done: make(chan error, 1)}
	select {
	case s.queue <- w:
	case <-s.ended:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-w.done:
		return err
	case <-s.ended:
	}
	// What was in the queue is finished; what came too late is not begun.
	s.running.Wait()
	select {
	case err := <-w.done:
		return err
	default:
		return ErrClosed
	}
}

// run commits what comes, several at once while one commit is waited for.
func (s *Shelf) run() {
	var tick <-chan time.Time
	if s.cfg.Relaxed {
		t := time.NewTicker(syncEvery)
		defer t.Stop()
		tick = t.C
	}
	dirty := false
	for {
		select {
		case w := <-s.queue:
			s.commit(s.batch(w))
			dirty = true
		case <-tick:
			if dirty {
				dirty = s.syncLog() != nil
			}
		case <-s.ended:
			for {
				select {
				case w := <-s.queue:
					s.commit(s.batch(w))
				default:
					return // the connection that is closed last syncs
				}
			}
		}
	}
}

// syncLog has what was committed without waiting reach the disk.
func (s *Shelf) syncLog() error {
	f, err := s.root.Open(IndexName + "-wal") // SQLite has no locks on it that would go
	if err != nil {
		return err
	}
	defer f.Close()
	return disk.Sync(f)
}

func (s *Shelf) batch(first *write) []*write {
	list := []*write{first}
	for len(list) < maxBatch {
		select {
		case w := <-s.queue:
			list = append(list, w)
		default:
			return list
		}
	}
	return list
}

// commit runs a batch as one transaction. One that fails is left out.
func (s *Shelf) commit(list []*write) {
	conn := s.writer
	errs := make([]error, len(list))
	err := func() (err error) {
		end, err := sqlitex.ImmediateTransaction(conn)
		if err != nil {
			return err
		}
		defer end(&err)
		for i, w := range list {
			errs[i] = func() (err error) {
				defer sqlitex.Save(conn)(&err)
				return w.do(conn)
			}()
		}
		return nil
	}()
	for i, w := range list {
		if errs[i] == nil {
			errs[i] = err
		}
		w.done <- errs[i]
	}
}

// Remove takes files away that no transaction names any more. One that is being
// read can be read to its end.
func (s *Shelf) Remove(names ...string) {
	s.mu.Lock()
	if s.pins > 0 {
		s.unused = append(s.unused, names...)
		names = nil
	}
	s.mu.Unlock()
	for _, n := range names {
		s.root.Remove(place(n)) // what stays is found by the next sweep
	}
}

// Pin keeps every file that the index names now, until release is called: for
// whoever copies all of it.
func (s *Shelf) Pin() (release func()) {
	s.mu.Lock()
	s.pins++
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		s.pins--
		var names []string
		if s.pins == 0 {
			names, s.unused = s.unused, nil
		}
		s.mu.Unlock()
		s.Remove(names...)
	}
}

// place is where a file lies. Names come from random and nowhere else; others
// are refused by whoever reads one from outside: see IsName.
func place(name string) string { return filepath.Join(FilesFolder, name[:2], name) }

// IsName says whether a text can be the name of a file.
func IsName(name string) bool {
	b, err := hex.DecodeString(name)
	return err == nil && len(b) == 16 && name == strings.ToLower(name)
}

// sweep removes files that were left over when the last process was killed.
// What this one makes meanwhile is known by name: the times of files come from a
// coarser clock than before does, and are up to a tick of the kernel behind it.
// What is newer than before may be of another process, which has not ended yet
// when an upgrade begins this one.
func (s *Shelf) sweep(before time.Time) {
	defer func() {
		s.mu.Lock()
		s.young = nil
		s.mu.Unlock()
	}()
	used := make(map[string]bool)
	err := s.Read(context.Background(), func(conn *sqlite.Conn) error {
		return sqlitex.Execute(conn, s.cfg.Names, &sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
			used[st.ColumnText(0)] = true
			return nil
		}})
	})
	if err != nil {
		return // the next process tries again
	}
	fs.WalkDir(s.root.FS(), FilesFolder, func(path string, d fs.DirEntry, err error) error {
		select {
		case <-s.ended:
			return fs.SkipAll
		default:
		}
		if err != nil || d.IsDir() || used[d.Name()] || s.isYoung(d.Name()) {
			return nil
		}
		if i, err := d.Info(); err == nil && i.ModTime().Before(before) {
			s.root.Remove(path)
		}
		return nil
	})
	select {
	case <-s.ended: // perhaps before the end
	default:
		s.mu.Lock()
		s.swept = true
		s.mu.Unlock()
	}
}

// isYoung says whether a file, in its place or still a draft, was made during
// sweep.
func (s *Shelf) isYoung(file string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.young[strings.TrimPrefix(file, draftPrefix)]
}
