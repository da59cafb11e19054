package ws

import (
	"time"

	"github.com/dormouse-dev/dormouse/internal/brief"
)

// Endpoint is the near end of one WebSocket without its I/O: what has been said
// in both directions, and what follows from it. A transport feeds it the peer's
// bytes, carries off what it has to send, and ends the connection when it is
// Over. Everything that an Endpoint borrows from its Pool goes back as soon as the
// connection is at rest.
//
// The calls that may call the Sink are Receive, TellDrained and TellGone.
type Endpoint struct {
	terms *terms
	sink  Sink
	dec   *Decoder // nil while nothing is partly received
	out   *Outbox  // nil while nothing waits to leave
	cause error    // of the end, once over; nil is a clean one
	low   int32    // asked for with NotifyDrained
	state state
}

// state is a set of facts, each true from some moment on; only paused and
// wantDrained come and go.
type state uint8

const (
	receiving   state = 1 << iota // Receive is running
	paused                        // the owner does not want to hear more now
	peerClosed                    // the peer's Close was received
	closed                        // our Close was queued
	mute                          // nothing can be sent any more
	over                          // nothing more is received or queued; cause is set
	gone                          // the Sink has heard the last
	wantDrained                   // the owner waits for Drained
)

// Urgency is what a transport owes an endpoint after something was queued. To
// send means to offer what waits to the system and to report to Sent, until
// nothing waits or the system takes no more.
type Urgency uint8

const (
	Nothing  Urgency = iota // it has to wait until the system takes more
	EndRound                // send at the end of the round
	AtOnce                  // send before returning: the payload is only borrowed
)

// directFrom is the size from which a payload is handed to the system where it
// lies, before the call returns. Below, it is copied and waits for the others of
// its round. The queue is emptied early, too, when it grows beyond a multiple.
const (
	directFrom = maxArenaAppend
	earlyFlush = 16 * directFrom
)

// Init begins a connection with the given terms. It queues o.Head.
func (e *Endpoint) Init(p *Pool, o Options, sink Sink) {
	*e = Endpoint{terms: p.termsOf(o), sink: sink}
	if len(o.Head) > 0 {
		e.outbox().add(append([]byte(nil), o.Head...), httpHead)
	}
}

func (e *Endpoint) is(s state) bool { return e.state&s != 0 }

// Over reports whether the conversation has ended: what waits in the outbox,
// the last Close frame perhaps among it, is all that is left to do before
// TellGone.
func (e *Endpoint) Over() bool { return e.is(over) }

// Patience is how long what waits may take to leave after the end.
func (e *Endpoint) Patience() time.Duration {
	if e.cause == ErrSlow || e.cause == ErrDropped {
		return LingerWait // the peer has had its time
	}
	return FlushWait
}

// Listening reports whether the peer's bytes are of any use now.
func (e *Endpoint) Listening() bool {
	return !e.is(paused|peerClosed|over) && !e.terms.pool.Paused
}

// Curious reports whether they will be, at the latest after a pause.
func (e *Endpoint) Curious() bool { return !e.is(peerClosed | over) }

// Expecter is the Sink if it wants to look at what it needs before Receive; nil:
// it does not.
func (e *Endpoint) Expecter() Expecter {
	s, _ := e.sink.(Expecter)
	return s
}

// Receive takes what the peer has sent and tells the Sink of it. p is modified,
// and borrowed. What is left of p when the owner pauses is kept until Receive is
// called again, with or without more.
func (e *Endpoint) Receive(p []byte) {
	if !e.Curious() {
		return
	}
	d := e.decoder()
	if len(d.held) > 0 {
		p = append(d.held, p...)
		d.held = p[:0]
	}
	e.state |= receiving
	for len(p) > 0 && e.Listening() {
		if n := e.run(p); n > 0 {
			p = p[n:]
			continue
		}
		p = e.step(p)
	}
	e.state &^= receiving
	if e.Curious() {
		d.held = append(d.held[:0], p...) // may be the same memory
	}
	e.restDecoder()
}

// Hold keeps input for the next Receive.
func (e *Endpoint) Hold(p []byte) {
	d := e.decoder()
	d.held = append(d.held, p...)
}

func (e *Endpoint) decoder() *Decoder {
	if e.dec == nil {
		e.dec = e.terms.pool.Decoder(Terms{
			MaxMessage: e.terms.maxMessage,
			Inflate:    e.terms.deflate != DeflateParams{},
		})
	}
	return e.dec
}

