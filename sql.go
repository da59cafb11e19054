package dormouse

import (
	"fmt"
	"iter"
	"math"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/dormouse-dev/dormouse/internal/author"
)

// SQL is the tables of an object's database. Its language is SQLite's, with
// JSON, FTS5 and R-Tree, less what Cloudflare does not allow: names that begin
// with _cf_, most PRAGMAs, ATTACH, and BEGIN and its like, for which there is
// Storage.Transaction. A statement may have 100,000 bytes and 100 parameters, a
// table 100 columns, a value 2 MiB.
//
// Arguments are nil, bool (0 or 1), integers, floats, string, []byte, time.Time
// (milliseconds since 1970) and types made from these.
//
// Cloudflare: "SQLite-backed Durable Object Storage", SQL API.
type SQL struct {
	s author.Storage
}

// Result says what a statement has done.
type Result struct {
	RowsAffected int64 // inserted, changed or deleted
	LastInsertID int64 // the row id of the last row that the object has inserted
}

// Exec runs one or more statements to their end. The arguments are those of the
// last one; statements are compiled once and kept.
func (q *SQL) Exec(query string, args ...any) (Result, error) {
	rows, err := q.s.Query(query, args)
	if err != nil {
		return Result{}, err
	}
	defer rows.Close()
	for more := true; more; {
		if more, err = rows.Next(); err != nil {
			return Result{}, err
		}
	}
	return Result{rows.Changes(), rows.Last()}, nil
}

// Query runs a statement, or several, and returns the rows of the last one. Read
// them to the end or close them: until then the database cannot shrink its log.
func (q *SQL) Query(query string, args ...any) (*Rows, error) {
	rows, err := q.s.Query(query, args)
	if err != nil {
		return nil, err
	}
	return &Rows{rows: rows}, nil
}

// QueryRow is Query for a statement that returns one row.
func (q *SQL) QueryRow(query string, args ...any) *Row {
	rows, err := q.Query(query, args...)
	return &Row{rows, err}
}

// Prepare compiles one statement and runs nothing, or says what is wrong with it.
func (q *SQL) Prepare(query string) (*Stmt, error) {
	if err := q.s.Prepare(query); err != nil {
		return nil, err
	}
	return &Stmt{q, query}, nil
}

// Size returns how many bytes of the database are in use.
func (q *SQL) Size() (int64, error) { return q.s.Size() }

// Rows are the result of a query, read one after the other.
type Rows struct {
	rows author.Rows
	err  error
	on   bool
}

// Next goes to the next row; before the first call there is none. false means
// that there is none, or an error: see Err. It closes the rows then.
func (r *Rows) Next() bool {
	if r.err != nil {
		return false
	}
	r.on, r.err = r.rows.Next()
	return r.on
}

// Columns returns the names of the columns.
func (r *Rows) Columns() []string { return r.rows.Columns() }

// Scan reads the columns of the row into what dest points to, as many as there
// are: pointers to bool, integers, floats, string, []byte, time.Time (from
// milliseconds since 1970), any (int64, float64, string, []byte or nil) and to
// pointers to these, which are nil for NULL. A type with a method Scan(any)
// error, such as sql.Null, is asked. What does not fit is an error.
func (r *Rows) Scan(dest ...any) error {
	if !r.on {
		return fmt.Errorf("scan: there is no row; call Next first")
	}
	if n := len(r.rows.Columns()); n != len(dest) {
		return fmt.Errorf("scan: the row has %d columns, and there are %d places", n, len(dest))
	}
	for i, d := range dest {
		if err := assign(d, r.rows.Value(i)); err != nil {
			return fmt.Errorf("scan column %s: %w", r.rows.Columns()[i], err)
		}
	}
	return nil
}

// Err returns the error that ended the rows early, if there was one.
func (r *Rows) Err() error { return r.err }

// Close ends the rows. It may be called again.
func (r *Rows) Close() error {
	r.on = false
	return r.rows.Close()
}

// All returns the rows that are left, for range: each is the receiver, to Scan
// from. It closes them. Err has what ended them early.
func (r *Rows) All() iter.Seq[*Rows] {
	return func(yield func(*Rows) bool) {
		defer r.Close()
		for r.Next() {
			if !yield(r) {
				return
			}
		}
	}
}

