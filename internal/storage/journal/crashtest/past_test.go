package crashtest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/journal"
	"zombiezen.com/go/sqlite"
)

// traveller is an object with a real database, and what its bookmarks stand for.
type traveller struct {
	t        *testing.T
	key      dormouse.Key
	path     string
	conn     *sqlite.Conn // nil: it is not open
	states   []visit
	present  string // what the database holds
	rows     int
	stranded bool // history begins behind it
}

type visit struct {
	at    storage.Bookmark
	state string
}

// voyage is a data folder whose objects are written to, and whose process dies
// now and then.
type voyage struct {
	t       *testing.T
	rnd     *rand.Rand
	options journal.Options
	data    string
	e       *journal.Engine
	objects []*traveller
	tooOld  int
	right   int
}

func await(t *testing.T, request func(storage.Done) error) storage.Bookmark {
	t.Helper()
	mark, err := awaitErr(request)
	if err != nil {
		t.Fatal(err)
	}
	return mark
}

func awaitErr(request func(storage.Done) error) (storage.Bookmark, error) {
	type answer struct {
		mark storage.Bookmark
		err  error
	}
	answers := make(chan answer, 1)
	if err := request(func(m storage.Bookmark, err error) { answers <- answer{m, err} }); err != nil {
		return storage.Bookmark{}, err
	}
	a := <-answers
	return a.mark, a.err
}

func (v *voyage) open() {
	v.t.Helper()
	e, _, err := journal.Open(v.data, v.options)
	if err != nil {
		v.t.Fatal(err)
	}
	v.e = e
}

func (o *traveller) open(e *journal.Engine, template []byte) {
	o.t.Helper()
	if o.conn != nil {
		return
	}
	await(o.t, func(d storage.Done) error { return e.Open(o.key, storage.SameProcess, d) })
	if _, err := os.Stat(o.path); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(o.path), 0o700); err != nil {
			o.t.Fatal(err)
		}
		if err := os.WriteFile(o.path+".new", template, 0o600); err != nil {
			o.t.Fatal(err)
		}
		if err := os.Rename(o.path+".new", o.path); err != nil {
			o.t.Fatal(err)
		}
	}
	o.connect()
	if now := o.dump(o.conn); o.present != "" && now != o.present {
		o.t.Fatalf("object %s was opened and is not what it was", o.key)
	}
}

func (o *traveller) connect() {
	conn, err := sqlite.OpenConn(o.path, sqlite.OpenReadWrite)
	if err != nil {
		o.t.Fatal(err)
	}
	o.conn = conn
	for _, q := range []string{"PRAGMA synchronous=OFF", "PRAGMA wal_autocheckpoint=0", "PRAGMA cache_size=10"} {
		sql(o.t, conn, q)
	}
}

// dump says what a database holds.
func (o *traveller) dump(conn *sqlite.Conn) string {
	o.t.Helper()
	sum := sha256.New()
	for _, q := range []string{"SELECT n, value FROM rows ORDER BY n", "SELECT life, k FROM last"} {
		rows(o.t, conn, q, func(s *sqlite.Stmt) { hashRow(sum, s) })
	}
	rows(o.t, conn, "PRAGMA integrity_check", func(s *sqlite.Stmt) {
		if s.ColumnText(0) != "ok" {
			o.t.Fatalf("object %s: %s", o.key, s.ColumnText(0))
		}
	})
	return fmt.Sprintf("%x", sum.Sum(nil)[:8])
}

func hashRow(h hash.Hash, s *sqlite.Stmt) {
	for i := range s.ColumnCount() {
		fmt.Fprintf(h, "%s,", s.ColumnText(i))
	}
}

