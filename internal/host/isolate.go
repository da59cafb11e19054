package host

import (
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
)

// An object whose code ends its guest, or runs without end, costs its neighbours
// a pause each time. One that does so again within blameFor is not started for a
// while: twice as long each time.
const (
	blameFor     = time.Minute
	firstBackoff = time.Second
	longBackoff  = time.Minute
	maxBlamed    = 1024 // records; past it those whose time is over are dropped, then the oldest
)

// blame is what a shard remembers of an object that did not behave.
type blame struct {
	Info                // who it is, for people, when nothing else is known of it
	times     int       // in a row
	last      time.Time // the latest
	until     time.Time // it is not started before; zero if it may
	backoff   time.Duration
	forgotten time.Time // from then on it counts no more
	own       *place    // a guest of its own; nil: none
}

// suspect remembers that an object's code was at work when its guest died, or
// had to be ended itself.
func (s *Shard) suspect(o *resident, what string) {
	now := s.Loop.Now()
	b := s.blamed[o.key]
	if b == nil || b.own == nil && now.After(b.forgotten) {
		s.makeRoom(now)
		b = &blame{}
		s.blamed[o.key] = b
	}
	b.Info = Info{Key: o.key, Class: s.Classes[o.class].Name, Name: o.name, HasName: o.hasName, State: "inactive"}
	b.times++
	b.last, b.forgotten = now, now.Add(blameFor)
	if b.times < 2 {
		return
	}
	b.backoff = min(max(firstBackoff, 2*b.backoff), longBackoff)
	b.until = now.Add(b.backoff)
	b.forgotten = b.until.Add(blameFor)
	s.remember(o.key, Moment{What: "isolated", Why: what})
	s.giveOwn(b)
	s.Config.Log.Warn("object isolated: it is not started for a while, so that its neighbours live",
		append(s.attrs(o), "reason", what, "times", b.times, "pause", b.backoff, "own_guest", b.own != nil)...)
}

// giveOwn gives an object a guest of its own, if there is one to be had.
func (s *Shard) giveOwn(b *blame) {
	if b.own != nil || s.Places == nil || s.owners >= s.Limits.OwnGuests {
		return
	}
	s.owners++
	b.own = s.wanted(guest.Place(ownPrefix + b.Key.String()))
	s.reviewOwn(b)
}

// reviewOwn takes the guest of its own from an object that has behaved for long
// enough: from then on it runs with all others.
func (s *Shard) reviewOwn(b *blame) {
	s.Loop.Schedule(loop.NewTimer(func() {
		if s.Loop.Now().Before(b.forgotten) {
			s.reviewOwn(b)
			return
		}
		s.takeOwn(b)
	}), b.forgotten)
}

func (s *Shard) takeOwn(b *blame) {
	p := b.own
	b.own = nil
	if s.blamed[b.Key] == b {
		delete(s.blamed, b.Key)
	}
	s.Config.Log.Info("object runs with all others again", "class", b.Class, "object", b.Key.ID.String())
	s.abandon(p, func() { s.owners-- })
}

func (s *Shard) makeRoom(now time.Time) {
	if len(s.blamed) < maxBlamed {
		return
	}
	var oldest *blame
	for k, b := range s.blamed {
		switch {
		case b.own != nil: // reviewOwn does it
		case now.After(b.forgotten):
			delete(s.blamed, k)
		case oldest == nil || b.last.Before(oldest.last):
			oldest = b
		}
	}
	if len(s.blamed) >= maxBlamed && oldest != nil {
		delete(s.blamed, oldest.Key)
	}
}

// isolated returns how long an object may not be started yet, and 0 if it may.
func (s *Shard) isolated(k dormouse.Key) time.Duration {
	if b := s.blamed[k]; b != nil {
		return max(0, b.until.Sub(s.Loop.Now()))
	}
	return 0
}

func errIsolated(left time.Duration) *dormouse.Error {
	return &dormouse.Error{
		Message:    fmt.Sprintf("Durable Object is isolated because its code did not end or ended its process; it is started again in %v.", left.Round(time.Millisecond)),
		Overloaded: true, Retryable: true,
	}
}

// hold keeps an object from being started for a while. What its sockets say
// waits, within the bounds of the mailbox; requests fail with e.
func (o *resident) hold(left time.Duration, e *dormouse.Error) {
	if o.held {
		return
	}
	o.held = true
	o.failMail(e)
	o.shard.Loop.Schedule(loop.NewTimer(func() {
		o.held = false
		o.drain()
		o.forget()
	}), o.shard.Loop.Now().Add(left))
}

// Culprit tells, right before Gone, which activation had the turn that a dead
// guest did not come out of; 0 when only that is not known.
func (s *Shard) Culprit(g guest.Guest, o guest.Object) {
	if l := s.lives[g]; l != nil {
		l.guilty, l.culprit = true, o
	}
}

// blameCulprits finds who was at work when a guest died: the culprit if there is
// one, or else all of which the guest had said that an event runs, or else all
// that had been given one.
func (s *Shard) blameCulprits(l *life, why error) {
	if !l.guilty {
		return
	}
	what := "its guest died"
	if why != nil {
		what = why.Error()
	}
	blamed := func(guilty func(guest.Object, *resident) bool) (any bool) {
		for num, o := range l.activations {
			if guilty(num, o) {
				any = true
				s.suspect(o, what)
			}
		}
		return any
	}
	switch {
	case l.culprit != 0:
		blamed(func(num guest.Object, _ *resident) bool { return num == l.culprit })
	case blamed(func(_ guest.Object, o *resident) bool { return o.m.Running() }):
	default:
		blamed(func(_ guest.Object, o *resident) bool { return !o.m.Quiet() })
	}
}

// blameOn adds to a description what the object is blamed for.
func (s *Shard) blameOn(i Info) Info {
	now := s.Loop.Now()
	if b := s.blamed[i.Key]; b != nil && now.Before(b.forgotten) {
		i.GuestDeaths = b.times
		if b.until.After(now) {
			i.IsolatedUntil = b.until
		}
	}
	return i
}
