package journal_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/wal/waltest"
)

const namespace = dormouse.Namespace("test-Object")

const (
	pageSize  = 4096
	frameSize = pageSize + 24
	pages     = 4 // of a database
)

// writer is an object whose guest only appends to its WAL: one page a commit,
// as a small INSERT does. That is much cheaper than SQLite, and puts into a
// WAL what a test wants to have there.
type writer struct {
	key   dormouse.Key
	path  string
	wal   *os.File
	log   *waltest.Writer
	end   int64
	n     uint32 // commits; page n%4 holds the number of the last one to it
	salt  uint32
	frame []byte
	full  atomic.Bool     // a checkpoint is wanted
	took  []time.Duration // in benchmarks
}

func key(i int) dormouse.Key {
	return dormouse.Key{Namespace: namespace, ID: namespace.IDFromName(fmt.Sprint(i))}
}

func newWriter(t testing.TB, data string, i int) *writer {
	t.Helper()
	w := &writer{key: key(i)}
	w.path = storage.Path(data, w.key)
	if err := os.MkdirAll(filepath.Dir(w.path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path, make([]byte, pages*pageSize), 0o600); err != nil {
		t.Fatal(err)
	}
	w.create(t)
	t.Cleanup(func() { w.wal.Close() })
	return w
}

// create makes a new WAL, as the first connection does.
func (w *writer) create(t testing.TB) {
	t.Helper()
	if w.wal != nil {
		w.wal.Close()
	}
	f, err := os.Create(w.path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	w.wal = f
	w.restart(t)
}

// restart begins another generation, as SQLite does after a checkpoint.
func (w *writer) restart(t testing.TB) {
	t.Helper()
	w.salt++
	log, header := waltest.New(pageSize, w.salt, [8]byte(binary.BigEndian.AppendUint64(nil, uint64(w.salt)<<32|uint64(w.key.ID[0]))))
	w.log, w.end = log, 0
	w.append(t, header)
}

func (w *writer) append(t testing.TB, b []byte) {
	t.Helper()
	if _, err := w.wal.WriteAt(b, w.end); err != nil {
		t.Fatal(err)
	}
	w.end += int64(len(b))
}

// commit commits a transaction that changes one page.
func (w *writer) commit(t testing.TB) {
	t.Helper()
	w.n++
	w.frame = w.log.AppendFrame(w.frame[:0], w.n%pages+1, pages, page(w.n))
	w.append(t, w.frame)
}

// transaction appends frames of which only the last one ends a commit, if
// any does.
func (w *writer) transaction(t testing.TB, frames int, commit bool) {
	t.Helper()
	w.n++
	w.frame = w.frame[:0]
	for i := range frames {
		size := uint32(0)
		if commit && i == frames-1 {
			size = pages
		}
		w.frame = w.log.AppendFrame(w.frame, w.n%pages+1, size, page(w.n))
	}
	w.append(t, w.frame)
}

func page(n uint32) []byte {
	p := make([]byte, pageSize)
	binary.BigEndian.PutUint32(p, n)
	binary.BigEndian.PutUint32(p[pageSize-4:], n)
	return p
}

// frames is the number of frames in the WAL.
func (w *writer) frames() int { return int(w.end) / frameSize }

// checkpoint does what a keeper does.
func (w *writer) checkpoint(t testing.TB, e storage.Engine) {
	t.Helper()
	w.full.Store(false)
	wait(t, func(done storage.Done) error { return e.Checkpoint(w.key, done) })
	for n := w.n - min(w.n, pages-1); n <= w.n; n++ {
		w.writePage(t, n)
	}
	e.Checkpointed(w.key, w.frames())
	w.restart(t)
}

func (w *writer) writePage(t testing.TB, n uint32) {
	t.Helper()
	db, err := os.OpenFile(w.path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.WriteAt(page(n), int64(n%pages)*pageSize); err != nil {
		t.Fatal(err)
	}
}

// last returns the highest commit that a database holds, after looking whether
// it holds all before it too.
func last(t testing.TB, path string) uint32 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil || len(b) != pages*pageSize {
		t.Fatalf("database of %d bytes: %v", len(b), err)
	}
	var got [pages]uint32
	highest := uint32(0)
	for i := range got {
		got[i] = binary.BigEndian.Uint32(b[i*pageSize:])
		highest = max(highest, got[i])
	}
	for n := highest; n > 0 && n+pages > highest; n-- {
		if got[n%pages] != n {
			t.Fatalf("pages hold %d: not a prefix", got)
		}
	}
	return highest
}

// wait makes a request and waits for its answer, which must be good.
func wait(t testing.TB, request func(storage.Done) error) storage.Bookmark {
	t.Helper()
	mark, err := try(request)
	if err != nil {
		t.Fatal(err)
	}
	return mark
}

// try makes a request and waits for its answer.
func try(request func(storage.Done) error) (storage.Bookmark, error) {
	type answer struct {
		mark storage.Bookmark
		err  error
	}
	answers := make(chan answer, 1)
	if err := request(func(m storage.Bookmark, err error) { answers <- answer{m, err} }); err != nil {
		return storage.Bookmark{}, err
	}
	a := <-answers
	return a.mark, a.err
}

func open(t testing.TB, e storage.Engine, w *writer) {
	t.Helper()
	wait(t, func(done storage.Done) error { return e.Open(w.key, storage.OtherProcess, done) })
}

func (w *writer) durably(e storage.Engine) error {
	_, err := try(func(done storage.Done) error { return e.Commit(w.key, done) })
	return err
}
