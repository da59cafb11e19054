package ws

import (
	"encoding/binary"
	"unicode/utf8"
)

// Most messages are short and come in one frame that one read has brought whole.
// What follows is for them; the Decoder and utf8.Valid know the rest, and do the
// same.

// shortHeader is the length of the masked header of a frame with at most
// maxShort bytes.
const (
	shortHeader = 6
	maxShort    = 125
)

// short is Next for p that begins with a whole short message, which is neither
// compressed nor a part of one. n is 0 when p does not, and then nothing has
// happened.
func (d *Decoder) short(p []byte) (op Opcode, payload []byte, n int, err error) {
	if len(p) < shortHeader || d.open || d.message != 0 || d.headN != 0 || d.terms.FromServer {
		return
	}
	size := int(p[1] ^ bitMask) // past maxShort also when there is no mask
	if p[0] != bitFin|byte(OpText) && p[0] != bitFin|byte(OpBinary) || size > maxShort ||
		size > len(p)-shortHeader || size > d.terms.MaxMessage {
		return
	}
	op, n = Opcode(p[0]&0x0F), shortHeader+size
	payload = p[shortHeader:n:n]
	if !unmask(payload, binary.LittleEndian.Uint32(p[2:])) && op == OpText && !utf8.Valid(payload) {
		return 0, nil, n, &ProtocolError{Code: CloseInvalidPayload, Text: textInvalidUTF8}
	}
	return op, payload, n, nil
}

// maxRun is how many messages a RunSink hears at once.
const maxRun = 32

// run tells a RunSink of the short messages at the beginning of p, if there are
// several, and returns how many bytes they were.
func (e *Endpoint) run(p []byte) (n int) {
	if len(p) < 2 || len(p) <= shortHeader+int(p[1]^bitMask) {
		return 0 // one at most
	}
	sink, ok := e.sink.(RunSink)
	if !ok || !sink.Several() {
		return 0
	}
	pool := e.terms.pool
	if pool.run == nil {
		pool.run = make([]Message, 0, maxRun)
	}
	list, end := pool.run, 0
	for len(list) < maxRun {
		op, payload, k, err := e.dec.short(p[end:])
		if err != nil {
			mask(p[end : end+k]) // step meets it again
			break
		}
		if k == 0 {
			break
		}
		list, end = append(list, Message{op, payload}), end+k
	}
	if len(list) == 0 {
		return 0
	}
	taken := sink.Messages(list)
	for _, m := range list[:taken] {
		n += shortHeader + len(m.Payload)
	}
	at := n
	for _, m := range list[taken:] {
		next := at + shortHeader + len(m.Payload)
		mask(p[at:next])
		at = next
	}
	clear(list)
	return n
}

// mask undoes what short has done to a frame.
func mask(frame []byte) { unmask(frame[shortHeader:], binary.LittleEndian.Uint32(frame[2:])) }

// sendShort queues the messages from the one at i on that are short, as far as
// one piece of the arena holds them, and returns where they end.
func (e *Endpoint) sendShort(list Run, i int) (next int) {
	size, end := 0, min(list.Len(), i+maxArenaAppend/(maxShort+2))
	for next = i; next < end; next++ {
		_, payload := list.At(next)
		if len(payload) > maxShort {
			break
		}
		size += 2 + len(payload)
	}
	if next == i {
		return i
	}
	b := e.outbox().grow(&e.terms.pool.arena, size)[:0]
	for ; i < next; i++ {
		text, payload := list.At(i)
		b = append(append(b, bitFin|byte(OpcodeOf(text)), byte(len(payload))), payload...) // fills what grow has given
	}
	return next
}

// highBits are those that no byte of ASCII has.
const highBits = 0x8080808080808080

// unmask unmasks a payload and reports whether it is ASCII.
func unmask(p []byte, mask uint32) (ascii bool) {
	key := uint64(mask)<<32 | uint64(mask)
	var seen uint64
	for len(p) >= 16 {
		a, b := binary.LittleEndian.Uint64(p)^key, binary.LittleEndian.Uint64(p[8:])^key
		binary.LittleEndian.PutUint64(p, a)
		binary.LittleEndian.PutUint64(p[8:], b)
		seen |= a | b
		p = p[16:]
	}
	if len(p) >= 8 {
		a := binary.LittleEndian.Uint64(p) ^ key
		binary.LittleEndian.PutUint64(p, a)
		seen |= a
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(key >> (8 * uint(i)))
		seen |= uint64(p[i])
	}
	return seen&highBits == 0
}

// ValidText reports whether p may be sent as text: whether it is UTF-8.
func ValidText(p []byte) bool {
	rest := p
	for len(rest) >= 32 {
		a, b := binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])
		c, d := binary.LittleEndian.Uint64(rest[16:]), binary.LittleEndian.Uint64(rest[24:])
		if (a|b|c|d)&highBits != 0 {
			return utf8.Valid(rest) // it begins between two characters: all before is ASCII
		}
		rest = rest[32:]
	}
	for len(rest) >= 8 {
		if binary.LittleEndian.Uint64(rest)&highBits != 0 {
			return utf8.Valid(rest)
		}
		rest = rest[8:]
	}
	return utf8.Valid(rest)
}
