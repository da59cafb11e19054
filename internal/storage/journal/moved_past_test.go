package journal_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/journal"
)

// TestHistoryFollowsAMove: an object whose namespace was moved, as migrations that
// rename or transfer a class do, can go back to what it was under the old name,
// also with an order that was given before. The old name has no history of it.
func TestHistoryFollowsAMove(t *testing.T) {
	const to = dormouse.Namespace("test-Other")
	data := t.TempDir()
	e, _ := start(t, data, journal.Options{})
	w := newWriter(t, data, 0)
	open(t, e, w)
	marks := []storage.Bookmark{{}}
	for range 5 {
		w.commit(t)
		marks = append(marks, wait(t, func(done storage.Done) error { return e.Commit(w.key, done) }))
	}
	e.Release(w.key)
	wait(t, func(done storage.Done) error { return e.OrderRestore(w.key, marks[2], done) })
	wait(t, func(done storage.Done) error { return e.Move(namespace, to, done) })
	moved := dormouse.Key{Namespace: to, ID: w.key.ID}

	look := func() {
		t.Helper()
		for n := 1; n <= 5; n++ {
			copied := filepath.Join(t.TempDir(), "copy")
			if err := e.CopyAt(moved, marks[n], copied); err != nil {
				t.Fatalf("commit %d: %v", n, err)
			}
			if got := last(t, copied); got != uint32(n) {
				t.Errorf("as of commit %d it has %d", n, got)
			}
		}
		if err := e.CopyAt(w.key, marks[3], filepath.Join(t.TempDir(), "copy")); err == nil {
			t.Error("there is a copy under the old name")
		}
	}
	look()
	if points, _, err := e.Points(moved, 100); err != nil || len(points) < 5 {
		t.Errorf("%d moments of it are known (%v), want those of before, too", len(points), err)
	}
	if e.Ordered(w.key) || !e.Ordered(moved) {
		t.Error("the order has not moved")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if e, _, err = journal.Open(data, journal.Options{SegmentBytes: 512 << 10}); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	look()
}

// TestHistoryKeepsToItsBudgets while commits go on: what is kept never exceeds the
// bytes by more than a segment or two, and what is left of it can be reached.
func TestHistoryKeepsToItsBudgets(t *testing.T) {
	const segment, keep = 512 << 10, 1 << 20
	data := t.TempDir()
	e, _ := start(t, data, journal.Options{SegmentBytes: segment, Budget: 3 * segment, KeepBytes: keep, CheckpointBytes: 64 << 10})
	w := newWriter(t, data, 0)
	open(t, e, w)
	type moment struct {
		mark storage.Bookmark
		n    uint32
	}
	var moments []moment
	var most int64
	for i := range 1200 {
		w.commit(t)
		mark := wait(t, func(done storage.Done) error { return e.Commit(w.key, done) })
		moments = append(moments, moment{mark, w.n})
		if i%40 == 39 {
			w.checkpoint(t, e)
		}
		if i%200 == 199 {
			_, span, err := e.Points(w.key, 1)
			if err != nil {
				t.Fatal(err)
			}
			most = max(most, span.Bytes)
		}
	}
	if most == 0 || most > keep+2*segment {
		t.Errorf("history took up to %d bytes, want some, and no more than %d and two segments", most, keep)
	}
	reached := 0
	for end := time.Now().Add(30 * time.Second); reached == 0 && time.Now().Before(end); {
		for i := len(moments) - 1; i >= 0; i -= 60 {
			copied := filepath.Join(t.TempDir(), fmt.Sprint("copy", i))
			if e.CopyAt(w.key, moments[i].mark, copied) != nil {
				break // cut off
			}
			if got := last(t, copied); got != moments[i].n {
				t.Fatalf("as of commit %d it has %d", moments[i].n, got)
			}
			reached++
		}
	}
	if reached == 0 {
		t.Error("nothing of it can be reached")
	}
	if err := e.CopyAt(w.key, moments[0].mark, filepath.Join(t.TempDir(), "first")); err == nil {
		t.Error("the first commit can be reached, and should have been cut off")
	}
}
