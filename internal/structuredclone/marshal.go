package structuredclone

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"time"
)

// Marshal writes a Go value; the package comment says as what. Functions,
// channels and complex numbers cannot be written.
func Marshal(v any) ([]byte, error) {
	e := newEncoder()
	if err := e.any(v); err != nil {
		return nil, err
	}
	return e.out, nil
}

// any writes the common types without reflection.
func (e *encoder) any(v any) error {
	switch v := v.(type) {
	case nil:
		e.tag(tagNull)
	case bool:
		e.bool(v, tagTrue, tagFalse)
	case string:
		e.string(v)
	case []byte:
		e.bytes(v)
	case int:
		e.integer(int64(v))
	case int64:
		e.integer(v)
	case float64:
		e.number(v)
	default:
		return e.reflect(reflect.ValueOf(v), 0)
	}
	return nil
}

// maxExact is the largest integer below which a number is exact.
const maxExact = 1 << 53

func (e *encoder) integer(n int64) {
	if n >= -maxExact && n <= maxExact {
		e.number(float64(n))
		return
	}
	e.big(big.NewInt(n))
}

func (e *encoder) unsigned(n uint64) {
	if n <= maxExact {
		e.number(float64(n))
		return
	}
	e.big(new(big.Int).SetUint64(n))
}

func (e *encoder) big(n *big.Int) {
	abs := n.Bytes() // big-endian
	for i, j := 0, len(abs)-1; i < j; i, j = i+1, j-1 {
		abs[i], abs[j] = abs[j], abs[i]
	}
	e.tag(tagBigInt)
	e.bigInt(n.Sign() < 0, abs)
}

// bytes writes a Uint8Array. Nil is one without bytes: null would be read as
// nothing by nobody.
func (e *encoder) bytes(b []byte) {
	e.anonymous()
	e.tag(tagArrayBuffer)
	e.varint(uint32(len(b)))
	e.out = append(e.out, b...)
	e.anonymous()
	e.viewOf(byte(Uint8Array), 0, len(b), 0)
}

var (
	timeType  = reflect.TypeFor[time.Time]()
	bigType   = reflect.TypeFor[big.Int]()
	errorType = reflect.TypeFor[error]()
	emptyType = reflect.TypeFor[struct{}]()
)

// isValue says whether a type is one of Value's own.
func isValue(v any) bool {
	switch v.(type) {
	case Undefined, *BigInt, *Object, *Array, *Map, *Set, *Date, *Boxed, *RegExp, *Buffer, *View, *Error:
		return true
	}
	return false
}

