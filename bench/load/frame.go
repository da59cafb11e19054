package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Opcodes of RFC 6455, section 5.2, that a load needs.
const (
	Text   = 1
	Binary = 2

	opClose = 8
	opPing  = 9
	opPong  = 10
)

// maxReply bounds one message from a server under test.
const maxReply = 1 << 20

// mask is fixed: a server must unmask with any key, and a frame that is made
// once can be sent a million times.
var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// clientFrame returns a whole masked message.
func clientFrame(op byte, payload []byte) []byte {
	f := []byte{0x80 | op}
	switch n := len(payload); {
	case n < 126:
		f = append(f, 0x80|byte(n))
	case n < 1<<16:
		f = append(f, 0x80|126)
		f = binary.BigEndian.AppendUint16(f, uint16(n))
	default:
		f = append(f, 0x80|127)
		f = binary.BigEndian.AppendUint64(f, uint64(n))
	}
	f = append(f, mask[:]...)
	for i, b := range payload {
		f = append(f, b^mask[i%4])
	}
	return f
}

// serverFrame returns a whole message as an uncompressing server writes it.
func serverFrame(op byte, payload []byte) []byte {
	f := []byte{0x80 | op}
	switch n := len(payload); {
	case n < 126:
		f = append(f, byte(n))
	case n < 1<<16:
		f = append(f, 126)
		f = binary.BigEndian.AppendUint16(f, uint16(n))
	default:
		f = append(f, 127)
		f = binary.BigEndian.AppendUint64(f, uint64(n))
	}
	return append(f, payload...)
}

var errShort = errors.New("more bytes are needed")

// splitFrame takes the first frame off b. It returns errShort while b is only
// a part of one.
func splitFrame(b []byte) (op byte, payload, rest []byte, err error) {
	if len(b) < 2 {
		return 0, nil, b, errShort
	}
	if b[0]&0x70 != 0 || b[1]&0x80 != 0 {
		return 0, nil, b, fmt.Errorf("the server sent a frame that starts % x, which no server may send here", b[:2])
	}
	if b[0]&0x80 == 0 || b[0]&0x0f == 0 {
		return 0, nil, b, errors.New("the server sent a fragmented message, which this load does not read")
	}
	n, head := uint64(b[1]), 2
	switch n {
	case 126:
		head = 4
	case 127:
		head = 10
	}
	if len(b) < head {
		return 0, nil, b, errShort
	}
	switch head {
	case 4:
		n = uint64(binary.BigEndian.Uint16(b[2:]))
	case 10:
		n = binary.BigEndian.Uint64(b[2:])
	}
	if n > maxReply {
		return 0, nil, b, fmt.Errorf("the server sent a message of %d bytes", n)
	}
	if uint64(len(b)-head) < n {
		return 0, nil, b, errShort
	}
	end := head + int(n)
	return b[0] & 0x0f, b[head:end], b[end:], nil
}

// countReplies counts the messages at the start of b that are exactly want (a
// whole server frame), and returns the bytes behind them. It is the path of
// almost every byte that a load receives.
func countReplies(b, want []byte) (n int, rest []byte) {
	for len(b) >= len(want) && bytes.Equal(b[:len(want)], want) {
		b = b[len(want):]
		n++
	}
	return n, b
}
