package goguest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse"
)

// event is something that happens to an object, and the context of its handler.
// What an event does not need is made when it is asked for: most handlers of
// messages never look at their context.
type event struct {
	i    *instance
	next *event // in the instance's mail
	work work

	// Of a message; work is messageWork.
	socket *socket
	data   []byte // owned
	text   bool

	runner *runner // the goroutine that runs it
	begun  bool    // the host has been told so already
	silent bool    // the host does not count it

	// Guarded by the instance's lock.
	std      context.Context // nil until asked for
	cancel   context.CancelCauseFunc
	ended    error     // why the context is over; nil: it is not
	deadline time.Time // zero: none
	timer    *time.Timer
	prev     *event // among the instance's running events, with follow
	follow   *event
	running  bool
	blocked  int           // depth of BlockConcurrencyWhile
	away     bool          // it has given up the object, in Yield
	turn     chan struct{} // closed when the object is its own again
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
	if e, ok := ctx.(*event); ok {
		return e
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
	return e.deadline, !e.deadline.IsZero()
}

// Done implements context.Context.
func (e *event) Done() <-chan struct{} { return e.context().Done() }

// Err implements context.Context.
func (e *event) Err() error {
	e.i.mu.Lock()
	defer e.i.mu.Unlock()
	switch {
	case e.ended == nil:
		return nil
	case errors.Is(e.ended, context.DeadlineExceeded):
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
	if e.std == nil {
		e.std, e.cancel = context.WithCancelCause(context.Background())
		if e.ended != nil {
			e.cancel(e.ended)
		}
	}
	return e.std
}

// endLocked ends the context.
func (e *event) endLocked(why error) {
	if e.ended != nil {
		return
	}
	e.ended = why
	if e.timer != nil {
		e.timer.Stop()
	}
	if e.cancel != nil {
		e.cancel(why)
	}
}

// cancelled ends the context because nobody wants what the handler does.
func (e *event) cancelled(reason string) {
	e.i.mu.Lock()
	defer e.i.mu.Unlock()
	e.endLocked(fmt.Errorf("%w: %s", context.Canceled, reason))
}

// limit ends the event after d, and then the object.
func (e *event) limit(d time.Duration, text string) {
	i := e.i
	i.mu.Lock()
	defer i.mu.Unlock()
	e.deadline = time.Now().Add(d)
	e.timer = time.AfterFunc(d, func() {
		i.mu.Lock()
		late := e.running
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
