// Package browse is what an operator sees of objects' databases: which there
// are, and of one its tables, what a statement returns, its keys and its values
// as JavaScript prints them, in forms that can be sent as JSON. It looks at
// copies (see package snapshot), so looking neither wakes an object nor waits
// for one. It never sees a guest.
package browse

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/dormouse-dev/dormouse/internal/storage/snapshot"
	"github.com/dormouse-dev/dormouse/internal/storage/sqlitefile"
	"github.com/dormouse-dev/dormouse/internal/structuredclone"
)

// ErrNoData: the object has never written anything, or there is no such object.
var ErrNoData = errors.New("the object has no data")

// View is a database as of one commit. It is for one goroutine at a time.
type View struct {
	db    *sqlitefile.DB
	dir   string // of the copy; empty: the file itself
	bytes int64
	done  func() // called at the end; may be nil

	// Reuse, if not nil, is asked by Close whether it keeps the view, for whoever
	// looks next; then Discard ends it.
	Reuse func() bool
}

// Open copies a database into a folder below temp, and opens the copy. done, if
// not nil, is called when the copy is gone, also when there is an error.
func Open(ctx context.Context, src snapshot.Source, temp string, done func()) (v *View, err error) {
	if done == nil {
		done = func() {}
	}
	defer func() {
		if err != nil {
			done()
		}
	}()
	dir, err := os.MkdirTemp(temp, "look-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	path := filepath.Join(dir, "copy.sqlite")
	if err := snapshot.Take(ctx, src, path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNoData
		}
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	db, err := sqlitefile.OpenCopy(path)
	if err != nil {
		return nil, err
	}
	return &View{db: db, dir: dir, bytes: info.Size(), done: done}, nil
}

// Of looks at a database that is open. Close closes it.
func Of(db *sqlitefile.DB, bytes int64) *View { return &View{db: db, bytes: bytes} }

// Close ends the view, and removes its copy.
func (v *View) Close() error {
	if v.Reuse != nil && v.Reuse() {
		return nil
	}
	return v.Discard()
}

// Discard is Close without asking Reuse.
func (v *View) Discard() error {
	err := v.db.Close()
	if v.dir != "" {
		err = errors.Join(err, os.RemoveAll(v.dir))
		v.done()
	}
	return err
}

// Rows is what a statement returns. A value is null, a number, a string,
// {"integer": "…"} past 2^53, {"number": "…"} for an infinity, {"blob": base64},
// or {"bytes": base64} for text that is not UTF-8.
type Rows struct {
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
	More    bool     `json:"more"`    // than were asked for
	Changed int      `json:"changed"` // rows
}

// Query runs statements that only read. limit 0 is sqlitefile.MaxRows.
func (v *View) Query(ctx context.Context, sql string, limit int) (*Rows, error) {
	r, err := v.db.Query(ctx, sql, sqlitefile.Limits{Rows: limit})
	return rowsOf(r), err
}

// Exec runs statements that may write, all of them or none.
func (v *View) Exec(ctx context.Context, sql string, limit int) (*Rows, error) {
	r, err := v.db.Exec(ctx, sql, sqlitefile.Limits{Rows: limit})
	return rowsOf(r), err
}

func rowsOf(r *sqlitefile.Result) *Rows {
	if r == nil {
		return nil
	}
	for _, row := range r.Rows {
		for i, x := range row {
			row[i] = cell(x)
		}
	}
	return &Rows{r.Columns, r.Rows, r.More, r.Changed}
}

const maxSafeInteger = 1<<53 - 1

func cell(x any) any {
	switch x := x.(type) {
	case int64:
		if x > maxSafeInteger || x < -maxSafeInteger {
			return map[string]string{"integer": strconv.FormatInt(x, 10)}
		}
	case float64:
		if math.IsInf(x, 0) { // SQLite stores no NaN
			return map[string]string{"number": structuredclone.Inspect(x, 0)}
		}
	case string:
		if !utf8.ValidString(x) {
			return map[string]string{"bytes": base64.StdEncoding.EncodeToString([]byte(x))}
		}
	case []byte:
		return map[string]string{"blob": base64.StdEncoding.EncodeToString(x)}
	}
	return x
}

// Contents says what is in a database.
type Contents struct {
	Bytes  int64              `json:"bytes"`
	Keys   int64              `json:"keys"`
	Alarm  *time.Time         `json:"alarm,omitempty"`
	Tables []sqlitefile.Table `json:"tables"`
}

// Contents says what is in the database.
func (v *View) Contents() (*Contents, error) {
	c := &Contents{Bytes: v.bytes}
	var err error
	if c.Keys, err = v.db.Keys(); err != nil {
		return nil, err
	}
	at, err := v.db.Alarm()
	if err != nil {
		return nil, err
	}
	if !at.IsZero() {
		c.Alarm = &at
	}
	c.Tables, err = v.db.Tables()
	return c, err
}

// Key is a key as JSON can have it: text, and if it is not UTF-8 its bytes, with
// which it can be asked for.
type Key struct {
	Text  string `json:"key"`
	Bytes []byte `json:"key_base64,omitempty"`
}

// KeyOf is the form of a key.
func KeyOf(key string) Key {
	if utf8.ValidString(key) {
		return Key{Text: key}
	}
	return Key{Text: string([]rune(key)), Bytes: []byte(key)}
}

// Raw is the key itself.
func (k Key) Raw() string {
	if k.Bytes != nil {
		return string(k.Bytes)
	}
	return k.Text
}

// Value is a key with its value.
type Value struct {
	Key
	Text  string          `json:"text"`           // as JavaScript prints it
	JSON  json.RawMessage `json:"json,omitempty"` // if it is what JSON can say
	Size  int             `json:"bytes"`          // of the serialized value
	Cut   bool            `json:"cut,omitempty"`  // it is longer than what a list shows
	Error string          `json:"error,omitempty"`
	// Serialized is the value as V8 wrote it, of a single one only.
	Serialized []byte `json:"value_base64,omitempty"`
}

// Values are some of the pairs of a database.
type Values struct {
	Pairs []Value `json:"pairs"`
	More  bool    `json:"more"` // behind the last
}

// Range selects pairs.
type Range struct {
	Prefix string
	After  *string // the key before the first
	Limit  int     // 0: 1,000; at most sqlitefile.MaxPairs
}

const (
	// listedBytes is how long a value may be to be shown in a list.
	listedBytes = 64 << 10
	// shownDepth is how deep what is in a value is shown.
	shownDepth = 6
)

// List returns pairs in the order of the keys' bytes.
func (v *View) List(r Range) (*Values, error) {
	if r.Limit == 0 {
		r.Limit = 1000
	}
	pairs, more, err := v.db.List(sqlitefile.Range{Prefix: r.Prefix, After: r.After, Limit: r.Limit, ValueBytes: listedBytes + 1})
	if err != nil {
		return nil, err
	}
	list := &Values{Pairs: make([]Value, len(pairs)), More: more}
	for i, p := range pairs {
		x := Value{Key: KeyOf(p.Key), Size: p.Size}
		if p.Size > listedBytes {
			x.Cut = true
			x.Text = fmt.Sprintf("[%d bytes]", p.Size)
		} else {
			x.show(p.Value)
		}
		list.Pairs[i] = x
	}
	return list, nil
}

// Get returns one pair; nil if there is none.
func (v *View) Get(key string) (*Value, error) {
	b, ok, err := v.db.Get(key)
	if !ok || err != nil {
		return nil, err
	}
	x := &Value{Key: KeyOf(key), Size: len(b), Serialized: b}
	x.show(b)
	return x, nil
}

func (x *Value) show(b []byte) {
	value, err := structuredclone.Decode(b)
	if err != nil {
		x.Text, x.Error = "[cannot be read]", err.Error()
		return
	}
	x.Text = structuredclone.Inspect(value, shownDepth)
	if j, ok := toJSON(value, 0); ok {
		x.JSON = j
	}
}

// Put stores a serialized value. The view is not one of a copy, but of a database
// that was opened for writing; as for Exec and Delete.
func (v *View) Put(key string, value []byte) error { return v.db.Put(key, value) }

// Delete deletes a key and says whether it was there.
func (v *View) Delete(key string) (bool, error) { return v.db.Delete(key) }