func (e *encoder) reflect(v reflect.Value, depth int) error {
	if depth > maxDepth {
		return ErrDepth
	}
	if !v.IsValid() {
		e.tag(tagNull)
		return nil
	}
	if v.CanInterface() && v.Kind() != reflect.Interface {
		if x := v.Interface(); isValue(x) {
			if v.Kind() == reflect.Pointer && v.IsNil() {
				e.tag(tagNull)
				return nil
			}
			return e.value(x, depth)
		}
	}
	switch v.Kind() {
	case reflect.Bool:
		e.bool(v.Bool(), tagTrue, tagFalse)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.integer(v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		e.unsigned(v.Uint())
	case reflect.Float32, reflect.Float64:
		e.number(v.Float())
	case reflect.String:
		e.string(v.String())
	case reflect.Interface:
		return e.reflect(v.Elem(), depth+1)
	case reflect.Pointer:
		return e.pointer(v, depth)
	case reflect.Struct:
		return e.structure(v, depth, nil)
	case reflect.Map:
		return e.mapping(v, depth)
	case reflect.Slice, reflect.Array:
		return e.list(v, depth)
	default:
		return &UnsupportedError{fmt.Sprintf("a %s could not be cloned", v.Type())}
	}
	return nil
}

// identity is what makes a pointer or map the same object when it comes again.
type identity struct {
	at   uintptr
	kind reflect.Type
}

func (e *encoder) pointer(v reflect.Value, depth int) error {
	if v.IsNil() {
		e.tag(tagNull)
		return nil
	}
	to := v.Elem()
	if to.Type() == bigType {
		e.big(v.Interface().(*big.Int))
		return nil
	}
	if to.Kind() == reflect.Struct && to.Type() != timeType && !v.Type().Implements(errorType) {
		return e.structure(to, depth, identity{v.Pointer(), v.Type()})
	}
	if err, ok := v.Interface().(error); ok {
		return e.goError(err, depth)
	}
	return e.reflect(to, depth+1)
}

// structure writes a struct as an object. id tells it apart if it may come again.
func (e *encoder) structure(v reflect.Value, depth int, id any) error {
	if v.Type() == timeType {
		t := v.Interface().(time.Time)
		e.anonymous()
		e.date(float64(t.UnixMilli()))
		return nil
	}
	if v.Type() == bigType {
		n := v.Interface().(big.Int)
		e.big(&n)
		return nil
	}
	if v.CanInterface() && v.Type().Implements(errorType) {
		return e.goError(v.Interface().(error), depth)
	}
	if id == nil {
		e.anonymous()
	} else if e.again(id) {
		return nil
	}
	e.tag(tagObject)
	n := uint32(0)
	for _, f := range fieldsOf(v.Type()) {
		x, ok := fieldByIndex(v, f.index)
		if !ok || f.omitEmpty && isEmpty(x) || f.omitZero && x.IsZero() {
			continue
		}
		e.key(f.name)
		if err := e.reflect(x, depth+1); err != nil {
			return err
		}
		n++
	}
	e.tag(tagObjectEnd)
	e.varint(n)
	return nil
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

func (e *encoder) goError(err error, depth int) error {
	e.anonymous()
	return e.error(&Error{Name: "Error", Message: err.Error()}, depth)
}

func (e *encoder) mapping(v reflect.Value, depth int) error {
	if v.IsNil() {
		e.tag(tagNull)
		return nil
	}
	if e.again(identity{v.Pointer(), v.Type()}) {
		return nil
	}
	switch {
	case v.Type().Elem() == emptyType:
		return e.setOf(v, depth)
	case v.Type().Key().Kind() == reflect.String:
		return e.objectOf(v, depth)
	}
	return e.mapOf(v, depth)
}

func (e *encoder) objectOf(v reflect.Value, depth int) error {
	keys := make([]string, 0, v.Len())
	for _, k := range v.MapKeys() {
		keys = append(keys, k.String())
	}
	orderKeys(keys)
	e.tag(tagObject)
	for _, k := range keys {
		e.key(k)
		if err := e.reflect(v.MapIndex(reflect.ValueOf(k).Convert(v.Type().Key())), depth+1); err != nil {
			return err
		}
	}
	e.tag(tagObjectEnd)
	e.varint(uint32(len(keys)))
	return nil
}

func (e *encoder) mapOf(v reflect.Value, depth int) error {
	e.tag(tagMap)
	for _, k := range ordered(v.MapKeys()) {
		if err := e.reflect(k, depth+1); err != nil {
			return err
		}
		if err := e.reflect(v.MapIndex(k), depth+1); err != nil {
			return err
		}
	}
	e.tag(tagMapEnd)
	e.varint(uint32(2 * v.Len()))
	return nil
}

func (e *encoder) setOf(v reflect.Value, depth int) error {
	e.tag(tagSet)
	for _, k := range ordered(v.MapKeys()) {
		if err := e.reflect(k, depth+1); err != nil {
			return err
		}
	}
	e.tag(tagSetEnd)
	e.varint(uint32(v.Len()))
	return nil
}

func (e *encoder) list(v reflect.Value, depth int) error {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		if v.Kind() == reflect.Slice {
			e.bytes(v.Bytes())
			return nil
		}
		b := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(b), v)
		e.bytes(b)
		return nil
	}
	if v.Kind() == reflect.Slice && v.IsNil() {
		e.tag(tagNull)
		return nil
	}
	if v.Len() > math.MaxInt32 {
		return &UnsupportedError{"a slice is too long"}
	}
	e.anonymous()
	e.tag(tagDense)
	e.varint(uint32(v.Len()))
	for i := range v.Len() {
		if err := e.reflect(v.Index(i), depth+1); err != nil {
			return err
		}
	}
	e.tag(tagDenseEnd)
	e.varint(0)
	e.varint(uint32(v.Len()))
	return nil
}
