package waltest_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/storage/wal"
	"github.com/dormouse-dev/dormouse/internal/storage/wal/waltest"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// realLog returns the log of a database that made the given number of commits.
func realLog(t testing.TB, pageSize, commits int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.sqlite")
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	setup := fmt.Sprintf(`PRAGMA page_size=%d; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0;
		CREATE TABLE t(n INTEGER PRIMARY KEY, v BLOB);`, pageSize)
	for _, q := range bytes.Split([]byte(setup), []byte(";")) {
		if err := sqlitex.ExecuteTransient(conn, string(q), nil); err != nil && len(bytes.TrimSpace(q)) > 0 {
			t.Fatal(err)
		}
	}
	for i := 1; i < commits; i++ {
		if err := sqlitex.ExecuteTransient(conn, `INSERT INTO t VALUES(?, randomblob(3000))`, &sqlitex.ExecOptions{Args: []any{i}}); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func parse(t testing.TB, log []byte) wal.Header {
	t.Helper()
	h, err := wal.ParseHeader(log)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestScanReadsWhatSQLiteWrote(t *testing.T) {
	for _, pageSize := range []int{512, 4096, 65536} {
		log := realLog(t, pageSize, 10)
		h := parse(t, log)
		if got := h.PageSize(); got != pageSize {
			t.Errorf("page size: got %d, want %d", got, pageSize)
		}
		s := h.Scan(h.Start(), log[wal.HeaderSize:])
		if s.Commits != 10 || s.Committed.Offset != int64(len(log)) || s.Valid != s.Committed {
			t.Errorf("page size %d: got %+v, want 10 commits that end at %d", pageSize, s, len(log))
		}
		if got, want := h.Offset(h.Frames(int64(len(log)))), int64(len(log)); got != want {
			t.Errorf("offset of the last frame: got %d, want %d", got, want)
		}
	}
}

// A log that is cut or changed anywhere holds the commits before that place,
// and no other.
func TestScanStopsWhereTheLogIsDamaged(t *testing.T) {
	log := realLog(t, 512, 6)
	h := parse(t, log)
	var ends []int64 // of commits
	for p, rest := h.Start(), log[wal.HeaderSize:]; ; {
		f, after, ok := h.Next(p, rest)
		if !ok {
			break
		}
		rest = rest[after.Offset-p.Offset:]
		p = after
		if f.Commit != 0 {
			ends = append(ends, p.Offset)
		}
	}
	want := func(damage int64) int64 {
		last := int64(wal.HeaderSize)
		for _, end := range ends {
			if end <= damage {
				last = end
			}
		}
		return last
	}
	for at := int64(wal.HeaderSize); at < int64(len(log)); at += 7 {
		if got := h.Scan(h.Start(), log[wal.HeaderSize:at]).Committed.Offset; got != want(at) {
			t.Fatalf("cut at %d: got commits up to %d, want %d", at, got, want(at))
		}
		changed := bytes.Clone(log)
		changed[at] ^= 0x10
		if got := h.Scan(h.Start(), changed[wal.HeaderSize:]).Committed.Offset; got != want(at) {
			t.Fatalf("changed at %d: got commits up to %d, want %d", at, got, want(at))
		}
	}
}

func TestScanGoesOnFromAPosition(t *testing.T) {
	log := realLog(t, 4096, 5)
	h := parse(t, log)
	first := h.Scan(h.Start(), log[wal.HeaderSize:len(log)/2])
	rest := h.Scan(first.Valid, log[first.Valid.Offset:])
	if got, want := rest.Committed.Offset, int64(len(log)); got != want {
		t.Errorf("got commits up to %d, want %d", got, want)
	}
}

func TestHeaderIsRefused(t *testing.T) {
	log := realLog(t, 4096, 1)
	if _, err := wal.ParseHeader(nil); !errors.Is(err, wal.ErrNoHeader) {
		t.Errorf("empty log: got %v, want ErrNoHeader", err)
	}
	if _, err := wal.ParseHeader(make([]byte, 100)); !errors.Is(err, wal.ErrNoHeader) {
		t.Errorf("zeros: got %v, want ErrNoHeader", err)
	}
	if _, err := wal.ParseHeader(log[:31]); !errors.Is(err, wal.ErrHeader) {
		t.Errorf("short header: got %v, want ErrHeader", err)
	}
	for at := range wal.HeaderSize {
		changed := bytes.Clone(log[:wal.HeaderSize])
		changed[at] ^= 0x04
		if _, err := wal.ParseHeader(changed); !errors.Is(err, wal.ErrHeader) {
			t.Errorf("byte %d changed: got %v, want ErrHeader", at, err)
		}
	}
}

// Logs of waltest are what SQLite recovers.
func TestSQLiteReadsWhatWaltestWrites(t *testing.T) {
	log := realLog(t, 4096, 3)
	h := parse(t, log)
	var first []byte // page 1: SQLite ignores the log of an empty file
	w, again := waltest.New(4096, 7, [8]byte{1, 2, 3, 4, 5, 6, 7, 8})
	for p, rest := h.Start(), log[wal.HeaderSize:]; ; {
		f, after, ok := h.Next(p, rest)
		if !ok {
			break
		}
		again = w.AppendFrame(again, f.Number, f.Commit, f.Page)
		if f.Number == 1 && first == nil {
			first = f.Page
		}
		rest = rest[after.Offset-p.Offset:]
		p = after
	}
	path := filepath.Join(t.TempDir(), "b.sqlite")
	for name, content := range map[string][]byte{path: first, path + "-wal": again} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rows := 0
	err = sqlitex.ExecuteTransient(conn, `SELECT n FROM t`, &sqlitex.ExecOptions{ResultFunc: func(*sqlite.Stmt) error { rows++; return nil }})
	if err != nil || rows != 2 {
		t.Errorf("got %d rows, %v; want 2", rows, err)
	}
}
