// Package guest is the contract between a host and the code that it runs. It
// knows what each side may say to the other and in which order, and never sees
// a process, a pipe or JavaScript.
//
// Everything here happens on one loop: the host calls the guest and the guest
// calls the host on the goroutine of the shard that both belong to. Nothing
// blocks. Byte slices are borrowed for the length of the call unless it says
// otherwise. docs/guest-protocol.md has the same contract as bytes.
package guest

import (
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/brief"
)

// Object is the number of one activation, unique in the life of its guest.
// Zero stands for the Worker outside any object.
type Object uint32

// Exchange is the number of one request and its answer: even when the host
// began it, odd when the guest did.
type Exchange uint32

// Credit is what each direction of a body starts with, in bytes, and MaxChunk
// the longest piece in which a body travels.
const (
	Credit   = 256 << 10
	MaxChunk = 64 << 10
)

// Guest runs objects. After Gone has been called on the host every method does
// nothing.
type Guest interface {
	Start(Activation)
	Message(s dormouse.SocketID, text bool, payload []byte)
	Closed(s dormouse.SocketID, c Closing)
	Errored(s dormouse.SocketID, message string)
	Alarm(x Exchange, o Object, scheduled time.Time, retry int)
	Hibernate(o Object, delivered uint32, m Mode)
	Reset(o Object, e *dormouse.Error)
	Durable(o Object, commit uint32)
	Why(query uint32, o Object)
	Stamps([]Stamp)

	// Checkpoint asks for the next step of moving the WAL of a database that the
	// guest was given with this activation, which may have ended.
	Checkpoint(o Object, s CheckpointStep)
	// CloseDatabase asks for such a database to be closed as soon as no instance
	// uses it. The answer is DatabaseClosed.
	CloseDatabase(o Object)
	// Past answers AskPast: with a bookmark, or why there is none.
	Past(o Object, question uint32, ok bool, text string)

	Buffered(s dormouse.SocketID, bytes int)

	// Request begins an exchange. o is zero for the Worker's own handler.
	Request(x Exchange, o Object, r *Request)
	Peer

	// Backlog is the number of bytes that the guest has not taken yet.
	Backlog() int
	// Incarnation is the upper half of the ids of the pairs that it makes.
	Incarnation() uint32
}

// Listener is a guest that can be told many messages of a socket at once.
type Listener interface {
	// Messages is Message for each of a run, which is the guest's own from then on.
	Messages(s dormouse.SocketID, run brief.Run)
}

// Handler is a guest that says what it has handled: of all that it was ever told,
// as Told counts it, the first Handled have begun or wait for their turn. The host
// is told of it with Taken.
type Handler interface {
	Told() uint64
	Handled() uint64
}

// Speaker is a host that can be told many messages for a socket at once.
type Speaker interface {
	// SendAll is Send for each of a run, which is borrowed.
	SendAll(g Guest, s dormouse.SocketID, run brief.Run)
}

// Tracing is a guest that takes contexts of traces; docs/guest-protocol.md.
type Tracing interface {
	// Trace is said right before an event that is no request.
	Trace(context string)
}

// PastQuestion is what a guest asks of an object's history.
type PastQuestion uint8

const (
	BookmarkOfNow  PastQuestion = iota // of all that is durable
	BookmarkOfTime                     // of what was then
	RestoreNext                        // to have the object put back when it next begins: the bookmark that undoes it
)

// OperatorEntrypoint is what an operator's request to an object is for: the
// guest answers it itself, and the object's class does not see it. Only the host
// may name it; docs/guest-protocol.md has what may be asked.
const OperatorEntrypoint = "dormouse:storage"

// TestEntrypoint is what a request of an author's own tests is for: the guest
// runs what it says in the object, or in the Worker. Only the host may name it,
// and only where the server was started for tests.
const TestEntrypoint = "dormouse:test"

// Peer is the part of an exchange that both sides say in the same words.
type Peer interface {
	Response(x Exchange, r *Response)
	Body(x Exchange, p []byte)
	BodyEnd(x Exchange)
	BodyAbort(x Exchange, reason string)
	Credit(x Exchange, n uint32)
	Cancel(x Exchange, reason string)
	Failure(x Exchange, e *dormouse.Error)
}

