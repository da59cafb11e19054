package host

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// An error is found again by the event in which it happened: the log, the answer
// (Config.Details) and the object's history name it alike. Nothing counts events
// for that: an event is the n-th of an activation, which has a number in its
// guest, which has one in this server.

// guestErrors is what a guest has said of the error that its next frame is about, and
// where those came from that its calls have failed with.
type guestErrors struct {
	// As told by Blamed, until the next line of the log.
	blamed bool
	object guest.Object
	event  uint32

	cause *dormouse.Where // as told by Caused, until the next failure

	calls    remembering // that the guest has made, by their number
	sessions remembering
}

// remembering keeps the last few.
type remembering struct {
	ring [32]struct {
		number uint32
		where  *dormouse.Where
	}
	next int
}

func (r *remembering) note(n uint32, w *dormouse.Where) {
	r.ring[r.next].number, r.ring[r.next].where = n, w
	r.next = (r.next + 1) % len(r.ring)
}

func (r *remembering) find(n uint32) *dormouse.Where {
	for i := range r.ring {
		if e := &r.ring[i]; e.number == n {
			return e.where
		}
	}
	return nil
}

func eventName(incarnation uint32, o guest.Object, event uint32) string {
	return fmt.Sprintf("%d-%d-%d", incarnation, o, event)
}

// eventName is the name of the event that the object was given last.
func (o *resident) eventName() string {
	return eventName(o.guest.Incarnation(), o.num, o.m.Delivered())
}

// versionOf names the code that a guest runs; empty: it has no name.
func versionOf(g guest.Guest) string {
	if v, ok := g.(interface{ Version() string }); ok {
		return v.Version()
	}
	return ""
}

// where is the event that an object, or without one the Worker, was given last in
// this guest.
func (s *Shard) where(g guest.Guest, o *resident, exchange uint32) *dormouse.Where {
	w := &dormouse.Where{Version: versionOf(g)}
	if o == nil {
		w.Event = eventName(g.Incarnation(), 0, exchange)
		return w
	}
	w.Event, w.Class, w.Object = o.eventName(), s.Classes[o.class].Name, o.ref().String()
	return w
}

// name remembers which event the call is. Pairs with failed.
func (c *Call) name() {
	if c.shard.Details {
		c.where = c.shard.where(c.guest, c.object, uint32(c.x))
	}
}

// failed says of an error that the guest gives as an answer where it happened.
func (c *Call) failed(e *dormouse.Error) {
	if c.span != nil {
		c.span.Fail(e.Message)
	}
	l := c.shard.lives[c.guest]
	if l == nil || !c.shard.Details {
		return
	}
	e.Where = c.where
	if cause := l.errors.cause; cause != nil {
		e.Where = cause
	}
	l.errors.cause = nil
}

// name tells the caller's end of a session which event it is.
func (c *session) name() {
	far, ok := c.far.(*session)
	if !ok || !c.shard.Details {
		return
	}
	g, ok := c.guest.(guest.Guest)
	if !ok {
		return
	}
	w := c.shard.where(g, c.object, uint32(c.x))
	far.say(func() {
		if far.life != nil {
			far.life.errors.sessions.note(uint32(far.x), w)
		}
	})
}

// Blamed notes in which event the error happened that is logged next.
func (s *Shard) Blamed(g guest.Guest, o guest.Object, event uint32) {
	if l := s.lives[g]; l != nil {
		l.errors.blamed, l.errors.object, l.errors.event = true, o, event
	}
}

// Caused notes which call of the guest has brought the error that comes next.
func (s *Shard) Caused(g guest.Guest, session bool, number uint32) {
	l := s.lives[g]
	if l == nil || !s.Details {
		return
	}
	from := &l.errors.calls
	if session {
		from = &l.errors.sessions
	}
	l.errors.cause = from.find(number)
}

// CausedDirectly notes which event, that the guest had brought an object itself,
// has brought the error that comes next.
func (s *Shard) CausedDirectly(g guest.Guest, num guest.Object, event uint32) {
	l := s.lives[g]
	o := s.at(g, num)
	if o == nil || !s.Details {
		return
	}
	w := s.where(g, o, 0)
	w.Event = eventName(l.incarnation, num, event)
	l.errors.cause = w
}

// maxErrorText is how much of an error's text a history keeps.
const maxErrorText = 200

// logged adds to a line of the log in which event the error happened that it is
// about, and keeps it in the object's history.
func (s *Shard) logged(l *life, num guest.Object, r *slog.Record) {
	e := &l.errors
	if !e.blamed {
		return
	}
	e.blamed = false
	if e.object != num {
		return // a guest that does not keep the order
	}
	name := eventName(l.incarnation, num, e.event)
	r.Add(slog.String("event_id", name))
	o := l.activations[num]
	if o == nil || !s.observed.errors.may(s.Loop.Now(), 1) {
		return
	}
	text, _, _ := strings.Cut(r.Message, "\n")
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "…"
	}
	s.remember(o.key, Moment{What: "error", Why: text, Event: name, Version: versionOf(o.guest)})
}
