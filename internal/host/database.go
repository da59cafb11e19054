package host

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
)

// Durability makes commits durable; storage.Engine says what may be done with an
// object's files, and when. Functions that it is given are called once, on any
// goroutine, in order for one object, unless it has returned an error.
type Durability interface {
	// Path is where the object's database lies.
	Path(k dormouse.Key) string
	// Open is called before a guest may touch the files. done is called when what
	// an earlier instance left in the WAL is durable: before that, nothing may
	// leave. Each Open is ended by a Release.
	Open(k dormouse.Key, done func(error)) error
	Release(k dormouse.Key)
	// Commit makes durable what the WAL holds now.
	Commit(k dormouse.Key, done func(error)) error
	// Checkpoint asks whether what a keeper's snapshot covers may go to the
	// database; Checkpointed ends that, with the frames that did.
	Checkpoint(k dormouse.Key, ready func(error)) error
	Checkpointed(k dormouse.Key, frames int)
}

// keeperLimit is how long a guest may take for a step of a checkpoint. One that
// takes longer holds up the cutting of the journal for all objects, and is
// ended.
const keeperLimit = 2 * time.Minute

// refusedFor is how long an object waits whose files could not be opened.
const refusedFor = time.Second

// database is an object's file as long as guests may have it open: each holds it
// from the start of an activation until it says that it has closed it, or is
// dead. That is longer than the activation lasts, because guests keep databases
// open for the next one; and when an object has moved, more than one has it.
type database struct {
	key     dormouse.Key
	holders []holder // the newest is the last
	closing bool     // the holders were asked to close it
	move    *moving  // nil: no checkpoint is under way
}

// holder is a guest that holds a database, under the number of the activation
// that it was given it with.
type holder struct {
	guest  guest.Guest
	object guest.Object
}

// moving is a checkpoint of a database, made by one of its holders.
type moving struct {
	by   holder
	step movingStep
	late *loop.Timer // for the guest's answer
}

type movingStep uint8

const (
	holding movingStep = iota // the guest has been asked for a snapshot
	syncing                   // Durability has been asked
	going                     // the guest moves frames, or ends the snapshot
)

// openDatabase opens the database of an object that is about to be activated,
// and closes the object's gate until its WAL is durable. Pairs with hand.
func (s *Shard) openDatabase(o *resident) error {
	var settled func(error)
	err := s.Durability.Open(o.key, func(err error) {
		s.Loop.Post(func() {
			o.opening--
			settled(err)
			if err == nil && o.live != nil {
				o.reached(o.live.durable)
			}
		})
	})
	if err != nil {
		s.closeDatabase(o.key) // perhaps it can be opened when nobody has it open
		return err
	}
	o.opening++
	settled = o.whenDurable(o.gate.Commit(), 0)
	return nil
}

// hand notes that a guest is given a database.
func (s *Shard) hand(k dormouse.Key, h holder) {
	d := s.databases[k]
	if d == nil {
		d = &database{key: k}
		s.databases[k] = d
	}
	d.holders = append(d.holders, h)
	d.closing = false
	s.lives[h.guest].databases[h.object] = d
}

// closeDatabase has those that hold an object's database close it as soon as
// they can.
func (s *Shard) closeDatabase(k dormouse.Key) {
	if d := s.databases[k]; d != nil && !d.closing {
		d.closing = true
		for _, h := range d.holders {
			h.guest.CloseDatabase(h.object)
		}
	}
}

// CloseDatabases has all databases closed that no object uses; done is called,
// on the loop, when guests have none open. It is called on the loop, with no
// object in memory and none that may be started.
func (s *Shard) CloseDatabases(done func()) {
	if len(s.databases) == 0 {
		done()
		return
	}
	s.closed = append(s.closed, done)
	oldest := func(k dormouse.Key) guest.Object {
		if h := s.databases[k].holders; len(h) > 0 {
			return h[0].object
		}
		return 0
	}
	// In the order in which they were opened, so that a run can be repeated.
	for _, k := range slices.SortedFunc(maps.Keys(s.databases), func(a, b dormouse.Key) int {
		return cmp.Compare(oldest(a), oldest(b))
	}) {
		s.closeDatabase(k)
	}
}

// refuse leaves an object asleep whose files cannot be opened. Requests fail;
// what sockets have said waits, and makes it try again.
func (o *resident) refuse(err error) {
	e := errNotDurable(err)
	o.shard.Config.Log.Error("object cannot be opened", append(o.shard.attrs(o), "reason", err)...)
	o.m.Gone()
	o.hold(refusedFor, e)
}

