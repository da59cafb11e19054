// Package structuredclone reads and writes JavaScript values in the format of
// V8's serializer, version 15, with the additions of workerd: what key-value
// storage and socket attachments hold, so that objects written in Go and in
// JavaScript read each other's values. It knows bytes, JavaScript's values and
// Go's, and never sees a database or a socket.
//
// Marshal and Unmarshal go between bytes and Go values, as encoding/json does:
//
//	Go                              JavaScript
//	nil, nil pointers               null
//	bool                            boolean
//	integers, floats                number; integers past 2^53 are a bigint
//	string                          string
//	[]byte, [n]byte                 Uint8Array; from any ArrayBuffer or view of one
//	slices, arrays                  Array
//	map[string]T                    object
//	map[T]struct{}                  Set
//	other maps                      Map; from an object, too
//	struct                          object; fields by the rules of encoding/json's tags
//	time.Time                       Date; from a number of milliseconds, too
//	*big.Int                        bigint
//	error                           Error
//	pointer                         what it points to; shared and circular if it is
//	Value                           itself
//
// Into an any, an object becomes a map[string]any, an Array a []any, a Map a
// map[any]any if its keys allow it, a Set a map[any]struct{}, a number a float64,
// undefined an Undefined, an error an *Error, and what has no other meaning in Go
// the Value that Decode returns.
package structuredclone

import (
	"errors"
	"fmt"
)

// version is the one that is written. Since then (V8 10.3) every V8 reads it.
const (
	version    = 15
	minVersion = 13
)

// maxDepth bounds how deep values may be nested.
const maxDepth = 1000

// ErrDepth is returned for values that are nested too deeply, in either
// direction.
var ErrDepth = errors.New("value is nested too deeply")

// SyntaxError is returned for bytes that are not a value.
type SyntaxError struct {
	Offset int
	What   string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("serialized value, byte %d: %s", e.Offset, e.What)
}

// UnsupportedError is returned for a value that cannot be cloned, or cannot be
// stored where it should.
type UnsupportedError struct{ What string }

func (e *UnsupportedError) Error() string { return e.What }

// tag is what a value begins with. V8, src/objects/value-serializer.cc.
type tag = byte

const (
	tagVersion       tag = 0xff
	tagPadding       tag = 0
	tagVerifyCount   tag = '?'
	tagHole          tag = '-'
	tagUndefined     tag = '_'
	tagNull          tag = '0'
	tagTrue          tag = 'T'
	tagFalse         tag = 'F'
	tagInt32         tag = 'I'
	tagUint32        tag = 'U'
	tagDouble        tag = 'N'
	tagBigInt        tag = 'Z'
	tagUTF8String    tag = 'S'
	tagOneByte       tag = '"'
	tagTwoByte       tag = 'c'
	tagReference     tag = '^'
	tagObject        tag = 'o'
	tagObjectEnd     tag = '{'
	tagSparse        tag = 'a'
	tagSparseEnd     tag = '@'
	tagDense         tag = 'A'
	tagDenseEnd      tag = '$'
	tagDate          tag = 'D'
	tagTrueObject    tag = 'y'
	tagFalseObject   tag = 'x'
	tagNumberObject  tag = 'n'
	tagBigIntObject  tag = 'z'
	tagStringObject  tag = 's'
	tagRegExp        tag = 'R'
	tagMap           tag = ';'
	tagMapEnd        tag = ':'
	tagSet           tag = '\''
	tagSetEnd        tag = ','
	tagArrayBuffer   tag = 'B'
	tagResizable     tag = '~'
	tagView          tag = 'V'
	tagError         tag = 'r'
	tagHostObject    tag = '\\'
	tagEvalError     tag = 'E'
	tagRangeError    tag = 'R'
	tagRefError      tag = 'F'
	tagSyntaxError   tag = 'S'
	tagTypeError     tag = 'T'
	tagURIError      tag = 'U'
	tagErrorMessage  tag = 'm'
	tagErrorCause    tag = 'c'
	tagErrorStack    tag = 's'
	tagErrorEnd      tag = '.'
	hostDOMException     = 8 // workerd's numbers of host objects
	hostNativeError      = 10
)

// errorNumbers are workerd's numbers of classes of errors; 0 is any other, whose
// name is written out.
var errorNumbers = map[string]uint32{
	"Error": 1, "TypeError": 2, "RangeError": 3, "ReferenceError": 4, "SyntaxError": 5, "EvalError": 10, "URIError": 11,
	"AggregateError": 12, "SuppressedError": 13,
}

func errorName(number uint32) (string, bool) {
	for name, n := range errorNumbers {
		if n == number {
			return name, true
		}
	}
	return "", false
}
