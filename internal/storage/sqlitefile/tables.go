package sqlitefile

import (
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"
)

// Table is a table or view of the author's.
type Table struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"` // table, view, virtual
	SQL     string   `json:"sql"`
	Columns []Column `json:"columns"`
}

// Column is a column of a Table.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Key  bool   `json:"primary_key"`
}

// Tables lists the author's tables and views by name, without those that SQLite
// or another table keeps for itself.
func (db *DB) Tables() ([]Table, error) {
	list := []Table{}
	_, err := db.ask(`SELECT l.name, l.type, coalesce(s.sql, '') FROM pragma_table_list AS l JOIN sqlite_schema AS s ON s.name = l.name
		WHERE l.schema = 'main' AND l.type <> 'shadow' AND substr(lower(l.name), 1, 4) <> '_cf_' AND substr(l.name, 1, 7) <> 'sqlite_'
		ORDER BY l.name`, nil, func(s *sqlite.Stmt) bool {
		list = append(list, Table{Name: s.ColumnText(0), Type: s.ColumnText(1), SQL: s.ColumnText(2), Columns: []Column{}})
		return true
	})
	for i := range list {
		t := &list[i]
		if err != nil {
			break
		}
		_, err = db.ask("SELECT name, type, pk FROM pragma_table_xinfo(?) WHERE hidden <> 1", []any{t.Name}, func(s *sqlite.Stmt) bool {
			t.Columns = append(t.Columns, Column{s.ColumnText(0), s.ColumnText(1), s.ColumnInt(2) > 0})
			return true
		})
	}
	return list, err
}

// Pair is a key with its value, as V8 wrote it. Both are any bytes.
type Pair struct {
	Key   string
	Value []byte
	// Size is that of the whole value; Value may be cut off, see Range.
	Size int
}

// Range selects keys, which are ordered by their bytes.
type Range struct {
	Prefix string
	After  *string // the key before the first; nil: from the beginning
	Limit  int     // at least 1
	// ValueBytes cuts longer values off. 0: none.
	ValueBytes int
}

// MaxPairs is how many pairs one List returns at most.
const MaxPairs = 10_000

// Keys counts the keys.
func (db *DB) Keys() (n int64, err error) {
	if there, err := db.has("_cf_KV"); !there {
		return 0, err
	}
	_, err = db.ask("SELECT count(*) FROM _cf_KV", nil, func(s *sqlite.Stmt) bool { n = s.ColumnInt64(0); return true })
	return n, err
}

// List returns pairs in order; more says that there are others behind them.
func (db *DB) List(r Range) (pairs []Pair, more bool, err error) {
	pairs = []Pair{}
	if there, err := db.has("_cf_KV"); !there {
		return pairs, false, err
	}
	cut := int64(r.ValueBytes)
	if cut <= 0 {
		cut = 1 << 40
	}
	limit := min(max(r.Limit, 1), MaxPairs)
	where, arguments := "key >= CAST(?2 AS TEXT)", []any{cut, []byte(r.Prefix)}
	if r.After != nil && *r.After >= r.Prefix {
		where, arguments[1] = "key > CAST(?2 AS TEXT)", []byte(*r.After)
	}
	if end, ok := successor(r.Prefix); ok {
		where += " AND key < CAST(?3 AS TEXT)"
		arguments = append(arguments, []byte(end))
	}
	bytes := 0
	_, err = db.ask("SELECT key, substr(value, 1, ?1), length(value) FROM _cf_KV WHERE "+where+" ORDER BY key", arguments, func(s *sqlite.Stmt) bool {
		bytes += s.ColumnLen(0) + s.ColumnLen(1)
		if len(pairs) == limit || len(pairs) > 0 && bytes > MaxBytes {
			more = true
			return false
		}
		pairs = append(pairs, Pair{s.ColumnText(0), blobOf(s, 1), s.ColumnInt(2)})
		return true
	})
	return pairs, more, err
}

