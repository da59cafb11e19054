package guest

import "github.com/dormouse-dev/dormouse"

// Session is the number of one RPC session: even when the host began it, odd
// when the guest did. What the ends say to each other in it is theirs: a host
// carries it, in order, and does not read it.
type Session uint32

// Window is how many bytes of messages each end of a session may have on their
// way; the last message may go beyond. MaxMessage is the longest.
const (
	Window     = 1 << 20
	MaxMessage = 40 << 20
)

// RPC is a guest that has sessions. One that has not is not called by them.
type RPC interface {
	// BeginSession is an event of the object o; zero for an entrypoint of the
	// Worker.
	BeginSession(x Session, o Object, s *Opening)
	Sessions
}

// Sessions is the part of a session that both sides say in the same words.
type Sessions interface {
	SessionMessage(x Session, p []byte)
	SessionCredit(x Session, n uint32)
	// SessionClose is the last word, and may bring a last message.
	SessionClose(x Session, last []byte)
	// SessionFailure breaks the session off. Of the two sides only the host says it
	// unless the object that was called has left.
	SessionFailure(x Session, e *dormouse.Error)
}

// Opening is what a session begins with. Owned by the receiver.
type Opening struct {
	Entrypoint string // of a Worker; empty: its default export
	Props      []byte // of the entrypoint, serialised; empty: none
	First      []byte // the first message
	Trace      string // the context that it belongs to; empty: none
	// Foreign: it comes from a neighbour of the host's, whose guests number their
	// bindings in another way.
	Foreign bool
}
