package structuredclone

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Decode reads a value. What follows it is left out, as V8 does. Without a header
// the bytes are version 13: so the first years of Durable Objects wrote them.
func Decode(data []byte) (Value, error) {
	d := &decoder{data: data, version: minVersion}
	if len(data) > 0 && data[0] == tagVersion {
		d.at = 1
		n, err := d.varint()
		if err != nil {
			return nil, err
		}
		if n < minVersion || n > version {
			return nil, d.bad("version %d of the format; %d to %d can be read", n, minVersion, version)
		}
		d.version = n
	}
	return d.value(0)
}

// decoder reads one value. Invariant: 0 <= at <= len(data).
type decoder struct {
	data    []byte
	at      int
	version uint32
	objects []Value // by their ids
}

func (d *decoder) bad(format string, args ...any) error {
	return &SyntaxError{d.at, fmt.Sprintf(format, args...)}
}

// tag reads a tag, behind padding.
func (d *decoder) tag() (tag, error) {
	t, err := d.peek()
	if err == nil {
		d.at++
	}
	return t, err
}

func (d *decoder) peek() (tag, error) {
	for d.at < len(d.data) && d.data[d.at] == tagPadding {
		d.at++
	}
	if d.at == len(d.data) {
		return 0, d.bad("it ends too early")
	}
	return d.data[d.at], nil
}

func (d *decoder) varint() (uint32, error) {
	var n uint32
	for shift := 0; shift < 32; shift += 7 {
		if d.at == len(d.data) {
			return 0, d.bad("it ends within a number")
		}
		b := d.data[d.at]
		d.at++
		n |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return n, nil
		}
	}
	return 0, d.bad("a number is too long")
}

// length reads a number of bytes that must be there.
func (d *decoder) length() (int, error) {
	n, err := d.varint()
	if err != nil {
		return 0, err
	}
	if uint64(n) > uint64(len(d.data)-d.at) {
		return 0, d.bad("a length of %d, and %d bytes are left", n, len(d.data)-d.at)
	}
	return int(n), nil
}

func (d *decoder) bytes(n int) ([]byte, error) {
	if n > len(d.data)-d.at {
		return nil, d.bad("%d bytes are missing", n-(len(d.data)-d.at))
	}
	b := d.data[d.at : d.at+n]
	d.at += n
	return b, nil
}

func (d *decoder) double() (float64, error) {
	b, err := d.bytes(8)
	if err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
}

// note gives an object its id: objects are numbered as they begin.
func (d *decoder) note(v Value) { d.objects = append(d.objects, v) }

// value reads a value, and a view of it if one follows.
func (d *decoder) value(depth int) (Value, error) {
	if depth > maxDepth {
		return nil, ErrDepth
	}
	v, err := d.one(depth)
	if err != nil {
		return nil, err
	}
	b, ok := v.(*Buffer)
	if !ok || d.at == len(d.data) {
		return v, nil
	}
	if t, err := d.peek(); err != nil || t != tagView {
		return v, nil
	}
	d.at++
	return d.view(b)
}

func (d *decoder) one(depth int) (Value, error) {
	t, err := d.tag()
	if err != nil {
		return nil, err
	}
	switch t {
	case tagVerifyCount:
		if _, err := d.varint(); err != nil {
			return nil, err
		}
		if depth > maxDepth {
			return nil, ErrDepth
		}
		return d.one(depth + 1)
	case tagUndefined:
		return Undefined{}, nil
	case tagNull:
		return nil, nil
	case tagTrue:
		return true, nil
	case tagFalse:
		return false, nil
	case tagInt32:
		n, err := d.varint()
		return float64(int32(n>>1) ^ -int32(n&1)), err
	case tagUint32:
		n, err := d.varint()
		return float64(n), err
	case tagDouble:
		return asValue(d.double())
	case tagBigInt:
		return asValue(d.bigInt())
	case tagUTF8String, tagOneByte, tagTwoByte:
		return asValue(d.text(t))
	case tagReference:
		return d.reference()
	case tagHostObject:
		return d.host(depth)
	}
	return d.object(t, depth)
}

