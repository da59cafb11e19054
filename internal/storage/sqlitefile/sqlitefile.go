// Package sqlitefile opens the database of one object for an operator, who is
// in another place than the object: a copy of it (see package snapshot), or the
// file itself when nothing else uses its data folder. It knows SQL and the
// tables that the storage keeps for itself, and never sees a guest, the journal
// or a value in JavaScript's terms.
//
// It must never open a file that a guest has open: the locks by which SQLite's
// connections know of each other are lost in a process that closes any
// descriptor of the file (https://www.sqlite.org/howtocorrupt.html, 2.2).
package sqlitefile

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"zombiezen.com/go/sqlite"
)

// Errors of this package. Others come from SQLite, in its words.
var (
	// ErrDamaged: the file is no database, or not one that can be read.
	ErrDamaged = errors.New("the database is damaged: restore the object from a backup")
	// ErrReadOnly: a statement would have changed something.
	ErrReadOnly = errors.New("the statement changes the database, and only reading was asked for: say --write")
)

// DB is an open database. It is for one goroutine at a time.
type DB struct {
	conn  *sqlite.Conn
	write bool // opened for writing

	refusal string // why the authorizer refused the last statement
}

// OpenCopy opens a file that nobody else uses or changes, to read it.
func OpenCopy(path string) (*DB, error) { return open(path, "immutable=1&mode=ro", false) }

// OpenAlone opens a file that nobody else uses, to change it: the caller holds
// the lock of the data folder. Close leaves a file that needs no log.
func OpenAlone(path string) (*DB, error) { return open(path, "mode=rw", true) }

// Create makes a database in WAL mode with nothing in it, as guests do.
func Create(path string) (*DB, error) {
	db, err := open(path, "mode=rwc", true)
	if err != nil {
		return nil, err
	}
	if err := db.run("PRAGMA journal_mode = WAL"); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func open(path, query string, write bool) (*DB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	flags := sqlite.OpenURI
	if write {
		flags |= sqlite.OpenReadWrite
	} else {
		flags |= sqlite.OpenReadOnly
	}
	u := url.URL{Scheme: "file", Path: absolute, RawQuery: query}
	if query == "mode=rwc" {
		flags |= sqlite.OpenCreate
	}
	conn, err := sqlite.OpenConn(u.String(), flags)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, plain(err))
	}
	db := &DB{conn: conn, write: write}
	if err := db.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), conn.Close())
	}
	return db, nil
}

// prepare makes the connection safe for what is not trusted: the statements,
// and the file.
func (db *DB) prepare() error {
	if err := db.conn.SetDefensive(true); err != nil {
		return err
	}
	pragmas := []string{"PRAGMA trusted_schema = OFF", "PRAGMA foreign_keys = ON", "PRAGMA cell_size_check = ON"}
	if db.write {
		pragmas = append(pragmas, "PRAGMA synchronous = FULL")
	}
	for _, p := range pragmas {
		if err := db.run(p); err != nil {
			return err
		}
	}
	if err := db.run("SELECT count(*) FROM sqlite_schema"); err != nil { // the first access to the file
		return err
	}
	db.conn.Limit(sqlite.LimitAttached, 0)
	return nil
}

// Close ends the connection. What was written is in the file then, and on disk.
// A second time it does nothing.
func (db *DB) Close() error {
	if db.conn == nil {
		return nil
	}
	defer func() { db.conn = nil }()
	var err error
	if db.write {
		err = db.run("PRAGMA wal_checkpoint(TRUNCATE)")
	}
	return errors.Join(err, plain(db.conn.Close()))
}

// Check looks for damage, as far as that goes without reading every index.
func (db *DB) Check(ctx context.Context) error {
	r, err := db.Query(ctx, "PRAGMA quick_check(1)", Limits{})
	if err != nil {
		return err
	}
	if len(r.Rows) != 1 || len(r.Rows[0]) != 1 || r.Rows[0][0] != "ok" {
		return fmt.Errorf("%w (%v)", ErrDamaged, r.Rows)
	}
	return nil
}

// run runs a statement of our own.
func (db *DB) run(sql string, arguments ...any) error {
	_, err := db.ask(sql, arguments, nil)
	return err
}

// ask runs a statement of our own with arguments that are string, []byte or
// int64, and calls row with each row; false ends it. It returns how many rows
// were changed.
func (db *DB) ask(sql string, arguments []any, row func(*sqlite.Stmt) bool) (changed int, err error) {
	stmt, _, err := db.conn.PrepareTransient(sql)
	if err != nil {
		return 0, plain(err)
	}
	defer stmt.Finalize()
	for i, a := range arguments {
		switch v := a.(type) {
		case nil:
			stmt.BindNull(i + 1)
		case string:
			stmt.BindText(i+1, v)
		case []byte:
			if v == nil {
				v = []byte{}
			}
			stmt.BindBytes(i+1, v)
		case int64:
			stmt.BindInt64(i+1, v)
		default:
			panic(fmt.Sprintf("argument %d is a %T", i, a))
		}
	}
	for {
		more, err := stmt.Step()
		if err != nil {
			return 0, plain(err)
		}
		if !more || row != nil && !row(stmt) {
			return db.conn.Changes(), nil
		}
	}
}

// transaction runs f as one transaction.
func (db *DB) transaction(f func() error) error {
	if err := db.run("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := f(); err != nil {
		return errors.Join(err, db.run("ROLLBACK"))
	}
	if err := db.run("COMMIT"); err != nil {
		return errors.Join(err, db.run("ROLLBACK"))
	}
	return nil
}

// plain turns an error of SQLite into a short text.
func plain(err error) error {
	if err == nil {
		return nil
	}
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultCorrupt, sqlite.ResultNotADB:
		return fmt.Errorf("%w (%w)", ErrDamaged, err)
	case sqlite.ResultReadOnly:
		return ErrReadOnly
	case sqlite.ResultInterrupt:
		return errInterrupted
	}
	return err
}

var errInterrupted = errors.New("the statement took too long, or whoever asked has gone")
