package structuredclone

import (
	"encoding/binary"
	"math"
)

// Elements are the numbers of a typed array: float64 or *BigInt. Those of a
// DataView are its bytes.
func (v *View) Elements() []Value {
	b, size := v.Bytes(), v.Kind.size()
	list := make([]Value, 0, len(b)/size)
	for ; len(b) >= size; b = b[size:] {
		list = append(list, v.Kind.element(b))
	}
	return list
}

func (k ViewKind) element(b []byte) Value {
	le := binary.LittleEndian
	switch k {
	case Int8Array:
		return float64(int8(b[0]))
	case Int16Array:
		return float64(int16(le.Uint16(b)))
	case Uint16Array:
		return float64(le.Uint16(b))
	case Int32Array:
		return float64(int32(le.Uint32(b)))
	case Uint32Array:
		return float64(le.Uint32(b))
	case Float16Array:
		return fromHalf(le.Uint16(b))
	case Float32Array:
		return float64(math.Float32frombits(le.Uint32(b)))
	case Float64Array:
		return math.Float64frombits(le.Uint64(b))
	case BigInt64Array:
		n := int64(le.Uint64(b))
		if n < 0 {
			return bigOf(true, uint64(-n))
		}
		return bigOf(false, uint64(n))
	case BigUint64Array:
		return bigOf(false, le.Uint64(b))
	}
	return float64(b[0])
}

func bigOf(negative bool, abs uint64) *BigInt {
	b := binary.LittleEndian.AppendUint64(nil, abs)
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return &BigInt{negative, b}
}

// fromHalf reads a number of IEEE 754's binary16.
func fromHalf(h uint16) float64 {
	sign, exponent, fraction := 1-2*float64(h>>15), int(h>>10&31), float64(h&1023)
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}