// asValue makes a result of any type one of Value.
func asValue[T any](v T, err error) (Value, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

// object reads what has an identity.
func (d *decoder) object(t tag, depth int) (Value, error) {
	switch t {
	case tagObject:
		o := new(Object)
		d.note(o)
		var err error
		o.Props, err = d.props(tagObjectEnd, depth)
		return o, err
	case tagDense:
		return d.dense(depth)
	case tagSparse:
		return d.sparse(depth)
	case tagDate:
		v := new(Date)
		d.note(v)
		ms, err := d.double()
		v.Milliseconds = timeClip(ms)
		return v, err
	case tagTrueObject, tagFalseObject, tagNumberObject, tagBigIntObject, tagStringObject:
		return d.boxed(t)
	case tagRegExp:
		return d.regexp()
	case tagMap:
		return d.jsMap(depth)
	case tagSet:
		return d.set(depth)
	case tagArrayBuffer, tagResizable:
		return d.buffer(t == tagResizable)
	case tagError:
		return d.nativeError(depth)
	}
	d.at--
	return nil, d.bad("a value cannot begin with %q", t)
}

func (d *decoder) reference() (Value, error) {
	n, err := d.varint()
	if err != nil {
		return nil, err
	}
	if uint64(n) >= uint64(len(d.objects)) {
		return nil, d.bad("reference to object %d of %d", n, len(d.objects))
	}
	return d.objects[n], nil
}

func (d *decoder) bigInt() (*BigInt, error) {
	n, err := d.varint()
	if err != nil {
		return nil, err
	}
	abs, err := d.bytes(int(n >> 1))
	if err != nil {
		return nil, err
	}
	for len(abs) > 0 && abs[len(abs)-1] == 0 {
		abs = abs[:len(abs)-1]
	}
	if len(abs) == 0 && n&1 == 1 {
		return nil, d.bad("a bigint of minus zero")
	}
	return &BigInt{n&1 == 1, append([]byte(nil), abs...)}, nil
}

// string reads a string with its tag.
func (d *decoder) string() (string, error) {
	t, err := d.tag()
	if err != nil {
		return "", err
	}
	return d.text(t)
}

func (d *decoder) text(t tag) (string, error) {
	n, err := d.length()
	if err != nil {
		return "", err
	}
	b, _ := d.bytes(n)
	switch t {
	case tagUTF8String:
		if !utf8.Valid(b) {
			return "", d.bad("text that is not UTF-8")
		}
		return string(b), nil
	case tagOneByte:
		return fromLatin1(b), nil
	case tagTwoByte:
		if n%2 != 0 {
			return "", d.bad("UTF-16 of %d bytes", n)
		}
		return fromUTF16(b), nil
	}
	return "", d.bad("text cannot begin with %q", t)
}

func fromLatin1(b []byte) string {
	for i, c := range b {
		if c >= utf8.RuneSelf {
			s := append(make([]byte, 0, len(b)+len(b)/2), b[:i]...)
			for _, c := range b[i:] {
				s = utf8.AppendRune(s, rune(c))
			}
			return string(s)
		}
	}
	return string(b)
}

// fromUTF16 leaves half pairs as three bytes each.
func fromUTF16(b []byte) string {
	s := make([]byte, 0, len(b))
	for len(b) > 0 {
		c := rune(binary.LittleEndian.Uint16(b))
		b = b[2:]
		if utf16.IsSurrogate(c) {
			if len(b) > 0 {
				if r := utf16.DecodeRune(c, rune(binary.LittleEndian.Uint16(b))); r != utf8.RuneError {
					s = utf8.AppendRune(s, r)
					b = b[2:]
					continue
				}
			}
			s = append(s, 0xe0|byte(c>>12), 0x80|byte(c>>6)&0xbf, 0x80|byte(c)&0x3f)
			continue
		}
		s = utf8.AppendRune(s, c)
	}
	return string(s)
}

// props reads properties up to their end, which says how many they are.
func (d *decoder) props(end tag, depth int) ([]Property, error) {
	var list []Property
	for {
		t, err := d.peek()
		if err != nil {
			return nil, err
		}
		if t == end {
			d.at++
			break
		}
		k, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		key, err := d.key(k)
		if err != nil {
			return nil, err
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, Property{key, v})
	}
	return list, d.count(len(list))
}

func (d *decoder) count(want int) error {
	n, err := d.varint()
	if err == nil && uint64(n) != uint64(want) {
		err = d.bad("%d of %d properties or members", want, n)
	}
	return err
}

func (d *decoder) key(v Value) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return strconv.FormatInt(int64(v), 10), nil
		}
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	}
	return "", d.bad("a property's key is a %T", v)
}

func (d *decoder) dense(depth int) (Value, error) {
	n, err := d.length() // an element takes a byte at least
	if err != nil {
		return nil, err
	}
	a := &Array{Length: uint32(n)}
	d.note(a)
	a.Elements = make([]Value, n)
	for i := range n {
		t, err := d.peek()
		if err != nil {
			return nil, err
		}
		if t == tagHole {
			d.at++
			a.Elements[i] = Hole{}
			continue
		}
		if a.Elements[i], err = d.value(depth + 1); err != nil {
			return nil, err
		}
	}
	return a, d.arrayEnd(a, tagDenseEnd, depth)
}

func (d *decoder) sparse(depth int) (Value, error) {
	n, err := d.varint()
	if err != nil {
		return nil, err
	}
	a := &Array{Length: n, Sparse: true}
	d.note(a)
	return a, d.arrayEnd(a, tagSparseEnd, depth)
}