// successor is the first key that has not the prefix and comes after those that
// have.
func successor(prefix string) (string, bool) {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1]), true
		}
	}
	return "", false
}

// Get returns the value of a key; ok is false if there is none.
func (db *DB) Get(key string) (value []byte, ok bool, err error) {
	if there, err := db.has("_cf_KV"); !there {
		return nil, false, err
	}
	_, err = db.ask("SELECT value FROM _cf_KV WHERE key = CAST(? AS TEXT)", []any{[]byte(key)}, func(s *sqlite.Stmt) bool {
		value, ok = blobOf(s, 0), true
		return false
	})
	return value, ok, err
}

// Largest key and value together, as for authors.
const maxPair = 2_200_000

// Put stores a value under a key.
func (db *DB) Put(key string, value []byte) error {
	if len(key)+len(value) > maxPair {
		return fmt.Errorf("key and value have %d bytes, and may have %d", len(key)+len(value), maxPair)
	}
	return db.transaction(func() error {
		// The text is workerd's, and stands in the file.
		if err := db.run("CREATE TABLE IF NOT EXISTS _cf_KV (\n        key TEXT PRIMARY KEY,\n        value BLOB\n      ) WITHOUT ROWID"); err != nil {
			return err
		}
		return db.run("INSERT INTO _cf_KV VALUES (CAST(? AS TEXT), ?) ON CONFLICT DO UPDATE SET value = excluded.value", []byte(key), value)
	})
}

// Delete deletes a key and says whether it was there.
func (db *DB) Delete(key string) (was bool, err error) {
	if there, err := db.has("_cf_KV"); !there {
		return false, err
	}
	n, err := db.ask("DELETE FROM _cf_KV WHERE key = CAST(? AS TEXT)", []any{[]byte(key)}, nil)
	return n > 0, err
}

// Rows of _cf_METADATA, as workerd numbers them.
const alarmRow = 1

// Alarm returns the time of the object's alarm, or zero.
func (db *DB) Alarm() (at time.Time, err error) {
	if there, err := db.has("_cf_METADATA"); !there {
		return at, err
	}
	_, err = db.ask("SELECT value FROM _cf_METADATA WHERE key = ? AND typeof(value) = 'integer'", []any{int64(alarmRow)}, func(s *sqlite.Stmt) bool {
		at = time.UnixMilli(s.ColumnInt64(0) / 1_000_000)
		return false
	})
	return at, err
}

// SetAlarm stores the time of the object's alarm, to the millisecond.
func (db *DB) SetAlarm(at time.Time) error {
	if at.IsZero() {
		return errors.New("an alarm needs a time")
	}
	return db.transaction(func() error {
		if err := db.run("CREATE TABLE IF NOT EXISTS _cf_METADATA (\n        key INTEGER PRIMARY KEY,\n        value BLOB\n      )"); err != nil {
			return err
		}
		return db.run("INSERT INTO _cf_METADATA VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", int64(alarmRow), at.UnixMilli()*1_000_000)
	})
}

func (db *DB) has(table string) (there bool, err error) {
	_, err = db.ask("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", []any{table}, func(*sqlite.Stmt) bool {
		there = true
		return false
	})
	return there, err
}

// Fill makes a table and fills it, in one transaction: insert is run for each
// call of row, with its arguments.
func (db *DB) Fill(create, insert string, fill func(row func(arguments ...any) error) error) error {
	return db.transaction(func() error {
		if err := db.run(create); err != nil {
			return err
		}
		return fill(func(arguments ...any) error { return db.run(insert, arguments...) })
	})
}

// Select returns the rows of a trusted query with arguments.
func (db *DB) Select(sql string, arguments ...any) (rows [][]any, err error) {
	_, err = db.ask(sql, arguments, func(s *sqlite.Stmt) bool {
		row, _ := rowOf(s, s.ColumnCount())
		rows = append(rows, row)
		return true
	})
	return rows, err
}
