package ws

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/dormouse-dev/dormouse/internal/brief"
)

// Most messages are short and come in one frame that one read has brought whole.
// What follows is for them; the Decoder and utf8.Valid know the rest, and do the
// same.

// shortHeader is the length of the masked header of a frame with at most
// maxShort bytes.
const (
	shortHeader = 6
	maxShort    = brief.Max
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
	if !unmask(payload, payload, binary.LittleEndian.Uint32(p[2:])) && op == OpText && !utf8.Valid(payload) {
		return 0, nil, n, &ProtocolError{Code: CloseInvalidPayload, Text: textInvalidUTF8}
	}
	return op, payload, n, nil
}

// maxRun is how many messages a RunSink hears at once.
const maxRun = 64

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
	memory := e.terms.pool.memory.next(brief.Header + int(p[1]^bitMask))
	run, n := e.dec.run(p, memory)
	if run.N == 0 || !sink.Messages(run) {
		return 0 // step meets them again
	}
	e.terms.pool.memory.take(len(run.Frames))
	return n
}

// run decodes the short messages at the beginning of p, as far as memory holds
// them, and returns how many bytes they were there. p is not changed. What cannot be
// accepted is for Next.
func (d *Decoder) run(p, memory []byte) (run brief.Run, n int) {
	if d.open || d.message != 0 || d.headN != 0 || d.terms.FromServer {
		return run, 0
	}
	most := min(maxShort, d.terms.MaxMessage)
	rest, to, count := p, memory, 0
	for count < maxRun && len(rest) >= shortHeader {
		first := rest[0]
		size := int(rest[1] ^ bitMask) // past maxShort also when there is no mask
		if first != brief.Text && first != brief.Binary || size > most || len(rest) < shortHeader+size || len(to) < brief.Header+size {
			break
		}
		payload := to[brief.Header : brief.Header+size]
		ascii := unmask(payload, rest[shortHeader:shortHeader+size], binary.LittleEndian.Uint32(rest[2:]))
		if !ascii && first == brief.Text && !utf8.Valid(payload) {
			break
		}
		to[0], to[1] = first, byte(size)
		rest, to = rest[shortHeader+size:], to[brief.Header+size:]
		count++
	}
	end := len(memory) - len(to)
	return brief.Run{Frames: memory[:end:end], N: count}, len(p) - len(rest)
}

// pieces is memory for messages that a RunSink keeps. It is taken in pieces, so that
// a short message costs no allocation of its own. Whoever keeps one keeps its piece,
// which is why these are small.
type pieces struct{ rest []byte }

// piece is the length of one.
const piece = 1 << 10

// next is memory of at least n bytes, at most maxShort and a header; take takes the
// first n.
func (p *pieces) next(n int) []byte {
	if len(p.rest) < n {
		p.rest = make([]byte, max(n, piece))
	}
	return p.rest
}

func (p *pieces) take(n int) { p.rest = p.rest[n:] }

// sendShort queues a run of at most maxArenaAppend bytes.
func (e *Endpoint) sendShort(run brief.Run) {
	copy(e.outbox().grow(&e.terms.pool.arena, len(run.Frames)), run.Frames)
}

// highBits are those that no byte of ASCII has.
const highBits = 0x8080808080808080

// unmask unmasks a payload into dst, which has its length and may be the same
// memory, and reports whether it is ASCII.
func unmask(dst, src []byte, mask uint32) (ascii bool) {
	key := uint64(mask)<<32 | uint64(mask)
	var seen uint64
	for len(src) >= 32 && len(dst) >= 32 {
		a, b := binary.LittleEndian.Uint64(src)^key, binary.LittleEndian.Uint64(src[8:])^key
		c, d := binary.LittleEndian.Uint64(src[16:])^key, binary.LittleEndian.Uint64(src[24:])^key
		binary.LittleEndian.PutUint64(dst, a)
		binary.LittleEndian.PutUint64(dst[8:], b)
		binary.LittleEndian.PutUint64(dst[16:], c)
		binary.LittleEndian.PutUint64(dst[24:], d)
		seen |= a | b | c | d
		dst, src = dst[32:], src[32:]
	}
	if len(src) >= 16 && len(dst) >= 16 {
		a, b := binary.LittleEndian.Uint64(src)^key, binary.LittleEndian.Uint64(src[8:])^key
		binary.LittleEndian.PutUint64(dst, a)
		binary.LittleEndian.PutUint64(dst[8:], b)
		seen |= a | b
		dst, src = dst[16:], src[16:]
	}
	if len(src) >= 8 && len(dst) >= 8 {
		a := binary.LittleEndian.Uint64(src) ^ key
		binary.LittleEndian.PutUint64(dst, a)
		seen |= a
		dst, src = dst[8:], src[8:]
	}
	for i := range src {
		c := src[i] ^ byte(key>>(8*uint(i)))
		dst[i] = c
		seen |= uint64(c)
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
