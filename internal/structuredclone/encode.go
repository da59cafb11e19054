package structuredclone

import (
	"encoding/binary"
	"fmt"
	"math"
	"sort"
	"strconv"
	"unicode/utf8"
)

// Encode writes a value, as workerd would.
func Encode(v Value) ([]byte, error) {
	e := newEncoder()
	if err := e.value(v, 0); err != nil {
		return nil, err
	}
	return e.out, nil
}

// encoder writes one value.
type encoder struct {
	out  []byte
	ids  map[any]uint32 // of what may come again
	next uint32
}

func newEncoder() *encoder { return &encoder{out: []byte{tagVersion, version}} }

func (e *encoder) tag(t tag)       { e.out = append(e.out, t) }
func (e *encoder) varint(n uint32) { e.out = binary.AppendUvarint(e.out, uint64(n)) }

func (e *encoder) raw64(f float64) {
	bits := math.Float64bits(f)
	if f != f {
		bits = 0x7ff8000000000000 // JavaScript's NaN
	}
	e.out = binary.LittleEndian.AppendUint64(e.out, bits)
}

// again writes a reference if the object was written already, and otherwise
// gives it an id.
func (e *encoder) again(key any) bool {
	if id, ok := e.ids[key]; ok {
		e.tag(tagReference)
		e.varint(id)
		return true
	}
	if e.ids == nil {
		e.ids = make(map[any]uint32)
	}
	e.ids[key] = e.next
	e.next++
	return false
}

// anonymous gives an id to an object that cannot come again.
func (e *encoder) anonymous() { e.next++ }

func (e *encoder) number(f float64) {
	if n := int32(f); float64(n) == f && !(n == 0 && math.Signbit(f)) {
		e.int32(n)
		return
	}
	e.tag(tagDouble)
	e.raw64(f)
}

func (e *encoder) int32(n int32) {
	e.tag(tagInt32)
	e.varint(uint32(n<<1) ^ uint32(n>>31))
}

func (e *encoder) bigInt(negative bool, abs []byte) {
	for len(abs) > 0 && abs[len(abs)-1] == 0 {
		abs = abs[:len(abs)-1]
	}
	whole := (len(abs) + 7) / 8 * 8 // V8 writes digits of 64 bits
	bits := uint32(whole) << 1
	if negative && len(abs) > 0 {
		bits |= 1
	}
	e.varint(bits)
	e.out = append(e.out, abs...)
	e.out = append(e.out, make([]byte, whole-len(abs))...)
}

// string writes text: bytes if each character has one, UTF-16 otherwise.
func (e *encoder) string(s string) {
	narrow, ascii := true, true
	units := 0
	for i := 0; i < len(s); {
		r, n := runeOf(s[i:])
		ascii = ascii && r < utf8.RuneSelf
		narrow = narrow && r <= 0xff
		units++
		if r > 0xffff {
			units++
		}
		i += n
	}
	switch {
	case ascii:
		e.tag(tagOneByte)
		e.varint(uint32(len(s)))
		e.out = append(e.out, s...)
	case narrow:
		e.tag(tagOneByte)
		e.varint(uint32(units))
		for i := 0; i < len(s); {
			r, n := runeOf(s[i:])
			e.out = append(e.out, byte(r))
			i += n
		}
	default:
		e.wide(s, units)
	}
}

func (e *encoder) wide(s string, units int) {
	size := uint32(2 * units)
	if (len(e.out)+1+len(binary.AppendUvarint(nil, uint64(size))))%2 != 0 {
		e.tag(tagPadding) // V8 reads it in place
	}
	e.tag(tagTwoByte)
	e.varint(size)
	for i := 0; i < len(s); {
		r, n := runeOf(s[i:])
		if r > 0xffff {
			r -= 0x10000
			e.out = binary.LittleEndian.AppendUint16(e.out, uint16(0xd800+r>>10))
			e.out = binary.LittleEndian.AppendUint16(e.out, uint16(0xdc00+r&0x3ff))
		} else {
			e.out = binary.LittleEndian.AppendUint16(e.out, uint16(r))
		}
		i += n
	}
}

// runeOf is the first character of s, or half of a surrogate pair. What is
// neither is U+FFFD, a byte long.
func runeOf(s string) (rune, int) {
	if s[0] < utf8.RuneSelf {
		return rune(s[0]), 1
	}
	if len(s) >= 3 && s[0] == 0xed && s[1] >= 0xa0 && s[1] < 0xc0 && s[2] >= 0x80 && s[2] < 0xc0 {
		return 0xd000 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f), 3
	}
	return utf8.DecodeRuneInString(s)
}

func (e *encoder) value(v Value, depth int) error {
	if depth > maxDepth {
		return ErrDepth
	}
	switch v := v.(type) {
	case nil:
		e.tag(tagNull)
	case Undefined:
		e.tag(tagUndefined)
	case bool:
		e.bool(v, tagTrue, tagFalse)
	case float64:
		e.number(v)
	case string:
		e.string(v)
	case *BigInt:
		e.tag(tagBigInt)
		e.bigInt(v.Negative, v.Abs)
	case *View:
		return e.view(v, depth)
	case *Buffer, *Object, *Array, *Map, *Set, *Date, *Boxed, *RegExp, *Error:
		if e.again(v) {
			return nil
		}
		return e.object(v, depth)
	default:
		return &UnsupportedError{fmt.Sprintf("a %T is not a value", v)}
	}
	return nil
}

func (e *encoder) bool(b bool, yes, no tag) {
	if b {
		e.tag(yes)
	} else {
		e.tag(no)
	}
}