// Row is the result of a query for one row.
type Row struct {
	rows *Rows
	err  error
}

// Scan reads the row as Rows.Scan does. It returns ErrNoRows if there is none;
// further rows are left out.
func (r *Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if r.rows.err != nil {
			return r.rows.err
		}
		return ErrNoRows
	}
	return r.rows.Scan(dest...)
}

// Stmt is a statement that has been checked.
type Stmt struct {
	sql   *SQL
	query string
}

// Exec is SQL.Exec.
func (s *Stmt) Exec(args ...any) (Result, error) { return s.sql.Exec(s.query, args...) }

// Query is SQL.Query.
func (s *Stmt) Query(args ...any) (*Rows, error) { return s.sql.Query(s.query, args...) }

// QueryRow is SQL.QueryRow.
func (s *Stmt) QueryRow(args ...any) *Row { return s.sql.QueryRow(s.query, args...) }

// assign stores a value of SQLite where d points to.
func assign(d, v any) error {
	switch d := d.(type) {
	case *any:
		*d = v
		return nil
	case *string:
		if s, ok := v.(string); ok {
			*d = s
			return nil
		}
	case *int64:
		if n, ok := v.(int64); ok {
			*d = n
			return nil
		}
	case *[]byte:
		if b, ok := v.([]byte); ok || v == nil {
			*d = b
			return nil
		}
	case interface{ Scan(any) error }:
		return d.Scan(v)
	}
	p := reflect.ValueOf(d)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return fmt.Errorf("%T is not a pointer to somewhere", d)
	}
	return assignTo(p.Elem(), v)
}

var timeType = reflect.TypeFor[time.Time]()

func assignTo(to reflect.Value, v any) error {
	if to.Kind() == reflect.Pointer {
		if v == nil {
			to.SetZero()
			return nil
		}
		p := reflect.New(to.Type().Elem())
		if err := assign(p.Interface(), v); err != nil {
			return err
		}
		to.Set(p)
		return nil
	}
	switch v := v.(type) {
	case nil:
		return fmt.Errorf("NULL does not fit into %s: use a pointer to it", to.Type())
	case int64:
		return assignInt(to, v)
	case float64:
		switch to.Kind() {
		case reflect.Float32, reflect.Float64:
			to.SetFloat(v)
			return nil
		}
		if n := int64(v); v == math.Trunc(v) && math.Abs(v) <= 1<<53 {
			return assignInt(to, n)
		}
	case string:
		switch {
		case to.Kind() == reflect.String:
			to.SetString(v)
			return nil
		case to.Kind() == reflect.Slice && to.Type().Elem().Kind() == reflect.Uint8:
			to.SetBytes([]byte(v))
			return nil
		}
	case []byte:
		switch {
		case to.Kind() == reflect.Slice && to.Type().Elem().Kind() == reflect.Uint8:
			to.SetBytes(v)
			return nil
		case to.Kind() == reflect.String:
			to.SetString(string(v))
			return nil
		}
	}
	return misfit(to, v)
}

func assignInt(to reflect.Value, n int64) error {
	switch to.Kind() {
	case reflect.Bool:
		to.SetBool(n != 0)
		return nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if !to.OverflowInt(n) {
			to.SetInt(n)
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n >= 0 && !to.OverflowUint(uint64(n)) {
			to.SetUint(uint64(n))
			return nil
		}
	case reflect.Float32, reflect.Float64:
		to.SetFloat(float64(n))
		return nil
	case reflect.Struct:
		if to.Type() == timeType {
			to.Set(reflect.ValueOf(time.UnixMilli(n)))
			return nil
		}
	}
	return misfit(to, n)
}

// misfit tells of a value by its beginning: errors go into logs, and a BLOB may
// have megabytes.
func misfit(to reflect.Value, v any) error {
	const longest = 40
	head := v
	switch v := v.(type) {
	case []byte:
		head = v[:min(len(v), longest)]
	case string:
		head = v[:min(len(v), utf8.UTFMax*longest)]
	}
	text := []rune(fmt.Sprint(head))
	if len(text) > longest {
		text = append(text[:longest], '…')
	}
	return fmt.Errorf("the value %s of type %T does not fit into %s", string(text), v, to.Type())
}
