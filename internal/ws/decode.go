package ws

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Texts of the Close frames that answer what a peer must not send. Those with a
// mark are what Workers authors know from workerd, letter by letter.
const (
	textReservedBits   = "Received frame had RSV bits 2 or 3 set"                                                                                          // workerd
	textUnexpected     = "Unexpected continuation frame"                                                                                                   // workerd
	textMissing        = "Missing continuation frame"                                                                                                      // workerd
	textCutControl     = "Received fragmented control frame"                                                                                               // workerd
	textUnknown        = "Unknown opcode %d"                                                                                                               // workerd
	textTooLarge       = "Message is too large: %d > %d"                                                                                                   // workerd
	textNotNegotiated  = "Received a WebSocket frame whose compression bit was set, but the compression extension was not negotiated for this connection." // workerd
	textBadCompressBit = "Received a compression bit on a control or continuation frame"
	textUnmasked       = "Received an unmasked frame from a client"
	textMasked         = "Received a masked frame from a server"
	textLongControl    = "Received a control frame of more than 125 bytes"
	textInvalidUTF8    = "Received text that is not valid UTF-8"
	textInvalidReason  = "Received a close reason that is not valid UTF-8"
	textBadDeflate     = "Received compressed data that cannot be inflated"
	textInflatedLarge  = "Message is too large when inflated: more than %d bytes"
)

// Terms are what a Decoder holds its peer to.
type Terms struct {
	MaxMessage int  // of one message, as received and also inflated
	Inflate    bool // permessage-deflate was negotiated
	FromServer bool // the peer is a server: its frames are not masked. For tests and clients
}

// Decoder takes the bytes of one direction, cut anywhere, and finds the
// messages and control frames in them. A Decoder comes from a Pool and goes
// back as soon as it is Idle, so an idle connection has none.
type Decoder struct {
	pool  *Pool
	terms Terms

	head  [14]byte // of a frame whose header is not complete
	headN int

	// The frame whose payload is being received.
	open   bool
	op     Opcode // OpContinuation too
	fin    bool
	masked bool
	mask   [4]byte
	got    int    // bytes of payload received
	left   uint64 // bytes of payload still to come

	control [maxControlPayload]byte // payload of a control frame so far

	// The message whose frames are being received; 0 for none.
	message    Opcode
	compressed bool
	body       []byte // so far. Owned; grows with what arrives, never ahead of it
	text       utf8Checker

	held []byte // input that came while delivery was paused, not decoded yet
}

// Idle reports whether nothing is partly received.
func (d *Decoder) Idle() bool {
	return d.headN == 0 && !d.open && d.message == 0 && len(d.held) == 0
}

// Next decodes p up to the end of one message or control frame and returns it
// with the number of bytes it took. Opcode OpContinuation says that all of p was
// taken and more is needed. p is modified; payload is borrowed, from p or from
// the decoder, until the next call. An error is a *ProtocolError and final.
func (d *Decoder) Next(p []byte) (op Opcode, payload []byte, n int, err error) {
	if op, payload, n, err = d.short(p); n > 0 {
		return op, payload, n, err
	}
	for {
		if !d.open {
			k, whole, err := d.header(p[n:])
			n += k
			if !whole || err != nil {
				return OpContinuation, nil, n, err
			}
		}
		k := int(min(d.left, uint64(len(p)-n)))
		part := p[n : n+k]
		n += k
		if d.masked {
			ws.Cipher(part, d.mask, d.got)
		}
		d.got += k
		d.left -= uint64(k)
		if d.op >= OpClose {
			op, payload, err = d.controlPart(part)
		} else {
			op, payload, err = d.dataPart(part)
		}
		if op != OpContinuation || err != nil || d.open {
			return op, payload, n, err
		}
		if n == len(p) {
			return OpContinuation, nil, n, nil
		}
	}
}

// header takes the header of the next frame from p, and says how much it took
// and whether that completed it.
func (d *Decoder) header(p []byte) (n int, whole bool, err error) {
	if d.headN == 0 && len(p) >= 2 && len(p) >= frameHeaderLen(p[1]) {
		n = frameHeaderLen(p[1])
		return n, true, d.begin(p[:n])
	}
	for n < len(p) {
		d.head[d.headN] = p[n]
		d.headN++
		n++
		if d.headN < 2 {
			continue
		}
		if d.headN == 2 { // fail as early as whole headers do
			if err := d.check(d.head[0], d.head[1]); err != nil {
				return n, false, err
			}
		}
		if d.headN == frameHeaderLen(d.head[1]) {
			d.headN = 0
			return n, true, d.begin(d.head[:frameHeaderLen(d.head[1])])
		}
	}
	return n, false, nil
}

