package host

import (
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
)

// What follows serves tests of the author's (workerd:unsafe), and is on the loop.

// Errors of Evict, with workerd's texts.
var (
	ErrNotRunning = &dormouse.Error{Message: "Cannot evict Durable Object: it is not currently running."}
	errStillInUse = &dormouse.Error{Message: "Timed out waiting to evict Durable Object: it still has active references."}
)

// askAgain is when a guest is asked again that could not let an object go yet.
const askAgain = 10 * time.Millisecond

// eviction is somebody who waits until an object leaves memory.
type eviction struct {
	drop bool // its sockets end with it
	late *loop.Timer
	done func(*dormouse.Error)
}

// Evict has an object leave memory as soon as it is idle, without the wait for
// its rest. With drop its hibernatable sockets end too, without a Close frame.
// done learns, once, that it has left, or why it has not within the limit.
func (s *Shard) Evict(k dormouse.Key, drop bool, limit time.Duration, done func(*dormouse.Error)) {
	o := s.objects[k]
	if o == nil || o.live == nil {
		done(ErrNotRunning)
		return
	}
	live, e := o.live, &eviction{drop: drop, done: done}
	e.late = loop.NewTimer(func() {
		live.leaving = without(live.leaving, e)
		done(errStillInUse)
	})
	s.Loop.Schedule(e.late, s.Loop.Now().Add(limit))
	live.leaving = append(live.leaving, e)
	o.leaveIfIdle()
}

func without(list []*eviction, e *eviction) []*eviction {
	kept := list[:0]
	for _, other := range list {
		if other != e {
			kept = append(kept, other)
		}
	}
	clear(list[len(kept):])
	return kept
}

// leaveIfIdle asks the guest if somebody waits for the object to leave.
func (o *resident) leaveIfIdle() {
	if o.live != nil && len(o.live.leaving) > 0 && o.m.Idle() {
		o.settle(guest.IfIdle)
	}
}

// leaveSoon asks again after the guest has refused: what speaks against it may
// be over without a report.
func (o *resident) leaveSoon() {
	live := o.live
	if live == nil || len(live.leaving) == 0 {
		return
	}
	l := o.shard.Loop
	l.Schedule(loop.NewTimer(func() {
		if live == o.live {
			o.leaveIfIdle()
		}
	}), l.Now().Add(askAgain))
}

// dropForTests ends the sockets of an object that has left, if that was wanted.
func (o *resident) dropForTests(live *activation) {
	for _, e := range live.leaving {
		if e.drop && o.set != nil {
			o.set.Reset(true)
			o.paused = false
			o.dropMail()
			return
		}
	}
}

// evicted answers those who have waited for the object to leave.
func (s *Shard) evicted(l *activation) {
	leaving := l.leaving
	l.leaving = nil
	for _, e := range leaving {
		s.Loop.Cancel(e.late)
		e.done(nil)
	}
}

// Running lists the objects that are in memory.
func (s *Shard) Running() []dormouse.Key {
	var keys []dormouse.Key
	for k, o := range s.objects {
		if o.live != nil {
			keys = append(keys, k)
		}
	}
	return keys
}

// AbortAll resets every object with an error, those in memory and those with
// sockets only. done is called when none of them is in memory any more.
func (s *Shard) AbortAll(e *dormouse.Error, done func()) {
	waiting := 1
	left := func(bool) {
		if waiting--; waiting == 0 {
			done()
		}
	}
	for _, o := range s.objects {
		o.failMail(e)
		switch {
		case o.live != nil:
			waiting++
			o.live.settled = append(o.live.settled, left)
			o.reset(e)
		case o.set != nil && o.set.Len() > 0:
			o.broke(e, true)
			o.set.Left()
			o.forget()
		}
	}
	left(true)
}

// Freeze keeps every object from being started; what comes for one waits, within
// the bounds of what waits for a guest. Thaw lets it go on.
func (s *Shard) Freeze() { s.frozen = true }

// Thaw pairs with Freeze.
func (s *Shard) Thaw() {
	s.frozen = false
	for _, p := range s.places {
		if p.guest != nil {
			s.serve(p)
		}
	}
}

// ForgetAlarm tells the index that an object whose database is gone has none.
func (s *Shard) ForgetAlarm(k dormouse.Key) {
	if s.Alarms != nil {
		s.Alarms.Later(k, time.Time{})()
	}
}
