package dormouse

import (
	"context"
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse/internal/author"
)

// Class is a class of objects written in Go. It is made by NewClass and handed
// to a server, which makes the objects. The fields may be changed until then.
type Class struct {
	// Name is the name of the class, and part of every id of its objects.
	Name string

	// KeepSockets leaves WebSockets connected when an object is reset, with tags
	// and attachments; the next event constructs it again. Otherwise they end
	// with it, without a Close frame: clients see 1006.
	KeepSockets bool

	// Interleave lets other events of an object in while a handler waits for
	// another object, as an await does in JavaScript. Otherwise a handler that
	// calls another object keeps its own until the answer is there, and lets
	// others in only by State.Yield.
	Interleave bool

	// HibernateAfter is how long an object may have nothing to do before it
	// leaves memory. Zero: as long as the server says.
	HibernateAfter time.Duration

	construct func(*State) (any, error)
}

// NewClass defines a class of objects. construct makes one, each time that it
// is needed and not in memory; env is given to each, and is where an object
// finds the rest of the program: namespaces of other classes, clients, settings.
//
// What construct returns is found by its methods. It may have
//
//   - ServeHTTP (http.Handler), for requests and upgrades to WebSockets,
//   - the methods of MessageHandler, CloseHandler and ErrorHandler, for sockets
//     that State.AcceptWebSocket has accepted,
//   - the method of AlarmHandler, for alarms,
//   - any others, for server.Call.
//
// Nothing else reaches the object until construct has returned. It may read and
// write storage, look at its sockets and send. If it fails, the error goes to
// whoever called, sockets end, and the next event constructs anew.
//
// Cloudflare: "Durable Object Base Class"; semantics of the constructor.
func NewClass[O, E any](name string, construct func(*State, E) (O, error), env E) *Class {
	return &Class{Name: name, construct: func(s *State) (any, error) {
		o, err := construct(s, env)
		if err != nil {
			return nil, err
		}
		return o, nil
	}}
}

// Construct makes an object over an activation. It is for package server.
func (c *Class) Construct(i author.Instance) (object any, err error) {
	if c.construct == nil {
		return nil, fmt.Errorf("class %s was not made by NewClass", c.Name)
	}
	i.Bind(func(s author.Socket) any { return &WebSocket{s} })
	return c.construct(&State{i, &Storage{i.Storage(), i}})
}

// A handler is called for one event at a time of its object: no two of one
// object run at once, unless one waits in State.Yield. ctx ends when the handler
// returns, when its caller has gone, when the event's time is over or when the
// object is reset. An error that a handler returns is logged with the object's
// class and id, and so is a panic; neither harms the object or its sockets.
// What an object sends leaves when its handler returns, yields or takes longer
// than a moment; what it sends after it has written to storage leaves when that
// is durable.

// MessageHandler gets what clients say.
//
// Cloudflare: "Durable Object Base Class", webSocketMessage.
type MessageHandler interface {
	// WebSocketMessage is called for each whole message of an accepted socket
	// that the object's auto-response does not answer. Messages of a socket come
	// in order. A message has 32 MiB at most.
	WebSocketMessage(ctx context.Context, ws *WebSocket, m Message) error
}

// CloseHandler learns that clients have left.
//
// Cloudflare: "Durable Object Base Class", webSocketClose.
type CloseHandler interface {
	// WebSocketClose is called when a client has closed its socket, has answered
	// our Close, or has gone without a word (code 1006). The socket is still
	// listed and its attachment readable until it returns. A Close frame has
	// been answered already.
	WebSocketClose(ctx context.Context, ws *WebSocket, c Closing) error
}

// ErrorHandler learns that connections have failed.
//
// Cloudflare: "Durable Object Base Class", webSocketError.
type ErrorHandler interface {
	// WebSocketError is called instead of WebSocketClose when a client broke the
	// protocol, sent too much or did not read. The connection is over.
	WebSocketError(ctx context.Context, ws *WebSocket, cause error) error
}

// AlarmHandler is woken at the time that Storage.SetAlarm has set.
//
// Cloudflare: "Alarms".
type AlarmHandler interface {
	// Alarm is called at least once for an alarm, never twice at a time, for 15
	// minutes at most. If it fails it is tried again after 2, 4, 8, 16, 32 and
	// 64 seconds and up to a quarter more, unless a new alarm has been set.
	Alarm(ctx context.Context, a AlarmInfo) error
}

// Message is what a client has sent.
type Message struct {
	Text bool   // text, which is valid UTF-8, or binary
	Data []byte // the handler's own
}

// String is the message as text.
func (m Message) String() string { return string(m.Data) }

// Closing says how a client has closed its socket.
type Closing struct {
	Code   int    // of the Close frame; 1005 without a code, 1006 without a frame
	Reason string // at most 123 bytes
	Clean  bool   // a Close frame came
}

// AlarmInfo says which alarm it is.
type AlarmInfo struct {
	Scheduled time.Time // when it was to run, to the millisecond; the same for each try
	Retry     int       // how many tries have failed
}
