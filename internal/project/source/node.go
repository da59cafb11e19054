// Package source reads configuration files (JSON with comments, or TOML) into
// a tree whose every key and value knows its line and column, so that whatever
// is wrong with it can be said with its place. It knows the two notations and
// never sees what the keys mean.
package source

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"unicode/utf8"
)

// Kind is what a value is.
type Kind uint8

const (
	Null Kind = iota
	Bool
	Number
	String
	List
	Table
	Date // TOML only
)

var kindNames = [...]string{"null", "a boolean", "a number", "a string", "a list", "an object", "a date"}

// String names the kind with its article, for sentences.
func (k Kind) String() string { return kindNames[k] }

// Pos is a place in a file: line and column from 1, the column in characters.
type Pos struct{ Line, Column int }

// Node is one value of a file.
type Node struct {
	Kind    Kind
	Pos     Pos
	Bool    bool
	Text    string   // String: the value; Number and Date: as a literal
	Items   []*Node  // List
	Members []Member // Table, in the order of the file, keys unique
}

// Member is a key of a table and its value.
type Member struct {
	Key   string
	Pos   Pos // of the key
	Value *Node
}

// Lookup finds a member of a table, or nil.
func (n *Node) Lookup(key string) *Member {
	if n == nil {
		return nil
	}
	for i := range n.Members {
		if n.Members[i].Key == key {
			return &n.Members[i]
		}
	}
	return nil
}

// JSON writes the value in JSON, objects in the order of the file. It fails on
// what JSON cannot say: dates, infinities.
func (n *Node) JSON() (json.RawMessage, error) {
	var b bytes.Buffer
	if err := n.writeJSON(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (n *Node) writeJSON(b *bytes.Buffer) error {
	switch n.Kind {
	case Null:
		b.WriteString("null")
	case Bool:
		b.WriteString(strconv.FormatBool(n.Bool))
	case Number:
		if !json.Valid([]byte(n.Text)) {
			return fmt.Errorf("%s is not a number that JSON can write", n.Text)
		}
		b.WriteString(n.Text)
	case String:
		writeString(b, n.Text)
	case List:
		b.WriteByte('[')
		for i, item := range n.Items {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := item.writeJSON(b); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case Table:
		b.WriteByte('{')
		for i, m := range n.Members {
			if i > 0 {
				b.WriteByte(',')
			}
			writeString(b, m.Key)
			b.WriteByte(':')
			if err := m.Value.writeJSON(b); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	default:
		return fmt.Errorf("%s is not a value that JSON can write", n.Text)
	}
	return nil
}

func writeString(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	e.Encode(s)             // a string always encodes
	b.Truncate(b.Len() - 1) // without the newline that Encode adds
}

// File is a file that was read and understood. Root is always a Table.
type File struct {
	Path string // as the reader would type it
	Root *Node
	// Odd is what the notation allows and a person hardly meant.
	Odd Problems
}

// A file larger or deeper than this is no configuration. The depth keeps the
// recursive readers below within a small stack.
const (
	maxBytes = 4 << 20
	maxDepth = 1000
)

// Read reads a file; its ending tells the notation: .toml, else JSON with
// comments. Whatever is wrong comes as a *Problem, except that the error of a
// missing file satisfies errors.Is(err, fs.ErrNotExist).
func Read(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxBytes || !info.Mode().IsRegular() {
		return nil, &Problem{File: Display(path), Message: fmt.Sprintf("this is not a configuration file (want a regular file of at most %d MiB)", maxBytes>>20)}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(Display(path), text)
}

// Parse reads a file's text; the ending of path tells the notation.
func Parse(path string, text []byte) (*File, error) {
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	if len(text) > maxBytes {
		return nil, &Problem{File: path, Message: fmt.Sprintf("longer than %d MiB", maxBytes>>20)}
	}
	if at := tooDeep(text); at >= 0 {
		return nil, problemAt(path, text, at, fmt.Sprintf("nested more than %d deep", maxDepth))
	}
	if !utf8.Valid(text) {
		return nil, problemAt(path, text, invalidAt(text), "this is not UTF-8 text")
	}
	if filepath.Ext(path) == ".toml" {
		return parseTOML(path, text)
	}
	return parseJSONC(path, text)
}

// tooDeep counts brackets without regard to strings and comments, which can
// only make it too careful, and a configuration has no thousand open brackets
// anywhere. It returns an offset, or -1.
func tooDeep(text []byte) int {
	depth := 0
	for i, c := range text {
		switch c {
		case '[', '{':
			if depth++; depth > maxDepth {
				return i
			}
		case ']', '}':
			depth = max(0, depth-1)
		}
	}
	return -1
}

func invalidAt(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(text)
}

func problemAt(path string, text []byte, offset int, message string) *Problem {
	pos := positionOf(text, offset)
	return &Problem{File: path, Line: pos.Line, Column: pos.Column, Message: message}
}

// positionOf turns a byte offset into line and column.
func positionOf(text []byte, offset int) Pos {
	offset = min(max(offset, 0), len(text))
	before := text[:offset]
	start := bytes.LastIndexByte(before, '\n') + 1
	return Pos{
		Line:   bytes.Count(before, []byte("\n")) + 1,
		Column: utf8.RuneCount(before[start:]) + 1,
	}
}
