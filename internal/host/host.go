// Package host decides where an object lives and what reaches it: activation,
// mailbox, idling, eviction, exchanges, and the output gate of each object. It
// knows ids, guests and clocks, and never sees a socket, a file or HTTP.
//
// A Shard owns the objects whose ids fall to it. Everything in this package
// happens on the shard's loop unless it says otherwise.
package host

import (
	"log/slog"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/brief"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/object"
	"github.com/dormouse-dev/dormouse/internal/observe"
	"github.com/dormouse-dev/dormouse/internal/observe/trace"
)

// Class is a class of objects as the host knows it. Its place in Config.Classes
// is its number in the guest protocol.
type Class struct {
	Name      string
	Namespace dormouse.Namespace
	Rest      object.Rest
	// KeepOnReset leaves sockets connected when an instance is reset.
	KeepOnReset bool
	// CloseOnUpdate drops its objects' sockets when they move to newer code.
	CloseOnUpdate bool
	// Place is where its objects run; guest.Everywhere: with all others.
	Place guest.Place
}

// Limits bound what waits. Zero values are replaced by defaults.
type Limits struct {
	MailEvents int // events that wait for one object, in front of it or in its guest
	MailBytes  int
	OwnGuests  int // objects that have a guest of their own because of what they did
	Waiting    int // requests and objects that wait for a guest to be there
	// WaitingBytes is how much they may be; past it clients are not read.
	WaitingBytes int
	Backlog      int // bytes that a guest has not taken; past it its sockets are not read
	Ahead        int // requests for the Worker that a guest is given and has not begun, where it says so
	// QueueTime is how long a request for the Worker may wait for a guest that is
	// there; zero: for ever.
	QueueTime time.Duration
}

func (l *Limits) defaults() {
	for p, v := range map[*int]int{
		&l.MailEvents: 10_000, &l.MailBytes: 8 << 20, &l.OwnGuests: 2, &l.Waiting: 4096, &l.WaitingBytes: 64 << 20, &l.Backlog: 4 << 20, &l.Ahead: 256,
	} {
		if *p == 0 {
			*p = v
		}
	}
}

// Registry holds the sockets of the shard. Package hibernation is one.
type Registry interface {
	NewSet(r Recipient, hibernatable bool) Set
	Accept(t Set, s dormouse.SocketID, tags []string) error
	Open(t Set, s dormouse.SocketID) error
	Send(s dormouse.SocketID, text bool, payload []byte)
	SendAll(s dormouse.SocketID, run brief.Run)
	Broadcast(s guest.Sockets, text bool, payload []byte)
	Close(s dormouse.SocketID, code uint16, reason string)
	SetAttachment(s dormouse.SocketID, value []byte)
	// Pause stops and resumes what the peer of a socket says, if it is a client.
	Pause(s dormouse.SocketID, paused bool)
	Release(s dormouse.SocketID)
	// Recipient is whom a socket belongs to; nil: nobody.
	Recipient(s dormouse.SocketID) any
	// Abandoned tells that a guest is gone: what only it could have passed on has
	// no other side any more.
	Abandoned(incarnation uint32)
	// Passed tells that the end id is on its way to a client or to another guest;
	// with false that the guest which made the pair has got it back.
	Passed(id dormouse.SocketID, away bool)
	// Told counts the messages of a socket that its object was given, and lists its
	// tags; borrowed.
	Told(s dormouse.SocketID) (messages uint32, tags []string)
	// Deliver says an event of a socket once more, to whom the socket belongs.
	Deliver(guest.Event)
	// SetPaused stops and resumes the reading of every client of the shard.
	SetPaused(bool)
}

// Set is the sockets of one object.
type Set interface {
	Len() int
	// Number says, while a message is said, which of its socket's it is; 0: that is
	// not known.
	Number() uint32
	Table() []guest.Socket
	Ended(s dormouse.SocketID)
	Left()
	Pair() *guest.Pair
	SetPair(*guest.Pair)
	EventTimeout() time.Duration
	SetEventTimeout(time.Duration)
	TakeStamps() []guest.Stamp
	// Progress tells that Begun may say otherwise now.
	Progress()
	Reset(drop bool)
	CloseAll(code uint16, reason string)
	Pause()
	Resume()
}

