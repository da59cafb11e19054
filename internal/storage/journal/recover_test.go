package journal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/journal"
)

// abandon copies a folder as a killed process leaves it, with everything that
// was written.
func abandon(t testing.TB, data string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	return to
}

func segments(t testing.TB, data string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, storage.JournalFolder, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

// change changes a byte of a file.
func change(t testing.TB, name string, at int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x40
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// filled is a folder that a process has left after 20 commits of an object, a
// batch of three blocks each (the first one has more).
func filled(t testing.TB) (data string, w *writer) {
	t.Helper()
	live := t.TempDir()
	e, _ := start(t, live, journal.Options{})
	w = newWriter(t, live, 1)
	open(t, e, w)
	for range 20 {
		w.commit(t)
		if err := w.durably(e); err != nil {
			t.Fatal(err)
		}
	}
	return abandon(t, live), w
}

func TestTornEndIsCutOff(t *testing.T) {
	data, w := filled(t)
	// The last batch: find its block from behind.
	name := segments(t, data)[0]
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	end := len(b)
	for end > 0 && b[end-1] == 0 {
		end--
	}
	change(t, name, int64(end-100))
	recovered(t, data)
	if got := last(t, storage.Path(data, w.key)); got != 19 {
		t.Errorf("got commit %d, want 19", got)
	}
}

// A disk that has lost something that was synced is not a torn end, and no
// reason to drop what came after it silently.
func TestDamageInTheMiddleIsReported(t *testing.T) {
	data, _ := filled(t)
	change(t, segments(t, data)[0], 10*4096)
	_, _, err := journal.Open(data, journal.Options{})
	if err == nil || !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), "backup") {
		t.Errorf("got %v; want that the journal is damaged, and what to do", err)
	}
}

func TestMissingSegmentIsReported(t *testing.T) {
	live := t.TempDir()
	e, _ := start(t, live, journal.Options{})
	w := newWriter(t, live, 1)
	open(t, e, w)
	for len(segments(t, live)) < 4 {
		w.commit(t)
		if err := w.durably(e); err != nil {
			t.Fatal(err)
		}
	}
	data := abandon(t, live)
	if err := os.Remove(segments(t, data)[1]); err != nil {
		t.Fatal(err)
	}
	if _, _, err := journal.Open(data, journal.Options{}); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("got %v; want that something is missing", err)
	}
}

func TestRecoveryOfAMissingDatabaseIsReported(t *testing.T) {
	live := t.TempDir()
	e, _ := start(t, live, journal.Options{})
	w := newWriter(t, live, 1)
	// Older than its Open, so that the journal does not contain it.
	time.Sleep(2100 * time.Millisecond)
	open(t, e, w)
	w.commit(t)
	if err := w.durably(e); err != nil {
		t.Fatal(err)
	}
	data := abandon(t, live)
	if err := os.Remove(storage.Path(data, w.key)); err != nil {
		t.Fatal(err)
	}
	if r := recovered(t, data); len(r.Missing) != 1 || r.Missing[0] != w.key {
		t.Errorf("got %v, want %v", r.Missing, w.key)
	}
}

// Bookmarks go on growing over restarts.
func TestBookmarksGrow(t *testing.T) {
	data := t.TempDir()
	w := newWriter(t, data, 1)
	var texts []string
	for range 3 {
		e, _ := start(t, data, journal.Options{})
		mark := wait(t, func(done storage.Done) error { return e.Open(w.key, storage.OtherProcess, done) })
		texts = append(texts, mark.Text(w.key))
		for range 3 {
			w.commit(t)
			mark := wait(t, func(done storage.Done) error { return e.Commit(w.key, done) })
			texts = append(texts, mark.Text(w.key))
		}
		e.Release(w.key)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		w.create(t)
	}
	if !slices.IsSorted(texts) || len(slices.Compact(slices.Clone(texts))) < 10 {
		t.Errorf("bookmarks do not grow:\n%s", strings.Join(texts, "\n"))
	}
}

