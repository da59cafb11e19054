package goguest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/brief"
)

// event is something that happens to an object, and the context of its handler; of
// a message's, messageContext is.
// What an event does not need is made when it is asked for: most handlers of
// messages never look at their context.
type event struct {
	i    *instance
	next *event // in the instance's mail
	pile *pile  // no event, but messages: see messages.go
	work work

	// Of an event of a socket.
	socket *socket
	data   []byte // owned
	text   bool

	message bool    // it is one of a socket
	begun   bool    // the host has been told so already
	silent  bool    // the host does not count it
	place   bool    // no event, but somebody's place among them: see instance.take
	runner  *runner // the goroutine that runs it

	// Of a message: see run.go.
	turn  turn
	rest  []byte // of the run, behind the message; its runner's
	run   brief.Run
	first turnNumber // of run
	told  turnNumber // as far as instance.progress has it

	contexts *contexts // that are not used up; its runner's

	// Guarded by the instance's lock, as are run, first and told.
	phase phase
	scope *scope // nil until asked for
}

// phase is where in its life an event is.
type phase uint8

const (
	waiting phase = iota
	running       // it has its object
	away          // it has given it up, in Yield
	over
)

// scope is what an event needs for more than running.
type scope struct {
	std      context.Context // nil until asked for
	cancel   context.CancelCauseFunc
	ended    error     // why the context is over; nil: it is not
	deadline time.Time // zero: none
	timer    *time.Timer
	blocked  int           // depth of BlockConcurrencyWhile
	turn     chan struct{} // of a place: closed when the object is its own
}

// scopeLocked makes the scope if there is none.
func (e *event) scopeLocked() *scope {
	if e.scope == nil {
		e.scope = new(scope)
		if e.phase == over {
			e.scope.ended = errEnded
		}
	}
	return e.scope
}

// work is what an event is about.
type work interface {
	// run calls the author's handler. It has the object.
	run(e *event) error
	// drop tells those who wait for it that it will not run.
	drop(e *event, why *dormouse.Error)
}

var _ context.Context = (*event)(nil)

// eventKey is the key of an event in its own context.
type eventKey struct{}

// eventOf returns the event that a context belongs to, or nil.
func eventOf(ctx context.Context) *event {
	switch c := ctx.(type) {
	case *event:
		return c
	case *messageContext:
		return c.event()
	}
	e, _ := ctx.Value(eventKey{}).(*event)
	return e
}

// errEnded is why the context of an event that has run is over.
var errEnded = errors.New("the handler has returned")

// Deadline implements context.Context.
func (e *event) Deadline() (time.Time, bool) {
	e.i.mu.Lock()
	defer e.i.mu.Unlock()
	return e.deadlineLocked()
}

func (e *event) deadlineLocked() (time.Time, bool) {
	if e.scope == nil {
		return time.Time{}, false
	}
	return e.scope.deadline, !e.scope.deadline.IsZero()
}

// Done implements context.Context.
func (e *event) Done() <-chan struct{} { return e.context().Done() }

// Err implements context.Context.
func (e *event) Err() error {
	e.i.mu.Lock()
	defer e.i.mu.Unlock()
	return e.errLocked()
}

func (e *event) errLocked() error {
	switch ended := e.scopeLocked().ended; {
	case ended == nil:
		return nil
	case errors.Is(ended, context.DeadlineExceeded):
		return context.DeadlineExceeded
	}
	return context.Canceled
}

// Value implements context.Context.
func (e *event) Value(key any) any {
	if key == (eventKey{}) {
		return e
	}
	return e.context().Value(key)
}

// context is the event's context as the standard library makes it, to which
// children attach.
func (e *event) context() context.Context {
	e.i.mu.Lock()
	defer e.i.mu.Unlock()
	return e.contextLocked()
}

func (e *event) contextLocked() context.Context {
	s := e.scopeLocked()
	if s.std == nil {
		s.std, s.cancel = context.WithCancelCause(context.Background())
		if s.ended != nil {
			s.cancel(s.ended)
		}
	}
	return s.std
}

// cause is why the context is over.
func (e *event) cause() error { return context.Cause(e.context()) }

// endLocked ends the context.
func (e *event) endLocked(why error) {
	s := e.scopeLocked()
	if s.ended != nil {
		return
	}
	s.ended = why
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.cancel != nil {
		s.cancel(why)
	}
}

// cancelled ends the context because nobody wants what the handler does.
func (e *event) cancelled(reason string) {
	e.i.mu.Lock()
	defer e.i.mu.Unlock()
	e.endLocked(fmt.Errorf("%w: %s", context.Canceled, reason))
}

// limit is limitLocked.
func (e *event) limit(d time.Duration, text string) {
	e.i.mu.Lock()
	defer e.i.mu.Unlock()
	e.limitLocked(d, text)
}

// limitLocked ends the event after d, and then the object.
func (e *event) limitLocked(d time.Duration, text string) {
	i, s := e.i, e.scopeLocked()
	s.deadline = time.Now().Add(d)
	s.timer = time.AfterFunc(d, func() {
		i.mu.Lock()
		late := e.phase == running || e.phase == away
		if late {
			e.endLocked(context.DeadlineExceeded)
		}
		i.mu.Unlock()
		if late {
			i.abort(&dormouse.Error{Message: text, Retryable: true, ObjectReset: true}, dropSockets)
		}
	})
}

// mail is the events that wait for an instance, oldest first. Its bound is the
// host's: it gives an object no more than its mailbox may hold.
type mail struct{ first, last *event }

func (m *mail) push(e *event) {
	if m.first == nil {
		m.first = e
	} else {
		m.last.next = e
	}
	m.last = e
}

func (m *mail) pop() *event {
	e := m.first
	if e == nil {
		return nil
	}
	if m.first = e.next; m.first == nil {
		m.last = nil
	}
	e.next = nil
	return e
}

// append moves the events of another mail behind these.
func (m *mail) append(o *mail) {
	if m.first == nil {
		*m = *o
	} else if o.first != nil {
		m.last.next, m.last = o.first, o.last
	}
	*o = mail{}
}
