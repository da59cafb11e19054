package structuredclone

// Value is a JavaScript value:
//
//	nil              null
//	Undefined        undefined
//	bool, float64, string
//	*BigInt
//	*Object, *Array, *Map, *Set, *Date, *Boxed, *RegExp, *Buffer, *View, *Error
//
// Those that are pointers are the same where they are the same object in
// JavaScript (but for BigInt, which has no identity), so a value may contain
// itself. A string is UTF-8; half of a surrogate pair without the other stands
// in it as three bytes, as if it were a character.
type Value any

// Undefined is undefined.
type Undefined struct{}

// BigInt is a bigint: its absolute value in little-endian order.
type BigInt struct {
	Negative bool
	Abs      []byte // without zeros at its end
}

// Object is an object with its own enumerable properties, in order.
type Object struct{ Props []Property }

// Property is a key with its value. Keys that are array indexes are texts here
// as well.
type Property struct {
	Key   string
	Value Value
}

// Get returns the value of a key; ok is false if there is none.
func (o *Object) Get(key string) (v Value, ok bool) {
	for i := len(o.Props) - 1; i >= 0; i-- { // of a key that comes twice the last one counts
		if o.Props[i].Key == key {
			return o.Props[i].Value, true
		}
	}
	return nil, false
}

// Array is an Array. Elements past the last one given, up to Length, and those
// that are a Hole, are not there.
type Array struct {
	Length   uint32
	Elements []Value
	Props    []Property // beside the elements; of a sparse array also those
	Sparse   bool       // Elements is empty: all are in Props
}

// Hole is an element of an Array that is not there.
type Hole struct{}

// Map is a Map, in order.
type Map struct{ Entries [][2]Value }

// Set is a Set, in order.
type Set struct{ Values []Value }

// Date is a Date: milliseconds since 1970, NaN if it is invalid.
type Date struct{ Milliseconds float64 }

// Boxed is a Boolean, Number, BigInt or String object.
type Boxed struct{ Value Value }

// RegExp is a RegExp. Flags are V8's bits.
type RegExp struct {
	Source string
	Flags  uint32
}

// Buffer is an ArrayBuffer.
type Buffer struct {
	Data      []byte
	Resizable bool
	Max       int // bytes that a resizable one may have
}

// View is a typed array or a DataView.
type View struct {
	Kind   ViewKind
	Buffer *Buffer
	Offset int    // in bytes
	Length int    // in bytes
	Flags  uint32 // 1: it follows the length of its buffer; 2: that is resizable
}

// Bytes is the part of the buffer that is seen.
func (v *View) Bytes() []byte { return v.Buffer.Data[v.Offset : v.Offset+v.Length] }

// ViewKind is the class of a View, as V8 writes it.
type ViewKind byte

// The kinds of views.
const (
	Int8Array         ViewKind = 'b'
	Uint8Array        ViewKind = 'B'
	Uint8ClampedArray ViewKind = 'C'
	Int16Array        ViewKind = 'w'
	Uint16Array       ViewKind = 'W'
	Int32Array        ViewKind = 'd'
	Uint32Array       ViewKind = 'D'
	Float16Array      ViewKind = 'h'
	Float32Array      ViewKind = 'f'
	Float64Array      ViewKind = 'F'
	BigInt64Array     ViewKind = 'q'
	BigUint64Array    ViewKind = 'Q'
	DataView          ViewKind = '?'
)

// size is how many bytes an element has, 0 for a kind that there is not.
func (k ViewKind) size() int {
	switch k {
	case Int8Array, Uint8Array, Uint8ClampedArray, DataView:
		return 1
	case Int16Array, Uint16Array, Float16Array:
		return 2
	case Int32Array, Uint32Array, Float32Array:
		return 4
	case Float64Array, BigInt64Array, BigUint64Array:
		return 8
	}
	return 0
}

// Error is an Error, or a DOMException.
type Error struct {
	Name    string
	Message string
	Stack   string     // empty: none
	Props   []Property // own ones beside these, cause and errors among them
	DOM     bool       // it is a DOMException
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Name == "" || e.Name == "Error":
		return e.Message
	case e.Message == "":
		return e.Name
	}
	return e.Name + ": " + e.Message
}