// commit changes something, and notes what the bookmark stands for.
func (o *traveller) commit(v *voyage) {
	o.t.Helper()
	o.rows++
	sql(o.t, o.conn, "BEGIN")
	for range 1 + v.rnd.IntN(4) {
		size := v.rnd.IntN(3000)
		if v.rnd.IntN(40) == 0 {
			size = 200_000
		}
		value := make([]byte, size)
		for i := range value {
			value[i] = byte(v.rnd.Uint32())
		}
		sql(o.t, o.conn, "INSERT INTO rows VALUES(?,?) ON CONFLICT(n) DO UPDATE SET value=excluded.value", v.rnd.IntN(60), value)
	}
	sql(o.t, o.conn, "DELETE FROM rows WHERE n=?", v.rnd.IntN(60))
	if v.rnd.IntN(25) == 0 {
		sql(o.t, o.conn, "DELETE FROM rows")
		sql(o.t, o.conn, "PRAGMA incremental_vacuum")
	}
	sql(o.t, o.conn, "DELETE FROM last")
	sql(o.t, o.conn, "INSERT INTO last VALUES(?,?)", o.rows, o.rows)
	sql(o.t, o.conn, "COMMIT")
	at := await(o.t, func(d storage.Done) error { return v.e.Commit(o.key, d) })
	o.present = o.dump(o.conn)
	o.states = append(o.states, visit{at, o.present})
}

// checkpoint does what a keeper does; finished is false for one that dies in it.
func (o *traveller) checkpoint(v *voyage, finished bool) {
	o.t.Helper()
	await(o.t, func(d storage.Done) error { return v.e.Checkpoint(o.key, d) })
	frames := 0
	rows(o.t, o.conn, "PRAGMA wal_checkpoint(PASSIVE)", func(s *sqlite.Stmt) { frames = s.ColumnInt(2) })
	if finished {
		v.e.Checkpointed(o.key, frames)
	}
}

// close leaves the log to the engine, or moves it.
func (o *traveller) close(v *voyage) {
	o.t.Helper()
	if o.conn == nil {
		return
	}
	if v.rnd.IntN(2) == 0 {
		observer, err := sqlite.OpenConn(o.path, sqlite.OpenReadOnly)
		if err != nil {
			o.t.Fatal(err)
		}
		rows(o.t, observer, "SELECT count(*) FROM rows", func(*sqlite.Stmt) {})
		o.conn.Close()
		observer.Close()
	} else {
		await(o.t, func(d storage.Done) error { return v.e.Checkpoint(o.key, d) })
		o.conn.Close()
	}
	o.conn = nil
	v.e.Release(o.key)
}

// look compares a copy of the object as of a bookmark with what it was. false:
// history does not go back so far.
func (o *traveller) look(v *voyage, s visit) bool {
	o.t.Helper()
	path := filepath.Join(o.t.TempDir(), "then.sqlite")
	err := v.e.CopyAt(o.key, s.at, path)
	if errors.Is(err, storage.ErrTooOld) {
		v.tooOld++
		return false
	}
	if err != nil {
		o.t.Fatalf("object %s at %v: %v", o.key, s.at, err)
	}
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		o.t.Fatal(err)
	}
	defer conn.Close()
	if got := o.dump(conn); got != s.state {
		o.t.Fatalf("object %s at %v: it is not what it was", o.key, s.at)
	}
	v.right++
	return true
}

// restore goes back, and sometimes undoes that.
func (o *traveller) restore(v *voyage, s visit) {
	o.t.Helper()
	undo, err := awaitErr(func(d storage.Done) error { return v.e.OrderRestore(o.key, s.at, d) })
	if errors.Is(err, storage.ErrTooOld) {
		return
	}
	if err != nil {
		o.t.Fatal(err)
	}
	before := o.present
	o.close(v)
	mark, err := awaitErr(func(d storage.Done) error { return v.e.Restore(o.key, d) })
	if errors.Is(err, storage.ErrTooOld) {
		v.tooOld++
		return
	}
	if err != nil {
		o.t.Fatalf("restore %s to %v: %v", o.key, s.at, err)
	}
	if v.e.Ordered(o.key) {
		o.t.Fatal("the order is still there")
	}
	o.present = s.state
	o.states = append(o.states, visit{mark, s.state}, visit{undo, before})
	if v.rnd.IntN(2) == 0 {
		o.look(v, o.states[len(o.states)-1])
	}
}

// die copies the folder as a killed process leaves it, and goes on there.
func (v *voyage) die() {
	v.t.Helper()
	var next string
	for { // what is moved meanwhile would be missing or there twice
		next = filepath.Join(v.t.TempDir(), "data")
		before := v.files()
		if err := os.CopyFS(next, os.DirFS(v.data)); err == nil && slices.Equal(before, v.files()) {
			break
		}
		os.RemoveAll(next)
	}
	for _, o := range v.objects {
		if o.conn != nil {
			await(v.t, func(d storage.Done) error { return v.e.Checkpoint(o.key, d) })
			o.conn.Close()
			o.conn = nil
			v.e.Release(o.key)
		}
	}
	if err := v.e.Close(); err != nil {
		v.t.Fatal(err)
	}
	os.RemoveAll(v.data)
	v.data = next
	for _, o := range v.objects {
		o.path = storage.Path(next, o.key)
	}
	v.open()
}

