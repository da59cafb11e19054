package hibernation

import (
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// relay is the connection between two ends that are both held by guests: what
// one sends, the other receives. The other end may belong to another loop.
//
// What is said is told in a later round: no method of a connection calls the
// other side at once.
type relay struct {
	from, to *Socket
	closed   bool
	ended    bool
}

// join connects two ends of one registry.
func join(a, b *Socket) {
	if a.conn != nil || b.conn != nil {
		return
	}
	a.attach(&relay{from: a, to: b})
	b.attach(&relay{from: b, to: a})
}

// post says something to the other end, which may have no owner yet.
func (r *relay) post(size int, say func()) {
	r.to.reg.cfg.Loop.Post(func() { r.to.hear(size, say) })
}

func (r *relay) Send(op ws.Opcode, payload []byte) {
	if r.closed || r.ended {
		return
	}
	p := append([]byte(nil), payload...)
	r.post(len(p), func() {
		if r.to.set != nil && r.to.set.rec.Behind() > r.to.outboundLimit() {
			r.slow()
			return
		}
		r.to.Message(op, p)
	})
}

// slow ends a relay whose receiver is too far behind, as a client that does not
// read is ended. On the receiver's loop.
func (r *relay) slow() {
	r.to.Gone(ws.ErrSlow)
	r.from.reg.cfg.Loop.Post(func() {
		if !r.ended {
			r.ended = true
			r.from.Gone(ws.ErrSlow)
		}
	})
}

// SendShared is never called: Socket sends the payload itself to a relay.
func (r *relay) SendShared(*ws.Shared) { panic("a shared message for a relay") }

func (r *relay) Close(code uint16, reason string) {
	if r.closed || r.ended {
		return
	}
	r.closed = true
	if code == 0 {
		code = ws.CloseNoStatus
	}
	r.post(len(reason), func() {
		r.to.CloseFrame(code, reason)
		r.to.finish()
	})
}

func (r *relay) Drop() {
	if r.ended {
		return
	}
	r.ended = true
	r.post(0, func() { r.to.Gone(ws.ErrNoCloseFrame) })
	r.from.reg.cfg.Loop.Post(func() { r.from.Gone(ws.ErrDropped) })
}

// finish ends both ends of a relay when both Close frames have passed.
func (s *Socket) finish() {
	r, ok := s.conn.(*relay)
	if !ok || !s.weClosed || !s.peerClosed {
		return
	}
	r.ended = true
	s.Gone(nil)
	r.post(0, func() { r.to.Gone(nil) })
}

// The code behind a relay cannot be paused; one that is too far behind is ended.

func (r *relay) Pause()             {}
func (r *relay) Resume()            {}
func (r *relay) Buffered() int      { return 0 }
func (r *relay) NotifyDrained(int)  {}
func (r *relay) RemoteAddr() string { return "" }
