package source

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Cursor stands on one value of a file and knows the way that led to it. Its
// readers say what is wrong in the Report and return the zero value, so reading
// goes on and every mistake is found in one pass.
type Cursor struct {
	file   *File
	report *Report
	node   *Node // nil when there is no such value
	path   string
	key    string
	keyPos Pos
}

// Cursor returns a cursor on the whole file. What is odd about the file itself
// joins the report's warnings.
func (f *File) Cursor(report *Report) Cursor {
	report.Warnings = append(report.Warnings, f.Odd...)
	return Cursor{file: f, report: report, node: f.Root, keyPos: f.Root.Pos}
}

// Exists reports whether there is a value here. A null counts as none, as it
// does for wrangler.
func (c Cursor) Exists() bool { return c.node != nil && c.node.Kind != Null }

// Node is the value itself, or nil.
func (c Cursor) Node() *Node { return c.node }

// Key is the last step of the way.
func (c Cursor) Key() string { return c.key }

// Path is the whole way, such as "durable_objects.bindings[0].name".
func (c Cursor) Path() string { return c.path }

// Pos is where the key stands; in a list, where the value does.
func (c Cursor) Pos() Pos { return c.keyPos }

// Place is file, line and column as compilers print them.
func (c Cursor) Place() string {
	return fmt.Sprintf("%s:%d:%d", c.file.Path, c.keyPos.Line, c.keyPos.Column)
}

// Get steps to a member of a table. When there is none, or this is no table,
// the result does not exist.
func (c Cursor) Get(key string) Cursor {
	next := Cursor{file: c.file, report: c.report, path: join(c.path, key), key: key, keyPos: c.keyPos}
	if m := c.node.Lookup(key); m != nil {
		next.node, next.keyPos = m.Value, m.Pos
	}
	return next
}

func join(path, key string) string {
	if strings.ContainsAny(key, ". []\"") || key == "" {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// Problem describes this place.
func (c Cursor) Problem(message, hint string) *Problem {
	return &Problem{File: c.file.Path, Line: c.keyPos.Line, Column: c.keyPos.Column, Key: c.path, Message: message, Hint: hint}
}

// Errorf reports an error at this place. The hint may be empty.
func (c Cursor) Errorf(hint, format string, args ...any) {
	c.report.Errors = append(c.report.Errors, c.Problem(fmt.Sprintf(format, args...), hint))
}

// Warnf reports something odd at this place. The hint may be empty.
func (c Cursor) Warnf(hint, format string, args ...any) {
	c.report.Warnings = append(c.report.Warnings, c.Problem(fmt.Sprintf(format, args...), hint))
}

// is reports whether the value is of the kind, and complains when it is of
// another.
func (c Cursor) is(kind Kind) bool {
	if !c.Exists() {
		return false
	}
	if c.node.Kind == kind {
		return true
	}
	hint := ""
	if c.node.Kind == Date && kind == String {
		hint = fmt.Sprintf("Write it in quotes: %q.", c.node.Text)
	}
	c.Errorf(hint, "%q must be %s, not %s", c.path, kind, c.node.Kind)
	return false
}

// Text reads a string. ok is false when there is none.
func (c Cursor) Text() (s string, ok bool) {
	if !c.is(String) {
		return "", false
	}
	return c.node.Text, true
}

// Required reads a string that must be there and not be empty.
func (c Cursor) Required() (s string, ok bool) {
	if !c.Exists() {
		c.Errorf("", "%q is missing", c.path)
		return "", false
	}
	s, ok = c.Text()
	if ok && s == "" {
		c.Errorf("", "%q is empty", c.path)
		return "", false
	}
	return s, ok
}

// Bool reads a boolean. ok is false when there is none.
func (c Cursor) Bool() (b, ok bool) {
	if !c.is(Bool) {
		return false, false
	}
	return c.node.Bool, true
}

// Int reads a whole number of at least 0. ok is false when there is none.
func (c Cursor) Int() (i int64, ok bool) {
	if !c.is(Number) {
		return 0, false
	}
	f, err := strconv.ParseFloat(c.node.Text, 64)
	if err != nil || f != math.Trunc(f) || f < 0 || f > 1<<53 {
		c.Errorf("", "%q must be a whole number of at least 0, not %s", c.path, c.node.Text)
		return 0, false
	}
	return int64(f), true
}

// OneOf reads a string that is one of the choices.
func (c Cursor) OneOf(choices ...string) (s string, ok bool) {
	s, ok = c.Text()
	if !ok {
		return "", false
	}
	for _, choice := range choices {
		if s == choice {
			return s, true
		}
	}
	c.Errorf(DidYouMean(s, choices), "%q must be %s, not %q", c.path, quoted(choices), s)
	return "", false
}

func quoted(choices []string) string {
	q := make([]string, len(choices))
	for i, c := range choices {
		q[i] = strconv.Quote(c)
	}
	if len(q) == 1 {
		return q[0]
	}
	return strings.Join(q[:len(q)-1], ", ") + " or " + q[len(q)-1]
}

// Items are the values of a list; none when there is no list.
func (c Cursor) Items() []Cursor {
	if !c.is(List) {
		return nil
	}
	items := make([]Cursor, len(c.node.Items))
	for i, n := range c.node.Items {
		items[i] = Cursor{file: c.file, report: c.report, node: n, path: fmt.Sprintf("%s[%d]", c.path, i), key: c.key, keyPos: n.Pos}
	}
	return items
}

// Tables are the values of a list of tables; others are complained about.
func (c Cursor) Tables() []Cursor {
	var tables []Cursor
	for _, item := range c.Items() {
		if item.node.Kind != Table {
			item.Errorf("", "%q must be an object, not %s", item.path, item.node.Kind)
			continue
		}
		tables = append(tables, item)
	}
	return tables
}

// Strings reads a list of strings.
func (c Cursor) Strings() []string {
	var list []string
	for _, item := range c.Items() {
		if item.node.Kind != String {
			item.Errorf("", "%q must be a string, not %s", item.path, item.node.Kind)
			continue
		}
		list = append(list, item.node.Text)
	}
	return list
}

// Members are the members of a table, in the order of the file; none when there
// is no table.
func (c Cursor) Members() []Cursor {
	if !c.is(Table) {
		return nil
	}
	members := make([]Cursor, len(c.node.Members))
	for i := range c.node.Members {
		members[i] = c.Get(c.node.Members[i].Key)
	}
	return members
}

// StringMap reads a table of strings.
func (c Cursor) StringMap() map[string]string {
	m := make(map[string]string)
	for _, member := range c.Members() {
		if s, ok := member.Text(); ok {
			m[member.key] = s
		}
	}
	return m
}

// Only complains about every member of a table that is not one of the keys.
func (c Cursor) Only(keys ...string) {
	for _, m := range c.Members() {
		known := false
		for _, key := range keys {
			known = known || key == m.key
		}
		if !known {
			m.Errorf(DidYouMean(m.key, keys), "%q is not known", m.path)
		}
	}
}

// File is the file's name, as the reader would type it.
func (c Cursor) File() string { return c.file.Path }
