package crashtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// The k-th commit of an object is a function of the object and k. So is the
// content of its database after k commits, and a database can be checked by
// asking it for k.

// content is what a database holds: for each row the commit that wrote it.
type content map[int]int

// after returns the content after k commits.
func after(k int) content {
	c := make(content)
	for i := 1; i <= k; i++ {
		c.commit(i)
	}
	return c
}

func (c content) commit(k int) {
	c[k] = k
	if _, there := c[k/2]; there && k%3 == 0 {
		c[k/2] = k
	}
	if k%5 == 0 {
		delete(c, k-3)
	}
	if k%17 == 0 {
		for n := range c {
			if n < k-5 {
				delete(c, n)
			}
		}
	}
}

// blob is the value of row n as commit k of the object wrote it.
func blob(seed uint64, n, k int) []byte {
	rnd := rand.New(rand.NewPCG(seed, uint64(n)<<32|uint64(k)))
	size := rnd.IntN(3000)
	switch {
	case k%41 == 0:
		size = 600_000 // several steps and batches
	case k%13 == 0:
		size = 60_000 // more than SQLite's cache in the test
	}
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// statement is one statement of a transaction. Arguments are int or []byte.
type statement struct {
	Query string
	Args  []any
}

// statements are what commit k of a life consists of.
func statements(seed uint64, life, k int) []statement {
	before, now := after(k-1), after(k)
	var s []statement
	for n, writer := range now {
		if before[n] != writer {
			s = append(s, statement{"INSERT INTO rows VALUES(?,?) ON CONFLICT(n) DO UPDATE SET value=excluded.value",
				[]any{n, blob(seed+uint64(life), n, writer)}})
		}
	}
	for n := range before {
		if _, there := now[n]; !there {
			s = append(s, statement{"DELETE FROM rows WHERE n=?", []any{n}})
		}
	}
	s = append(s, statement{"DELETE FROM last", nil}, statement{"INSERT INTO last VALUES(?,?)", []any{life, k}})
	if k%17 == 0 {
		s = append(s, statement{"PRAGMA incremental_vacuum", nil})
	}
	return s
}

// alarmOf is the alarm that commit k sets; the zero time is none.
func alarmOf(k int) time.Time {
	switch {
	case k == 0 || k%4 == 0:
		return time.Time{}
	case k%4 == 1:
		return time.UnixMilli(1_000_000 + int64(k))
	}
	return time.UnixMilli(1_000_000 - int64(k))
}

// state says how far an object has got: deleted so often, and then so many
// commits.
type state struct{ life, k int }

func (s state) before(o state) bool { return s.life < o.life || s.life == o.life && s.k < o.k }

// template is a database that new ones are copied from.
func template(t testing.TB, pageSize int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "template.sqlite")
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		fmt.Sprintf("PRAGMA page_size=%d", pageSize), "PRAGMA auto_vacuum=INCREMENTAL", "PRAGMA journal_mode=WAL",
		"CREATE TABLE rows(n INTEGER PRIMARY KEY, value BLOB)",
		"CREATE TABLE last(life INTEGER, k INTEGER)",
	} {
		sql(t, conn, q)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sql(t testing.TB, conn *sqlite.Conn, query string, args ...any) {
	t.Helper()
	if err := sqlitex.ExecuteTransient(conn, query, &sqlitex.ExecOptions{Args: args}); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func rows(t testing.TB, conn *sqlite.Conn, query string, f func(*sqlite.Stmt)) {
	t.Helper()
	err := sqlitex.ExecuteTransient(conn, query, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		f(s)
		return nil
	}})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// check opens the object's database as the next guest would and returns what it
// holds. The zero state is that of no database, or of an empty one.
func check(data string, key dormouse.Key, seed uint64) (s state, err error) {
	path := storage.Path(data, key)
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		return state{}, nil
	}
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return state{}, err
	}
	defer conn.Close()
	got := make(content)
	query := func(q string, f func(*sqlite.Stmt) error) {
		if err == nil {
			if err = sqlitex.ExecuteTransient(conn, q, &sqlitex.ExecOptions{ResultFunc: f}); err != nil {
				err = fmt.Errorf("%s: %w", q, err)
			}
		}
	}
	query("PRAGMA integrity_check", func(s *sqlite.Stmt) error {
		if text := s.ColumnText(0); text != "ok" {
			return fmt.Errorf("integrity: %s", text)
		}
		return nil
	})
	query("SELECT life, k FROM last", func(row *sqlite.Stmt) error {
		s = state{row.ColumnInt(0), row.ColumnInt(1)}
		return nil
	})
	want := after(s.k)
	query("SELECT n, value FROM rows", func(row *sqlite.Stmt) error {
		n := row.ColumnInt(0)
		value := make([]byte, row.ColumnLen(1))
		row.ColumnBytes(1, value)
		if writer, there := want[n]; !there || !bytes.Equal(value, blob(seed+uint64(s.life), n, writer)) {
			return fmt.Errorf("row %d (%d bytes) is not what %v makes", n, len(value), s)
		}
		got[n] = want[n]
		return nil
	})
	if err == nil && len(got) != len(want) {
		err = fmt.Errorf("%d rows, and %v makes %d", len(got), s, len(want))
	}
	return s, err
}
