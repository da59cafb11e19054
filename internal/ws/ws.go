// Package ws speaks RFC 6455 (the WebSocket protocol) and RFC 7692 (its
// compression): bytes to messages and back, whatever the cut of the input, and
// the rules of one connection from its first frame to its last. It is told
// bytes and gives bytes; it never sees a descriptor, a goroutine or a clock.
// The packages below it bring those: wsepoll, wsstd and wspipe, one contract,
// kept by the tests in wstest.
package ws

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/dormouse-dev/dormouse/internal/brief"
)

// Opcode is the kind of a frame. RFC 6455, section 5.2.
type Opcode uint8

// The opcodes that RFC 6455 defines.
const (
	OpContinuation Opcode = 0x0
	OpText         Opcode = 0x1
	OpBinary       Opcode = 0x2
	OpClose        Opcode = 0x8
	OpPing         Opcode = 0x9
	OpPong         Opcode = 0xA
)

// OpcodeOf is that of a data message.
func OpcodeOf(text bool) Opcode {
	if text {
		return OpText
	}
	return OpBinary
}

// Close codes. RFC 6455, section 7.4.1, and the registry it opened.
const (
	CloseNormal          uint16 = 1000
	CloseGoingAway       uint16 = 1001
	CloseProtocolError   uint16 = 1002
	CloseNoStatus        uint16 = 1005 // never on the wire: a Close frame without a code
	CloseAbnormal        uint16 = 1006 // never on the wire: no Close frame at all
	CloseInvalidPayload  uint16 = 1007
	CloseMessageTooBig   uint16 = 1009
	CloseInternalError   uint16 = 1011
	CloseServiceRestart  uint16 = 1012
	CloseTryAgainLater   uint16 = 1013
	maxCloseReason              = 123
	maxControlPayload           = 125
	compressionThreshold        = 1024
)

// Defaults of Options.
const (
	DefaultMaxMessage  = 32 << 20
	DefaultMaxOutbound = 16 << 20
)

// Bounds on the end of a connection, the same for every transport.
const (
	// FlushWait is how long bytes that were queued before the end may take to
	// leave. Then the rest is given up.
	FlushWait = 30 * time.Second
	// LingerWait is how long a transport goes on reading, and throwing away,
	// after its last byte and its FIN have left. A socket that is closed over
	// unread input sends RST, which may destroy our Close frame on its way.
	LingerWait = 2 * time.Second
)

// Conn is the near end of one WebSocket. It belongs to the loop that its
// transport was made for: every method is called there. No method calls the
// Sink; what follows from a call is told later, on the loop.
type Conn interface {
	// Send queues a data message, OpText or OpBinary; payload is borrowed. All
	// messages of one round of the loop leave together at the round's end.
	// After Close, Drop or the end of the connection it does nothing. When more
	// than Options.MaxOutbound bytes wait already, the connection ends with
	// ErrSlow.
	Send(op Opcode, payload []byte)
	// SendShared is Send for a message that goes to many: it is encoded and
	// compressed once, and the queues share its bytes.
	SendShared(m *Shared)
	// Close queues a Close frame; code 0 sends one without code and reason. A
	// reason past 123 bytes is cut between two characters. Only the first call
	// counts. Messages are still received until the peer's own Close arrives.
	Close(code uint16, reason string)
	// Drop ends TCP with a FIN and without a Close frame. Of the bytes that
	// wait, those that the system takes at once still leave. The Sink hears
	// nothing more but Gone(ErrDropped).
	Drop()
	// Pause stops delivery and reading at once: the Sink hears nothing of the
	// peer until Resume. Neither counts calls.
	Pause()
	Resume()
	// Buffered is the number of bytes, frame headers included, that have been
	// sent here and have not been taken by the system.
	Buffered() int
	// NotifyDrained asks for one call of Sink.Drained as soon as Buffered is at
	// most low. A later call replaces an earlier one.
	NotifyDrained(low int)
	// RemoteAddr is the peer's address, or "" when the system no longer knows.
	RemoteAddr() string
}

