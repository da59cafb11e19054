package journal_test

import (
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/journal"
)

// TestLeaveLosesNothing: the next process has every commit, also those that
// nobody has told of and those that a power cut comes behind; and it is the next
// one that puts the files in order.
func TestLeaveLosesNothing(t *testing.T) {
	data := t.TempDir()
	e, h := start(t, data, journal.Options{RestDelay: time.Hour})
	const objects = 60
	var writers []*writer
	for i := range objects {
		w := newWriter(t, data, i)
		open(t, e, w)
		for range 1 + i%7 {
			w.commit(t)
		}
		if err := w.durably(e); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			w.commit(t) // its guest has been ended in this moment
		}
		writers = append(writers, w)
	}
	for _, w := range writers {
		e.Release(w.key)
	}
	var syncs atomic.Int64
	h.set(func(op, name string) error {
		if strings.HasPrefix(strings.ToLower(op), "sync") {
			syncs.Add(1)
		}
		return nil
	})
	if err := e.Leave(); err != nil {
		t.Fatal(err)
	}
	if n := syncs.Load(); n > 6 {
		t.Errorf("%d waits for the disk, want a few for all %d objects", n, objects)
	}
	h.set(nil)
	to := t.TempDir()
	if err := h.Cut(to, rand.New(rand.NewPCG(3, 4))); err != nil {
		t.Fatal(err)
	}
	for name, folder := range map[string]string{"in place": data, "after a power cut": to} {
		if r := recovered(t, folder); r.Objects != objects || len(r.Missing) > 0 {
			t.Errorf("%s: %d objects were put in order, want %d; %d are missing", name, r.Objects, objects, len(r.Missing))
		}
		for _, w := range writers {
			if got := last(t, storage.Path(folder, w.key)); got != w.n {
				t.Errorf("%s: got commit %d, want %d", name, got, w.n)
			}
		}
	}
}

// TestTidyLeavesLittle: what is at rest is put in order before, and only what was
// released since is left over.
func TestTidyLeavesLittle(t *testing.T) {
	data := t.TempDir()
	e, _ := start(t, data, journal.Options{RestDelay: time.Hour})
	var writers []*writer
	for i := range 10 {
		w := newWriter(t, data, i)
		open(t, e, w)
		w.commit(t)
		if err := w.durably(e); err != nil {
			t.Fatal(err)
		}
		writers = append(writers, w)
	}
	for _, w := range writers[1:] {
		e.Release(w.key)
	}
	e.Tidy()
	for _, w := range writers[1:] {
		for end := time.Now().Add(30 * time.Second); there(storage.Path(data, w.key) + "-wal"); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the files of a released object are not in order")
			}
		}
	}
	e.Release(writers[0].key)
	if err := e.Leave(); err != nil {
		t.Fatal(err)
	}
	if r := recovered(t, data); r.Objects != 1 {
		t.Errorf("%d objects were left, want 1", r.Objects)
	}
}

func there(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
