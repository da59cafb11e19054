package sqlitefile

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"zombiezen.com/go/sqlite"
)

// Limits bound an answer. Zero values are the largest.
type Limits struct {
	Rows  int // 100,000
	Bytes int // of all values; 32 MiB
}

// MaxRows and MaxBytes are the largest limits of an answer.
const (
	MaxRows  = 100_000
	MaxBytes = 32 << 20
)

func (l *Limits) fill() {
	if l.Rows <= 0 || l.Rows > MaxRows {
		l.Rows = MaxRows
	}
	if l.Bytes <= 0 || l.Bytes > MaxBytes {
		l.Bytes = MaxBytes
	}
}

// Result is what the last statement with columns has returned.
type Result struct {
	Columns []string
	Rows    [][]any // nil, int64, float64, string or []byte
	More    bool    // there are more rows than the limits allow
	Changed int     // rows, by all statements
}

// Query runs statements that only read.
func (db *DB) Query(ctx context.Context, text string, l Limits) (*Result, error) {
	return db.query(ctx, text, l, false)
}

// Exec runs statements, all of them or none.
func (db *DB) Exec(ctx context.Context, text string, l Limits) (r *Result, err error) {
	if !db.write {
		return nil, ErrReadOnly
	}
	err = db.transaction(func() error {
		r, err = db.query(ctx, text, l, true)
		return err
	})
	return r, err
}

func (db *DB) query(ctx context.Context, text string, l Limits, write bool) (*Result, error) {
	l.fill()
	if db.write && !write {
		// Not for the authorizer to decide: R-Trees compile statements that write
		// before they are read.
		if err := db.run("PRAGMA query_only = ON"); err != nil {
			return nil, err
		}
		defer db.run("PRAGMA query_only = OFF")
	}
	if err := db.conn.SetAuthorizer(sqlite.AuthorizeFunc(db.judge)); err != nil {
		return nil, err
	}
	defer db.conn.SetAuthorizer(nil)
	old := db.conn.SetInterrupt(ctx.Done())
	defer db.conn.SetInterrupt(old)
	before, err := db.changes()
	if err != nil {
		return nil, err
	}
	r, ran := &Result{Columns: []string{}, Rows: [][]any{}}, false
	for strings.TrimSpace(text) != "" {
		db.refusal = ""
		stmt, left, err := db.conn.PrepareTransient(text)
		if err != nil {
			return nil, db.refused(err)
		}
		text = text[len(text)-left:]
		switch err := db.read(stmt, r, &l); err {
		case nil:
			ran = true
		case errComment:
		default:
			return nil, err
		}
	}
	if !ran {
		return nil, errors.New("SQL code did not contain a statement.")
	}
	after, err := db.changes()
	r.Changed = int(after - before)
	return r, err
}

// changes counts the rows that this connection has changed.
func (db *DB) changes() (n int64, err error) {
	_, err = db.ask("SELECT total_changes()", nil, func(s *sqlite.Stmt) bool { n = s.ColumnInt64(0); return true })
	return n, err
}

// errComment: there was nothing but a comment.
var errComment = errors.New("no statement")

// read runs a statement to its end, or to the limits.
func (db *DB) read(stmt *sqlite.Stmt, r *Result, l *Limits) error {
	defer stmt.Finalize()
	if n := stmt.BindParamCount(); n > 0 {
		return fmt.Errorf("the statement has %d parameters; write the values into it", n)
	}
	if n := stmt.ColumnCount(); n > 0 {
		*r = Result{Columns: make([]string, n), Rows: [][]any{}}
		for i := range r.Columns {
			r.Columns[i] = stmt.ColumnName(i)
		}
	}
	left := l.Bytes
	for {
		more, err := stmt.Step()
		if sqlite.ErrCode(err) == sqlite.ResultMisuse {
			return errComment
		}
		if err != nil {
			return db.refused(err)
		}
		if !more {
			return nil
		}
		row, size := rowOf(stmt, len(r.Columns))
		if left -= size; left < 0 || len(r.Rows) == l.Rows {
			r.More = true
			return nil
		}
		r.Rows = append(r.Rows, row)
	}
}

func rowOf(stmt *sqlite.Stmt, n int) (row []any, size int) {
	row = make([]any, n)
	for i := range row {
		size += 16
		switch stmt.ColumnType(i) {
		case sqlite.TypeInteger:
			row[i] = stmt.ColumnInt64(i)
		case sqlite.TypeFloat:
			row[i] = stmt.ColumnFloat(i)
		case sqlite.TypeText:
			row[i] = stmt.ColumnText(i)
			size += stmt.ColumnLen(i)
		case sqlite.TypeBlob:
			row[i] = blobOf(stmt, i)
			size += stmt.ColumnLen(i)
		}
	}
	return row, size
}

func blobOf(stmt *sqlite.Stmt, column int) []byte {
	b := make([]byte, stmt.ColumnLen(column))
	stmt.ColumnBytes(column, b)
	return b
}

// refused says why the authorizer did not allow a statement, if it did not.
func (db *DB) refused(err error) error {
	if sqlite.ErrCode(err).ToPrimary() == sqlite.ResultAuth && db.refusal != "" {
		return errors.New(db.refusal)
	}
	return plain(err)
}

// judge is asked what a statement may do. An operator may see everything in the
// file and change what an author could change; what leads out of the file is
// refused.
func (db *DB) judge(a sqlite.Action) sqlite.AuthResult {
	refuse := func(why string) sqlite.AuthResult {
		if db.refusal == "" {
			db.refusal = why
		}
		return sqlite.AuthResultDeny
	}
	switch a.Type() {
	case sqlite.OpSelect, sqlite.OpRead, sqlite.OpRecursive:
		return sqlite.AuthResultOK
	case sqlite.OpFunction:
		return sqlite.AuthResultOK // none that is built in leads out of the file
	case sqlite.OpPragma:
		if name := strings.ToLower(a.Pragma()); !pragmaAllowed(name, a.PragmaArg()) {
			return refuse("PRAGMA " + name + " is not allowed")
		}
		return sqlite.AuthResultOK
	case sqlite.OpAttach, sqlite.OpDetach:
		return refuse("other databases cannot be attached")
	case sqlite.OpTransaction, sqlite.OpSavepoint:
		return refuse("all statements of one call are one transaction already")
	case sqlite.OpCreateTempIndex, sqlite.OpCreateTempTable, sqlite.OpCreateTempTrigger, sqlite.OpCreateTempView,
		sqlite.OpDropTempIndex, sqlite.OpDropTempTable, sqlite.OpDropTempTrigger, sqlite.OpDropTempView:
		return refuse("temporary tables are not allowed")
	}
	if ours(a.Table()) {
		return refuse("tables that begin with _cf_ belong to the storage: use `dormouse storage kv` for keys and values")
	}
	return sqlite.AuthResultOK
}

func ours(table string) bool { return len(table) >= 4 && strings.EqualFold(table[:4], "_cf_") }

// pragmaAllowed: those that tell something, and change nothing.
func pragmaAllowed(name, argument string) bool {
	switch name {
	case "table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo",
		"foreign_key_list", "foreign_key_check", "quick_check", "integrity_check",
		"function_list", "module_list", "pragma_list", "compile_options", "collation_list", "database_list":
		return true
	case "page_count", "page_size", "freelist_count", "user_version", "application_id", "schema_version", "data_version",
		"encoding", "journal_mode", "auto_vacuum", "foreign_keys":
		return argument == ""
	}
	return false
}
