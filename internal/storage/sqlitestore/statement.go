package sqlitestore

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"
)

// stmt is a compiled statement.
type stmt struct {
	*sqlite.Stmt
	text    string // what it is kept under; empty: it is not kept
	effects effects
	trusted bool
}

// effects are what a statement may do.
type effects struct {
	writes  bool // to the database, so it belongs into a transaction
	changes bool // to rows
	refusal string
}

var (
	errNoStatement = errors.New("SQL code did not contain a statement.")
	errParameters  = errors.New("When executing multiple SQL statements in a single call, only the last statement can have parameters.")
	errSeveral     = errors.New("a statement that is prepared must be one")
	errTransaction = "to execute a transaction use Storage.Transaction instead of BEGIN, COMMIT or SAVEPOINT: what a handler writes is one already"
)

// compile returns the first statement of an SQL text, and the rest of the text.
// It is nil when there is none. Pairs with put.
func (h *handle) compile(text string, trusted bool) (*stmt, string, error) {
	if s := h.free[text]; s != nil && s.trusted == trusted {
		delete(h.free, text)
		h.busy[s] = struct{}{}
		return s, "", nil
	}
	if strings.IndexByte(text, 0) >= 0 {
		return nil, "", errors.New("SQL code contains a zero byte: pass values as arguments")
	}
	s := &stmt{trusted: trusted}
	h.trusted, h.effects = trusted, &s.effects
	native, rest, err := h.conn.PrepareTransient(text)
	h.effects = nil
	if err != nil {
		if s.effects.refusal != "" {
			err = errors.New(s.effects.refusal)
		}
		return nil, "", err
	}
	tail := text[len(text)-rest:]
	if nothing(text[:len(text)-rest]) {
		native.Finalize()
		if strings.TrimSpace(tail) == "" {
			return nil, "", nil
		}
		return h.compile(tail, trusted)
	}
	s.Stmt = native
	if strings.TrimSpace(tail) == "" {
		s.text, tail = text, ""
	}
	h.busy[s] = struct{}{}
	return s, tail, nil
}

// nothing says whether an SQL text holds only blanks, comments and semicolons.
func nothing(text string) bool {
	for {
		text = strings.TrimLeft(text, " \t\r\n\f;")
		switch {
		case text == "":
			return true
		case strings.HasPrefix(text, "--"):
			_, text, _ = strings.Cut(text, "\n")
		case strings.HasPrefix(text, "/*"):
			_, text, _ = strings.Cut(text[2:], "*/")
		default:
			return false
		}
	}
}

// put gives a statement back.
func (h *handle) put(s *stmt) {
	delete(h.busy, s)
	h.trusted = s.trusted
	s.Reset() // tells again what the last step has told
	if s.text == "" || h.free[s.text] != nil || s.ClearBindings() != nil {
		s.Finalize()
		return
	}
	if len(h.free) >= maxFree {
		for text, old := range h.free {
			old.Finalize()
			delete(h.free, text)
			break
		}
	}
	h.free[s.text] = s
}

// finalize frees all statements.
func (h *handle) finalize() {
	for _, s := range h.free {
		s.Finalize()
	}
	for s := range h.busy {
		s.Finalize()
	}
	clear(h.free)
	clear(h.busy)
}

// step goes to the next row.
func (h *handle) step(s *stmt) (bool, error) {
	h.trusted = s.trusted
	return s.Step()
}

// ask runs a statement of our own and returns all rows.
func (h *handle) ask(text string, args ...any) ([][]any, error) {
	s, _, err := h.compile(text, true)
	if err != nil {
		return nil, err
	}
	defer h.put(s)
	if err := bind(s.Stmt, args); err != nil {
		return nil, err
	}
	return h.rest(s)
}

// rest returns the rows of a statement that are left.
func (h *handle) rest(s *stmt) ([][]any, error) {
	var rows [][]any
	for {
		more, err := h.step(s)
		if err != nil || !more {
			return rows, err
		}
		rows = append(rows, row(s.Stmt))
	}
}

func row(s *sqlite.Stmt) []any {
	r := make([]any, s.ColumnCount())
	for i := range r {
		r[i] = column(s, i)
	}
	return r
}

// column returns a value, which is the caller's.
func column(s *sqlite.Stmt, i int) any {
	switch s.ColumnType(i) {
	case sqlite.TypeInteger:
		return s.ColumnInt64(i)
	case sqlite.TypeFloat:
		return s.ColumnFloat(i)
	case sqlite.TypeText:
		return s.ColumnText(i)
	case sqlite.TypeBlob:
		b := make([]byte, s.ColumnLen(i))
		s.ColumnBytes(i, b)
		return b
	}
	return nil
}

// names are the columns of a statement.
func names(s *sqlite.Stmt) []string {
	list := make([]string, s.ColumnCount())
	for i := range list {
		list[i] = s.ColumnName(i)
	}
	return list
}

// bind gives a statement its arguments.
func bind(s *sqlite.Stmt, args []any) error {
	if n := s.BindParamCount(); n != len(args) {
		return fmt.Errorf("wrong number of arguments: the statement has %d parameters, and there are %d", n, len(args))
	}
	for i, a := range args {
		if err := bindOne(s, i+1, a); err != nil {
			return fmt.Errorf("argument %d: %w", i+1, err)
		}
	}
	return nil
}

func bindOne(s *sqlite.Stmt, i int, a any) error {
	switch a := a.(type) {
	case nil:
		s.BindNull(i)
	case string:
		s.BindText(i, a)
	case int:
		s.BindInt64(i, int64(a))
	case int64:
		s.BindInt64(i, a)
	case float64:
		s.BindFloat(i, a)
	case bool:
		s.BindBool(i, a)
	case []byte:
		bindBytes(s, i, a)
	case time.Time:
		s.BindInt64(i, a.UnixMilli())
	case driver.Valuer:
		v, err := a.Value()
		if err != nil {
			return err
		}
		return bindOne(s, i, v)
	default:
		return bindKind(s, i, reflect.ValueOf(a))
	}
	return nil
}

// bindKind binds what is made from a basic type, or points to it.
func bindKind(s *sqlite.Stmt, i int, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			s.BindNull(i)
			return nil
		}
		return bindOne(s, i, v.Elem().Interface())
	case reflect.Bool:
		s.BindBool(i, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		s.BindInt64(i, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		n := v.Uint()
		if n > 1<<63-1 {
			return fmt.Errorf("%d is more than SQLite's integers can hold", n)
		}
		s.BindInt64(i, int64(n))
	case reflect.Float32, reflect.Float64:
		s.BindFloat(i, v.Float())
	case reflect.String:
		s.BindText(i, v.String())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			bindBytes(s, i, v.Bytes())
			return nil
		}
		fallthrough
	default:
		return fmt.Errorf("a %s is no value of SQLite: use a number, string, []byte, bool, time.Time or nil", v.Type())
	}
	return nil
}

// bindBytes binds a blob; a nil slice is NULL, and an empty one is not.
func bindBytes(s *sqlite.Stmt, i int, b []byte) {
	switch {
	case b == nil:
		s.BindNull(i)
	case len(b) == 0:
		s.BindZeroBlob(i, 0)
	default:
		s.BindBytes(i, b)
	}
}
