package ws

import (
	"bytes"
	"errors"
	"fmt"
)

// Saved is an Endpoint whose conversation goes on, as plain data: what another
// process needs to go on with it. There is no state of the compression, because
// no direction keeps its window from message to message.
type Saved struct {
	Descriptor int           // the transport's
	Deflate    DeflateParams // zero without compression
	PeerClosed bool          // the peer's Close was received
	Closed     bool          // our Close was queued
	Mute       bool          // nothing can be sent any more
	Partial    *Partial      // nil: nothing is partly received
	Unsent     []byte        // what waits for the system to take more
	// Begun is how many bytes of Unsent are the end of something that has begun to
	// leave. What follows is whole frames. Invariant: 0 <= Begun <= len(Unsent).
	Begun int
	Pong  []byte // a frame, to be sent when all else has left
}

// Partial is what a Decoder holds of a frame or a message that has not come
// whole, and of input that waits.
type Partial struct {
	Head       []byte // of a frame whose header is not complete
	Frame      *Frame // whose payload is being received; nil: none
	Message    Opcode // being received; 0: none
	Compressed bool
	Body       []byte // of the message, so far, not masked
	Held       []byte // input that came while delivery was paused
}

// Frame is a frame whose payload is being received.
type Frame struct {
	Op      Opcode
	Fin     bool
	Masked  bool
	Mask    [4]byte
	Got     int // bytes of payload received
	Left    int // bytes of payload still to come
	Control []byte
}

// maxSavedMessage bounds what is believed of a message that is partly received:
// more than any configured limit.
const maxSavedMessage = 1 << 30

// Save describes the endpoint. The slices are borrowed until something is said on
// it. ok is false when the conversation has ended: there is nothing to go on with.
//
// Call it between rounds, when everything that the system takes has been sent.
func (e *Endpoint) Save() (s Saved, ok bool) {
	if e.is(over) {
		return Saved{}, false
	}
	s = Saved{Deflate: e.terms.deflate, PeerClosed: e.is(peerClosed), Closed: e.is(closed), Mute: e.is(mute)}
	if e.out != nil {
		s.Unsent, s.Begun = e.out.rest()
		s.Pong = e.out.pong
	}
	if d := e.dec; d != nil && e.Curious() {
		s.Partial = d.save()
	}
	return s, true
}

// Restore begins where a Saved left off. The slices are copied. An error says
// that there can be no such endpoint.
func (e *Endpoint) Restore(p *Pool, o Options, s *Saved, sink Sink) error {
	if err := s.Check(); err != nil {
		return err
	}
	o.Deflate = &s.Deflate
	if q := s.Partial; q != nil { // the predecessor's limit has let it in
		if o.MaxMessage <= 0 {
			o.MaxMessage = DefaultMaxMessage
		}
		o.MaxMessage = max(o.MaxMessage, len(q.Body))
		if q.Frame != nil && q.Frame.Op < OpClose {
			o.MaxMessage = max(o.MaxMessage, len(q.Body)+q.Frame.Left)
		}
	}
	*e = Endpoint{terms: p.termsOf(o), sink: sink}
	if s.PeerClosed {
		e.state |= peerClosed
	}
	if s.Closed {
		e.state |= closed
	}
	if s.Mute {
		e.state |= mute
	}
	if q := s.Partial; q != nil {
		e.decoder().restore(q)
	}
	if len(s.Unsent) == 0 {
		return nil
	}
	out := e.outbox()
	if s.Begun > 0 {
		out.add(bytes.Clone(s.Unsent[:s.Begun]), remainder)
	}
	if whole := s.Unsent[s.Begun:]; len(whole) > 0 {
		out.add(bytes.Clone(whole), owned)
	}
	out.pong = append(out.pong, s.Pong...)
	out.stuck = true // until the system says that it takes more
	return nil
}

// Leave takes the end of the conversation away from the Sink, which hears nothing
// more; what waits to be sent may still leave. ended is false while there is no
// end, or when the Sink has heard it.
func (e *Endpoint) Leave() (cause error, ended bool) {
	if !e.is(over) || e.is(gone) {
		return nil, false
	}
	e.state |= gone
	e.sink = nil
	return e.cause, true
}

// Check refuses what no endpoint can be.
func (s *Saved) Check() error {
	switch {
	case s.Begun < 0 || s.Begun > len(s.Unsent):
		return fmt.Errorf("%d of %d unsent bytes have begun to leave", s.Begun, len(s.Unsent))
	case s.Mute && len(s.Unsent) > 0:
		return errors.New("bytes wait for a peer that takes none")
	case len(s.Pong) > maxControlPayload+2 || len(s.Pong) > 0 && len(s.Unsent) == 0:
		return fmt.Errorf("a Pong of %d bytes waits for %d", len(s.Pong), len(s.Unsent))
	case s.Deflate.ServerBits > maxWindowBits || s.Deflate.ClientBits > maxWindowBits:
		return fmt.Errorf("windows of %d and %d bits", s.Deflate.ServerBits, s.Deflate.ClientBits)
	case !wholeFrames(s.Unsent[s.Begun:]):
		return errors.New("the unsent bytes are no frames")
	case s.Partial != nil:
		return s.Partial.check()
	}
	return nil
}