func errNotDurable(err error) *dormouse.Error {
	return &dormouse.Error{
		Message:   "Durable Object storage failed, and the object was reset: " + err.Error(),
		Retryable: true, ObjectReset: true,
	}
}

// DatabaseClosed is the guest's word that it has a database open no more.
func (s *Shard) DatabaseClosed(g guest.Guest, num guest.Object) {
	l := s.lives[g]
	if l == nil {
		return
	}
	switch d := l.databases[num]; {
	case d == nil:
		s.protocolError(g, "object %d has no database that could be closed", num)
	case l.activations[num] != nil:
		s.protocolError(g, "object %s: its database is closed while it is in memory", d.key)
	default:
		delete(l.databases, num)
		s.let(d, holder{g, num})
	}
}

// let ends the hold that a guest had.
func (s *Shard) let(d *database, h holder) {
	if d.move != nil && d.move.by == h {
		s.moved(d, 0)
	}
	for i, other := range d.holders {
		if other == h {
			d.holders = append(d.holders[:i], d.holders[i+1:]...)
			break
		}
	}
	if len(d.holders) == 0 {
		delete(s.databases, d.key)
	}
	s.Durability.Release(d.key)
	if r := s.restorings[d.key]; r != nil && len(d.holders) == 0 {
		s.restore(d.key, r)
	}
	if len(s.databases) == 0 {
		closed := s.closed
		s.closed = nil
		for _, done := range closed {
			done()
		}
	}
}

// letAll ends the holds of a guest that is dead.
func (s *Shard) letAll(g guest.Guest, l *life) {
	for num, d := range l.databases {
		s.let(d, holder{g, num})
	}
	l.databases = nil
}

// NeedCheckpoint asks for an object's WAL to be moved into its database. It may
// be called on any goroutine.
func (s *Shard) NeedCheckpoint(k dormouse.Key) {
	s.Loop.Post(func() {
		d := s.databases[k]
		if d == nil || d.move != nil {
			return
		}
		d.move = &moving{by: d.holders[len(d.holders)-1]}
		s.step(d, holding, guest.HoldSnapshot)
	})
}

// step asks the guest for a step of a checkpoint.
func (s *Shard) step(d *database, at movingStep, what guest.CheckpointStep) {
	m := d.move
	m.step = at
	m.late = loop.NewTimer(func() {
		s.protocolError(m.by.guest, "object %s: its keeper has not answered within %v", d.key, keeperLimit)
	})
	s.Loop.Schedule(m.late, s.Loop.Now().Add(keeperLimit))
	m.by.guest.Checkpoint(m.by.object, what)
}

// SnapshotHeld is the guest's word that a keeper holds a snapshot.
func (s *Shard) SnapshotHeld(g guest.Guest, num guest.Object) {
	d := s.movedBy(g, num)
	if d == nil || d.move.step != holding {
		s.protocolError(g, "object %d: a snapshot that nobody has asked for", num)
		return
	}
	m := d.move
	s.Loop.Cancel(m.late)
	m.step = syncing
	ready := func(err error) {
		if d.move != m {
			return // the guest has died, or has closed it
		}
		if err != nil {
			s.step(d, going, guest.EndSnapshot)
			return
		}
		s.step(d, going, guest.MoveFrames)
	}
	err := s.Durability.Checkpoint(d.key, func(err error) {
		s.Loop.Post(func() { ready(err) })
	})
	if err != nil {
		ready(err)
	}
}

// Checkpointed is the guest's word that a checkpoint has ended.
func (s *Shard) Checkpointed(g guest.Guest, num guest.Object, frames int) {
	d := s.movedBy(g, num)
	if d == nil || d.move.step == syncing || d.move.step == holding && frames > 0 {
		s.protocolError(g, "object %d: a checkpoint that nobody has asked for", num)
		return
	}
	s.moved(d, frames)
}

// movedBy is the database of which this guest makes a checkpoint.
func (s *Shard) movedBy(g guest.Guest, num guest.Object) *database {
	if l := s.lives[g]; l != nil {
		if d := l.databases[num]; d != nil && d.move != nil && d.move.by == (holder{g, num}) {
			return d
		}
	}
	return nil
}

// moved ends a checkpoint.
func (s *Shard) moved(d *database, frames int) {
	m := d.move
	d.move = nil
	if m.step != syncing {
		s.Loop.Cancel(m.late)
	}
	if m.step != holding {
		s.Durability.Checkpointed(d.key, frames)
	}
}
