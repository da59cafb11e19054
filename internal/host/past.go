package host

import (
	"errors"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
)

// Past knows what objects were. Functions that it is given are called once, on
// any goroutine.
type Past interface {
	// Ask answers what a guest asks of an object's history: with a bookmark, or an
	// error whose text its author reads.
	Ask(k dormouse.Key, what guest.PastQuestion, at time.Time, bookmark string, done func(string, error))
	// Ordered says whether an object is to be restored before it begins. It does
	// not wait.
	Ordered(k dormouse.Key) bool
	// Restore does that. Nobody may have the database open; ErrInUse says that
	// somebody has.
	Restore(k dormouse.Key, done func(error)) error
}

// ErrInUse: a database is open, and somebody is about to close it.
var ErrInUse = errors.New("the database is in use")

// restoring is an object whose database is put back to an earlier state: while it
// lasts the object does not start.
type restoring struct {
	done  []func(error) // who waits for it
	tries int
}

const (
	// restoreAgain is when a restore is tried again while somebody else, such as
	// an operator's look, has the database open.
	restoreAgain = 50 * time.Millisecond
	restoreTries = 200
)

// AskPast takes a guest's question about the past of an object.
func (s *Shard) AskPast(g guest.Guest, num guest.Object, question uint32, what guest.PastQuestion, at time.Time, bookmark string) {
	o := s.at(g, num)
	if o == nil || o.broken() {
		return
	}
	if s.Past == nil {
		g.Past(num, question, false, "there is no history")
		return
	}
	live := o.live
	o.saving++ // what was asked for outlives the instance
	s.Past.Ask(o.key, what, at, bookmark, func(text string, err error) {
		s.Loop.Post(func() {
			o.answer(nil)
			if o.live == live && live != nil {
				if err != nil {
					text = err.Error()
				}
				o.guest.Past(num, question, err == nil, text)
			}
			s.restoreIfAsleep(o)
			o.forget()
		})
	})
}

// restoreIfAsleep begins a restore that was ordered, if the object has left. So
// its alarm of then does not wait for another event.
func (s *Shard) restoreIfAsleep(o *resident) {
	if o.live == nil && !s.frozen && s.Past != nil && s.Past.Ordered(o.key) {
		s.beginRestore(o.key)
	}
}

// PutBack resets an object and does what was ordered for it. done is called on
// the loop.
func (s *Shard) PutBack(k dormouse.Key, e *dormouse.Error, done func(error)) {
	if s.frozen {
		done(errors.New("the server is being replaced or stopped; it is restored when it next begins"))
		return
	}
	o := s.objects[k]
	if o == nil || o.live == nil {
		s.beginRestore(k).wait(done)
		return
	}
	o.live.settled = append(o.live.settled, func(bool) {
		s.beginRestore(k).wait(done)
	})
	o.reset(e)
}

func (r *restoring) wait(done func(error)) { r.done = append(r.done, done) }

// beginRestore keeps an object from starting until its database is closed
// everywhere and put back.
func (s *Shard) beginRestore(k dormouse.Key) *restoring {
	if r := s.restorings[k]; r != nil {
		return r
	}
	r := new(restoring)
	s.restorings[k] = r
	if s.databases[k] != nil {
		s.closeDatabase(k) // let goes on
	} else {
		s.Loop.Post(func() { s.restore(k, r) }) // so that done is never called before it is known
	}
	return r
}

// restore is called when no guest has the database open.
func (s *Shard) restore(k dormouse.Key, r *restoring) {
	if s.restorings[k] != r {
		return
	}
	err := s.Past.Restore(k, func(err error) {
		s.Loop.Post(func() { s.restored(k, r, err) })
	})
	switch {
	case err == nil:
	case errors.Is(err, ErrInUse) && r.tries < restoreTries:
		r.tries++
		again := loop.NewTimer(func() { s.restore(k, r) })
		s.Loop.Schedule(again, s.Loop.Now().Add(restoreAgain))
	default:
		s.restored(k, r, err)
	}
}

// restored lets the object go on. If it could not be restored, what waited for
// it fails: nobody may take what is there for what was asked for.
func (s *Shard) restored(k dormouse.Key, r *restoring, err error) {
	delete(s.restorings, k)
	if err == nil && s.Alarms != nil {
		s.Alarms.Earlier(k, s.Loop.Now()) // the one of then, if there was one
	}
	if o := s.objects[k]; o != nil {
		o.held = false
		if err != nil {
			s.Config.Log.Error("object cannot be restored", append(s.attrs(o), "reason", err)...)
			o.failMail(errNotDurable(err))
		}
		o.drain()
		o.forget()
	}
	for _, done := range r.done {
		done(err)
	}
}

// awaitsRestore says whether the object has to be restored before it starts, and
// sees to it that it is.
func (o *resident) awaitsRestore() bool {
	s := o.shard
	if s.restorings[o.key] == nil && (s.Past == nil || !s.Past.Ordered(o.key)) {
		return false
	}
	o.m.Gone()
	o.held = true
	s.beginRestore(o.key)
	return true
}
