package source

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

func parseJSONC(path string, text []byte) (*File, error) {
	// The newline ends a line comment on the last line, which hujson wants.
	value, err := hujson.Parse(append(slices.Clip(text), '\n'))
	if err != nil {
		return nil, jsonProblem(path, text, err)
	}
	r := jsonReader{file: &File{Path: path}, lines: newLines(text)}
	r.file.Root = r.node(&value)
	if r.file.Root.Kind != Table {
		pos := r.file.Root.Pos
		return nil, &Problem{File: path, Line: pos.Line, Column: pos.Column,
			Message: "expected an object, got " + r.file.Root.Kind.String(), Hint: "A configuration file begins with {."}
	}
	return r.file, nil
}

// jsonProblem takes the place out of hujson's text and says the rest in ours.
func jsonProblem(path string, text []byte, err error) error {
	var line, column int
	message := strings.TrimPrefix(err.Error(), "hujson: ")
	if n, _ := fmt.Sscanf(message, "line %d, column %d:", &line, &column); n == 2 {
		message = message[strings.Index(message, ":")+2:]
		if cause := errors.Unwrap(err); cause != nil {
			message = cause.Error()
		}
	}
	p := &Problem{File: path, Line: line, Column: column, Message: "cannot read this as JSON with comments: " + message}
	if len(strings.TrimSpace(string(text))) == 0 {
		p.Line, p.Column, p.Message = 0, 0, "the file is empty"
	}
	return p
}

type jsonReader struct {
	file  *File
	lines lines
}

func (r *jsonReader) node(v *hujson.Value) *Node {
	n := &Node{Pos: r.lines.at(v.StartOffset)}
	switch value := v.Value.(type) {
	case *hujson.Object:
		n.Kind = Table
		index := make(map[string]int, len(value.Members))
		for i := range value.Members {
			r.member(n, index, &value.Members[i])
		}
	case *hujson.Array:
		n.Kind = List
		for i := range value.Elements {
			n.Items = append(n.Items, r.node(&value.Elements[i]))
		}
	case hujson.Literal:
		switch value.Kind() {
		case 't', 'f':
			n.Kind, n.Bool = Bool, value.Bool()
		case '"':
			n.Kind, n.Text = String, value.String()
		case '0':
			n.Kind, n.Text = Number, string(value)
		}
	}
	return n
}

// member adds a member to n. A key that comes twice is legal JSON, and the
// last one wins.
func (r *jsonReader) member(n *Node, index map[string]int, m *hujson.ObjectMember) {
	name, _ := m.Name.Value.(hujson.Literal) // Parse allows nothing else
	key := name.String()
	pos := r.lines.at(m.Name.StartOffset)
	member := Member{Key: key, Pos: pos, Value: r.node(&m.Value)}
	if i, twice := index[key]; twice {
		first := n.Members[i].Pos
		r.file.Odd = append(r.file.Odd, &Problem{File: r.file.Path, Line: pos.Line, Column: pos.Column, Key: key,
			Message: fmt.Sprintf("%q stands here a second time, and this one wins", key),
			Hint:    fmt.Sprintf("The first is on line %d; remove one of them.", first.Line)})
		n.Members[i] = member
		return
	}
	index[key] = len(n.Members)
	n.Members = append(n.Members, member)
}
