package source

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// parseTOML takes the values from the library's decoder, which knows every
// rule of the language, and only the places from its parser.
func parseTOML(path string, text []byte) (*File, error) {
	var values map[string]any
	if err := toml.Unmarshal(text, &values); err != nil {
		return nil, tomlProblem(path, err)
	}
	r := tomlReader{lines: newLines(text), places: make(map[string]place)}
	r.locate(text)
	return &File{Path: path, Root: r.node(values, "")}, nil
}

func tomlProblem(path string, err error) error {
	p := &Problem{File: path, Message: "cannot read this as TOML: " + strings.TrimPrefix(err.Error(), "toml: ")}
	if e, ok := errors.AsType[*toml.DecodeError](err); ok {
		p.Line, p.Column = e.Position()
		p.Key = strings.Join(e.Key(), ".")
	}
	return p
}

// place is where a key and its value stand.
type place struct{ key, value Pos }

// tomlReader knows the place of every path, a path being keys and indices that
// are joined by step.
type tomlReader struct {
	lines  lines
	parser unstable.Parser
	places map[string]place
	// counts holds how many [[headers]] an array of tables has had so far.
	counts map[string]int
}

func step(path, key string) string        { return path + "\x00k" + key }
func stepIndex(path string, i int) string { return path + "\x00i" + strconv.Itoa(i) }

// pos is where a node stands, or other for an array, which the parser does not
// place.
func (r *tomlReader) pos(n *unstable.Node, other Pos) Pos {
	if n.Raw.Length == 0 {
		return other
	}
	return r.lines.at(int(n.Raw.Offset))
}

func (r *tomlReader) locate(text []byte) {
	r.counts = make(map[string]int)
	r.parser.Reset(text)
	table := ""
	for r.parser.NextExpression() {
		e := r.parser.Expression()
		switch e.Kind {
		case unstable.Table:
			table = r.keys("", e.Key(), nil)
		case unstable.ArrayTable:
			table = r.header(e.Key())
		case unstable.KeyValue:
			r.keyValue(table, e)
		}
	}
}

// header follows a [[header]] to the new element that it begins.
func (r *tomlReader) header(keys unstable.Iterator) string {
	path, pos := "", Pos{}
	for keys.Next() {
		k := keys.Node()
		path, pos = step(path, string(k.Data)), r.pos(k, pos)
		r.note(path, place{pos, pos})
		if !keys.IsLast() {
			path = r.newest(path)
		}
	}
	element := stepIndex(path, r.counts[path])
	r.counts[path]++
	r.note(element, place{pos, pos})
	return element
}

// keys follows dotted keys and notes each; value is the place of what they lead
// to, or nil when that is a table.
func (r *tomlReader) keys(path string, keys unstable.Iterator, value *unstable.Node) string {
	var pos Pos
	for keys.Next() {
		k := keys.Node()
		path, pos = step(path, string(k.Data)), r.pos(k, pos)
		p := place{pos, pos}
		if keys.IsLast() && value != nil {
			p.value = r.pos(value, pos)
		}
		r.note(path, p)
		path = r.newest(path)
	}
	return path
}

// newest steps from an array of tables into its last element, as later headers
// and dotted keys do.
func (r *tomlReader) newest(path string) string {
	if n := r.counts[path]; n > 0 {
		return stepIndex(path, n-1)
	}
	return path
}

func (r *tomlReader) note(path string, p place) {
	if _, known := r.places[path]; !known {
		r.places[path] = p
	}
}

func (r *tomlReader) keyValue(table string, kv *unstable.Node) {
	value := kv.Value()
	r.inside(r.keys(table, kv.Key(), value), value)
}

func (r *tomlReader) inside(path string, value *unstable.Node) {
	switch value.Kind {
	case unstable.Array:
		items := value.Children()
		for i := 0; items.Next(); i++ {
			item := items.Node()
			element := stepIndex(path, i)
			pos := r.pos(item, r.places[path].value)
			r.note(element, place{pos, pos})
			r.inside(element, item)
		}
	case unstable.InlineTable:
		for members := value.Children(); members.Next(); {
			r.keyValue(path, members.Node())
		}
	}
}

// node builds the tree. Members stand in the order of their first mention.
func (r *tomlReader) node(value any, path string) *Node {
	n := &Node{Pos: r.places[path].value}
	if n.Pos == (Pos{}) { // the root
		n.Pos = Pos{1, 1}
	}
	switch v := value.(type) {
	case bool:
		n.Kind, n.Bool = Bool, v
	case string:
		n.Kind, n.Text = String, v
	case int64:
		n.Kind, n.Text = Number, strconv.FormatInt(v, 10)
	case float64:
		n.Kind, n.Text = Number, strconv.FormatFloat(v, 'g', -1, 64)
	case []any:
		n.Kind = List
		for i, item := range v {
			n.Items = append(n.Items, r.node(item, stepIndex(path, i)))
		}
	case map[string]any:
		n.Kind = Table
		for key, item := range v {
			at := step(path, key)
			n.Members = append(n.Members, Member{Key: key, Pos: r.places[at].key, Value: r.node(item, at)})
		}
		slices.SortFunc(n.Members, inFileOrder)
	default: // times and dates of four types, each with a String
		n.Kind, n.Text = Date, fmt.Sprint(v)
	}
	return n
}

func inFileOrder(a, b Member) int {
	if a.Pos != b.Pos {
		if a.Pos.Line != b.Pos.Line {
			return a.Pos.Line - b.Pos.Line
		}
		return a.Pos.Column - b.Pos.Column
	}
	return strings.Compare(a.Key, b.Key)
}
