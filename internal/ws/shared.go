package ws

// Shared is a message for many connections of one loop: encoded once, and
// compressed once when the first connection wants it so. It never changes
// otherwise, and is collected when no queue needs it.
type Shared struct {
	op       Opcode
	plain    []byte    // the whole frame
	head     int       // length of its header
	deflated []variant // one for each size of window that was asked for
}

type variant struct {
	bits  uint8
	frame []byte
}

// NewShared makes a message, OpText or OpBinary, to be sent with
// Conn.SendShared. payload is copied.
func NewShared(op Opcode, payload []byte) *Shared {
	head := headerLen(len(payload))
	frame := make([]byte, 0, head+len(payload))
	return &Shared{op: op, plain: AppendFrame(frame, op, payload), head: head}
}

// encoded returns the frame for a peer whose window has the given bits, 0 when
// it takes no compression.
func (m *Shared) encoded(f *deflate, bits uint8) []byte {
	payload := m.plain[m.head:]
	if bits == 0 || len(payload) < compressionThreshold {
		return m.plain
	}
	if len(payload) <= 1<<bits {
		bits = maxWindowBits // as in compress, so that both share
	}
	for _, v := range m.deflated {
		if v.bits == bits {
			return v.frame
		}
	}
	frame := m.plain // when compression makes it longer
	if short, ok := f.compress(payload, bits); ok {
		frame = make([]byte, 0, headerLen(len(short))+len(short))
		frame = appendHeader(frame, bitFin|bitRSV1|byte(m.op), len(short))
		frame = append(frame, short...)
	}
	m.deflated = append(m.deflated, variant{bits, frame})
	return frame
}