func wakesOf(e *journal.Engine) map[dormouse.Key]storage.Wake {
	wakes := make(map[dormouse.Key]storage.Wake)
	for key, w := range e.Wakes() {
		wakes[key] = w
	}
	return wakes
}

func TestWakesSurvive(t *testing.T) {
	data := t.TempDir()
	at := func(i int) storage.Wake { return storage.Wake{At: time.UnixMilli(int64(1000 + i)), Retry: i % 7} }
	want := make(map[dormouse.Key]storage.Wake)
	set := func(e *journal.Engine, i int, w storage.Wake) {
		t.Helper()
		if err := e.SetWake(key(i), w); err != nil {
			t.Fatal(err)
		}
		if want[key(i)] = w; w.At.IsZero() {
			delete(want, key(i))
		}
	}
	e, h := start(t, data, journal.Options{})
	w := newWriter(t, data, 0)
	open(t, e, w)
	for i := range 5000 {
		set(e, i, at(i))
	}
	for i := range 2000 {
		set(e, i, at(3*i))
	}
	for i := 1000; i < 3000; i++ {
		set(e, i, storage.Wake{})
	}
	w.commit(t) // alarms need not wait for a commit of their own object
	if err := w.durably(e); err != nil {
		t.Fatal(err)
	}
	same := func(what string, data string) {
		t.Helper()
		e, _ := start(t, data, journal.Options{})
		defer e.Close()
		got := wakesOf(e)
		if len(got) != len(want) {
			t.Errorf("%s: got %d alarms, want %d", what, len(got), len(want))
		}
		for key, w := range want {
			if g := got[key]; !g.At.Equal(w.At) || g.Retry != w.Retry {
				t.Fatalf("%s: got %v for %s, want %v", what, g, key, w)
			}
		}
	}
	same("after a power cut", cut(t, h))
	set(e, 7, storage.Wake{}) // and nothing after it
	e.Release(w.key)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	same("after a stop", data)
	same("after another one", data)
}

// The journal's segments are cut though they hold the only record of alarms:
// those are written down elsewhere.
func TestWakesDoNotHoldTheJournal(t *testing.T) {
	data := t.TempDir()
	var w *writer
	e, h := start(t, data, journal.Options{CheckpointBytes: 100 << 10, NeedCheckpoint: func(dormouse.Key) { w.full.Store(true) }})
	w = newWriter(t, data, 0)
	open(t, e, w)
	if err := e.SetWake(key(77), storage.Wake{At: time.UnixMilli(5)}); err != nil {
		t.Fatal(err)
	}
	for n := range 2000 {
		if n%10 == 0 {
			if err := e.SetWake(key(n), storage.Wake{At: time.UnixMilli(int64(n + 1))}); err != nil {
				t.Fatal(err)
			}
		}
		w.commit(t)
		if err := w.durably(e); err != nil {
			t.Fatal(err)
		}
		if w.full.Load() {
			w.checkpoint(t, e)
		}
	}
	if got := journalSize(t, data); got > 4<<20 {
		t.Errorf("the journal has %d bytes", got)
	}
	e2, _, err := journal.Open(cut(t, h), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e2.Close()
	got := wakesOf(e2)
	if len(got) != 201 || !got[key(77)].At.Equal(time.UnixMilli(5)) || !got[key(1990)].At.Equal(time.UnixMilli(1991)) {
		t.Errorf("got %d alarms, %v and %v", len(got), got[key(77)], got[key(1990)])
	}
}

func TestDeletedObjectStaysDeleted(t *testing.T) {
	data := t.TempDir()
	e, h := start(t, data, journal.Options{})
	w := newWriter(t, data, 1)
	open(t, e, w)
	for range 3 {
		w.commit(t)
	}
	if err := w.durably(e); err != nil {
		t.Fatal(err)
	}
	e.Release(w.key)
	wait(t, func(done storage.Done) error { return e.Delete(w.key, done) })
	gone := func(data string) {
		t.Helper()
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if _, err := os.Stat(storage.Path(data, w.key) + suffix); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the file %s is still there: %v", suffix, err)
			}
		}
	}
	gone(data)
	gone(cut(t, h))
	again := newWriter(t, data, 1)
	open(t, e, again)
	again.commit(t)
	if err := again.durably(e); err != nil {
		t.Fatal(err)
	}
	if got := last(t, storage.Path(cut(t, h), w.key)); got != 1 {
		t.Errorf("after a power cut: got commit %d of the new one, want 1", got)
	}
}

