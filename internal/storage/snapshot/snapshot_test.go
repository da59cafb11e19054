package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/dormouse-dev/dormouse/internal/storage/sqlitefile"
)

// writer commits as a guest does, and a keeper beside it checkpoints.
type writer struct {
	path string
	t    testing.TB
	conn *sqlite.Conn
}

func newWriter(t testing.TB) *writer {
	t.Helper()
	w := &writer{path: filepath.Join(t.TempDir(), "live.sqlite"), t: t}
	w.open()
	t.Cleanup(func() { w.conn.Close() })
	return w
}

func (w *writer) open() {
	w.t.Helper()
	conn, err := sqlite.OpenConn(w.path, sqlite.OpenReadWrite, sqlite.OpenCreate)
	if err != nil {
		w.t.Fatal(err)
	}
	w.conn = conn
	for _, sql := range []string{"PRAGMA journal_mode = WAL", "PRAGMA synchronous = OFF", "PRAGMA wal_autocheckpoint = 0"} {
		w.do(sql)
	}
}

func (w *writer) do(sql string) {
	w.t.Helper()
	if err := sqlitex.ExecuteTransient(w.conn, sql, nil); err != nil {
		w.t.Error(err)
	}
}

// copyOf takes a copy and returns what a query says of it.
func copyOf(t testing.TB, src Source, sql string) ([]any, error) {
	dst := filepath.Join(t.TempDir(), "copy.sqlite")
	if err := Take(context.Background(), src, dst); err != nil {
		return nil, err
	}
	defer os.Remove(dst)
	db, err := sqlitefile.OpenCopy(dst)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if r, err := db.Query(context.Background(), "PRAGMA integrity_check", sqlitefile.Limits{}); err != nil || r.Rows[0][0] != "ok" {
		return nil, fmt.Errorf("the copy is damaged: %v, %v", r, err)
	}
	r, err := db.Query(context.Background(), sql, sqlitefile.Limits{})
	if err != nil {
		return nil, err
	}
	return r.Rows[0], nil
}

func TestTakeIsAsOfOneCommit(t *testing.T) {
	w := newWriter(t)
	// Every commit writes its number into each of many pages.
	w.do("CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, pad BLOB)")
	w.do("WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 200) INSERT INTO t SELECT i, 0, zeroblob(1500) FROM s")
	var last atomic.Int64
	stop := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for n := int64(1); ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			w.do(fmt.Sprintf("UPDATE t SET n = %d", n))
			last.Store(n)
			if n%5 == 0 {
				w.do("PRAGMA wal_checkpoint(PASSIVE)")
			}
			if n%40 == 0 { // as the last guest does that closes it
				w.do("PRAGMA wal_checkpoint(TRUNCATE)")
			}
			if n%3 == 0 { // a copy needs a moment between two checkpoints, as there is in life
				time.Sleep(2 * time.Millisecond)
			}
		}
	})
	copies, busy := 0, 0
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end) || copies == 0; {
		before := last.Load()
		row, err := copyOf(t, Source{Path: w.path}, "SELECT min(n), max(n), count(*) FROM t")
		if errors.Is(err, ErrBusy) {
			if busy++; busy > 1000 {
				t.Fatal("no copy could be made at all")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		copies++
		if row[0] != row[1] || row[2] != int64(200) || row[0].(int64) < before {
			t.Fatalf("the copy has commits %v to %v in %v rows; %d was committed before it began", row[0], row[1], row[2], before)
		}
	}
	close(stop)
	wait.Wait()
	t.Logf("%d copies during %d commits, %d given up", copies, last.Load(), busy)
}

func TestTakeLeavesOutWhatIsNotCommitted(t *testing.T) {
	w := newWriter(t)
	w.do("CREATE TABLE t(n)")
	w.do("INSERT INTO t VALUES (1)")
	w.do("PRAGMA cache_size = 1")
	w.do("BEGIN")
	w.do("UPDATE t SET n = 2")
	w.do("CREATE TABLE large AS WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 500) SELECT zeroblob(4000) AS b FROM s") // spills
	if info, err := os.Stat(w.path + "-wal"); err != nil || info.Size() < 1<<20 {
		t.Fatalf("nothing was spilled into the log (%v, %v)", info, err)
	}
	row, err := copyOf(t, Source{Path: w.path}, "SELECT n, (SELECT count(*) FROM sqlite_schema) FROM t")
	if err != nil || row[0] != int64(1) || row[1] != int64(1) {
		t.Errorf("in the middle of a transaction the copy has %v (%v), want 1 and one table", row, err)
	}
	w.do("ROLLBACK")
}

func TestTakeFollowsTheSize(t *testing.T) {
	w := newWriter(t)
	w.do("CREATE TABLE t(b)")
	w.do("WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 100) INSERT INTO t SELECT zeroblob(4000) FROM s")
	w.do("PRAGMA wal_checkpoint(TRUNCATE)")
	w.do("DELETE FROM t")
	w.do("VACUUM") // the file is still large, and the log says that it is small
	dst := filepath.Join(t.TempDir(), "copy")
	if err := Take(t.Context(), Source{Path: w.path}, dst); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dst); err != nil || info.Size() != 2*4096 {
		t.Errorf("the copy has %d bytes, want two pages", info.Size())
	}
}

func TestTakeWithoutLog(t *testing.T) {
	w := newWriter(t)
	w.do("CREATE TABLE t(n)")
	w.do("INSERT INTO t VALUES (7)")
	w.conn.Close()
	defer w.open() // for the cleanup
	if _, err := os.Stat(w.path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("there is a log")
	}
	if row, err := copyOf(t, Source{Path: w.path}, "SELECT n FROM t"); err != nil || row[0] != int64(7) {
		t.Errorf("got %v (%v), want 7", row, err)
	}
}

func TestTakeOfNothing(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.sqlite")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, src := range []string{empty, filepath.Join(dir, "missing.sqlite")} {
		dst := filepath.Join(dir, "copy")
		if err := Take(t.Context(), Source{Path: src}, dst); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want fs.ErrNotExist", src, err)
		}
		if _, err := os.Stat(dst); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something was left behind (%v)", src, err)
		}
	}
	w := newWriter(t)
	w.do("CREATE TABLE t(n)")
	dst := filepath.Join(dir, "there")
	if err := os.WriteFile(dst, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Take(t.Context(), Source{Path: w.path}, dst); !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto a file that exists: %v, want fs.ErrExist", err)
	}
	if b, err := os.ReadFile(dst); string(b) != "mine" {
		t.Errorf("a file that existed was touched (%v)", err)
	}
}
