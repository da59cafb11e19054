package ws

import (
	"encoding/binary"
	"unicode/utf8"
)

// Bits of a frame's first two bytes. RFC 6455, section 5.2.
const (
	bitFin  = 0x80
	bitRSV1 = 0x40 // RFC 7692, section 6: the message is compressed
	bitMask = 0x80
)

// maxHeader is the longest header of an unmasked frame.
const maxHeader = 10

// headerLen is the length of the header of an unmasked frame with n bytes of
// payload.
func headerLen(n int) int {
	switch {
	case n <= 125:
		return 2
	case n <= 0xFFFF:
		return 4
	default:
		return maxHeader
	}
}

// appendHeader appends the header of a whole, unmasked message. first is the
// frame's first byte.
func appendHeader(b []byte, first byte, n int) []byte {
	switch {
	case n <= 125:
		return append(b, first, byte(n))
	case n <= 0xFFFF:
		return append(b, first, 126, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, first, 127), uint64(n))
	}
}

// AppendFrame appends a whole message, or a control frame, as one unmasked
// frame.
func AppendFrame(b []byte, op Opcode, payload []byte) []byte {
	b = appendHeader(b, bitFin|byte(op), len(payload))
	return append(b, payload...)
}

// AppendClose appends a Close frame: an empty one for code 0. A reason that
// does not fit is cut between two characters.
func AppendClose(b []byte, code uint16, reason string) []byte {
	if code == 0 {
		return append(b, bitFin|byte(OpClose), 0)
	}
	reason = cutReason(reason)
	b = append(b, bitFin|byte(OpClose), byte(2+len(reason)), byte(code>>8), byte(code))
	return append(b, reason...)
}

func cutReason(s string) string {
	if len(s) <= maxCloseReason {
		return s
	}
	n := maxCloseReason
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
