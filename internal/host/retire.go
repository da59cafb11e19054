package host

import (
	"fmt"
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

// movedAway is why an instance has left whose object goes on with other code, or in
// another process.
const movedAway = "moved"

// maxMoving is how many objects of a guest move at a time. The others go on
// running where they are, so none waits for the constructors of all.
const maxMoving = 16

// Retire tells that a newer guest has taken over from g. Each of its objects
// moves when no event is in progress, or at the deadline whatever it does; their
// hibernatable sockets stay, if their class does not say otherwise, and messages
// wait. gone is called, on the loop, when nothing of g is left.
func (s *Shard) Retire(g guest.Guest, deadline time.Duration, gone func()) {
	l := s.lives[g]
	if l == nil {
		gone()
		return
	}
	l.retired = gone
	s.endSockets(l.place)
	for _, o := range l.activations {
		o.live.toMove = true
		l.toMove = append(l.toMove, o)
	}
	s.moveNext(l)
	l.late = loop.NewTimer(func() { s.retireNow(g, l) })
	s.Loop.Schedule(l.late, s.Loop.Now().Add(deadline))
	s.retiredIfEmpty(l)
}

// endSockets drops, of the objects of a place that are not in memory, the
// sockets that are not to outlive the code, and those that no code is for.
func (s *Shard) endSockets(p *place) {
	for _, o := range s.objects {
		if o.live != nil || o.set == nil || s.placeName(o.key, o.class) != p.name {
			continue
		}
		if s.Classes[o.class].CloseOnUpdate || s.lacks(p, o.class) {
			o.dropSockets()
		}
	}
}

// dropSockets ends the sockets of an object that is not in memory: no Close
// frame, no handler, and what they have said is forgotten.
func (o *resident) dropSockets() {
	o.set.Reset(true)
	o.set.Left()
	o.dropMail()
	o.paused = false
	o.forget()
}

// mayMove looks whether an object of a retired guest can move now.
func (s *Shard) mayMove(l *life, o *resident) {
	if o.live.toMove || o.m.State() != object.Active || !o.m.Quiet() {
		return
	}
	o.live.toMove = true
	l.toMove = append(l.toMove, o)
	s.moveNext(l)
}

// moveNext asks objects to leave of which no event is in progress, as many as
// may move at a time. Those that are busy come again with their next Progress.
func (s *Shard) moveNext(l *life) {
	for l.moving < maxMoving && len(l.toMove) > 0 {
		o := l.toMove[0]
		l.toMove = l.toMove[1:]
		if o.live == nil || l.activations[o.num] != o {
			continue
		}
		o.live.toMove = false
		if o.m.State() == object.Active && o.m.Quiet() {
			l.moving++
			o.live.moving = true
			o.settle(guest.IfQuiet)
		}
	}
}

// hasMoved pairs with moveNext: the object has left, or stays for now.
func (s *Shard) hasMoved(l *life, a *activation) {
	if a.moving {
		a.moving = false
		l.moving--
		s.moveNext(l)
	}
}

// moved ends the activation in the retired guest. An object that had tasks, such
// as a timer, begins again at once; the others when something comes for them.
func (o *resident) moved() {
	s := o.shard
	if !o.broken() && o.live.ledger == nil { // a reset is reported itself
		o.lost(o.unbegun()-len(o.live.ending), movedAway) // last words are said again
	}
	l := s.lives[o.guest]
	drop := l.retired != nil && (s.Classes[o.class].CloseOnUpdate && !l.keepsSockets || s.lacks(l.place, o.class))
	o.again = o.m.Tasks() > 0 && !drop
	if drop && o.set != nil {
		o.set.Reset(true)
		o.dropMail()
		o.paused = false
	}
	o.left(movedAway, &errUpdated)
}

// workerGrace is how long the Worker's code may go on after the deadline: it is
// told of the objects that were reset, and may answer its clients.
const workerGrace = time.Second

// retireNow ends what has not ended by the deadline.
func (s *Shard) retireNow(g guest.Guest, l *life) {
	l.late = loop.NewTimer(func() {
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
		s.retiredIfEmpty(l)
	})
	s.Loop.Schedule(l.late, s.Loop.Now().Add(workerGrace))
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

// lacks says that the guest of a place cannot run objects of a class: newer code
// has none of that name.
func (s *Shard) lacks(p *place, class int) bool {
	l := s.lives[p.guest]
	return l != nil && !l.code.has(class)
}

func (s *Shard) errClassless(class int) *dormouse.Error {
	return &dormouse.Error{Message: fmt.Sprintf("The Worker has no class %s any more.", s.Classes[class].Name)}
}

// classless ends what waits for an object that nobody can run.
func (o *resident) classless() {
	if o.live != nil || !o.shard.lacks(o.shard.placeOf(o.key, o.class), o.class) {
		o.drain()
		return
	}
	o.again = false
	o.failMail(o.shard.errClassless(o.class))
	if o.set != nil {
		o.dropSockets()
	}
	o.dropMail()
	o.forget()
}
