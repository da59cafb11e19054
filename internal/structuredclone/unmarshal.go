package structuredclone

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Unmarshal reads a value into what into points to; the package comment says
// what fits where. Properties that a struct has no field for are left out, and
// fields without a property stay as they are. undefined and null set pointers,
// maps, slices and interfaces to nil, and are an error for everything else.
func Unmarshal(data []byte, into any) error {
	v, err := Decode(data)
	if err != nil {
		return err
	}
	return Assign(v, into)
}

// Assign is Unmarshal for a value that has been decoded.
func Assign(v Value, into any) error {
	p := reflect.ValueOf(into)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return &UnsupportedError{fmt.Sprintf("%T is not a pointer to somewhere", into)}
	}
	a := &assigner{made: make(map[made]reflect.Value)}
	return a.assign(p.Elem(), v, 0)
}

// assigner stores one value. What comes again in it is the same pointer, map or
// slice again.
type assigner struct {
	made map[made]reflect.Value
	gone map[Value]any // what has become of objects in an any
}

type made struct {
	from Value
	to   reflect.Type
}

// misfit is the error of a value that does not fit.
func misfit(to reflect.Type, v Value) error {
	return &UnsupportedError{fmt.Sprintf("%s does not fit into a Go %s", kindOf(v), to)}
}

// kindOf names a value for people.
func kindOf(v Value) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case Undefined:
		return "undefined"
	case bool:
		return "a boolean"
	case float64:
		return fmt.Sprintf("the number %v", v)
	case string:
		return "a string"
	case *BigInt:
		return "a bigint"
	case *View:
		return "a view of an ArrayBuffer"
	case *Buffer:
		return "an ArrayBuffer"
	case *Boxed:
		return "an object of " + kindOf(v.Value)
	}
	return "a JavaScript " + strings.TrimPrefix(fmt.Sprintf("%T", v), "*structuredclone.")
}

var valueTypes = []reflect.Type{
	reflect.TypeFor[Undefined](), reflect.TypeFor[*BigInt](), reflect.TypeFor[*Object](), reflect.TypeFor[*Array](),
	reflect.TypeFor[*Map](), reflect.TypeFor[*Set](), reflect.TypeFor[*Date](), reflect.TypeFor[*Boxed](),
	reflect.TypeFor[*RegExp](), reflect.TypeFor[*Buffer](), reflect.TypeFor[*View](), reflect.TypeFor[*Error](),
}

func (a *assigner) assign(to reflect.Value, v Value, depth int) error {
	if depth > maxDepth {
		return ErrDepth
	}
	if boxed, ok := v.(*Boxed); ok && to.Type() != reflect.TypeFor[*Boxed]() {
		v = boxed.Value
	}
	t := to.Type()
	if v != nil && slices.Contains(valueTypes, t) && reflect.TypeOf(v) == t {
		to.Set(reflect.ValueOf(v))
		return nil
	}
	if isNothing(v) {
		switch to.Kind() {
		case reflect.Pointer, reflect.Map, reflect.Slice:
			to.SetZero()
			return nil
		case reflect.Interface:
			to.SetZero()
			if _, undefined := v.(Undefined); undefined && to.NumMethod() == 0 {
				to.Set(reflect.ValueOf(v))
			}
			return nil
		}
		return misfit(t, v)
	}
	switch t {
	case timeType:
		return assignTime(to, v)
	case bigType:
		n, ok := toBig(v)
		if !ok {
			return misfit(t, v)
		}
		to.Set(reflect.ValueOf(*n))
		return nil
	}
	switch to.Kind() {
	case reflect.Interface:
		return a.assignInterface(to, v, depth)
	case reflect.Pointer:
		return a.assignPointer(to, v, depth)
	case reflect.Struct:
		return a.assignStruct(to, v, depth)
	case reflect.Map:
		return a.assignMap(to, v, depth)
	case reflect.Slice, reflect.Array:
		return a.assignList(to, v, depth)
	}
	return assignPlain(to, v)
}