func TestNamespaceIsMoved(t *testing.T) {
	const to = dormouse.Namespace("test-Other")
	data := t.TempDir()
	e, h := start(t, data, journal.Options{RestDelay: time.Hour})
	var writers []*writer
	for i := range 3 {
		w := newWriter(t, data, i)
		open(t, e, w)
		for range i + 1 {
			w.commit(t)
		}
		if err := w.durably(e); err != nil {
			t.Fatal(err)
		}
		if err := e.SetWake(w.key, storage.Wake{At: time.UnixMilli(int64(i + 1))}); err != nil {
			t.Fatal(err)
		}
		e.Release(w.key)
		writers = append(writers, w)
	}
	// However it was interrupted: before, between, after.
	var cuts []string
	h.set(func(op, name string) error {
		if op == "Rename" && name == storage.Folder(namespace) || op == "SyncDir" && name == "." {
			cuts = append(cuts, abandon(t, data))
		}
		return nil
	})
	wait(t, func(done storage.Done) error { return e.Move(namespace, to, done) })
	h.set(nil)
	cuts = append(cuts, cut(t, h), data)
	e.SetWake(key(9), storage.Wake{}) // nothing
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for i, data := range cuts {
		e, _, err := journal.Open(data, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		wakes := wakesOf(e)
		e.Close()
		where := to
		if _, err := os.Stat(filepath.Join(data, storage.Folder(to))); err != nil && i < len(cuts)-2 {
			where = namespace // it had not begun
		}
		for j, w := range writers {
			moved := dormouse.Key{Namespace: where, ID: w.key.ID}
			if got := last(t, storage.Path(data, moved)); got != w.n {
				t.Errorf("cut %d: got commit %d, want %d", i, got, w.n)
			}
			if !wakes[moved].At.Equal(time.UnixMilli(int64(j + 1))) {
				t.Errorf("cut %d: got alarm %v", i, wakes[moved])
			}
		}
		if len(wakes) != 3 {
			t.Errorf("cut %d: %d alarms, want 3", i, len(wakes))
		}
	}
	if len(cuts) < 4 {
		t.Errorf("only %d cuts", len(cuts))
	}
}

func TestMoveToATakenNamespaceIsRefused(t *testing.T) {
	data := t.TempDir()
	e, _ := start(t, data, journal.Options{})
	newWriter(t, data, 1)
	if err := os.Mkdir(filepath.Join(data, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := try(func(done storage.Done) error { return e.Move(namespace, "taken", done) }); err == nil {
		t.Error("moved onto another namespace")
	}
	w := newWriter(t, data, 1)
	open(t, e, w) // it can be used again
}

// Recovery can be interrupted anywhere, as often as the power likes.
func TestRecoveryCanBeInterrupted(t *testing.T) {
	data, w := filled(t)
	for n := 0; ; n++ {
		copied := abandon(t, data)
		h := newHooks(t, copied)
		calls := 0
		h.set(func(op, name string) error {
			if calls++; calls > n {
				return fmt.Errorf("the power is gone")
			}
			return nil
		})
		e, _, err := journal.Open(copied, journal.Options{Disk: h, SegmentBytes: 512 << 10})
		if err == nil {
			h.set(nil)
			e.Close()
		} else {
			h.set(nil)
			copied = cut(t, h)
		}
		if got := last(t, storage.Path(copied, w.key)); got != 20 {
			t.Fatalf("interrupted at call %d: got commit %d, want 20", n, got)
		}
		if err == nil {
			if n < 8 {
				t.Errorf("recovery took only %d calls", n)
			}
			return
		}
	}
}