// Sink is what the owner of a connection hears about it, on the loop, never
// from within a call of Transport or Conn and never from a flush hook.
type Sink interface {
	// Message is a whole data message, OpText (valid UTF-8) or OpBinary.
	// payload is borrowed until the call returns.
	Message(op Opcode, payload []byte)
	// CloseFrame is the peer's Close; nothing is received after it. The code is
	// the peer's own, whatever it is, and 1005 when the body has none (it is
	// empty or one byte). Until Close is called, Send still works.
	CloseFrame(code uint16, reason string)
	// Drained answers Conn.NotifyDrained.
	Drained()
	// Gone is the last call and comes exactly once. err says how it ended:
	//  1. nil: the peer's Close was received (CloseFrame came first), and ours
	//     was sent or could not be any more.
	//  2. ErrNoCloseFrame: the peer went away without one.
	//  3. A *ProtocolError: what the peer sent cannot be accepted. A Close frame
	//     with the error's code and text was sent.
	//  4. ErrSlow: more than Options.MaxOutbound waited. What waited was thrown
	//     away and a Close frame with 1013 was tried.
	//  5. ErrDropped: Conn.Drop was called.
	Gone(err error)
}

// Expecter is a Sink that is asked, shortly before its connection is read, to look
// at what it needs for a message, and to change nothing. Transports ask the sinks
// of all that they are about to read, so that the processor fetches memory for
// many of them at once: among very many connections, waiting for it would
// otherwise be most of what a message costs.
type Expecter interface {
	// Expect is called for each step from 0 to ExpectSteps-1, and for the one before
	// on all connections. Step n looks at what n pointers from the Sink lead to. The
	// answer means nothing; it is there so that the looking is not left out.
	Expect(step int) (seen uint)
}

// ExpectSteps is how far from a Sink what it needs may be.
const ExpectSteps = 4

// RunConn is a Conn that can be told many messages at once.
type RunConn interface {
	Conn
	// SendRun is Send for each of a run, which is borrowed.
	SendRun(brief.Run)
}

// RunSink is a Sink that can hear many messages at once.
type RunSink interface {
	Sink
	// Several reports whether Messages would take any now.
	Several() bool
	// Messages is Message for each of a run, which is the sink's own from then on.
	// If it returns false it has taken none, and they are said with Message. It is
	// called only where Several has said so.
	Messages(brief.Run) bool
}

// Transport makes connections. It belongs to one loop.
type Transport interface {
	// Adopt takes over c, on which an upgrade request has been read, and sends
	// o.Head first. rest is what has been read from c beyond the request,
	// borrowed. After an error c is unchanged and still the caller's. Call it
	// on the loop; what the peer says is told in a later round.
	Adopt(c net.Conn, rest []byte, o Options, sink Sink) (Conn, error)
}

// Bare is a connection that is no more than a descriptor, which does not block and
// sends small messages at once.
type Bare interface {
	net.Conn
	// Descriptor is still the connection's; -1: it has become another one.
	Descriptor() int
	// Taken says that the descriptor is the caller's from now on.
	Taken()
}

// Options are the terms of one connection.
type Options struct {
	Head        []byte         // bytes to be written first: the 101 answer. Borrowed
	Deflate     *DeflateParams // as negotiated; nil without compression. Shared, never changed
	MaxMessage  int            // of one message received, also when inflated; 0 is DefaultMaxMessage
	MaxOutbound int            // of bytes that wait to leave; 0 is DefaultMaxOutbound
	Meter       Meter          // of the client; nil: it has no limits. Transports do not see it
}

// Meter bounds what a client may do. Its methods may be called on any goroutine.
type Meter interface {
	// Message counts one that has come; nothing more is to be read for so long.
	Message() time.Duration
	// Done tells that the connection is over.
	Done()
	// Client names whose limits these are, for a process that goes on with the
	// connection.
	Client() string
}

// Errors of Sink.Gone; see there.
var (
	ErrNoCloseFrame = errors.New("WebSocket disconnected without sending Close frame.")
	ErrSlow         = errors.New("WebSocket closed because the client does not read: too many bytes wait to be sent.")
	ErrDropped      = errors.New("WebSocket dropped")
)

// ProtocolError is what a peer did that the protocol, or a limit, forbids.
// Code and Text went into the Close frame.
type ProtocolError struct {
	Code uint16
	Text string
}

// Error has the form that Durable Objects authors know from webSocketError.
func (e *ProtocolError) Error() string {
	return fmt.Sprintf("WebSocket protocol error; protocolError.statusCode = %d; protocolError.description = %s", e.Code, e.Text)
}