// step decodes the next thing in p, acts on it, and returns what follows.
func (e *Endpoint) step(p []byte) []byte {
	op, payload, n, err := e.dec.Next(p)
	switch {
	case err != nil:
		e.fail(err.(*ProtocolError))
	case op == OpText || op == OpBinary:
		e.sink.Message(op, payload)
	case op == OpPing:
		e.answer(payload)
	case op == OpClose:
		e.state |= peerClosed
		e.sink.CloseFrame(ParseClose(payload))
		if e.is(closed) {
			e.end(nil)
		}
	}
	return p[n:]
}

// Holds reports whether Receive has something to go on with.
func (e *Endpoint) Holds() bool { return e.dec != nil && len(e.dec.held) > 0 }

// Partial reports whether a frame or a message is partly received.
func (e *Endpoint) Partial() bool { return e.dec != nil }

// restDecoder gives the decoder back when the connection does not need it.
func (e *Endpoint) restDecoder() {
	if d := e.dec; d != nil && !e.is(receiving) && (!e.Curious() || d.Idle()) {
		e.dec = nil
		e.terms.pool.Release(d)
	}
}

// Send is Conn.Send.
func (e *Endpoint) Send(op Opcode, payload []byte) Urgency {
	if !e.sendable() {
		return Nothing
	}
	first := bitFin | byte(op)
	if bits := e.terms.deflate.ServerBits; bits != 0 && len(payload) >= compressionThreshold {
		if short, ok := e.terms.pool.compress(payload, bits); ok {
			payload, first = short, first|bitRSV1
		}
	}
	o := e.outbox()
	if len(payload) < directFrom || o.stuck {
		b := o.grow(&e.terms.pool.arena, headerLen(len(payload))+len(payload))
		_ = append(appendHeader(b[:0], first, len(payload)), payload...) // fills b
		return e.urgency()
	}
	b := o.grow(&e.terms.pool.arena, headerLen(len(payload)))
	appendHeader(b[:0], first, len(payload))
	o.add(payload, borrowed)
	return AtOnce
}

// SendRun is Send for the first messages of a run, and returns the others.
func (e *Endpoint) SendRun(run brief.Run) (rest brief.Run, u Urgency) {
	if e.sendable() && !e.outbox().stuck {
		first, rest := run.Cut(maxArenaAppend)
		e.sendShort(first)
		return rest, e.urgency()
	}
	text, payload, frames := brief.Split(run.Frames)
	return brief.Run{Frames: frames, N: run.N - 1}, e.Send(OpcodeOf(text), payload)
}

// SendShared is Conn.SendShared.
func (e *Endpoint) SendShared(m *Shared) Urgency {
	if !e.sendable() {
		return Nothing
	}
	frame := m.encoded(&e.terms.pool.deflate, e.terms.deflate.ServerBits)
	if o := e.outbox(); len(frame) < minShared {
		copy(o.grow(&e.terms.pool.arena, len(frame)), frame)
	} else {
		o.add(frame, shared)
	}
	return e.urgency()
}

// sendable reports whether data may be queued, and ends the connection when too
// much waits already.
func (e *Endpoint) sendable() bool {
	if e.is(closed | mute | over) {
		return false
	}
	if e.out != nil && e.out.stuck && e.out.size > e.terms.maxOutbound {
		e.out.truncate()
		e.queueClose(CloseTryAgainLater, "")
		e.end(ErrSlow)
		return false
	}
	return true
}

// urgency is what follows from having queued something.
func (e *Endpoint) urgency() Urgency {
	switch {
	case e.out.stuck:
		return Nothing
	case e.out.size >= earlyFlush || len(e.out.segments) >= maxKeptSegments:
		return AtOnce
	default:
		return EndRound
	}
}

// Close is Conn.Close.
func (e *Endpoint) Close(code uint16, reason string) Urgency {
	if e.is(closed | over) {
		return Nothing
	}
	e.queueClose(code, reason)
	if e.is(peerClosed) {
		e.end(nil)
	}
	return EndRound
}

func (e *Endpoint) queueClose(code uint16, reason string) {
	e.state |= closed
	if e.is(mute) {
		return
	}
	o := e.outbox()
	o.growPong(&e.terms.pool.arena) // RFC 6455, section 5.5.1: nothing after a Close
	var b [maxControlPayload + 2]byte
	frame := AppendClose(b[:0], code, reason)
	copy(o.grow(&e.terms.pool.arena, len(frame)), frame)
}

// maxStuckPongs is how many bytes may wait for a system that takes none, if a
// Pong is still to be queued behind them.
const maxStuckPongs = 4 << 10