// Host is what a guest talks to.
type Host interface {
	Ready(Guest, Ready)
	Started(g Guest, o Object, took time.Duration)
	StartFailed(g Guest, o Object, e *dormouse.Error)
	Progress(g Guest, o Object, p Progress)
	Aborted(g Guest, o Object, e *dormouse.Error, a Abort)
	Asleep(g Guest, o Object)
	Awake(g Guest, o Object)
	Report(g Guest, query uint32, report []byte)
	Log(g Guest, o Object, level int, at time.Time, text []byte)

	Send(g Guest, s dormouse.SocketID, text bool, payload []byte)
	Broadcast(g Guest, to Sockets, text bool, payload []byte)
	Close(g Guest, s dormouse.SocketID, code uint16, reason string)
	Accept(g Guest, o Object, s dormouse.SocketID, tags []string) // tags owned
	Attachment(g Guest, s dormouse.SocketID, value []byte)        // nil: none
	AutoResponse(g Guest, o Object, p *Pair)                      // nil: none
	EventTimeout(g Guest, o Object, d time.Duration)
	Open(g Guest, s dormouse.SocketID, o Object)
	Release(g Guest, s dormouse.SocketID)
	Pause(g Guest, s dormouse.SocketID, paused bool)

	// Commit says that a transaction is in the object's WAL. Every output of
	// the object that comes after it waits until it is durable.
	Commit(g Guest, o Object, commit uint32, unconfirmed bool)
	AwaitDurable(g Guest, o Object, commit uint32)
	SetAlarm(g Guest, o Object, at time.Time, committed bool) // zero: none
	FoundAlarm(g Guest, o Object, at time.Time)               // in the database, as it was opened

	// AskPast asks for a bookmark, or to be put back to one; at belongs to
	// BookmarkOfTime and bookmark to RestoreNext. Guest.Past answers.
	AskPast(g Guest, o Object, question uint32, what PastQuestion, at time.Time, bookmark string)

	// SnapshotHeld answers HoldSnapshot: nothing beyond what is committed now is
	// moved. Checkpointed ends a checkpoint: so many frames of the WAL are in the
	// database file. It may come at any step, with 0.
	SnapshotHeld(g Guest, o Object)
	Checkpointed(g Guest, o Object, frames int)
	// DatabaseClosed says that nothing in the guest has the activation's database
	// open any more, nor will. It comes after the end of the activation, unless
	// the guest is gone first.
	DatabaseClosed(g Guest, o Object)

	// Ask begins an exchange with what r names.
	Ask(g Guest, x Exchange, from Object, to Target, r *Request)
	Done(g Guest, x Exchange) // an alarm has run
	FromPeer(g Guest) Peer    // the rest of exchanges, both kinds

	// OpenSession begins an RPC session with what to names.
	OpenSession(g Guest, x Session, from Object, to Target, s *Opening)
	FromSessions(g Guest) Sessions // the rest of sessions, both kinds

	// Gone is the last call of a guest, exactly once.
	Gone(g Guest, why error)
}

// Activation is what an object needs to begin.
type Activation struct {
	Object       Object
	Class        int
	ID           dormouse.ID
	Name         string
	HasName      bool
	Pair         *Pair
	EventTimeout time.Duration
	Sockets      []Socket // oldest first
	Database     string   // the file's path; empty: it may keep nothing
}

// Socket is a row of the table that a new activation gets.
type Socket struct {
	ID         dormouse.SocketID
	WeClosed   bool
	PeerClosed bool
	Stamp      time.Time // of the last auto-response; zero: never
	Tags       []string
	Protocol   string
	Extensions string
	Attachment []byte // nil: none
}

// Pair is a request that is answered without waking anybody, and its answer.
type Pair struct{ Request, Response string }

// Stamp tells when a socket was last answered from the Pair.
type Stamp struct {
	Socket dormouse.SocketID
	At     time.Time
}

// Closing tells how the other side of a socket closed.
type Closing struct {
	Code   uint16
	Reason string
	Clean  bool // a Close frame came
	Ended  bool // nothing can be sent any more
}

// Event is a message, a Close or an error of a socket on its way to a guest.
type Event struct {
	Socket  dormouse.SocketID
	Kind    EventKind
	Text    bool    // of a message
	Payload []byte  // of a message, or the text of an error; owned
	Closing Closing // of a Close
	Number  uint32  // of a message: which of its socket's it is; 0: that is not known
	Size    int     // of a payload that has not been kept
}

