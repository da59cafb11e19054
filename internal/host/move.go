package host

import (
	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/object"
)

// A shard can stand still, so that another process may go on with its objects:
// first its clients are not read any more, then nothing is in progress, then
// every object is asleep. All of this can be undone.

// moves says that the objects of a guest leave it as soon as they are quiet.
func (s *Shard) moves(g guest.Guest) bool { return s.moving || s.lives[g].retired != nil }

// Older returns a function that says whether what is in progress now has ended;
// both are for the loop. What begins later does not count.
func (s *Shard) Older() (ended func() bool) {
	type work struct {
		live  *activation
		event uint32
	}
	calls := make(map[*Call]struct{})
	for _, l := range s.lives {
		for _, c := range l.calls {
			calls[c] = struct{}{}
		}
	}
	events := make(map[*resident]work)
	for _, o := range s.objects {
		if o.live != nil && !o.m.Quiet() {
			events[o] = work{o.live, o.m.Delivered()}
		}
	}
	return func() bool {
		for c := range calls {
			if c.over {
				delete(calls, c)
			}
		}
		for o, w := range events {
			if o.live != w.live || o.m.Finished(w.event) {
				delete(events, o)
			}
		}
		return len(calls)+len(events) == 0
	}
}

// StopClients stops the reading of clients, until HearClients or WakeUp.
func (s *Shard) StopClients() { s.pause(standStill) }

// HearClients pairs with StopClients.
func (s *Shard) HearClients() { s.resume(standStill) }

// Quiet says whether nothing is in progress, with a count of what has ever come:
// when no shard's count has changed between two looks at all of them, and all are
// quiet, nothing is under way between them either. A call in a session is an event
// of its object; the session itself may be held for ever, and ends with either
// object. On the loop.
func (s *Shard) Quiet() (quiet bool, count uint64) {
	quiet = s.waiting() == 0
	for _, l := range s.lives {
		count += uint64(l.lastCall) + uint64(l.lastSession)
		quiet = quiet && len(l.calls) == 0 && len(l.asks) == 0
	}
	for _, o := range s.objects {
		count += o.arrived
		quiet = quiet && o.saving == 0 && (len(o.mail) == 0 || o.held) && (o.live == nil || o.m.Quiet() && !o.broken())
	}
	return quiet, count
}

// PutToSleep has every object leave memory as soon as it is quiet, and lets none
// come back until WakeUp. On the loop.
func (s *Shard) PutToSleep() {
	s.Freeze()
	s.moving = true
	for _, o := range s.objects {
		if o.live != nil {
			o.moveIfQuiet()
		}
	}
}

// AllAsleep says whether no object is in memory and all that objects have committed
// is durable. On the loop.
func (s *Shard) AllAsleep() bool {
	if len(s.restorings) > 0 {
		return false
	}
	for _, l := range s.lives {
		if len(l.activations) > 0 {
			return false
		}
	}
	for _, o := range s.objects {
		if o.saving > 0 {
			return false
		}
	}
	return true
}

// WakeUp undoes StopClients and PutToSleep. On the loop.
func (s *Shard) WakeUp() {
	if s.moving {
		s.moving = false
		s.Thaw()
		for _, o := range s.objects {
			o.drain()
		}
	}
	s.HearClients()
}

// moveIfQuiet asks for an object to leave as soon as no event is in progress.
func (o *resident) moveIfQuiet() {
	if o.m.State() == object.Active && o.m.Quiet() {
		o.settle(guest.IfQuiet)
	}
}

// takeQueues empties the queues of all places.
func (s *Shard) takeQueues() (list []waiter) {
	for _, p := range s.places {
		list = append(list, p.queue.list...)
		p.queue.list = nil
	}
	return list
}

// GiveUp fails the requests that wait, because another process goes on without
// them. On the loop.
func (s *Shard) GiveUp() {
	for _, w := range s.takeQueues() {
		w.fail(&errUpdated)
	}
	for _, l := range s.lives {
		for _, c := range l.calls {
			c.fail(&errUpdated)
		}
		for _, c := range l.sessions {
			c.fail(&errUpdated)
		}
	}
	for _, o := range s.objects {
		o.failMail(&errUpdated)
		for x := range o.parting {
			x.fail(&errUpdated)
		}
	}
}

// Saved is an object that is asleep, as plain data, with what waits for it.
type Saved struct {
	Key     dormouse.Key
	Name    string
	HasName bool
	Set     Set           // its sockets; nil if it has none. Use it on the loop only
	Mail    []guest.Event // what its sockets have said and nobody has heard, oldest first
	Awake   bool          // constructed again at once: it was awake for its tasks
}

// Save describes every object that has anything to keep. On the loop, when all
// are asleep.
func (s *Shard) Save() []Saved {
	list := make([]Saved, 0, len(s.objects))
	for _, o := range s.objects {
		v := Saved{Key: o.key, Name: o.name, HasName: o.hasName, Set: o.set, Awake: o.again}
		for _, m := range o.mail {
			if m.said != nil {
				v.Mail = append(v.Mail, *m.said)
			}
		}
		if o.set != nil || len(v.Mail) > 0 || v.Awake {
			list = append(list, v)
		}
	}
	return list
}

// ClassOf finds the class that a namespace belongs to.
func (s *Shard) ClassOf(n dormouse.Namespace) (class int, ok bool) {
	for i, c := range s.Classes {
		if c.Namespace == n {
			return i, true
		}
	}
	return 0, false
}

// Restore makes an object of what another process has saved. fill puts the
// sockets into its set; v.Set is not used. The object does nothing before begin is
// called, when all are there. On the loop.
func (s *Shard) Restore(v Saved, fill func(Set)) (begin func()) {
	class, ok := s.ClassOf(v.Key.Namespace)
	if !ok {
		return func() {}
	}
	o := s.resident(v.Key, class)
	o.name, o.hasName, o.again = v.Name, v.HasName, v.Awake
	fill(o.sockets())
	if o.set.Len() > 0 {
		a := o.account()
		o.dozes = true
		a.Hibernated++
	}
	for _, e := range v.Mail {
		o.arrived++
		o.keepSaid(e)
	}
	return func() {
		o.drain()
		o.forget()
	}
}
