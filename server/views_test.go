package server

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/browse"
	"github.com/dormouse-dev/dormouse/internal/storage/sqlitefile"
)

// Who looks twice at the same gets the same copy, and who looks after a change a
// new one; in the end none is left.
func TestCopyIsKeptWhileNothingChanges(t *testing.T) {
	s := &Server{Config: Config{Data: t.TempDir(), Name: "w"}}
	r := runtime{s}
	key := func(name string) dormouse.Key {
		n := dormouse.Namespace("w-Class")
		return dormouse.Key{Namespace: n, ID: n.IDFromName(name)}
	}
	write := func(name, value string) {
		t.Helper()
		path := DatabasePath(s.Data, key(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		db, err := sqlitefile.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := browse.Serialize([]byte(value))
		if err := db.Put("k", b); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-time.Minute).Truncate(time.Second) // a file system's clock may be as coarse
		if err := os.Chtimes(path, old, old.Add(time.Duration(len(value))*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	look := func(name, want string) *browse.View {
		t.Helper()
		v, err := r.Look(t.Context(), key(name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Get("k"); err != nil || got.Text != want {
			t.Errorf("%s is %+v (%v), want %s", name, got, err, want)
		}
		return v
	}
	write("a", "1")
	write("b", "2")
	first := look("a", "1")
	other := look("a", "1") // while somebody looks
	if first == other {
		t.Error("two look at one copy")
	}
	first.Close()
	if again := look("a", "1"); again != first {
		t.Error("the copy was not used again")
	} else {
		again.Close()
	}
	other.Close() // takes the place of the first
	write("a", "100")
	changed := look("a", "100")
	changed.Close()
	look("b", "2").Close()
	if left, _ := filepath.Glob(filepath.Join(s.Data, "tmp", "*")); len(left) != 1 {
		t.Errorf("%d copies are kept, want one", len(left))
	}
	for i := range 3 * copies { // every place is given back
		look(string("ab"[i%2]), map[int]string{0: "100", 1: "2"}[i%2]).Close()
	}
	s.scratch.views.close()
	look("a", "100").Close()
	if left, _ := filepath.Glob(filepath.Join(s.Data, "tmp", "*")); len(left) != 0 || len(s.scratch.places) != 0 {
		t.Errorf("after the end there are copies %v, and %d places are taken", left, len(s.scratch.places))
	}
}
