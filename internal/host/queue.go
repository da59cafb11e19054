package host

import (
	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// queue is what waits for a guest.
//
// Requests past Limits.Waiting, and all of them while whyNot is set, are
// refused. What sockets say is never refused: when too much of it waits the
// clients are not read, until there is a guest.
type queue struct {
	list   []waiter // in the order in which it came
	bytes  int      // of mail that has come since there was a guest
	whyNot *dormouse.Error
}

// waiter is an object with mail, or a call of the Worker, or a session with it.
type waiter struct {
	object  *resident
	call    *Call
	request *guest.Request
	session *session // with the Worker
	opening *guest.Opening
}

// want has the object served when there is a guest.
func (s *Shard) want(o *resident) {
	if !o.wanted {
		o.wanted = true
		s.queue.list = append(s.queue.list, waiter{object: o})
	}
}

// queued counts what waits.
func (s *Shard) queued(size int) {
	s.queue.bytes += size
	if len(s.queue.list) > s.Limits.Waiting || s.queue.bytes > s.Limits.WaitingBytes {
		s.pause(queueFull)
	}
}

// serve gives the guest that has come what has waited for one.
func (s *Shard) serve() {
	if s.frozen {
		return // Thaw calls it again
	}
	list := s.queue.list
	s.queue.list, s.queue.bytes = nil, 0
	for _, w := range list {
		switch {
		case w.session != nil:
			w.session.begin(s.guest, 0, w.opening)
			continue
		case w.object == nil:
			w.call.begin(s.guest, 0, w.request)
			continue
		}
		w.object.wanted = false
		w.object.drain()
		w.object.forget()
	}
	s.resume(queueFull)
}

// Unfit tells that no guest can be had, because of e: requests that wait fail,
// and so do those that come, until Ready. What sockets have said waits on.
func (s *Shard) Unfit(e *dormouse.Error) {
	s.queue.whyNot = e
	list := s.queue.list
	s.queue.list = nil
	for _, w := range list {
		switch {
		case w.session != nil:
			w.session.fail(e)
			continue
		case w.object == nil:
			w.call.fail(e)
			continue
		}
		w.object.failMail(e)
		if len(w.object.mail) > 0 {
			s.queue.list = append(s.queue.list, w)
			continue
		}
		w.object.wanted = false
		w.object.forget()
	}
}

// refuses fails a request for an object that has no room for it or that nobody
// can run.
func (s *Shard) refuses(k dormouse.Key, fail func(*dormouse.Error)) bool {
	o := s.objects[k]
	switch {
	case s.isolated(k) > 0 && (o == nil || o.live == nil):
		fail(errIsolated(s.isolated(k)))
	case o != nil && o.mailFull():
		fail(overloaded())
	case s.guest != nil && !s.frozen || o != nil && o.live != nil:
		return false
	case s.queue.whyNot != nil:
		fail(s.queue.whyNot)
	case len(s.queue.list) >= s.Limits.Waiting:
		fail(overloaded())
	default:
		return false
	}
	return true
}