type EventKind uint8

const (
	MessageEvent EventKind = iota
	ClosedEvent
	ErroredEvent
)

func (k EventKind) String() string { return [...]string{"message", "close", "error"}[k] }

// Mode says how urgently an object shall leave memory.
type Mode uint8

const (
	IfIdle  Mode = iota // all events have finished and no task is pending
	IfQuiet             // all events have finished; tasks are cut
	Now                 // whatever runs
	Evict               // as IfQuiet, unless an outbound fetch or socket is pending
)

// CheckpointStep is a step of a checkpoint, which a keeper makes off the loop.
type CheckpointStep uint8

const (
	HoldSnapshot CheckpointStep = iota // take a read snapshot and hold it
	MoveFrames                         // move what it covers, and end it
	EndSnapshot                        // it cannot be moved now
)

// Progress counts, since the activation began, the events that have begun and
// those that have finished; Tasks is what else keeps the object in memory now.
// The counters wrap.
type Progress struct{ Started, Finished, Tasks uint32 }

// Abort says what follows from an instance having ended itself.
type Abort struct {
	DropSockets  bool
	NoAlarmRetry bool
	RanAway      bool // its code did not come to an end by itself
}

// Ready is what a guest says of itself when its module is loaded.
type Ready struct {
	Node    string `json:"node"`
	SQLite  string `json:"sqlite"`
	PID     int    `json:"pid"`
	Worker  struct{ Fetch bool }
	Classes []struct {
		Name  string
		RPC   bool
		Alarm bool
	}

	// What the host knows of the guest beyond its word.
	Place Place `json:"-"`
	Code  *Code `json:"-"` // nil: what the host was made with
}

// Place is what a guest runs: everything that has no place of its own, or a
// part of it that is kept apart.
type Place string

// Everywhere is the place of everything that has no other.
const Everywhere Place = ""

// Code is a version of the code that guests run, as the host has to know it.
type Code struct {
	Version int                  // as deployed; 0: it is not kept
	Classes []dormouse.Namespace // in the order in which the guest numbers them
	// Bindings says for each binding of a namespace which of Classes it reaches; -1:
	// it is a neighbour's, and Far, which goes by the same numbers, says which.
	Bindings []int
	Far      map[int]Far
	// Fronts says for each binding to code that is no object's what it reaches.
	Fronts []Front
	// KV and R2 say for each binding of a store its name on this server.
	KV, R2 []string
}

// Far is a namespace that a neighbour of the host's has.
type Far struct {
	Neighbour string
	Namespace dormouse.Namespace
}

// Front is an entrypoint of a neighbour's code.
type Front struct {
	Neighbour  string
	Entrypoint string // empty: the default one
	Props      []byte // serialised; empty: none
}

// Target is what a guest calls.
type Target struct {
	Kind    TargetKind
	Index   int // of the namespace or service among the bindings
	ID      dormouse.ID
	Name    string
	HasName bool
}

type TargetKind uint8

const (
	ToObject TargetKind = iota
	ToAssets
	ToService // a front
	// ToTests is what the module workerd:unsafe asks, for tests of the author's.
	// The path of the URL says what: /evict (the object that is named),
	// /evict-all, /abort-all, /delete-all; its query "webSockets=close" that
	// hibernatable sockets are to end too.
	ToTests
	ToSelf // an entrypoint of the guest's own Worker; for sessions only
	ToKV   // a KV namespace: the Index among those of the bindings
	ToR2   // a bucket, likewise
)

// Request is the head of a request. Owned by the receiver.
type Request struct {
	Method     string
	URL        string
	Header     []Header
	HasBody    bool
	CF         string // JSON, or empty
	Entrypoint string
	Props      []byte // of the entrypoint, serialised; empty: none
	// Local is for a guest in this process, from a caller in this process; it has
	// no bytes.
	Local any
}

// Response is the head of an answer. Owned by the receiver.
type Response struct {
	Status     int
	StatusText string
	Header     []Header
	HasBody    bool
	Socket     dormouse.SocketID // with Status 101: this end is passed on
}

// Sockets is a list of sockets as it came, read in place.
type Sockets interface {
	Len() int
	At(i int) dormouse.SocketID
}