// object writes what has its id already.
func (e *encoder) object(v Value, depth int) error {
	switch v := v.(type) {
	case *Object:
		e.tag(tagObject)
		if err := e.props(v.Props, depth); err != nil {
			return err
		}
		e.tag(tagObjectEnd)
		e.varint(uint32(len(v.Props)))
	case *Array:
		return e.array(v, depth)
	case *Map:
		e.tag(tagMap)
		for _, entry := range v.Entries {
			if err := e.values(entry[:], depth); err != nil {
				return err
			}
		}
		e.tag(tagMapEnd)
		e.varint(uint32(2 * len(v.Entries)))
	case *Set:
		e.tag(tagSet)
		if err := e.values(v.Values, depth); err != nil {
			return err
		}
		e.tag(tagSetEnd)
		e.varint(uint32(len(v.Values)))
	case *Date:
		e.date(v.Milliseconds)
	case *Boxed:
		return e.boxed(v)
	case *RegExp:
		e.tag(tagRegExp)
		e.string(v.Source)
		e.varint(v.Flags)
	case *Buffer:
		e.buffer(v)
	case *Error:
		return e.error(v, depth)
	}
	return nil
}

func (e *encoder) date(ms float64) {
	e.tag(tagDate)
	e.raw64(ms)
}

func (e *encoder) values(list []Value, depth int) error {
	for _, v := range list {
		if err := e.value(v, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoder) props(list []Property, depth int) error {
	for _, p := range list {
		e.key(p.Key)
		if err := e.value(p.Value, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// key writes the key of a property: an array index as a number.
func (e *encoder) key(k string) {
	if n, ok := arrayIndex(k); ok {
		e.number(float64(n))
		return
	}
	e.string(k)
}

// arrayIndex reads a key that is one. ECMAScript, "array index".
func arrayIndex(k string) (uint32, bool) {
	if k == "" || len(k) > 10 || k[0] == '0' && k != "0" {
		return 0, false
	}
	n, err := strconv.ParseUint(k, 10, 32)
	return uint32(n), err == nil && n < math.MaxUint32 && k[0] != '+'
}

// orderKeys puts keys into the order in which JavaScript keeps those of an
// object: array indexes first.
func orderKeys(keys []string) {
	sort.Slice(keys, func(a, b int) bool {
		m, first := arrayIndex(keys[a])
		n, second := arrayIndex(keys[b])
		switch {
		case first && second:
			return m < n
		case first != second:
			return first
		}
		return keys[a] < keys[b]
	})
}

func (e *encoder) array(a *Array, depth int) error {
	open, end := tagDense, tagDenseEnd
	if a.Sparse {
		open, end = tagSparse, tagSparseEnd
	} else if uint64(len(a.Elements)) != uint64(a.Length) {
		return &UnsupportedError{fmt.Sprintf("an array of length %d with %d elements", a.Length, len(a.Elements))}
	}
	e.tag(open)
	e.varint(a.Length)
	for _, v := range a.Elements {
		if _, hole := v.(Hole); hole {
			e.tag(tagHole)
			continue
		}
		if err := e.value(v, depth+1); err != nil {
			return err
		}
	}
	if err := e.props(a.Props, depth); err != nil {
		return err
	}
	e.tag(end)
	e.varint(uint32(len(a.Props)))
	e.varint(a.Length)
	return nil
}

func (e *encoder) boxed(b *Boxed) error {
	switch v := b.Value.(type) {
	case bool:
		e.bool(v, tagTrueObject, tagFalseObject)
	case float64:
		e.tag(tagNumberObject)
		e.raw64(v)
	case *BigInt:
		e.tag(tagBigIntObject)
		e.bigInt(v.Negative, v.Abs)
	case string:
		e.tag(tagStringObject)
		e.string(v)
	default:
		return &UnsupportedError{fmt.Sprintf("an object of a %T", v)}
	}
	return nil
}

func (e *encoder) buffer(b *Buffer) {
	if b.Resizable {
		e.tag(tagResizable)
		e.varint(uint32(len(b.Data)))
		e.varint(uint32(b.Max))
	} else {
		e.tag(tagArrayBuffer)
		e.varint(uint32(len(b.Data)))
	}
	e.out = append(e.out, b.Data...)
}

// view writes a view behind its buffer, which may have been written already.
func (e *encoder) view(v *View, depth int) error {
	if id, ok := e.ids[v]; ok {
		e.tag(tagReference)
		e.varint(id)
		return nil
	}
	if err := e.value(v.Buffer, depth+1); err != nil {
		return err
	}
	e.again(v)
	e.viewOf(byte(v.Kind), v.Offset, v.Length, v.Flags)
	return nil
}

func (e *encoder) viewOf(kind byte, offset, length int, flags uint32) {
	e.tag(tagView)
	e.tag(kind)
	e.varint(uint32(offset))
	if flags&followsLength != 0 {
		length = 0 // V8 writes what it knows of a view that follows its buffer
	}
	e.varint(uint32(length))
	e.varint(flags)
}

// error writes an error as workerd does.
func (e *encoder) error(x *Error, depth int) error {
	e.tag(tagHostObject)
	if x.DOM {
		e.varint(hostDOMException)
		for _, s := range []string{x.Name, x.Message, x.Stack} {
			e.varint(uint32(len(s)))
			e.out = append(e.out, s...)
		}
		return nil
	}
	e.varint(hostNativeError)
	number := errorNumbers[x.Name]
	e.varint(number)
	if number == 0 {
		e.string(x.Name)
	}
	e.string(x.Message)
	own := &Object{Props: x.Props}
	if x.Stack != "" {
		own.Props = append([]Property{{"stack", x.Stack}}, x.Props...)
	}
	return e.value(own, depth+1)
}