// Recipient is what the sockets of a Set say things to.
type Recipient interface {
	Message(s dormouse.SocketID, text bool, payload []byte)
	Several() bool
	Messages(s dormouse.SocketID, run brief.Run) bool
	Arrived() uint64
	Begun(n uint64) bool
	Closed(s dormouse.SocketID, c guest.Closing)
	Errored(s dormouse.SocketID, message string)
	Buffered(s dormouse.SocketID, bytes int)
	Stamped()
	Open() bool
	Hold(size int, release func())
	Emptied()
	Behind() int
}

// Alarms is told what objects say of their alarms, so that Shard.Alarm is called
// when their time has come. Everything is said on the loop.
type Alarms interface {
	// Earlier tells that the object is about to commit this alarm: it has none yet,
	// or a later one.
	Earlier(k dormouse.Key, at time.Time)
	// Later tells what the alarm is (zero: none) as of what the object has
	// committed. durable is called when that is on disk, and never if it does not
	// get there.
	Later(k dormouse.Key, at time.Time) (durable func())
	// Found tells which alarm the object's database had when it was opened.
	Found(k dormouse.Key, at time.Time)
	// Doubt tells that the object's guest has died while the object was at work:
	// what it said last may not have arrived.
	Doubt(k dormouse.Key)
}

// Config is what a Shard needs. Durability and Alarms may be nil.
type Config struct {
	Loop       *loop.Loop
	Index      int
	Classes    []Class
	Bindings   []Binding // of namespaces, as the guest numbers them
	Limits     Limits
	Registry   Registry
	Durability Durability
	Past       Past // nil: nothing can be put back
	Alarms     Alarms
	Log        *slog.Logger
	// Slow is how long an event may take until it is logged; 0: for ever.
	Slow time.Duration
	// Traced says whether somebody listens to all that an object does; nil: nobody
	// can. It is asked often.
	Traced func(class string, k dormouse.Key, name string) bool
	// Bell is rung when objects are given events, and when a guest ends; may be nil.
	Bell *observe.Bell
	// Tracer writes spans of events; nil: nobody does, and it costs nothing.
	Tracer trace.Tracer
	// Details has errors remembered for a while, so that what they caused elsewhere
	// can name them.
	Details bool
	// Route finds the shard of an object.
	Route func(dormouse.Key) *Shard
	// Outside answers what guests ask of targets that are no objects.
	Outside Outside
	// Places starts guests for what is kept apart; nil: everything runs together.
	Places Places
	// Neighbour finds what else there is to be called in this process, by name; it
	// returns nil if there is none. May be nil.
	Neighbour func(name string) Neighbour
}

// Binding is a namespace that the code can reach.
type Binding struct {
	Class int        // of this shard; -1: it has none of this
	Far   *guest.Far // a neighbour's; nil: it is of Class
}

// Outside answers requests to what is no object and no neighbour: assets, KV
// namespaces and buckets.
type Outside interface {
	// Ask begins an exchange. It may be called on any loop and answers from any
	// goroutine.
	Ask(to guest.Target, r *guest.Request, a Answer) Asker
}

// Answer is where the answer to a request goes. Its methods are called one at a
// time, in order, on the loop of whoever answers; nothing may block. Slices are
// borrowed. The last call is BodyEnd or BodyAbort after a Response with a body,
// or a Response without one, or Failure.
type Answer interface {
	Response(*guest.Response)
	Body(p []byte)
	BodyEnd()
	BodyAbort(reason string)
	// Credit lets the body of the request go on; Cancel says that it is not
	// wanted any more.
	Credit(n uint32)
	Cancel(reason string)
	Failure(*dormouse.Error)
}

// Asker is the asking side's hold on a request. Methods may be called on any
// goroutine, one at a time; slices are borrowed.
type Asker interface {
	Body(p []byte)
	BodyEnd()
	BodyAbort(reason string)
	Credit(n uint32)
	// Cancel gives up the request. The Answer is not called any more.
	Cancel(reason string)
}
