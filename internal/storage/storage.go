// Package storage is the contract of what makes commits durable: a guest
// commits to a database file of its own, an Engine promises that the commit
// outlives a power cut, and only then may anything leave that depends on it. It
// also says where files lie in the data folder. It never sees SQL, a guest or
// an output.
package storage

import (
	"errors"
	"time"

	"github.com/dormouse-dev/dormouse"
)

// Durability says what has to have happened before a commit is confirmed.
type Durability uint8

const (
	// Full: the commit is on disk. It outlives the death of any process and a
	// power cut.
	Full Durability = iota
	// Relaxed: the commit is in the journal, which is synced once a second. It
	// outlives the death of any process; a power cut may take the last second
	// of all objects, of each a suffix of its commits.
	Relaxed
)

// Errors of an Engine. Causes are wrapped in them.
var (
	// ErrClosed: the engine was closed.
	ErrClosed = errors.New("storage engine is closed")
	// ErrNotOpen: the object was not opened, or was released.
	ErrNotOpen = errors.New("object's database is not open")
	// ErrBusy: the object is open or is being deleted.
	ErrBusy = errors.New("object's database is in use")
	// ErrOverloaded: too many commits wait for the disk.
	ErrOverloaded = errors.New("too many commits wait for the disk")
	// ErrDamaged: the object's own files are not as they must be, or cannot be
	// read or synced. Other objects are not concerned.
	ErrDamaged = errors.New("object's database cannot be made durable")
	// ErrJournal: the journal cannot be written. Every object that waited is
	// told; a later commit is tried anew.
	ErrJournal = errors.New("journal cannot be written")
	// ErrNewerFormat: a file in the data folder was written by a newer
	// Dormouse.
	ErrNewerFormat = errors.New("written by a newer version of Dormouse")
	// ErrTooOld: a bookmark or a time lies before what history is kept of.
	ErrTooOld = errors.New("the history that is kept does not go back so far")
	// ErrNotYet: a bookmark names a point that has not come.
	ErrNotYet = errors.New("the bookmark names a point that has not come yet")
	// ErrNoPast: no history is kept.
	ErrNoPast = errors.New("no history is kept: history_bytes is 0")
	// ErrPurged: the object was removed for good since then.
	ErrPurged = errors.New("the object was removed for good since then")
	// ErrNotWhole: the state that was asked for was found in history and is
	// damaged.
	ErrNotWhole = errors.New("that state is damaged in the history")
	// ErrNoObject: there is no database.
	ErrNoObject = errors.New("the object has no data")
	// ErrLocked: another process writes to this data folder.
	ErrLocked = errors.New("data folder is in use by another process")
)

// User says where the SQLite runs that uses a database.
type User uint8

const (
	OtherProcess User = iota
	// SameProcess: closing any descriptor of the database would drop SQLite's
	// locks on it, so the engine keeps one that it had to open.
	SameProcess
)

// Done hears the outcome of a request to an Engine, exactly once, on a
// goroutine of the engine: it must not block and must not call the engine back
// while it holds a lock. Without an error the bookmark names a state of the
// object that is durable and contains all that was asked for.
type Done func(Bookmark, error)

// Engine makes commits durable.
//
// Who may touch an object's files, and when, is the heart of the contract:
//
//  1. Open is called before a guest touches the files, Release after it has
//     none of them open any more (it has closed all its connections, or its
//     process is dead and has been waited for). From the first Open to the last
//     Release the files belong to guests, and the engine only reads the WAL and
//     syncs.
//  2. The guest opens with WAL mode, synchronous=OFF, wal_autocheckpoint=0.
//  3. No frame may reach the database file before it is durable. So only a
//     keeper checkpoints, in these steps: it takes a read snapshot and holds
//     it; Checkpoint is called; when ready says so the keeper runs
//     wal_checkpoint(PASSIVE) on a second connection, which cannot go past the
//     snapshot; it ends the snapshot; Checkpointed is called.
//  4. The last close of a connection checkpoints too, unless that connection is
//     read-only. So the last one to close is read-only, and leaves the WAL to
//     the engine; or it closes after a Checkpoint that was begun when no other
//     connection was left, and Release follows.
//
// A method that returns an error has not accepted the request, and its Done is
// not called. Requests for one object are answered in order, but for Checkpoint,
// which may be answered later.
type Engine interface {
	// Open declares that the object's database is about to be used. done is
	// called when what its WAL already holds is durable: until then nothing
	// may leave that could reveal it. ErrDamaged if an earlier failure has not
	// been mended. It may be called again while the database is open.
	Open(key dormouse.Key, user User, done Done) error

	// Commit makes everything durable that the object's WAL holds now, as far
	// as the engine's Durability promises.
	Commit(key dormouse.Key, done Done) error

	// Sync is Commit with Full durability.
	Sync(key dormouse.Key, done Done) error

	// Checkpoint asks whether the frames in the snapshot that the keeper holds
	// may go to the database file. ready is told when they may: they are on disk,
	// and so is what they will write over.
	Checkpoint(key dormouse.Key, ready Done) error

	// Checkpointed ends what Checkpoint began: the first frames of the WAL, as
	// many as the third column of PRAGMA wal_checkpoint says, are in the
	// database file (0 if nothing was done).
	Checkpointed(key dormouse.Key, frames int)

	// Release ends what one accepted Open began.
	Release(key dormouse.Key)

	// Delete removes an object's files. The object must not be open; it may be
	// opened again when done has been called.
	Delete(key dormouse.Key, done Done) error

	// Move gives all objects of a namespace, their alarms included, to another
	// one that has none yet. None of them may be open.
	Move(from, to dormouse.Namespace, done Done) error

	// SetWake stores when the object has to be woken. It is durable at the
	// latest with the next commit that is confirmed. So an earlier time is set
	// before Commit is called, and a later one after its Done.
	SetWake(key dormouse.Key, w Wake) error

	// Close confirms or refuses what was asked so far and ends the engine. The
	// objects should have been released.
	Close() error
}

// Span is what is kept of history.
type Span struct {
	Since    time.Time // what was from here on can be reached
	Bytes    int64     // that the past takes, without what recovery needs
	Segments int
	Damage   error // why it does not go back further; nil: no more was kept
}

// Point is a moment in the history of an object.
type Point struct {
	At    Bookmark
	Time  time.Time
	What  PointKind
	Pages int // that were written
}

// PointKind says what happened.
type PointKind string

const (
	Committed PointKind = "commit" // or several that were taken together
	Created   PointKind = "created"
	Restored  PointKind = "restored" // what follows put it back to an earlier state
	Removed   PointKind = "removed"
)

// Wake says when an object has to be asked for its alarm. The zero value
// means never.
type Wake struct {
	At    time.Time // to the millisecond
	Retry int       // how many runs have failed
}