// frameHeaderLen is the length of a header by its second byte.
func frameHeaderLen(second byte) int {
	n := 2
	switch second &^ bitMask {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if second&bitMask != 0 {
		n += 4
	}
	return n
}

// check refuses what the first two bytes of a header cannot be here.
func (d *Decoder) check(first, second byte) error {
	op, fin, rsv1 := Opcode(first&0x0F), first&bitFin != 0, first&bitRSV1 != 0
	control := op >= OpClose
	switch {
	case first&0x30 != 0:
		return violation(textReservedBits)
	case op == OpContinuation && d.message == 0:
		return violation(textUnexpected)
	case op != OpContinuation && !control && d.message != 0:
		return violation(textMissing)
	case control && !fin:
		return violation(textCutControl)
	case rsv1 && !d.terms.Inflate:
		return violation(textNotNegotiated)
	case rsv1 && (control || op == OpContinuation):
		return violation(textBadCompressBit) // RFC 7692, section 6.1
	case op > OpPong || (op > OpBinary && !control):
		return violation(textUnknown, op)
	case control && second&^bitMask > maxControlPayload:
		return violation(textLongControl)
	case second&bitMask == 0 && !d.terms.FromServer:
		return violation(textUnmasked) // RFC 6455, section 5.1
	case second&bitMask != 0 && d.terms.FromServer:
		return violation(textMasked)
	}
	return nil
}

func violation(format string, args ...any) error {
	return &ProtocolError{Code: CloseProtocolError, Text: fmt.Sprintf(format, args...)}
}

// begin starts a frame whose header is h.
//
// A length in more bytes than needed is accepted, as every browser and workerd
// do, although RFC 6455, section 5.2, asks for the shortest form.
func (d *Decoder) begin(h []byte) error {
	if err := d.check(h[0], h[1]); err != nil {
		return err
	}
	op := Opcode(h[0] & 0x0F)
	length := uint64(h[1] &^ bitMask)
	switch length {
	case 126:
		length = uint64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		length = binary.BigEndian.Uint64(h[2:])
	}
	if op < OpClose {
		// The length of this frame against what is left of the limit: the two
		// numbers that workerd names.
		if room := d.terms.MaxMessage - len(d.body); length > uint64(room) {
			return &ProtocolError{Code: CloseMessageTooBig, Text: fmt.Sprintf(textTooLarge, length, room)}
		}
		if op != OpContinuation {
			d.message, d.compressed = op, h[0]&bitRSV1 != 0
		}
	}
	d.open, d.op, d.fin = true, op, h[0]&bitFin != 0
	d.got, d.left = 0, length
	d.masked = h[1]&bitMask != 0
	if d.masked {
		d.mask = [4]byte(h[len(h)-4:])
	}
	return nil
}

// controlPart takes a part of a control frame's payload.
func (d *Decoder) controlPart(part []byte) (Opcode, []byte, error) {
	payload := part
	if d.left > 0 || d.got > len(part) { // it comes in parts
		copy(d.control[d.got-len(part):], part)
		payload = d.control[:d.got]
	}
	if d.left > 0 {
		return OpContinuation, nil, nil
	}
	d.open = false
	if d.op == OpClose && len(payload) > 2 && !utf8.Valid(payload[2:]) {
		return 0, nil, &ProtocolError{Code: CloseInvalidPayload, Text: textInvalidReason}
	}
	return d.op, payload, nil
}

// dataPart takes a part of a data frame's payload.
func (d *Decoder) dataPart(part []byte) (Opcode, []byte, error) {
	plainText := d.message == OpText && !d.compressed
	if d.left == 0 && d.fin && len(d.body) == 0 && d.text.complete() {
		// The usual case: all of the message is here, and nothing is copied.
		if plainText && !ValidText(part) {
			return 0, nil, &ProtocolError{Code: CloseInvalidPayload, Text: textInvalidUTF8}
		}
		return d.finish(part)
	}
	if plainText && !d.text.write(part) {
		return 0, nil, &ProtocolError{Code: CloseInvalidPayload, Text: textInvalidUTF8}
	}
	d.keep(part)
	if d.left > 0 {
		return OpContinuation, nil, nil
	}
	if !d.fin {
		d.open = false
		return OpContinuation, nil, nil
	}
	if plainText && !d.text.complete() {
		return 0, nil, &ProtocolError{Code: CloseInvalidPayload, Text: textInvalidUTF8}
	}
	return d.finish(d.body)
}

// keep appends a part of a message to its body. The body's memory at most
// doubles what has arrived, whatever length the frame claims.
func (d *Decoder) keep(part []byte) {
	if need := len(d.body) + len(part); need > cap(d.body) {
		all := uint64(need) + d.left
		size := int(min(all, uint64(max(2*cap(d.body), need, 512))))
		body := make([]byte, len(d.body), size)
		copy(body, d.body)
		d.body = body
	}
	d.body = append(d.body, part...)
}

// finish ends the message. payload is all of it, still compressed if it is.
func (d *Decoder) finish(payload []byte) (Opcode, []byte, error) {
	op, compressed := d.message, d.compressed
	d.open, d.message = false, 0
	d.body = d.body[:0] // payload may lie in it: it is good until the next call
	if !compressed {
		return op, payload, nil
	}
	payload, err := d.pool.inflate(payload, d.terms.MaxMessage)
	if err != nil {
		return 0, nil, err
	}
	if op == OpText && !ValidText(payload) {
		return 0, nil, &ProtocolError{Code: CloseInvalidPayload, Text: textInvalidUTF8}
	}
	return op, payload, nil
}

// ParseClose reads the payload of a Close frame that Next has returned. A body
// without a code, and one of a single byte, is CloseNoStatus.
func ParseClose(payload []byte) (code uint16, reason string) {
	if len(payload) < 2 {
		return CloseNoStatus, ""
	}
	return binary.BigEndian.Uint16(payload), string(payload[2:])
}
