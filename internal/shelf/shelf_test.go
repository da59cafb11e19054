package shelf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

const testSchema = `CREATE TABLE IF NOT EXISTS things (name TEXT PRIMARY KEY, file TEXT);`

func open(t *testing.T, folder string, relaxed bool) *Shelf {
	t.Helper()
	s, err := Open(Config{Folder: folder, Schema: testSchema, Names: "SELECT file FROM things WHERE file IS NOT NULL", Relaxed: relaxed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func keep(t *testing.T, s *Shelf, text string) string {
	t.Helper()
	d, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(d, text)
	name, err := d.Keep()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func put(s *Shelf, name, file string) error {
	return s.Write(context.Background(), func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, `INSERT INTO things VALUES (?, ?)`, &sqlitex.ExecOptions{Args: []any{name, file}})
	})
}

func count(t *testing.T, s *Shelf) (n int) {
	t.Helper()
	err := s.Read(t.Context(), func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, `SELECT count(*) FROM things`, &sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
			n = st.ColumnInt(0)
			return nil
		}})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func files(t *testing.T, folder string) (names []string) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(folder, FilesFolder, "*", "*"))
	more, err2 := filepath.Glob(filepath.Join(folder, FilesFolder, ".new-*"))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return append(list, more...)
}

func TestWritesThatFailTakeNobodyWithThem(t *testing.T) {
	for _, relaxed := range []bool{false, true} {
		s := open(t, t.TempDir(), relaxed)
		var wg sync.WaitGroup
		var mu sync.Mutex
		failed := 0
		for i := range 200 {
			wg.Go(func() {
				if err := put(s, fmt.Sprint(i/2), ""); err != nil { // each name twice
					mu.Lock()
					failed++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if n := count(t, s); n != 100 || failed != 100 {
			t.Errorf("relaxed %v: %d rows, %d failed; want 100 of each", relaxed, n, failed)
		}
	}
}

func TestLeftoversGoWithTheNextOpen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, false)
	used, lost := keep(t, s, "used"), keep(t, s, "nothing names it")
	if err := put(s, "a", used); err != nil {
		t.Fatal(err)
	}
	d, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(d, "half")
	d.f.Close()
	// As if the process had been killed: its marker stays.
	s.Close()
	if err := os.WriteFile(filepath.Join(dir, openName), []byte("dead"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, false)
	for end := time.Now().Add(30 * time.Second); len(files(t, dir)) != 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("files %q, want only %s and not %s", files(t, dir), used, lost)
		}
	}
	f, err := s.OpenFile(used)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, _ := io.ReadAll(f); string(b) != "used" {
		t.Errorf("%q", b)
	}
}

// TestSweepTakesNothingOfItsOwnProcess: a file that looks older than the process
// that writes it, as one does for up to a tick of the kernel's clock, stays, also
// when the index does not name it yet.
func TestSweepTakesNothingOfItsOwnProcess(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, false)
	s.mu.Lock()
	s.young = make(map[string]bool) // as Open does after a crash
	s.mu.Unlock()
	before := func(f *os.File) {
		t.Helper()
		if err := os.Chtimes(f.Name(), time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	draft := func() *Draft {
		t.Helper()
		d, err := s.Create()
		if err != nil {
			t.Fatal(err)
		}
		before(d.f)
		return d
	}
	unfinished, kept := draft(), draft()
	name, err := kept.Keep()
	if err != nil {
		t.Fatal(err)
	}
	s.sweep(time.Now())
	if _, err := os.Stat(filepath.Join(dir, place(name))); err != nil {
		t.Errorf("kept, not named yet: %v", err)
	}
	if _, err := unfinished.Keep(); err != nil {
		t.Errorf("a draft: %v", err)
	}
	if s.young != nil {
		t.Error("what is over is still remembered")
	}
}

func TestWhoCopiesSeesOneCommitAndItsFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, false)
	first := keep(t, s, "first")
	if err := put(s, "a", first); err != nil {
		t.Fatal(err)
	}
	var seen []string
	err := s.Copy(t.Context(), t.TempDir(), func(name, path string) error {
		if name == IndexName {
			// Now somebody replaces it.
			second := keep(t, s, "second")
			err := s.Write(t.Context(), func(c *sqlite.Conn) error {
				return sqlitex.Execute(c, `UPDATE things SET file = ?`, &sqlitex.ExecOptions{Args: []any{second}})
			})
			s.Remove(first)
			return err
		}
		b, err := os.ReadFile(path)
		seen = append(seen, string(b))
		if !IsFile(name) {
			t.Errorf("%q is no name of a file", name)
		}
		return err
	})
	if err != nil || strings.Join(seen, ",") != "first" {
		t.Fatalf("saw %q (%v), want what there was", seen, err)
	}
	if n := len(files(t, dir)); n != 1 {
		t.Errorf("%d files afterwards, want the second one only", n)
	}
}

func TestClosedAndBusy(t *testing.T) {
	s := open(t, t.TempDir(), false)
	name := keep(t, s, "x")
	var held []*File
	for range maxOpen {
		f, err := s.OpenFile(name)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, f)
	}
	if _, err := s.OpenFile(name); !errors.Is(err, ErrBusy) {
		t.Errorf("%v, want ErrBusy", err)
	}
	for _, f := range held {
		f.Close()
	}
	if f, err := s.OpenFile(name); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
	s.Close()
	if err := put(s, "a", ""); !errors.Is(err, ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if err := s.Read(t.Context(), func(*sqlite.Conn) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("read: %v", err)
	}
}

func TestNewerIndexIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, false).Close()
	conn, err := sqlite.OpenConn(filepath.Join(dir, IndexName), sqlite.OpenReadWrite)
	if err == nil {
		err = errors.Join(sqlitex.ExecuteTransient(conn, "PRAGMA user_version = 99", nil), conn.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Folder: dir, Schema: testSchema}); err == nil || !strings.Contains(err.Error(), "format 99") {
		t.Errorf("%v, want to hear of the format", err)
	}
}

func FuzzFileNames(f *testing.F) {
	for _, s := range []string{IndexName, "files/ab/abababababababababababababababab", "files/../index.sqlite", "../x", "files/ab/../../x", "files//", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if IsFile(name) && (!filepath.IsLocal(name) || filepath.Clean(name) != name) {
			t.Errorf("%q leaves its folder", name)
		}
	})
}
