package ws

// Shared is a message for many connections of one loop: encoded once, and
// compressed once when the first connection wants it so. It never changes
// otherwise, and is collected when no queue needs it.
type Shared struct {
	op    Opcode
	frame []byte // header and payload
	head  int    // length of the header in frame
}

// NewShared makes a message, OpText or OpBinary, to be sent with
// Conn.SendShared. payload is copied.
func NewShared(op Opcode, payload []byte) *Shared {
	head := headerLen(len(payload))
	frame := make([]byte, 0, head+len(payload))
	return &Shared{op: op, frame: AppendFrame(frame, op, payload), head: head}
}

// payload is the message without its header, borrowed.
func (m *Shared) payload() []byte { return m.frame[m.head:] }
