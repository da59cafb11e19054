package structuredclone

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"time"
)

func (a *assigner) assignInterface(to reflect.Value, v Value, depth int) error {
	if to.NumMethod() > 0 {
		if e, ok := v.(*Error); ok && reflect.TypeOf(e).AssignableTo(to.Type()) {
			to.Set(reflect.ValueOf(e))
			return nil
		}
		return misfit(to.Type(), v)
	}
	x, err := a.natural(v, depth)
	if err != nil {
		return err
	}
	if x == nil {
		to.SetZero()
	} else {
		to.Set(reflect.ValueOf(x))
	}
	return nil
}

// natural is what a value becomes where anything may be.
func (a *assigner) natural(v Value, depth int) (any, error) {
	if canShare(v) {
		if x, ok := a.gone[v]; ok {
			return x, nil
		}
		if a.gone == nil {
			a.gone = make(map[Value]any)
		}
	}
	switch v := v.(type) {
	case string:
		return whole(v), nil
	case *BigInt:
		return v.Big(), nil
	case *Date:
		var t time.Time
		if assignTime(reflect.ValueOf(&t).Elem(), v) != nil {
			return v, nil
		}
		return t, nil
	case *Object:
		m := make(map[string]any, len(v.Props))
		a.gone[v] = m
		return m, a.assignInto(m, v, depth)
	case *Map:
		m := make(map[any]any, len(v.Entries))
		a.gone[v] = m
		err := a.assignInto(m, v, depth)
		if u, ok := errors.AsType[*UnsupportedError](err); ok && u != nil {
			a.gone[v] = v // its keys are no keys of Go
			return v, nil
		}
		return m, err
	case *Set:
		m := make(map[any]struct{}, len(v.Values))
		a.gone[v] = m
		err := a.assignInto(m, v, depth)
		if u, ok := errors.AsType[*UnsupportedError](err); ok && u != nil {
			a.gone[v] = v
			return v, nil
		}
		return m, err
	case *Array:
		list, err := v.dense()
		if err != nil {
			return v, nil
		}
		s := make([]any, len(list))
		a.gone[v] = s
		for i, x := range list {
			if _, hole := x.(Hole); hole {
				x = Undefined{}
			}
			if s[i], err = a.natural(x, depth+1); err != nil {
				return nil, err
			}
		}
		return s, nil
	case *Buffer:
		return append([]byte{}, v.Data...), nil
	case *View:
		if v.Kind == Uint8Array || v.Kind == Uint8ClampedArray || v.Kind == DataView {
			return append([]byte{}, v.Bytes()...), nil
		}
		return v, nil
	case *Boxed:
		return a.natural(v.Value, depth+1)
	}
	return v, nil
}

// assignInto fills a map that exists already.
func (a *assigner) assignInto(m any, v Value, depth int) error {
	to := reflect.ValueOf(m)
	for k, x := range pairs(v) {
		key, err := a.natural(k, depth+1)
		if err != nil {
			return err
		}
		rk := reflect.New(to.Type().Key()).Elem()
		if key != nil {
			rk.Set(reflect.ValueOf(key))
		}
		if !rk.Comparable() {
			return &UnsupportedError{fmt.Sprintf("%s cannot be the key of a Go map", kindOf(k))}
		}
		rv := reflect.New(to.Type().Elem()).Elem()
		if to.Type().Elem() != emptyType {
			item, err := a.natural(x, depth+1)
			if err != nil {
				return err
			}
			if item != nil {
				rv.Set(reflect.ValueOf(item))
			}
		}
		to.SetMapIndex(rk, rv)
	}
	return nil
}

// pairs are the keys and values of an object, a Map or a Set.
func pairs(v Value) iter.Seq2[Value, Value] {
	return func(yield func(Value, Value) bool) {
		switch v := v.(type) {
		case *Object:
			for _, p := range v.Props {
				if !yield(p.Key, p.Value) {
					return
				}
			}
		case *Map:
			for _, e := range v.Entries {
				if !yield(e[0], e[1]) {
					return
				}
			}
		case *Set:
			for _, x := range v.Values {
				if !yield(x, true) {
					return
				}
			}
		}
	}
}