// wholeFrames says whether b is a sequence of frames as we send them.
func wholeFrames(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 2 || b[1]&bitMask != 0 || len(b) < frameHeaderLen(b[1]) {
			return false
		}
		n := wholeFrame(b)
		if n < frameHeaderLen(b[1]) || n > len(b) {
			return false
		}
		b = b[n:]
	}
	return true
}

func (q *Partial) check() error {
	f := q.Frame
	switch {
	case len(q.Head) > maxHeader+4 || len(q.Head) >= 2 && len(q.Head) >= frameHeaderLen(q.Head[1]):
		return fmt.Errorf("%d bytes of a header that is not complete", len(q.Head))
	case len(q.Head) > 0 && f != nil:
		return errors.New("a header within a frame")
	case q.Message != 0 && q.Message != OpText && q.Message != OpBinary:
		return fmt.Errorf("a message of kind %d", q.Message)
	case q.Message == 0 && (q.Compressed || len(q.Body) > 0):
		return errors.New("a body without a message")
	case len(q.Body) > maxSavedMessage:
		return fmt.Errorf("a body of %d bytes", len(q.Body))
	case f == nil:
		return nil
	case f.Got < 0 || f.Left < 0 || f.Got > maxSavedMessage || f.Left > maxSavedMessage:
		return fmt.Errorf("a frame of %d and %d bytes", f.Got, f.Left)
	case f.Op == OpClose || f.Op == OpPing || f.Op == OpPong:
		if f.Got+f.Left > maxControlPayload || len(f.Control) != f.Got {
			return fmt.Errorf("a control frame of %d and %d bytes, %d of them there", f.Got, f.Left, len(f.Control))
		}
	case f.Op > OpBinary || q.Message == 0 || len(f.Control) > 0:
		return fmt.Errorf("a frame of kind %d in a message of kind %d", f.Op, q.Message)
	}
	return nil
}

// save describes what the decoder holds. The slices are borrowed.
func (d *Decoder) save() *Partial {
	q := &Partial{
		Head: d.head[:d.headN], Message: d.message, Compressed: d.message != 0 && d.compressed,
		Held: d.held,
	}
	if d.message != 0 {
		q.Body = d.body
	}
	if d.open {
		q.Frame = &Frame{Op: d.op, Fin: d.fin, Masked: d.masked, Mask: d.mask, Got: d.got, Left: int(d.left)}
		if d.op >= OpClose {
			q.Frame.Control = d.control[:d.got]
		}
	}
	return q
}

// restore makes a decoder that is Idle hold what another one held.
func (d *Decoder) restore(q *Partial) {
	d.headN = copy(d.head[:], q.Head)
	d.message, d.compressed = q.Message, q.Compressed
	d.body = append(d.body[:0], q.Body...)
	d.held = append(d.held[:0], q.Held...)
	d.text = utf8Checker{}
	if d.message == OpText && !d.compressed {
		d.text.write(d.body) // valid so far, or the predecessor would have ended it
	}
	if f := q.Frame; f != nil {
		d.open, d.op, d.fin, d.masked, d.mask = true, f.Op, f.Fin, f.Masked, f.Mask
		d.got, d.left = f.Got, uint64(f.Left)
		copy(d.control[:], f.Control)
	}
}

// rest is what has not left, as one run of bytes, and how many of them are the end
// of something that has begun to.
func (o *Outbox) rest() (b []byte, begun int) {
	b = make([]byte, 0, o.size)
	skip := o.sent
	for i := o.first; i < len(o.segments); i++ {
		s := o.segments[i]
		switch {
		case s.kind == remainder, s.kind == httpHead:
			// As good as begun: nothing of it can be left out.
			begun = len(b) + len(s.b) - skip
		case skip > 0:
			end := 0
			for end < skip {
				end += wholeFrame(s.b[end:])
			}
			begun = end - skip
		}
		b = append(b, s.b[skip:]...)
		skip = 0
	}
	return b, begun
}

// Portable is a Conn that another process can take over. Its methods are called
// on the loop.
type Portable interface {
	Conn
	// Save describes the connection, which then stands still: nothing is read from
	// it and nothing written to it until Keep, or ever after Forget. The slices of
	// the result are borrowed until then. ok is false, and nothing has changed, when
	// the conversation has ended or the connection cannot be taken over.
	Save() (s Saved, ok bool)
	// Keep goes on where Save has stopped.
	Keep()
	// Forget closes this process's descriptor and leaves the connection alone: it
	// is somebody else's. Its Sink hears nothing more. Without a Save before it it
	// does nothing and reports false.
	Forget() bool
	// Leave takes the end of the connection away from its Sink, see Endpoint.
	Leave() (cause error, ended bool)
}

// Restorer is a Transport that can go on with what another process has saved.
type Restorer interface {
	Transport
	// Restore takes over s.Descriptor, also after an error.
	Restore(s *Saved, o Options, sink Sink) (Conn, error)
}
