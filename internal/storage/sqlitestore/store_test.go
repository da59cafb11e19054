package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/author"
	"github.com/dormouse-dev/dormouse/internal/guest/goguest"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/journal"
	"github.com/dormouse-dev/dormouse/internal/structuredclone"
)

// object stands for an instance.
type object struct {
	written int
	broken  error
}

func (o *object) Written()                      { o.written++ }
func (o *object) Broken(err error)              { o.broken = err }
func (o *object) HasAlarm() bool                { return true }
func (o *object) Name() (string, bool)          { return "", false }
func (o *object) Durable(context.Context) error { return nil }

type world struct {
	t      *testing.T
	stores *Stores
	path   string
	key    dormouse.Key
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return worldOn(t, t.TempDir(), nil)
}

func worldOn(t *testing.T, data string, e Engine) *world {
	w := &world{t: t, key: dormouse.Key{Namespace: "app-Room"}}
	w.key.ID = w.key.Namespace.IDFromName("x")
	w.path = storage.Path(data, w.key)
	w.stores = New(Config{Path: func(k dormouse.Key) string { return storage.Path(data, k) }, Engine: e})
	return w
}

// open makes the storage of an instance, which a test closes or which ends with it.
func (w *world) open() (goguest.Store, *object) {
	o := new(object)
	s := w.stores.Open(w.key, o)
	w.t.Cleanup(func() {
		s.Close()
		w.stores.Close()
	})
	return s, o
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func commit(t *testing.T, s goguest.Store) goguest.Commit {
	t.Helper()
	c, err := s.Commit()
	must(t, err)
	return c
}

// query returns the rows of a query as text.
func query(t *testing.T, s goguest.Store, text string, args ...any) string {
	t.Helper()
	r, err := s.Query(text, args)
	must(t, err)
	defer r.Close()
	var lines []string
	for {
		more, err := r.Next()
		must(t, err)
		if !more {
			return strings.Join(lines, "\n")
		}
		var line []string
		for i := range r.Columns() {
			line = append(line, fmt.Sprintf("%s=%v", r.Columns()[i], r.Value(i)))
		}
		lines = append(lines, strings.Join(line, " "))
	}
}

func keys(t *testing.T, s goguest.Store, r author.Range) []string {
	t.Helper()
	var list []string
	must(t, s.List(r, func(key string, into func(any) error) bool {
		var n int
		must(t, into(&n))
		list = append(list, fmt.Sprint(key, "=", n))
		return true
	}))
	return list
}

func TestReadsOfNothingMakeNoFile(t *testing.T) {
	w := newWorld(t)
	s, o := w.open()
	var v any
	ok, err := s.Get("a", &v)
	must(t, err)
	if ok || len(keys(t, s, author.Range{})) != 0 {
		t.Error("there is something")
	}
	if got := query(t, s, "SELECT 1 + 1 AS two"); got != "two=2" {
		t.Errorf("got %s", got)
	}
	if n, err := s.Delete([]string{"a"}); n != 0 || err != nil {
		t.Errorf("deleted %d, %v", n, err)
	}
	must(t, s.SetAlarm(time.Time{}))
	must(t, s.DeleteAll())
	if c := commit(t, s); c.Wrote || o.written != 0 {
		t.Errorf("got commit %+v, written %d", c, o.written)
	}
	if _, err := os.Stat(filepath.Dir(w.path)); !os.IsNotExist(err) {
		t.Errorf("the object's folder is there: %v", err)
	}
}

func TestKeysOutliveTheInstance(t *testing.T) {
	w := newWorld(t)
	s, o := w.open()
	for i, k := range []string{"b", "a", "a\x00b", "c", "é", ""} {
		must(t, s.Put(k, i))
	}
	if o.written != 1 {
		t.Errorf("the transaction has begun %d times, want once", o.written)
	}
	if c := commit(t, s); !c.Wrote || c.Moved != goguest.NotMoved {
		t.Errorf("got commit %+v", c)
	}
	s.Close()
	if _, err := s.Get("a", new(any)); !errors.Is(err, dormouse.ErrGone) {
		t.Errorf("a closed storage says %v", err)
	}

	s, _ = w.open()
	for _, x := range []struct {
		r    author.Range
		want []string
	}{
		{author.Range{}, []string{"=5", "a=1", "a\x00b=2", "b=0", "c=3", "é=4"}},
		{author.Range{Start: "b"}, []string{"b=0", "c=3", "é=4"}},
		{author.Range{StartAfter: "a"}, []string{"a\x00b=2", "b=0", "c=3", "é=4"}},
		{author.Range{End: "b"}, []string{"=5", "a=1", "a\x00b=2"}},
		{author.Range{Prefix: "a"}, []string{"a=1", "a\x00b=2"}},
		{author.Range{Prefix: "é"}, []string{"é=4"}},
		{author.Range{Start: "b", Reverse: true, Limit: 2}, []string{"é=4", "c=3"}},
		{author.Range{Start: "x", End: "b"}, nil},
	} {
		if got := keys(t, s, x.r); !slices.Equal(got, x.want) {
			t.Errorf("%+v: got %q, want %q", x.r, got, x.want)
		}
	}
	if n, err := s.Delete([]string{"a", "nobody", "b"}); n != 2 || err != nil {
		t.Errorf("deleted %d, %v", n, err)
	}
	s.Close() // without a commit
	s, _ = w.open()
	if got := keys(t, s, author.Range{}); len(got) != 6 {
		t.Errorf("after what was not committed: %q", got)
	}
}

func TestLimits(t *testing.T) {
	s, _ := newWorld(t).open()
	query(t, s, "CREATE TABLE t (a)")
	commit(t, s)
	if _, err := s.Query("VACUUM INTO 'x'", nil); err == nil || !strings.Contains(err.Error(), "authoriz") {
		t.Errorf("VACUUM: got %v", err)
	}
	must(t, s.Put("k", make([]byte, maxPair-100)))
	for name, err := range map[string]error{
		"2 MiB":        s.Put("k", make([]byte, maxPair)),
		"UTF-8":        s.Put("\xff", 1),
		"cannot":       s.Put("k", func() {}),
		"both":         s.List(author.Range{Start: "a", StartAfter: "b"}, nil),
		"not negative": s.List(author.Range{Limit: -1}, nil),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for text, want := range map[string]string{
		"":                                    "did not contain a statement",
		" ; -- nothing":                       "did not contain a statement",
		"selec":                               "syntax error",
		"SELECT 1; SELECT ?":                  "wrong number of arguments",
		"SELECT ?; SELECT 1":                  "only the last statement can have parameters",
		"BEGIN":                               "use Storage.Transaction",
		"SAVEPOINT x":                         "use Storage.Transaction",
		"ATTACH 'x' AS y":                     "not authorized",
		"SELECT * FROM _cf_KV":                "prohibited",
		"DROP TABLE _CF_kv":                   "not authorized",
		"CREATE TEMP TABLE t (a)":             "not authorized",
		"PRAGMA journal_mode = DELETE":        "not authorized",
		"PRAGMA wal_checkpoint":               "not authorized",
		"SELECT \x00":                         "zero byte",
		strings.Repeat("-", 100_001):          "too",
		"SELECT '" + strings.Repeat("x", 1e5): "too",
	} {
		if _, err := s.Query(text, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %q", text, err, want)
		}
	}
	must(t, s.Put("still", 1))
}

func TestQueries(t *testing.T) {
	s, o := newWorld(t).open()
	query(t, s, `
		CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, data BLOB, score REAL);
		CREATE VIRTUAL TABLE f USING fts5(body);
		INSERT INTO f VALUES ('the quick brown fox') -- the last`)
	r, err := s.Query("INSERT INTO t (name, data, score) VALUES (?, ?, ?), ('b', NULL, 2.5)", []any{"a\x00b", []byte{}, 1})
	must(t, err)
	if r.Changes() != 2 || r.Last() != 2 {
		t.Errorf("changed %d, last %d", r.Changes(), r.Last())
	}
	for _, x := range [][2]string{
		{"SELECT * FROM t ORDER BY id", "id=1 name=a\x00b data=[] score=1\nid=2 name=b data=<nil> score=2.5"},
		{"UPDATE t SET score = 3 RETURNING id", "id=1\nid=2"},
		{"SELECT count(*) AS n FROM f WHERE f MATCH 'quick'", "n=1"},
		{"PRAGMA table_info(t)", query(t, s, "SELECT * FROM pragma_table_info('t')")},
		{"SELECT json_extract('{\"a\":7}','$.a') j", "j=7"},
	} {
		if got := query(t, s, x[0]); got != x[1] {
			t.Errorf("%s: got %q, want %q", x[0], got, x[1])
		}
	}
	if o.written != 1 {
		t.Errorf("the transaction has begun %d times", o.written)
	}
	commit(t, s)
	size, err := s.Size()
	must(t, err)
	if size < 4*4096 {
		t.Errorf("the database has %d bytes", size)
	}

	// The same query twice at a time, across a commit and a change of the schema.
	text := "SELECT id FROM t ORDER BY id"
	one, err := s.Query(text, nil)
	must(t, err)
	one.Next()
	two, err := s.Query(text, nil)
	must(t, err)
	query(t, s, "CREATE TABLE u (a)")
	commit(t, s)
	two.Next()
	if more, err := one.Next(); !more || err != nil || one.Value(0) != int64(2) || two.Value(0) != int64(1) {
		t.Errorf("got %v, %v, %v", more, err, one.Value(0))
	}
	must(t, s.DeleteAll())
	if _, err := one.Next(); !errors.Is(err, errDeleted) {
		t.Errorf("a query of what was deleted says %v", err)
	}
	commit(t, s)
	if got := query(t, s, "SELECT name FROM sqlite_schema"); got != "" {
		t.Errorf("left over: %s", got)
	}
	if after, err := s.Size(); err != nil || after != 4096 {
		t.Errorf("after deleteAll the database has %d bytes, %v", after, err)
	}
}

func TestTransactionsNest(t *testing.T) {
	s, _ := newWorld(t).open()
	no := errors.New("no")
	must(t, s.Transaction(func() error {
		must(t, s.Put("a", 1))
		if err := s.Transaction(func() error {
			must(t, s.Put("b", 2))
			return no
		}); err != no {
			t.Errorf("got %v", err)
		}
		return s.Put("c", 3)
	}))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		s.Transaction(func() error {
			must(t, s.Put("d", 4))
			query(t, s, "CREATE TABLE x (a)")
			panic("as the test wants")
		})
	}()
	if err := s.Transaction(func() error { return no }); err != no {
		t.Errorf("got %v", err)
	}
	commit(t, s)
	if got, want := keys(t, s, author.Range{}), []string{"a=1", "c=3"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	s.Transaction(func() error {
		must(t, s.Put("e", 5))
		if _, err := s.Commit(); err == nil {
			t.Error("a turn can end within a transaction")
		}
		return nil
	})
}

func TestACommitThatFailsTakesEverythingBack(t *testing.T) {
	w := newWorld(t)
	s, _ := w.open()
	query(t, s, "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
	commit(t, s)
	must(t, s.Put("a", 1))
	query(t, s, "INSERT INTO c VALUES (7)")
	if _, err := s.Commit(); err == nil {
		t.Fatal("the commit has no error")
	}
	if err := s.Put("b", 1); err == nil {
		t.Error("the storage can still be used")
	}
	s.Close()
	s, _ = w.open()
	if got := query(t, s, "SELECT * FROM c"); got != "" || len(keys(t, s, author.Range{})) != 0 {
		t.Errorf("left over: %s", got)
	}
}

func TestAlarms(t *testing.T) {
	w := newWorld(t)
	s, _ := w.open()
	at := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	alarm := func(want time.Time) {
		t.Helper()
		if got, err := s.Alarm(); err != nil || !got.Equal(want) {
			t.Errorf("got alarm %v, %v, want %v", got, err, want)
		}
	}
	moved := func(want goguest.Moved) {
		t.Helper()
		if c := commit(t, s); c.Moved != want {
			t.Errorf("got %+v, want %v", c, want)
		}
	}
	alarm(time.Time{})
	must(t, s.SetAlarm(at))
	alarm(at)
	moved(goguest.Earlier)
	must(t, s.SetAlarm(at.Add(time.Minute)))
	moved(goguest.Later)
	must(t, s.SetAlarm(at))
	must(t, s.SetAlarm(at.Add(time.Minute)))
	moved(goguest.NotMoved)
	s.Transaction(func() error {
		must(t, s.SetAlarm(at))
		return errors.New("no")
	})
	moved(goguest.NotMoved)
	if err := s.SetAlarm(latestAlarm); err == nil {
		t.Error("an alarm in 2190 can be set")
	}
	s.Close()

	s, _ = w.open()
	if due, next, err := s.StartAlarm(at); due || err != nil || !next.Equal(at.Add(time.Minute)) {
		t.Errorf("got %v, %v, %v", due, next, err)
	}
	due, scheduled, err := s.StartAlarm(at.Add(time.Minute))
	if !due || err != nil || !scheduled.Equal(at.Add(time.Minute)) {
		t.Errorf("got %v, %v, %v", due, scheduled, err)
	}
	alarm(time.Time{})
	must(t, s.FinishAlarm(false))
	alarm(at.Add(time.Minute))
	s.StartAlarm(at.Add(time.Minute))
	must(t, s.SetAlarm(at))
	must(t, s.FinishAlarm(true))
	alarm(at)
	s.StartAlarm(at)
	must(t, s.FinishAlarm(true))
	alarm(time.Time{})
	moved(goguest.Later)
	must(t, s.SetAlarm(at))
	must(t, s.DeleteAll())
	alarm(time.Time{})
	moved(goguest.NotMoved)
}

// A power cut may take the first sector of a file that was never committed to.
func TestTornNewFileIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	must(t, os.MkdirAll(filepath.Dir(w.path), 0o700))
	must(t, os.WriteFile(w.path, make([]byte, 4096), 0o600))
	s, o := w.open()
	if got := keys(t, s, author.Range{}); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	must(t, s.Put("a", 1))
	commit(t, s)
	s.Close()
	s, _ = w.open()
	if got := keys(t, s, author.Range{}); len(got) != 1 || o.broken != nil {
		t.Errorf("got %q, %v", got, o.broken)
	}
}

func TestDamagedFile(t *testing.T) {
	w := newWorld(t)
	must(t, os.MkdirAll(filepath.Dir(w.path), 0o700))
	must(t, os.WriteFile(w.path, slices.Repeat([]byte("no database "), 5000), 0o600))
	s, o := w.open()
	err := s.Put("a", 1)
	if err == nil || !strings.Contains(err.Error(), "restore the object") || o.broken == nil {
		t.Errorf("got %v, told %v", err, o.broken)
	}
}

// An engine as it will be: what the files hold is checkpointed behind it, and a
// server that dies leaves everything that was committed.
func TestWithTheJournal(t *testing.T) {
	data := t.TempDir()
	e, _, err := journal.Open(data, journal.Options{})
	must(t, err)
	w := worldOn(t, data, e)
	s, _ := w.open()
	for i := range 40 {
		must(t, s.Put(fmt.Sprint(i%7), make([]byte, 10_000+i)))
		commit(t, s)
		must(t, wait(func(d storage.Done) error { return e.Commit(w.key, d) }))
		if i%10 == 9 {
			w.stores.NeedCheckpoint(w.key)
		}
		if i == 25 {
			s.Close()
			s, _ = w.open()
		}
	}
	info, err := os.Stat(w.path)
	must(t, err)
	if info.Size() < 60_000 {
		t.Errorf("nothing was moved into the database: it has %d bytes", info.Size())
	}
	s.Close()
	w.stores.Close()
	must(t, e.Close())
	if _, err := os.Stat(w.path + "-wal"); !os.IsNotExist(err) {
		t.Errorf("the WAL is left: %v", err)
	}

	e, _, err = journal.Open(data, journal.Options{})
	must(t, err)
	defer e.Close()
	w = worldOn(t, data, e)
	s, _ = w.open()
	var b []byte
	if ok, err := s.Get("4", &b); !ok || err != nil || len(b) != 10_039 {
		t.Errorf("got %v, %v, %d bytes", ok, err, len(b))
	}
	s.Close()
	w.stores.Close()
}

// What JavaScript has stored is read, and the other way round: the format is the
// one of structuredclone's tests.
func TestValuesAreStructuredClones(t *testing.T) {
	s, _ := newWorld(t).open()
	must(t, s.Put("k", map[string]any{"a": []any{1.5, "x", nil}}))
	rows, err := s.(*Store).handle.ask("SELECT value FROM _cf_KV")
	must(t, err)
	v, err := structuredclone.Decode(rows[0][0].([]byte))
	must(t, err)
	if _, ok := v.(*structuredclone.Object); !ok {
		t.Errorf("got %T", v)
	}
}