func (d *decoder) arrayEnd(a *Array, end tag, depth int) (err error) {
	if a.Props, err = d.props(end, depth); err != nil {
		return err
	}
	n, err := d.varint()
	if err == nil && n != a.Length {
		err = d.bad("an array of length %d ends as one of %d", a.Length, n)
	}
	return err
}

func (d *decoder) boxed(t tag) (Value, error) {
	b := new(Boxed)
	d.note(b)
	var err error
	switch t {
	case tagTrueObject, tagFalseObject:
		b.Value = t == tagTrueObject
	case tagNumberObject:
		b.Value, err = d.double()
	case tagBigIntObject:
		b.Value, err = d.bigInt()
	case tagStringObject:
		b.Value, err = d.string()
	}
	return b, err
}

func (d *decoder) regexp() (Value, error) {
	r := new(RegExp)
	d.note(r)
	var err error
	if r.Source, err = d.string(); err != nil {
		return nil, err
	}
	if r.Flags, err = d.varint(); err != nil {
		return nil, err
	}
	if r.Flags&^allFlags != 0 || r.Flags&bothUnicode == bothUnicode {
		return nil, d.bad("a RegExp with the flags %#x", r.Flags)
	}
	return r, nil
}

// Flags of a RegExp as V8 numbers them: g, i, m, y, u, s, d and v. The last one
// and u exclude each other.
const (
	allFlags    = 1 | 2 | 4 | 8 | 16 | 32 | 128 | 256
	bothUnicode = 16 | 256
)

// timeClip is ECMAScript's: whole milliseconds within 100 million days.
func timeClip(ms float64) float64 {
	if !(math.Abs(ms) <= maxTime) {
		return math.NaN()
	}
	return math.Trunc(ms) + 0 // no minus zero
}

const maxTime = 8.64e15

func (d *decoder) jsMap(depth int) (Value, error) {
	m := new(Map)
	d.note(m)
	list, err := d.members(tagMapEnd, depth)
	if err != nil {
		return nil, err
	}
	if len(list)%2 != 0 {
		return nil, d.bad("a Map of %d keys and values", len(list))
	}
	for i := 0; i < len(list); i += 2 {
		m.Entries = append(m.Entries, [2]Value{list[i], list[i+1]})
	}
	return m, nil
}

func (d *decoder) set(depth int) (Value, error) {
	s := new(Set)
	d.note(s)
	var err error
	s.Values, err = d.members(tagSetEnd, depth)
	return s, err
}

func (d *decoder) members(end tag, depth int) ([]Value, error) {
	var list []Value
	for {
		t, err := d.peek()
		if err != nil {
			return nil, err
		}
		if t == end {
			d.at++
			return list, d.count(len(list))
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
}

func (d *decoder) buffer(resizable bool) (Value, error) {
	n, err := d.varint()
	if err != nil {
		return nil, err
	}
	b := new(Buffer)
	if resizable {
		most, err := d.varint()
		if err != nil {
			return nil, err
		}
		if most < n {
			return nil, d.bad("an ArrayBuffer of %d bytes that may have %d", n, most)
		}
		b.Resizable, b.Max = true, int(most)
	}
	data, err := d.bytes(int(n))
	if err != nil {
		return nil, err
	}
	b.Data = append([]byte{}, data...)
	d.note(b)
	return b, nil
}

// Flags of a view.
const (
	followsLength = 1
	isResizable   = 2
)

func (d *decoder) view(b *Buffer) (Value, error) {
	t, err := d.tag()
	if err != nil {
		return nil, err
	}
	v := &View{Kind: ViewKind(t), Buffer: b}
	var offset, length uint32
	if offset, err = d.varint(); err != nil {
		return nil, err
	}
	if length, err = d.varint(); err != nil {
		return nil, err
	}
	if d.version >= 14 {
		if v.Flags, err = d.varint(); err != nil {
			return nil, err
		}
	}
	size := v.Kind.size()
	if size == 0 {
		return nil, d.bad("a view of the unknown kind %q", t)
	}
	v.Flags &= followsLength | isResizable
	if (v.Flags&isResizable != 0) != b.Resizable || v.Flags == followsLength {
		return nil, d.bad("a view with the flags %d of its buffer", v.Flags)
	}
	if v.Flags&followsLength != 0 && uint64(offset) <= uint64(len(b.Data)) {
		length = uint32(len(b.Data)) - offset // it follows its buffer
		length -= length % uint32(size)
	}
	if uint64(offset)+uint64(length) > uint64(len(b.Data)) || offset%uint32(size) != 0 || length%uint32(size) != 0 {
		return nil, d.bad("a view of %d bytes at %d of a buffer of %d", length, offset, len(b.Data))
	}
	v.Offset, v.Length = int(offset), int(length)
	d.note(v)
	return v, nil
}
