package journal_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk/disktest"
	"github.com/dormouse-dev/dormouse/internal/storage/journal"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hooks is a file system whose calls a test can hold up, count and let fail.
type hooks struct {
	*disktest.Recorder
	mu sync.Mutex
	f  func(op, name string) error
}

func newHooks(t testing.TB, data string) *hooks {
	h := &hooks{Recorder: disktest.New(t, data)}
	h.Before = func(op, name string) error {
		h.mu.Lock()
		f := h.f
		h.mu.Unlock()
		if f == nil {
			return nil
		}
		return f(op, name)
	}
	return h
}

func (h *hooks) set(f func(op, name string) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.f = f
}

func isSegment(name string) bool {
	return strings.HasPrefix(name, "journal/") && strings.HasSuffix(name, ".log")
}

// start opens an engine with small segments on a recorded folder.
func start(t testing.TB, data string, opts journal.Options) (*journal.Engine, *hooks) {
	t.Helper()
	h := newHooks(t, data)
	opts.Disk = h
	if opts.SegmentBytes == 0 {
		opts.SegmentBytes = 512 << 10
	}
	if opts.RestDelay == 0 {
		opts.RestDelay = time.Millisecond
	}
	e, _, err := journal.Open(data, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e, h
}

// cut returns a folder as a power cut would leave it now, after recovery.
func cut(t testing.TB, h *hooks) string {
	t.Helper()
	to := t.TempDir()
	if err := h.Cut(to, rand.New(rand.NewPCG(1, 2))); err != nil {
		t.Fatal(err)
	}
	recovered(t, to)
	return to
}

// recovered opens and closes an engine on the folder.
func recovered(t testing.TB, data string) journal.Recovery {
	t.Helper()
	e, r, err := journal.Open(data, journal.Options{SegmentBytes: 512 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCommitIsConfirmedAfterTheSync(t *testing.T) {
	data := t.TempDir()
	e, h := start(t, data, journal.Options{})
	w := newWriter(t, data, 1)
	open(t, e, w)

	syncing, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	h.set(func(op, name string) error {
		if op == "Sync" && isSegment(name) {
			once.Do(func() { close(syncing); <-goOn })
		}
		return nil
	})
	w.commit(t)
	var confirmed atomic.Bool
	done := make(chan struct{})
	if err := e.Commit(w.key, func(storage.Bookmark, error) { confirmed.Store(true); close(done) }); err != nil {
		t.Fatal(err)
	}
	<-syncing
	if confirmed.Load() {
		t.Error("confirmed before the sync")
	}
	close(goOn)
	<-done
	if got := last(t, storage.Path(cut(t, h), w.key)); got != 1 {
		t.Errorf("after a power cut: got commit %d, want 1", got)
	}
}

// What arrives while a sync runs is confirmed by the next one, for all objects
// and in order for each.
func TestOneSyncConfirmsManyCommits(t *testing.T) {
	data := t.TempDir()
	var together atomic.Int32
	e, h := start(t, data, journal.Options{SegmentBytes: 8 << 20, Observe: func(w journal.Write) {
		together.Store(max(together.Load(), int32(w.Answers)))
	}})
	var writers []*writer
	for i := range 20 {
		w := newWriter(t, data, i)
		open(t, e, w)
		writers = append(writers, w)
	}
	hold, held := make(chan struct{}), make(chan struct{})
	var syncs atomic.Int32
	h.set(func(op, name string) error {
		if op == "Sync" && isSegment(name) && syncs.Add(1) == 1 {
			close(held)
			<-hold
		}
		return nil
	})
	var mu sync.Mutex
	order := make(map[dormouse.Key][]int)
	var marks []storage.Bookmark
	var left sync.WaitGroup
	commit := func(w *writer, n int) {
		w.commit(t)
		left.Add(1)
		err := e.Commit(w.key, func(m storage.Bookmark, err error) {
			defer left.Done()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			order[w.key] = append(order[w.key], n)
			marks = append(marks, m)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	commit(writers[0], 0)
	<-held
	for n := 1; n <= 5; n++ {
		for _, w := range writers {
			commit(w, n)
		}
	}
	close(hold)
	left.Wait()
	// Of a write is told after its answers were given.
	for deadline := time.Now().Add(30 * time.Second); together.Load() < 10 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if n := together.Load(); n < 10 {
		t.Errorf("at most %d of 101 commits were confirmed together, in %d syncs", n, syncs.Load())
	}
	for key, got := range order {
		for i := range got[1:] {
			if got[i] >= got[i+1] {
				t.Errorf("object %s: confirmed in order %d", key, got)
			}
		}
	}
	for i := range marks[1:] {
		if marks[i].Compare(marks[i+1]) > 0 {
			t.Errorf("bookmarks: %v before %v", marks[i], marks[i+1])
		}
	}
}

func TestRequestsAreRefused(t *testing.T) {
	data := t.TempDir()
	e, h := start(t, data, journal.Options{})
	w := newWriter(t, data, 1)
	none := func(storage.Bookmark, error) { t.Error("answered what was refused") }
	want := func(what string, got, want error) {
		t.Helper()
		if !errors.Is(got, want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	want("commit before open", e.Commit(w.key, none), storage.ErrNotOpen)
	open(t, e, w)
	open(t, e, w)
	e.Release(w.key)
	want("delete of an object that is open still", e.Delete(w.key, none), storage.ErrBusy)
	want("move of an open object", e.Move(namespace, "other", none), storage.ErrBusy)
	e.Release(w.key)
	e.Release(w.key)
	want("sync after release", e.Sync(w.key, none), storage.ErrNotOpen)
	if err := e.Open(dormouse.Key{Namespace: dormouse.Namespace(strings.Repeat("x", 300))}, storage.OtherProcess, none); err == nil {
		t.Error("a namespace whose folder's name is too long was accepted")
	}
	_, _, err := journal.Open(data, journal.Options{Disk: h})
	want("second engine", err, storage.ErrLocked)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	want("open after close", e.Open(w.key, storage.OtherProcess, none), storage.ErrClosed)
	want("commit after close", e.Commit(w.key, none), storage.ErrClosed)
	want("delete after close", e.Delete(w.key, none), storage.ErrClosed)
	want("wake after close", e.SetWake(w.key, storage.Wake{}), storage.ErrClosed)
	want("second close", e.Close(), storage.ErrClosed)
}

// A full disk refuses what waits, and when there is room again the next commit
// takes everything with it.
func TestFullDiskRefusesAndRecovers(t *testing.T) {
	data := t.TempDir()
	e, h := start(t, data, journal.Options{})
	a, b := newWriter(t, data, 1), newWriter(t, data, 2)
	open(t, e, a)
	open(t, e, b)
	a.commit(t)
	if err := a.durably(e); err != nil {
		t.Fatal(err)
	}
	h.set(func(op, name string) error {
		if op == "WriteAt" && strings.HasPrefix(name, "journal/") {
			return &os.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
		}
		return nil
	})
	for _, w := range []*writer{a, b} {
		w.commit(t)
		if err := w.durably(e); !errors.Is(err, storage.ErrJournal) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("on a full disk: got %v, want ErrJournal because of ENOSPC", err)
		}
	}
	h.set(nil)
	a.commit(t)
	if err := a.durably(e); err != nil {
		t.Fatal(err)
	}
	wait(t, func(done storage.Done) error { return e.Sync(b.key, done) })
	to := cut(t, h)
	if got := last(t, storage.Path(to, a.key)); got != 3 {
		t.Errorf("after a power cut: got commit %d, want 3", got)
	}
	if got := last(t, storage.Path(to, b.key)); got != 1 {
		t.Errorf("after a power cut: got commit %d of the other, want 1", got)
	}
}

// A disk without room for a segment of the size that is due has a smaller one.
func TestNearlyFullDiskHasASmallerSegment(t *testing.T) {
	data := t.TempDir()
	e, h := start(t, data, journal.Options{SegmentBytes: 16 << 20})
	w := newWriter(t, data, 1)
	open(t, e, w)
	w.commit(t)
	if err := w.durably(e); err != nil {
		t.Fatal(err)
	}
	var full, tried atomic.Int32
	var spoil atomic.Bool // the segment, so that the next one is due
	h.set(func(op, name string) error {
		switch {
		case op == "Sync" && isSegment(name) && spoil.CompareAndSwap(true, false):
			return &os.PathError{Op: "fdatasync", Path: name, Err: syscall.EIO}
		case op == "Allocate" && tried.Add(1) <= full.Load():
			return &os.PathError{Op: "fallocate", Path: name, Err: syscall.ENOSPC}
		}
		return nil
	})
	full.Store(1) // no room for 8 MiB
	spoil.Store(true)
	w.commit(t)
	if err := w.durably(e); err != nil {
		t.Errorf("with room for 4 MiB, where 8 are due: %v", err)
	}
	if got := tried.Load(); got != 2 {
		t.Errorf("tried %d sizes, want 2", got)
	}

	tried.Store(0)
	full.Store(1000)
	spoil.Store(true)
	w.commit(t)
	if err := w.durably(e); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("with no room at all: got %v, want ENOSPC", err)
	}
	full.Store(0)
	w.commit(t)
	if err := w.durably(e); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if got, want := last(t, storage.Path(cut(t, h), w.key)), uint32(4); got != want {
		t.Errorf("after a power cut: got commit %d, want %d", got, want)
	}
}

// A segment leaves half of what is free to others: an object whose database
// could not grow by a page could not be opened.
func TestSegmentTakesHalfOfWhatIsFree(t *testing.T) {
	data := t.TempDir()
	e, h := start(t, data, journal.Options{SegmentBytes: 16 << 20})
	w := newWriter(t, data, 1)
	open(t, e, w)
	sizes := func() (list []int64) {
		for _, path := range segments(t, data) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, info.Size()>>20)
		}
		return list
	}
	var spoil atomic.Bool // the segment, so that the next one is due
	h.set(func(op, name string) error {
		if op == "Sync" && isSegment(name) && spoil.CompareAndSwap(true, false) {
			return &os.PathError{Op: "fdatasync", Path: name, Err: syscall.EIO}
		}
		return nil
	})
	for _, c := range []struct{ free, size int64 }{{9 << 20, 4}, {12 << 20, 6}, {1 << 30, 12}, {1, 4}} {
		h.Space.Store(c.free)
		spoil.Store(true)
		w.commit(t)
		if err := w.durably(e); err != nil {
			t.Fatal(err)
		}
		if list := sizes(); list[len(list)-1] != c.size {
			t.Errorf("with %d bytes free the journal's segments have %d MiB, the last one should have %d", c.free, list, c.size)
		}
	}
}

// After a failed sync nobody knows what of the file is on disk, even when a
// later sync succeeds. The recorder keeps nothing of what failed, so a journal
// that went on in the same file would be found torn.
func TestFailedSyncIsNotTrustedAgain(t *testing.T) {
	data := t.TempDir()
	e, h := start(t, data, journal.Options{})
	w := newWriter(t, data, 1)
	open(t, e, w)
	for round := range 3 {
		w.commit(t)
		if err := w.durably(e); err != nil {
			t.Fatal(err)
		}
		var failed atomic.Value
		h.set(func(op, name string) error {
			if op == "Sync" && isSegment(name) && failed.CompareAndSwap(nil, name) {
				return &os.PathError{Op: "fdatasync", Path: name, Err: syscall.EIO}
			}
			if op == "Sync" && failed.Load() == name {
				t.Errorf("%s was synced again after it had failed", name)
			}
			return nil
		})
		w.commit(t)
		if err := w.durably(e); err != nil {
			t.Errorf("round %d: got %v; another segment would have done", round, err)
		}
		if failed.Load() == nil {
			t.Fatal("no sync was made to fail")
		}
		if got := last(t, storage.Path(cut(t, h), w.key)); got != w.n {
			t.Errorf("after a power cut: got commit %d, want %d", got, w.n)
		}
	}
}

// That a WAL is missing is no damage when the last close has removed it, so only
// a commit that cannot be found in it is an error.
func TestMissingWALFailsTheCommit(t *testing.T) {
	data := t.TempDir()
	e, _ := start(t, data, journal.Options{})
	w := newWriter(t, data, 1)
	if err := os.Remove(w.path + "-wal"); err != nil {
		t.Fatal(err)
	}
	open(t, e, w)
	if err := w.durably(e); !errors.Is(err, storage.ErrDamaged) {
		t.Errorf("got %v, want ErrDamaged", err)
	}
}

func TestDamagedWALFailsItsObjectOnly(t *testing.T) {
	damages := map[string]func(w *writer) error{
		"truncated": func(w *writer) error { return w.wal.Truncate(frameSize) },
		"emptied":   func(w *writer) error { return w.wal.Truncate(0) },
		"header": func(w *writer) error {
			_, err := w.wal.WriteAt([]byte("not a header"), 0)
			return err
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			e, _ := start(t, data, journal.Options{})
			w, other := newWriter(t, data, 1), newWriter(t, data, 2)
			open(t, e, w)
			open(t, e, other)
			for range 3 {
				w.commit(t)
			}
			if err := w.durably(e); err != nil {
				t.Fatal(err)
			}
			if err := damage(w); err != nil {
				t.Fatal(err)
			}
			if err := w.durably(e); !errors.Is(err, storage.ErrDamaged) {
				t.Errorf("got %v, want ErrDamaged", err)
			}
			other.commit(t)
			if err := other.durably(e); err != nil {
				t.Errorf("the other object: %v", err)
			}
			// What was confirmed is in the journal, and comes back from there.
			e.Release(w.key)
			reopen(t, e, w)
			e.Release(w.key)
			e.Release(other.key)
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			if got := last(t, w.path); got != 3 {
				t.Errorf("got commit %d, want 3", got)
			}
		})
	}
}

// reopen opens a released object as soon as its files are in order.
func reopen(t testing.TB, e storage.Engine, w *writer) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, err := os.Stat(w.path + "-wal")
		if errors.Is(err, os.ErrNotExist) {
			if _, err = try(func(done storage.Done) error { return e.Open(w.key, storage.OtherProcess, done) }); err == nil {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("object does not come to rest: %v", err)
		}
		time.Sleep(time.Millisecond)
	}
}

// A database that cannot be synced is not to be trusted. Its object fails until
// it has been written again from the journal.
func TestDatabaseThatCannotBeSynced(t *testing.T) {
	data := t.TempDir()
	e, h := start(t, data, journal.Options{})
	w := newWriter(t, data, 1)
	open(t, e, w)
	for range 5 {
		w.commit(t)
	}
	if err := w.durably(e); err != nil {
		t.Fatal(err)
	}
	failing := make(chan struct{}, 100)
	h.set(func(op, name string) error {
		if op == "Sync" && strings.HasSuffix(name, ".sqlite") {
			failing <- struct{}{}
			return &os.PathError{Op: "fdatasync", Path: name, Err: syscall.EIO}
		}
		return nil
	})
	w.checkpoint(t, e)
	<-failing
	for {
		w.commit(t)
		err := w.durably(e)
		if errors.Is(err, storage.ErrDamaged) && errors.Is(err, syscall.EIO) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	e.Release(w.key)
	<-failing // it has tried to mend it
	if err := e.Open(w.key, storage.OtherProcess, nil); !errors.Is(err, storage.ErrDamaged) {
		t.Errorf("open: got %v, want ErrDamaged", err)
	}
	h.set(nil)
	reopen(t, e, w)
	if got := last(t, w.path); got < 5 {
		t.Errorf("got commit %d, want at least 5", got)
	}
}

func TestJournalIsCutBehindCheckpoints(t *testing.T) {
	data := t.TempDir()
	var writers [3]*writer
	byKey := make(map[dormouse.Key]*writer)
	e, h := start(t, data, journal.Options{
		Budget:          2 << 20,
		CheckpointBytes: 200 << 10,
		NeedCheckpoint:  func(key dormouse.Key) { byKey[key].full.Store(true) },
	})
	for i := range writers {
		writers[i] = newWriter(t, data, i)
		byKey[writers[i].key] = writers[i]
		open(t, e, writers[i])
	}
	// The third one makes a single commit. It must not hold the journal.
	writers[2].commit(t)
	if err := writers[2].durably(e); err != nil {
		t.Fatal(err)
	}
	checkpoints := 0
	for n := range 3000 {
		w := writers[n%2]
		w.commit(t)
		if err := w.durably(e); err != nil {
			t.Fatal(err)
		}
		for _, w := range writers {
			if w.full.Load() {
				w.checkpoint(t, e)
				checkpoints++
			}
		}
	}
	if checkpoints < 20 || checkpoints > 500 {
		t.Errorf("%d checkpoints for 12 MB of frames", checkpoints)
	}
	if got := journalSize(t, data); got > 4<<20 {
		t.Errorf("the journal has %d bytes, its budget is 2 MiB", got)
	}
	to := cut(t, h)
	for _, w := range writers {
		if got := last(t, storage.Path(to, w.key)); got != w.n {
			t.Errorf("after a power cut: got commit %d, want %d", got, w.n)
		}
	}
}

func journalSize(t testing.TB, data string) (size int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, storage.JournalFolder, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			size += info.Size()
		}
	}
	return size
}

// After an orderly stop every database is whole without the journal, and the
// journal is short.
func TestCloseLeavesWholeDatabases(t *testing.T) {
	data := t.TempDir()
	e, h := start(t, data, journal.Options{})
	var writers []*writer
	for i := range 60 { // enough for one sync of everything
		w := newWriter(t, data, i)
		open(t, e, w)
		for range i % 7 {
			w.commit(t)
		}
		if err := w.durably(e); err != nil {
			t.Fatal(err)
		}
		writers = append(writers, w)
	}
	for _, w := range writers {
		e.Release(w.key)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if err := h.Cut(to, rand.New(rand.NewPCG(3, 4))); err != nil {
		t.Fatal(err)
	}
	for _, w := range writers {
		if got := last(t, storage.Path(to, w.key)); got != w.n {
			t.Errorf("got commit %d, want %d", got, w.n)
		}
		if _, err := os.Stat(storage.Path(to, w.key) + "-wal"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the WAL is still there: %v", err)
		}
	}
	if r := recovered(t, to); r.Objects != 0 {
		t.Errorf("%d objects had to be recovered", r.Objects)
	}
}

// A transaction that takes many steps does not keep others waiting.
func TestLargeTransactionLetsOthersPass(t *testing.T) {
	data := t.TempDir()
	e, h := start(t, data, journal.Options{SegmentBytes: 4 << 20, Budget: 64 << 20})
	big, small := newWriter(t, data, 1), newWriter(t, data, 2)
	open(t, e, big)
	open(t, e, small)
	big.transaction(t, 5000, true) // 20 MB
	done := make(chan error, 1)
	if err := e.Commit(big.key, func(_ storage.Bookmark, err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	passed := 0
	for finished := false; !finished; {
		small.commit(t)
		if err := small.durably(e); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			finished = true
		default:
			passed++
		}
	}
	if passed < 5 {
		t.Errorf("only %d small commits passed a large one", passed)
	}
	if got := last(t, storage.Path(cut(t, h), big.key)); got != 1 {
		t.Errorf("after a power cut: got commit %d, want 1", got)
	}
}

// A transaction larger than a step is looked through before its end is known.
// If it is rolled back, the next one lies in front of where the search was. A
// commit was once confirmed here without being in the journal.
func TestCommitOverARolledBackTransaction(t *testing.T) {
	for round := range 20 {
		data := t.TempDir()
		e, h := start(t, data, journal.Options{})
		w := newWriter(t, data, 1)
		open(t, e, w)
		w.commit(t)
		if err := w.durably(e); err != nil {
			t.Fatal(err)
		}
		end, log := w.end, *w.log
		w.transaction(t, 200, false)
		var left sync.WaitGroup
		left.Add(1)
		if err := e.Commit(w.key, func(storage.Bookmark, error) { left.Done() }); err != nil {
			t.Fatal(err)
		}
		if round%2 == 0 {
			left.Wait()
		}
		w.end, *w.log, w.n = end, log, w.n-1 // rolled back
		w.commit(t)
		if err := w.durably(e); err != nil {
			t.Fatal(err)
		}
		left.Wait()
		if got := last(t, storage.Path(cut(t, h), w.key)); got != 2 {
			t.Fatalf("round %d, after a power cut: got commit %d, want 2", round, got)
		}
	}
}

func TestRelaxedConfirmsBeforeTheSync(t *testing.T) {
	data := t.TempDir()
	e, h := start(t, data, journal.Options{Durability: storage.Relaxed})
	w := newWriter(t, data, 1)
	open(t, e, w)
	var syncs atomic.Int32
	h.set(func(op, name string) error {
		if op == "Sync" && isSegment(name) {
			syncs.Add(1)
		}
		return nil
	})
	for range 10 {
		w.commit(t)
		if err := w.durably(e); err != nil {
			t.Fatal(err)
		}
	}
	if n := syncs.Load(); n > 2 {
		t.Errorf("%d syncs for 10 commits in a row", n)
	}
	wait(t, func(done storage.Done) error { return e.Sync(w.key, done) })
	if syncs.Load() == 0 {
		t.Error("Sync has not synced")
	}
	if got := last(t, storage.Path(cut(t, h), w.key)); got != 10 {
		t.Errorf("after a power cut: got commit %d, want 10", got)
	}
	// Without another request it is synced within a second or so.
	w.commit(t)
	if err := w.durably(e); err != nil {
		t.Fatal(err)
	}
	before := syncs.Load()
	for deadline := time.Now().Add(10 * time.Second); syncs.Load() == before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a relaxed commit is not synced")
		}
	}
}

// With relaxed durability a failed sync loses what was confirmed. That is said,
// and nothing is confirmed any more.
func TestRelaxedSaysWhatTheDiskHasLost(t *testing.T) {
	data := t.TempDir()
	e, h := start(t, data, journal.Options{Durability: storage.Relaxed})
	w := newWriter(t, data, 1)
	open(t, e, w)
	w.commit(t)
	if err := w.durably(e); err != nil {
		t.Fatal(err)
	}
	h.set(func(op, name string) error {
		if op == "Sync" && isSegment(name) {
			return &os.PathError{Op: "fdatasync", Path: name, Err: syscall.EIO}
		}
		return nil
	})
	w.commit(t)
	if _, err := try(func(done storage.Done) error { return e.Sync(w.key, done) }); !errors.Is(err, storage.ErrJournal) {
		t.Errorf("sync: got %v, want ErrJournal", err)
	}
	h.set(nil)
	if err := e.Commit(w.key, nil); !errors.Is(err, storage.ErrJournal) || !strings.Contains(fmt.Sprint(err), "restart") {
		t.Errorf("commit afterwards: got %v, want ErrJournal and what to do", err)
	}
	e.Release(w.key)
	if err := e.Close(); !errors.Is(err, storage.ErrJournal) {
		t.Errorf("close: got %v, want ErrJournal", err)
	}
}
