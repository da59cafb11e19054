package sqlitefile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func create(t *testing.T) (*DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "100% o'clock ?.sqlite")
	db, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db, path
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestQueryReturnsEveryType(t *testing.T) {
	db, path := create(t)
	r := must[*Result](t)(db.Exec(t.Context(), `
		CREATE TABLE t(a, b); -- a comment
		INSERT INTO t VALUES (1, 'one'), (2.5, x'00ff'), (NULL, ''), (9007199254740993, 'a' || char(0) || 'b');
		SELECT a, b AS "the second" FROM t; /* the end */`, Limits{}))
	want := &Result{
		Columns: []string{"a", "the second"}, Changed: 4,
		Rows: [][]any{{int64(1), "one"}, {2.5, []byte{0, 255}}, {nil, ""}, {int64(9007199254740993), "a\x00b"}},
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("got %+v, want %+v", r, want)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if left := must[[]string](t)(filepath.Glob(filepath.Dir(path) + "/*")); len(left) != 1 {
		t.Errorf("closed, the database consists of %q, want one file", left)
	}
	copied := must[*DB](t)(OpenCopy(path))
	defer copied.Close()
	r = must[*Result](t)(copied.Query(t.Context(), "SELECT count(*) FROM t", Limits{}))
	if r.Rows[0][0] != int64(4) {
		t.Errorf("the copy has %v rows, want 4", r.Rows[0][0])
	}
}

func TestQueryIsBounded(t *testing.T) {
	db, _ := create(t)
	const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
	r := must[*Result](t)(db.Query(t.Context(), endless, Limits{Rows: 10}))
	if len(r.Rows) != 10 || !r.More {
		t.Errorf("got %d rows, more %v; want 10 and more", len(r.Rows), r.More)
	}
	r = must[*Result](t)(db.Query(t.Context(), "SELECT value, zeroblob(1000000) FROM json_each('[1,2,3]')", Limits{Bytes: 2_500_000}))
	if len(r.Rows) != 2 || !r.More {
		t.Errorf("got %d rows, more %v; want 2 and more", len(r.Rows), r.More)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := db.Query(ctx, strings.Replace(endless, "SELECT i FROM n", "SELECT count(*) FROM n", 1), Limits{}); !errors.Is(err, errInterrupted) {
		t.Errorf("an endless statement: %v, want %v", err, errInterrupted)
	}
	must[*Result](t)(db.Query(t.Context(), "SELECT 1", Limits{})) // is not interrupted any more
}

func TestWhatIsRefused(t *testing.T) {
	db, path := create(t)
	must[*Result](t)(db.Exec(t.Context(), "CREATE TABLE t(a); CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES ('hello world'); CREATE VIRTUAL TABLE r USING rtree(id, a, b)", Limits{}))
	if err := db.Put("k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(filepath.Dir(path), "other.sqlite")
	for _, test := range []struct {
		sql   string
		write bool
		want  string
	}{
		{"INSERT INTO t VALUES (1)", false, ErrReadOnly.Error()},
		{"SELECT 1; DROP TABLE t", false, ErrReadOnly.Error()},
		{"BEGIN", false, "one transaction already"},
		{"BEGIN", true, "one transaction already"},
		{"PRAGMA journal_mode = DELETE", true, "PRAGMA journal_mode is not allowed"},
		{"PRAGMA user_version = 5", false, "not allowed"},
		{"PRAGMA temp_store_directory = '/'", true, "not allowed"},
		{fmt.Sprintf("ATTACH '%s' AS o", other), true, "cannot be attached"},
		{fmt.Sprintf("VACUUM INTO '%s'", other), false, ""},
		{"CREATE TEMP TABLE x(a)", true, "temporary"},
		{"DELETE FROM _cf_KV", true, "dormouse storage kv"},
		{"SELECT load_extension('x')", true, "not authorized"},
		{"SELECT ?", false, "parameters"},
		{" -- nothing", false, "did not contain a statement"},
		{"selec 1", false, `near "selec": syntax error`},
	} {
		run := db.Query
		if test.write {
			run = db.Exec
		}
		if _, err := run(t.Context(), test.sql, Limits{}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.sql, err, test.want)
		}
	}
	if _, err := os.Stat(other); err == nil {
		t.Error("a statement made another file")
	}
	for sql, want := range map[string]int{
		"SELECT * FROM f WHERE f MATCH 'world'": 1, "SELECT key FROM _cf_KV": 1, "SELECT * FROM t": 0,
		"PRAGMA table_info(t)": 1, "EXPLAIN SELECT 1": -1, "SELECT * FROM r": 0,
	} {
		r, err := db.Query(t.Context(), sql, Limits{})
		if err != nil || want >= 0 && len(r.Rows) != want {
			t.Errorf("%s: %+v (%v), want %d rows", sql, r, err, want)
		}
	}
}

func TestExecIsAllOrNothing(t *testing.T) {
	db, _ := create(t)
	if _, err := db.Exec(t.Context(), "CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES (1); INSERT INTO t VALUES (1)", Limits{}); err == nil {
		t.Fatal("a constraint was violated, and nothing said so")
	}
	if tables := must[[]Table](t)(db.Tables()); len(tables) != 0 {
		t.Errorf("after a failure there are %+v, want nothing", tables)
	}
	must[*Result](t)(db.Exec(t.Context(), "CREATE TABLE t(a UNIQUE)", Limits{}))
}

func TestTables(t *testing.T) {
	db, _ := create(t)
	must[*Result](t)(db.Exec(t.Context(), `CREATE TABLE "it's"(id INTEGER PRIMARY KEY, name TEXT, g AS (name || '!')); CREATE VIEW v AS SELECT 1 AS one;
		CREATE VIRTUAL TABLE f USING fts5(x); CREATE INDEX i ON "it's"(name)`, Limits{}))
	if err := db.Put("k", nil); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, table := range must[[]Table](t)(db.Tables()) {
		got = append(got, fmt.Sprint(table.Type, " ", table.Name, " ", table.Columns))
	}
	want := []string{
		"virtual f [{x  false}]",
		"table it's [{id INTEGER true} {name TEXT false} {g  false}]",
		"view v [{one  false}]",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestKeys(t *testing.T) {
	db, _ := create(t)
	if pairs, more, err := db.List(Range{Limit: 5}); len(pairs) != 0 || more || err != nil {
		t.Errorf("nothing was stored: %v, %v, %v", pairs, more, err)
	}
	if _, ok, err := db.Get("k"); ok || err != nil {
		t.Errorf("nothing was stored: %v, %v", ok, err)
	}
	// With NUL, empty, not UTF-8 (half of a surrogate pair), and beyond the last byte.
	keys := []string{"", "a", "a\x00", "a\x00b", "b", "\xed\xa0\x80", "\xff\xff", "\xff\xffz"}
	for i, k := range keys {
		if err := db.Put(k, bytes.Repeat([]byte{byte(i)}, i)); err != nil {
			t.Fatal(err)
		}
	}
	list := func(r Range) (got []string) {
		t.Helper()
		for {
			pairs, more, err := db.List(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pairs {
				got = append(got, p.Key)
				if value, ok, err := db.Get(p.Key); !ok || err != nil || !bytes.Equal(value, p.Value) || p.Size != len(value) {
					t.Errorf("%q: listed %v (%d), got %v (%v)", p.Key, p.Value, p.Size, value, err)
				}
			}
			if !more {
				return got
			}
			r.After = &pairs[len(pairs)-1].Key
		}
	}
	for _, limit := range []int{1, 3, 100} {
		if got := list(Range{Limit: limit}); !reflect.DeepEqual(got, keys) {
			t.Errorf("%d at a time: %q, want %q", limit, got, keys)
		}
		if got, want := list(Range{Limit: limit, Prefix: "a"}), keys[1:4]; !reflect.DeepEqual(got, want) {
			t.Errorf("with a prefix, %d at a time: %q, want %q", limit, got, want)
		}
		if got, want := list(Range{Limit: limit, Prefix: "\xff\xff"}), keys[6:]; !reflect.DeepEqual(got, want) {
			t.Errorf("with the last prefix, %d at a time: %q, want %q", limit, got, want)
		}
	}
	pairs, _, err := db.List(Range{Limit: 100, Prefix: "\xff\xffz", ValueBytes: 2})
	if err != nil || len(pairs) != 1 || len(pairs[0].Value) != 2 || pairs[0].Size != 7 {
		t.Errorf("cut off: %+v (%v)", pairs, err)
	}
	if n := must[int64](t)(db.Keys()); n != int64(len(keys)) {
		t.Errorf("%d keys, want %d", n, len(keys))
	}
	for i, want := range []bool{true, false} {
		if was := must[bool](t)(db.Delete("a\x00")); was != want {
			t.Errorf("deleted for the %d. time: was there %v", i+1, was)
		}
	}
	if err := db.Put("large", make([]byte, maxPair)); err == nil {
		t.Error("a value past the limit was stored")
	}
	if err := db.Put("large", make([]byte, maxPair-5)); err != nil {
		t.Error(err)
	}
}

func TestAlarm(t *testing.T) {
	db, _ := create(t)
	if at, err := db.Alarm(); !at.IsZero() || err != nil {
		t.Errorf("no alarm: %v (%v)", at, err)
	}
	want := time.UnixMilli(1_900_000_000_123)
	if err := db.SetAlarm(want); err != nil {
		t.Fatal(err)
	}
	if at, err := db.Alarm(); !at.Equal(want) || err != nil {
		t.Errorf("got %v (%v), want %v", at, err, want)
	}
}

func TestDamage(t *testing.T) {
	db, path := create(t)
	must[*Result](t)(db.Exec(t.Context(), "CREATE TABLE t(a); INSERT INTO t SELECT hex(randomblob(100)) FROM json_each('[1,2,3,4,5,6,7,8,9]') AS x, json_each('[1,2,3,4,5,6,7,8,9,10]') AS y", Limits{}))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	whole := must[[]byte](t)(os.ReadFile(path))
	for name, damage := range map[string]func([]byte) []byte{
		"no database":  func(b []byte) []byte { return bytes.Repeat([]byte("no database "), 1000) },
		"cut off":      func(b []byte) []byte { return b[:4096] },
		"overwritten":  func(b []byte) []byte { copy(b[4096:], bytes.Repeat([]byte{0xaa}, 4096)); return b },
		"torn in half": func(b []byte) []byte { return b[:len(b)-1000] },
	} {
		path := filepath.Join(t.TempDir(), "damaged.sqlite")
		if err := os.WriteFile(path, damage(bytes.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := OpenCopy(path)
		if err == nil {
			err = db.Check(t.Context())
			db.Close()
		}
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", name, err)
		}
	}
}
