package structuredclone_test

import (
	"sort"
	"strconv"
	"testing"

	. "github.com/dormouse-dev/dormouse/internal/structuredclone"
)

// normal writes a value in a form in which those that are the same to JavaScript
// are the same: every array as a sparse one, properties in JavaScript's order and
// without those that a later one of the same key replaces, errors without what
// their making adds.
func normal(t testing.TB, v Value) []byte {
	t.Helper()
	n := normaliser{}
	b, err := Encode(n.value(v))
	if err != nil {
		t.Fatalf("%#v: %v", v, err)
	}
	return b
}

type normaliser map[Value]Value

func (n normaliser) value(v Value) Value {
	if known, ok := n[v]; ok {
		return known
	}
	switch v := v.(type) {
	case *Object:
		c := new(Object)
		n[v] = c
		c.Props = n.props(v.Props)
		return c
	case *Array:
		c := &Array{Length: v.Length, Sparse: true}
		n[v] = c
		var list []Property
		for i, x := range v.Elements {
			if x != (Hole{}) {
				list = append(list, Property{strconv.Itoa(i), x})
			}
		}
		c.Props = n.props(append(list, v.Props...))
		for _, p := range c.Props {
			if i, ok := index(p); ok {
				c.Length = max(c.Length, uint32(i)+1) // as by an assignment
			}
		}
		return c
	case *Map:
		c := new(Map)
		n[v] = c
		for _, e := range v.Entries {
			c.Entries = append(c.Entries, [2]Value{n.value(e[0]), n.value(e[1])})
		}
		c.Entries = lastOf(c.Entries)
		return c
	case *Set:
		c := new(Set)
		n[v] = c
		var entries [][2]Value
		for _, x := range v.Values {
			entries = append(entries, [2]Value{n.value(x), nil})
		}
		for _, e := range lastOf(entries) {
			c.Values = append(c.Values, e[0])
		}
		return c
	case *Error:
		c := &Error{Name: v.Name, Message: v.Message, DOM: v.DOM}
		n[v] = c
		return c
	case *RegExp:
		c := &RegExp{Flags: v.Flags} // JavaScript escapes the source
		n[v] = c
		return c
	case *View:
		c := *v
		c.Buffer = n.value(v.Buffer).(*Buffer)
		n[v] = &c
		return &c
	}
	return v
}

// lastOf leaves one entry for each key, where the first was, with the last value.
func lastOf(entries [][2]Value) [][2]Value {
	at := make(map[Value]int)
	var list [][2]Value
	for _, e := range entries {
		if i, ok := at[e[0]]; ok {
			list[i][1] = e[1]
			continue
		}
		at[e[0]] = len(list)
		list = append(list, e)
	}
	return list
}

func (n normaliser) props(list []Property) []Property {
	at := make(map[string]int)
	var kept []Property
	for _, p := range list {
		v := n.value(p.Value)
		if i, ok := at[p.Key]; ok {
			kept[i].Value = v
			continue
		}
		at[p.Key] = len(kept)
		kept = append(kept, Property{p.Key, v})
	}
	sort.SliceStable(kept, func(a, b int) bool {
		i, first := index(kept[a])
		j, second := index(kept[b])
		return first && (!second || i < j)
	})
	return kept
}

// index is the array index that a property's key is.
func index(p Property) (uint64, bool) {
	i, err := strconv.ParseUint(p.Key, 10, 32)
	return i, err == nil && strconv.FormatUint(i, 10) == p.Key && i < 1<<32-1
}
