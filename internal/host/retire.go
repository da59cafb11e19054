package host

import (
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/object"
)

// errUpdated is what those get whose object moved while it worked for them.
var errUpdated = dormouse.Error{
	Message:   "Durable Object reset because its code was updated.",
	Retryable: true, ObjectReset: true,
}

// Retire tells that a newer guest has taken over from g. Each of its objects
// moves when no event is in progress, or at the deadline whatever it does; their
// hibernatable sockets stay, and messages wait. gone is called, on the loop,
// when nothing of g is left.
func (s *Shard) Retire(g guest.Guest, deadline time.Duration, gone func()) {
	l := s.lives[g]
	if l == nil {
		gone()
		return
	}
	l.retired = gone
	for _, o := range l.activations {
		o.moveIfQuiet()
	}
	l.late = loop.NewTimer(func() { s.retireNow(g, l) })
	s.Loop.Schedule(l.late, s.Loop.Now().Add(deadline))
	s.retiredIfEmpty(l)
}

// moveIfQuiet asks for an object of a retired guest as soon as no event is in
// progress.
func (o *resident) moveIfQuiet() {
	if o.m.State() == object.Active && o.m.Quiet() {
		o.settle(guest.IfQuiet)
	}
}

// retireNow ends what has not ended by the deadline.
func (s *Shard) retireNow(g guest.Guest, l *life) {
	for _, c := range l.calls {
		if c.object == nil {
			c.fail(&errUpdated)
		}
	}
	for _, c := range l.sessions {
		if c.object == nil {
			c.fail(&errUpdated)
		}
	}
	for _, o := range l.activations {
		switch o.m.State() {
		case object.Active:
			o.live.final = true
			o.settle(guest.Now)
		case object.Settling:
			o.live.final = true // its answer to the earlier question is no matter
			o.guest.Hibernate(o.num, o.m.Delivered(), guest.Now)
		}
	}
	s.retiredIfEmpty(l)
}

// retiredIfEmpty ends a retired guest that has nothing left to do.
func (s *Shard) retiredIfEmpty(l *life) {
	if l.retired != nil && len(l.activations) == 0 && len(l.calls) == 0 && len(l.asks) == 0 && len(l.sessions) == 0 {
		gone := l.retired
		l.retired = nil
		s.Loop.Cancel(l.late)
		gone()
	}
}