// answer queues a Pong. A peer that goes on sending Pings and does not read gets
// the answer to its last one only (RFC 6455, section 5.5.3).
func (e *Endpoint) answer(ping []byte) {
	if e.is(closed | mute) {
		return
	}
	o := e.outbox()
	if o.stuck && o.size > maxStuckPongs {
		o.pong = AppendFrame(o.pong[:0], OpPong, ping)
		return
	}
	AppendFrame(o.grow(&e.terms.pool.arena, headerLen(len(ping))+len(ping))[:0], OpPong, ping)
}

// fail ends the connection over what the peer has sent.
func (e *Endpoint) fail(err *ProtocolError) {
	if !e.is(closed) {
		e.queueClose(err.Code, err.Text)
	}
	e.end(err)
}

func (e *Endpoint) end(cause error) {
	if e.is(over) {
		return
	}
	e.state |= over
	e.cause = cause
	e.restDecoder()
}

// Drop is Conn.Drop.
func (e *Endpoint) Drop() { e.end(ErrDropped) }

// Hangup says that nothing more comes from the peer.
func (e *Endpoint) Hangup() {
	if e.is(peerClosed) {
		return // it may still read; our Close is to come
	}
	e.Lost()
}

// Lost says that the connection does not work any more, in either direction.
func (e *Endpoint) Lost() {
	e.Mute()
	if e.is(peerClosed) {
		e.end(nil)
	} else {
		e.end(ErrNoCloseFrame)
	}
}

// Mute says that the peer takes no more bytes. What it sent can still be read.
func (e *Endpoint) Mute() {
	e.state |= mute
	e.releaseOutbox()
}

// Pause is Conn.Pause; Resume is Conn.Resume. After Resume, a transport calls
// Receive if the endpoint Holds something.
func (e *Endpoint) Pause()       { e.state |= paused }
func (e *Endpoint) Resume()      { e.state &^= paused }
func (e *Endpoint) Paused() bool { return e.is(paused) }

// Unsent is what the system should be offered now; nil when nothing waits, or
// when it takes no more.
func (e *Endpoint) Unsent() *Outbox {
	if e.out == nil || e.out.stuck {
		return nil
	}
	return e.out
}

// Stuck reports whether something waits for the system to take more.
func (e *Endpoint) Stuck() bool { return e.out != nil && e.out.stuck }

// Unstick says that the system may take more now.
func (e *Endpoint) Unstick() {
	if e.out != nil {
		e.out.stuck = false
	}
}

// Buffered is Conn.Buffered.
func (e *Endpoint) Buffered() int {
	if e.out == nil {
		return 0
	}
	return e.out.size
}

// Sent says that the system took n bytes of the outbox, and, with all false,
// that it takes no more now.
func (e *Endpoint) Sent(n int, all bool) {
	o := e.out
	o.Advance(n)
	switch {
	case !all:
		o.stuck = true
		o.keep()
	case o.size > 0:
	case len(o.pong) > 0:
		o.growPong(&e.terms.pool.arena)
	default:
		e.releaseOutbox()
	}
}

func (e *Endpoint) outbox() *Outbox {
	if e.out == nil {
		e.out = e.terms.pool.outbox()
	}
	return e.out
}

func (e *Endpoint) releaseOutbox() {
	if e.out != nil {
		e.terms.pool.releaseOutbox(e.out)
		e.out = nil
	}
}

// NotifyDrained is Conn.NotifyDrained.
func (e *Endpoint) NotifyDrained(low int) {
	e.low = int32(min(max(low, 0), 1<<31-1))
	e.state |= wantDrained
}

// Drained reports whether TellDrained is due, when so many bytes wait elsewhere.
func (e *Endpoint) Drained(elsewhere int) bool {
	return e.is(wantDrained) && !e.is(over) && e.Buffered()+elsewhere <= int(e.low)
}

// TellDrained tells the Sink, if it is still due.
func (e *Endpoint) TellDrained(elsewhere int) {
	if e.Drained(elsewhere) {
		e.state &^= wantDrained
		e.sink.Drained()
	}
}

// TellGone tells the Sink that the connection is over. Only the first call does
// something.
func (e *Endpoint) TellGone() {
	if !e.is(over) || e.is(gone) {
		return
	}
	e.state |= gone
	e.releaseOutbox()
	sink := e.sink
	e.sink = nil // a connection may linger on; what its owner keeps for it need not
	sink.Gone(e.cause)
}
