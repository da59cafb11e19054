package structuredclone

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// field is a field of a struct as a property.
type field struct {
	name      string
	index     []int
	omitEmpty bool
	omitZero  bool
}

// fieldCache keeps the fields of each type; types are few and never change.
var fieldCache sync.Map // reflect.Type to []field

// fieldsOf lists the fields of a struct type by the rules of encoding/json: those
// that are exported, under the name of the tag or their own; those of embedded
// structs without a name as if they were the outer one's, unless that has them.
func fieldsOf(t reflect.Type) []field {
	if list, ok := fieldCache.Load(t); ok {
		return list.([]field)
	}
	list := collect(t, nil, 0, make(map[reflect.Type]bool))
	slices.SortStableFunc(list, func(a, b field) int { return cmp.Compare(len(a.index), len(b.index)) })
	var kept []field
	for _, f := range list {
		if !slices.ContainsFunc(kept, func(k field) bool { return k.name == f.name }) {
			kept = append(kept, f)
		}
	}
	slices.SortStableFunc(kept, func(a, b field) int { return slices.Compare(a.index, b.index) })
	fieldCache.Store(t, kept)
	return kept
}

func collect(t reflect.Type, at []int, depth int, seen map[reflect.Type]bool) []field {
	if seen[t] {
		return nil
	}
	seen[t] = true
	defer delete(seen, t)
	var list []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Tag.Get("json") == "-" {
			continue
		}
		index := append(slices.Clone(at), i)
		if inner := f.Type; f.Anonymous && name == "" {
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct && inner != timeType && inner != bigType {
				if f.IsExported() || f.Type.Kind() == reflect.Struct {
					list = append(list, collect(inner, index, depth+1, seen)...)
				}
				continue
			}
		}
		if !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		option := strings.Split(options, ",")
		list = append(list, field{
			name: name, index: index,
			omitEmpty: slices.Contains(option, "omitempty"), omitZero: slices.Contains(option, "omitzero"),
		})
	}
	return list
}

// fieldByIndex returns a field; ok is false if it is behind a nil pointer.
func fieldByIndex(v reflect.Value, index []int) (_ reflect.Value, ok bool) {
	for n, i := range index {
		if n > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return reflect.Value{}, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, true
}

// ordered sorts the keys of a map, as far as their kind has an order, so that
// the same value has the same bytes.
func ordered(keys []reflect.Value) []reflect.Value {
	if len(keys) == 0 {
		return keys
	}
	var less func(a, b reflect.Value) int
	switch keys[0].Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		less = func(a, b reflect.Value) int { return cmp.Compare(a.Int(), b.Int()) }
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		less = func(a, b reflect.Value) int { return cmp.Compare(a.Uint(), b.Uint()) }
	case reflect.Float32, reflect.Float64:
		less = func(a, b reflect.Value) int { return cmp.Compare(a.Float(), b.Float()) }
	case reflect.String:
		less = func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) }
	default:
		return keys
	}
	slices.SortFunc(keys, less)
	return keys
}