func isNothing(v Value) bool {
	_, undefined := v.(Undefined)
	return v == nil || undefined
}

// assignPlain stores what has no parts.
func assignPlain(to reflect.Value, v Value) error {
	switch to.Kind() {
	case reflect.Bool:
		if b, ok := v.(bool); ok {
			to.SetBool(b)
			return nil
		}
	case reflect.String:
		if s, ok := v.(string); ok {
			to.SetString(whole(s))
			return nil
		}
	case reflect.Float32, reflect.Float64:
		if f, ok := v.(float64); ok {
			to.SetFloat(f)
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n, ok := toBig(v); ok && n.IsInt64() && !to.OverflowInt(n.Int64()) {
			to.SetInt(n.Int64())
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if n, ok := toBig(v); ok && n.IsUint64() && !to.OverflowUint(n.Uint64()) {
			to.SetUint(n.Uint64())
			return nil
		}
	}
	return misfit(to.Type(), v)
}

// whole is text without halves of surrogate pairs.
func whole(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := runeOf(s[i:])
		b.WriteRune(r) // a half becomes U+FFFD
		i += n
	}
	return b.String()
}

// toBig is a bigint, or a number that is whole.
func toBig(v Value) (*big.Int, bool) {
	switch v := v.(type) {
	case float64:
		if v != math.Trunc(v) || math.IsInf(v, 0) {
			return nil, false
		}
		n, _ := big.NewFloat(v).Int(nil)
		return n, true
	case *BigInt:
		return v.Big(), true
	}
	return nil, false
}

// Big is the number as Go has it.
func (b *BigInt) Big() *big.Int {
	abs := slices.Clone(b.Abs)
	slices.Reverse(abs)
	n := new(big.Int).SetBytes(abs)
	if b.Negative {
		n.Neg(n)
	}
	return n
}

func assignTime(to reflect.Value, v Value) error {
	ms, ok := v.(float64)
	if d, is := v.(*Date); is {
		ms, ok = d.Milliseconds, true
	}
	if !ok || !(math.Abs(ms) <= maxTime) {
		return misfit(to.Type(), v)
	}
	to.Set(reflect.ValueOf(time.UnixMilli(int64(ms))))
	return nil
}

func (a *assigner) assignPointer(to reflect.Value, v Value, depth int) error {
	key := made{v, to.Type()}
	shared := canShare(v)
	if p, ok := a.made[key]; ok && shared {
		to.Set(p)
		return nil
	}
	p := reflect.New(to.Type().Elem())
	if shared {
		a.made[key] = p
	}
	if err := a.assign(p.Elem(), v, depth+1); err != nil {
		return err
	}
	to.Set(p)
	return nil
}

// canShare says whether a value has an identity.
func canShare(v Value) bool {
	switch v.(type) {
	case *Object, *Array, *Map, *Set:
		return true
	}
	return false
}

func (a *assigner) assignStruct(to reflect.Value, v Value, depth int) error {
	o, ok := v.(*Object)
	if !ok {
		return misfit(to.Type(), v)
	}
	for _, f := range fieldsOf(to.Type()) {
		x, ok := o.Get(f.name)
		if !ok {
			continue
		}
		if _, undefined := x.(Undefined); undefined {
			continue
		}
		place, err := makeField(to, f.index)
		if err != nil {
			return err
		}
		if err := a.assign(place, x, depth+1); err != nil {
			return fmt.Errorf("property %s: %w", f.name, err)
		}
	}
	return nil
}

// makeField returns a field and makes the embedded structs on the way.
func makeField(v reflect.Value, index []int) (reflect.Value, error) {
	for n, i := range index {
		if n > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !v.CanSet() {
					return v, &UnsupportedError{fmt.Sprintf("the embedded %s is nil and not exported", v.Type())}
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, nil
}

func (a *assigner) assignMap(to reflect.Value, v Value, depth int) error {
	t := to.Type()
	key := made{v, t}
	if m, ok := a.made[key]; ok {
		to.Set(m)
		return nil
	}
	m := reflect.MakeMap(t)
	put := func(k, x Value) error {
		mk, mv := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		if err := a.assign(mk, k, depth+1); err != nil {
			return fmt.Errorf("a key: %w", err)
		}
		if !mk.Comparable() {
			return &UnsupportedError{fmt.Sprintf("%s cannot be the key of a Go map", kindOf(k))}
		}
		if t.Elem() != emptyType {
			if err := a.assign(mv, x, depth+1); err != nil {
				return fmt.Errorf("key %v: %w", mk, err)
			}
		}
		m.SetMapIndex(mk, mv)
		return nil
	}
	a.made[key] = m
	switch v := v.(type) {
	case *Object:
		for _, p := range v.Props {
			if err := put(p.Key, p.Value); err != nil {
				return err
			}
		}
	case *Map:
		for _, entry := range v.Entries {
			if err := put(entry[0], entry[1]); err != nil {
				return err
			}
		}
	case *Set:
		if t.Elem() != emptyType && t.Elem().Kind() != reflect.Bool {
			return misfit(t, v)
		}
		for _, x := range v.Values {
			if err := put(x, true); err != nil {
				return err
			}
		}
	default:
		return misfit(t, v)
	}
	to.Set(m)
	return nil
}

// bytesOf is what a buffer or a view of one holds.
func bytesOf(v Value) ([]byte, bool) {
	switch v := v.(type) {
	case *Buffer:
		return v.Data, true
	case *View:
		return v.Bytes(), true
	}
	return nil, false
}

func (a *assigner) assignList(to reflect.Value, v Value, depth int) error {
	t := to.Type()
	if b, ok := bytesOf(v); ok {
		if t.Elem().Kind() == reflect.Uint8 {
			return assignBytes(to, b)
		}
		view, isView := v.(*View)
		if !isView || view.Kind == DataView {
			return misfit(t, v)
		}
		v = &Array{Elements: view.Elements()}
	}
	var list []Value
	switch v := v.(type) {
	case *Array:
		var err error
		if list, err = v.dense(); err != nil {
			return err
		}
	case *Set:
		list = v.Values
	default:
		return misfit(t, v)
	}
	if to.Kind() == reflect.Array {
		if len(list) != to.Len() {
			return &UnsupportedError{fmt.Sprintf("%d elements do not fit into a Go %s", len(list), t)}
		}
	} else {
		key := made{v, t}
		if s, ok := a.made[key]; ok {
			to.Set(s)
			return nil
		}
		s := reflect.MakeSlice(t, len(list), len(list))
		a.made[key] = s
		to.Set(s)
	}
	place := to
	for i, x := range list {
		if _, hole := x.(Hole); hole {
			x = Undefined{}
		}
		if isNothing(x) && !canBeNil(t.Elem()) {
			continue // the zero value is there
		}
		if err := a.assign(place.Index(i), x, depth+1); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

func canBeNil(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		return true
	}
	return false
}

func assignBytes(to reflect.Value, b []byte) error {
	if to.Kind() == reflect.Slice {
		to.SetBytes(append([]byte{}, b...))
		return nil
	}
	if len(b) != to.Len() {
		return &UnsupportedError{fmt.Sprintf("%d bytes do not fit into a Go %s", len(b), to.Type())}
	}
	reflect.Copy(to, reflect.ValueOf(b))
	return nil
}

// maxSparse bounds the length of an array with holes that becomes a slice.
const maxSparse = 1 << 20

// dense lists the elements of an array, with holes where there are none.
func (a *Array) dense() ([]Value, error) {
	if !a.Sparse {
		return a.Elements, nil
	}
	if a.Length > maxSparse {
		return nil, &UnsupportedError{fmt.Sprintf("an array with holes, %d long, is not made into a Go slice", a.Length)}
	}
	list := make([]Value, a.Length)
	for i := range list {
		list[i] = Hole{}
	}
	for _, p := range a.Props {
		if n, ok := arrayIndex(p.Key); ok && n < a.Length {
			list[n] = p.Value
		}
	}
	return list, nil
}
