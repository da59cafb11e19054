package host

import (
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/object"
)

// arm sees to it that restDue is called when the object may have to leave. A
// timer that is already running is left alone: it looks again when it fires, so
// a busy object costs nothing here. But an object whose tasks have ended leaves
// sooner than one that still has some.
func (o *resident) arm() {
	l := o.live
	if l.timing && !l.evicting {
		return
	}
	at, mode, ok := o.m.Due(o.rest())
	if !ok || l.timing && mode == guest.Evict {
		return
	}
	o.schedule(at, mode)
}

func (o *resident) schedule(at time.Time, mode guest.Mode) {
	o.live.timing, o.live.evicting = true, mode == guest.Evict
	o.shard.Loop.Schedule(o.live.rest, at)
}

func (o *resident) rest() object.Rest { return o.shard.Classes[o.class].Rest }

// restDue asks the guest to let the object go if its time has come.
func (o *resident) restDue() {
	if o.live == nil {
		return
	}
	o.live.timing = false
	at, mode, ok := o.m.Due(o.rest())
	if !ok {
		return // Progress will arm again
	}
	if at.After(o.shard.Loop.Now()) {
		o.schedule(at, mode)
		return
	}
	o.settle(mode)
}

// settle asks the guest to drop the instance.
func (o *resident) settle(mode guest.Mode) {
	o.m.Settle()
	o.guest.Hibernate(o.num, o.m.Delivered(), mode)
}

// Progress is the guest's report on an activation.
func (s *Shard) Progress(g guest.Guest, num guest.Object, p guest.Progress) {
	o := s.at(g, num)
	if o == nil {
		return
	}
	if err := o.m.Progress(p, s.Loop.Now()); err != nil {
		s.protocolError(g, "object %s: %w", o.key, err)
		return
	}
	o.begun(p.Started)
	if l := o.live.ledger; l != nil {
		l.Begun(p.Started)
	}
	o.finished(p.Finished)
	if o.set != nil {
		o.set.Progress()
	}
	o.unpause()
	if l := s.lives[g]; l.retired != nil {
		s.mayMove(l, o)
		return
	}
	if s.moving {
		o.moveIfQuiet()
		return
	}
	o.leaveIfIdle()
	o.arm()
}

// Asleep is the guest's word that the instance is gone.
func (s *Shard) Asleep(g guest.Guest, num guest.Object) {
	o := s.at(g, num)
	switch {
	case o == nil:
	case s.moves(g):
		o.moved()
	default:
		o.left("idle", &errEvicted)
	}
}

// errEvicted is what those get to whom an object was still sending.
var errEvicted = dormouse.Error{
	Message:   "Durable Object was evicted from memory.",
	Retryable: true, ObjectReset: true,
}

// Awake is the guest's word that the instance stays.
func (s *Shard) Awake(g guest.Guest, num guest.Object) {
	o := s.at(g, num)
	if o == nil || o.live.final {
		return
	}
	o.m.Awake(s.Loop.Now())
	o.live.answer(false)
	o.drain()
	if l := s.lives[g]; s.moves(g) { // Progress asks again, or the deadline
		s.hasMoved(l, o.live)
		return
	}
	o.arm()
	o.leaveSoon()
}
