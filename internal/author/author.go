// Package author is the seam between package dormouse, which those who write
// objects in Go see, and package goguest, which runs those objects: what an
// activation of an object can be asked, in words that both sides know. It knows
// no guest and no host, and never sees an object.
//
// A face is what the author holds of something here: the *dormouse.WebSocket of
// a Socket. Package dormouse makes it, and the other side keeps it, so that the
// author always meets the same one.
package author

import (
	"context"
	"net/http"
	"time"
)

// Instance is one activation of an object. Methods may be called on any
// goroutine, also when the activation has ended; then those that return an
// error return one.
type Instance interface {
	// Bind is called once, before the constructor, with what makes faces.
	Bind(face func(Socket) any)

	ID() [32]byte
	Name() (name string, ok bool)
	Storage() Storage
	// Past asks what the storage was. What the turn has written so far is committed
	// first.
	Past(ctx context.Context, q PastQuestion) (bookmark string, err error)

	// Accept answers an upgrade request with a socket, and returns its face.
	Accept(w http.ResponseWriter, r *http.Request, tags []string) (face any, err error)
	// Sockets calls yield with the faces of the sockets that have all of the
	// tags: newest first without tags, oldest first with some.
	Sockets(tags []string, yield func(face any) bool)

	SetPair(request, response string) error
	RemovePair()
	Pair() (request, response string, ok bool)
	SetEventTimeout(time.Duration) error
	EventTimeout() time.Duration

	// Yield lets other events in while wait runs, Do keeps them out while f
	// runs, and Block resets the object if f fails: then it does not return.
	Yield(ctx context.Context, wait func(context.Context) error) error
	Do(ctx context.Context, f func(context.Context) error) error
	Block(ctx context.Context, f func(context.Context) error)
	// WaitUntil runs f beside the object, on a goroutine of its own.
	WaitUntil(f func(context.Context) error)
	// Abort resets the object and does not return.
	Abort(reason string)
}

// PastQuestion is what is asked of an object's history.
type PastQuestion struct {
	What     PastKind
	Time     time.Time // of BookmarkOfTime
	Bookmark string    // of RestoreNext
}

// PastKind says which question it is.
type PastKind uint8

const (
	BookmarkOfNow  PastKind = iota // of all that is committed
	BookmarkOfTime                 // of the state at a time
	RestoreNext                    // puts the object back when it next begins; answered with what undoes it
)

// Socket is a hibernatable end of a pair.
type Socket interface {
	Send(data []byte) error
	SendText(text string) error
	SendMessage(text bool, data []byte) error
	Close(code int, reason string) error
	SetAttachment(v any) error
	Attachment(into any) (ok bool, err error)
	Tags() []string
	Protocol() string
	// State is 1 open, 2 closing or 3 closed.
	State() int
	Buffered() int
	Stamp() time.Time
}

// Storage is the database of an object. Values are those of package
// structuredclone.
type Storage interface {
	Get(key string, into any) (ok bool, err error)
	Put(key string, value any) error
	Delete(keys []string) (int, error)
	// List calls yield for each key in the range. into reads the value, until
	// yield returns.
	List(r Range, yield func(key string, into func(any) error) bool) error
	DeleteAll() error

	Alarm() (time.Time, error)
	SetAlarm(time.Time) error // zero: none

	// Transaction runs f, and takes back what was written in it if it fails.
	Transaction(f func() error) error
	Sync(context.Context) error

	Query(query string, args []any) (Rows, error)
	Prepare(query string) error // of one statement, which is compiled and kept
	Size() (int64, error)
}

// Range is a part of the keys.
type Range struct {
	Start, StartAfter, End, Prefix string // bytes; empty: none
	Reverse                        bool
	Limit                          int // 0: none
}

// Rows are what a statement returns, one after the other.
type Rows interface {
	Columns() []string
	// Next goes to the next row. false: there is none, or an error.
	Next() (bool, error)
	// Value is of the row: nil, int64, float64, string or []byte, owned.
	Value(column int) any
	Close() error
	// Changes is how many rows the statement has inserted, changed or deleted,
	// and Last the id of the last one inserted.
	Changes() int64
	Last() int64
}