func (v *voyage) files() (names []string) {
	filepath.WalkDir(v.data, func(path string, _ fs.DirEntry, err error) error {
		names = append(names, path)
		return nil
	})
	return names
}

// pastBytes is what history takes.
func (v *voyage) pastBytes() (bytes int64) {
	files, _ := filepath.Glob(filepath.Join(v.data, "journal", "history", "*.log"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

func (v *voyage) run(steps int, template []byte) {
	for range steps {
		o := v.objects[v.rnd.IntN(len(v.objects))]
		switch p := v.rnd.IntN(100); {
		case p < 60:
			o.open(v.e, template)
			o.commit(v)
		case p < 72:
			if o.conn != nil {
				o.checkpoint(v, v.rnd.IntN(4) > 0)
			}
		case p < 82:
			o.close(v)
		case p < 94:
			if len(o.states) > 0 {
				o.look(v, o.states[v.rnd.IntN(len(o.states))])
			}
		case p < 97:
			if len(o.states) > 0 {
				o.restore(v, o.states[v.rnd.IntN(len(o.states))])
			}
		case p < 98:
			v.die()
		default: // a restart
			for _, o := range v.objects {
				o.close(v)
			}
			if err := v.e.Close(); err != nil {
				v.t.Fatal(err)
			}
			v.open()
		}
	}
	for _, o := range v.objects {
		tooOld := -1
		for i, s := range o.states {
			if _, undo := s.at.NextRestore(); !o.look(v, s) && !undo {
				tooOld = i
			}
		}
		if tooOld == len(o.states)-1 && tooOld >= 0 {
			v.t.Errorf("object %s: not even its last state can be reached", o.key)
		}
	}
}

// TestPastIsAsItWas writes to objects, checkpoints, closes, kills, restarts and
// restores in random order, and looks at what they were at every bookmark. With
// a budget a bookmark may be too old; it is never anything else.
func TestPastIsAsItWas(t *testing.T) {
	seeds, steps := 4, 100
	if s := os.Getenv("DORMOUSE_SOAK"); s != "" {
		seeds, steps = 12, 400
	}
	only, _ := strconv.Atoi(os.Getenv("DORMOUSE_SEED"))
	template := template(t, 4096)
	for seed := 1; seed <= seeds; seed++ {
		if only != 0 && seed != only {
			continue
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			v := &voyage{t: t, rnd: rand.New(rand.NewPCG(uint64(seed), 3)), data: filepath.Join(t.TempDir(), "data")}
			v.options = journal.Options{SegmentBytes: 512 << 10, Budget: 2 << 20, RestDelay: time.Millisecond, KeepBytes: journal.KeepAll}
			if seed%2 == 0 {
				v.options.KeepBytes = 3 << 20
			}
			if seed%3 == 0 {
				v.options.Durability = storage.Relaxed
			}
			if err := os.MkdirAll(v.data, 0o700); err != nil {
				t.Fatal(err)
			}
			v.open()
			n := dormouse.Namespace("test-Traveller")
			for i := range 3 {
				key := dormouse.Key{Namespace: n, ID: n.IDFromName(fmt.Sprint(i))}
				v.objects = append(v.objects, &traveller{t: t, key: key, path: storage.Path(v.data, key)})
			}
			v.run(steps, template)
			for _, o := range v.objects {
				o.close(v)
			}
			if err := v.e.Close(); err != nil {
				t.Fatal(err)
			}
			if bytes := v.pastBytes(); bytes > v.options.KeepBytes {
				t.Errorf("history takes %d bytes, and has a budget of %d", bytes, v.options.KeepBytes)
			}
			if v.tooOld > 0 && v.options.KeepBytes == journal.KeepAll {
				t.Errorf("%d bookmarks are too old although everything is kept", v.tooOld)
			}
			t.Logf("%d states were right, %d too old", v.right, v.tooOld)
		})
	}
}
