package dormouse

import (
	"errors"
	"time"
)

// Error is what may cross from one object to another, to a guest or to a
// client: it says what an author of objects may know. What caused it stays
// behind, in the log of the side where it happened.
type Error struct {
	Name    string // "TypeError"; empty means "Error"
	Message string
	Stack   string // of the author's code; never sent to another object

	Remote      bool // thrown by the code of the object that was called
	Retryable   bool // the call may be tried again: a disconnect
	Overloaded  bool // the call must not be tried again soon
	ObjectReset bool // the instance that was called is gone

	Extra []byte // V8 serialisation of own properties and cause, or nil

	// Where it happened, where that is told (dormouse dev); nil: it is not.
	Where *Where
}

func (e *Error) Error() string {
	if e.Name == "" || e.Name == "Error" {
		return e.Message
	}
	return e.Name + ": " + e.Message
}

// Errors that objects written in Go meet. Whether a call to another object may
// be tried again, an *Error says.
var (
	// ErrSocketClosed is returned for a message to a WebSocket that the object
	// has closed or whose connection is gone.
	ErrSocketClosed = errors.New("Can't call WebSocket send() after close().")
	// ErrGone is returned by what belongs to an object that has left memory. It
	// was not reset: its next event constructs it again.
	ErrGone = errors.New("the object has left memory")
	// ErrOutside is returned by what can only be done within an event of the
	// object, or in State.Do: the context is not one of these.
	ErrOutside = errors.New("not within an event of the object: pass on the handler's context, or use State.Do")
	// ErrDeadlock is returned instead of waiting for oneself: a handler calls its
	// own object, or one that waits for it.
	ErrDeadlock = errors.New("the object would wait for itself: call it from State.Yield or State.WaitUntil, or set Class.Interleave")
	// ErrNoRows is returned by Row.Scan when the query has none.
	ErrNoRows = errors.New("the query returned no row")
)

// Limits that hold when nobody set others.
const (
	MaxMessage          = 32 << 20 // bytes of one WebSocket message, received
	MaxTags             = 10       // of one socket
	MaxTag              = 256      // bytes of one tag
	MaxAutoResponse     = 2048     // bytes of the request, and of the response
	MaxAttachment       = 2048     // bytes of a socket's attachment, of objects written in Go
	MaxSocketsPerObject = 32768
	MaxName             = 1024               // bytes of a name that the object itself learns
	MaxEventTimeout     = 7 * 24 * time.Hour // of an event of a socket
)
