package host

import (
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// queue is what waits for a guest to be there, and what is for the Worker also for
// one that does not take what it was given, or has much of it before it.
//
// Requests past Limits.Waiting, and all of them while whyNot is set, are
// refused, and so are those of the Worker that a guest has let wait for longer than
// Limits.QueueTime. What sockets say is never refused: when too much of it waits
// the clients are not read, until there is a guest.
type queue struct {
	list   []waiter // in the order in which it came
	bytes  int      // of mail that has come since there was a guest
	whyNot *dormouse.Error
	// ahead is what the guest has been given for the Worker and has not begun, if it
	// says so: each the count of all that it had been told then. At most
	// Limits.Ahead, but for what was given to it when it came.
	ahead []uint64
}

// waiter is an object with mail, or a call or a session of the Worker.
type waiter struct {
	since   time.Time // of what is for the Worker: since there is a guest for it
	object  *resident
	call    *Call
	request *guest.Request
	session *session
	opening *guest.Opening
}

// begin gives the guest what is of no object.
func (w *waiter) begin(g guest.Guest) {
	switch {
	case w.call != nil:
		w.call.begin(g, 0, w.request)
	case !w.session.over:
		w.session.begin(g, 0, w.opening)
	}
}

// fail pairs with begin.
func (w *waiter) fail(e *dormouse.Error) {
	switch {
	case w.call != nil:
		w.call.fail(e)
	case w.session != nil:
		w.session.fail(e)
	}
}

// forWorker begins what is of no object, or keeps it until there is a guest that
// takes it.
func (s *Shard) forWorker(w waiter) {
	switch p := s.main; {
	case p.guest != nil && !s.frozen && len(p.queue.list) == 0 && s.takes(p):
		s.give(p, w)
		s.throttle(p.guest)
	case p.queue.whyNot != nil:
		w.fail(p.queue.whyNot)
	case len(p.queue.list) >= s.Limits.Waiting:
		w.fail(overloaded())
	default:
		w.since = s.Loop.Now()
		p.queue.list = append(p.queue.list, w)
	}
}

// takes says whether the guest of a place is to be given more for the Worker.
func (s *Shard) takes(p *place) bool {
	if p.guest.Backlog() > s.Limits.Backlog {
		return false
	}
	if h, ok := p.guest.(guest.Handler); ok {
		handled := h.Handled()
		for len(p.queue.ahead) > 0 && p.queue.ahead[0] <= handled {
			p.queue.ahead = p.queue.ahead[1:]
		}
	}
	return len(p.queue.ahead) < s.Limits.Ahead
}

// give gives the guest of a place what is of no object.
func (s *Shard) give(p *place, w waiter) {
	w.begin(p.guest)
	if h, ok := p.guest.(guest.Handler); ok {
		p.queue.ahead = append(p.queue.ahead, h.Told())
	}
}

// catchUp begins what waits for the Worker's guest to take what it was given, and
// refuses what has waited too long.
func (s *Shard) catchUp() {
	p := s.main
	now := s.Loop.Now()
	for !s.frozen && len(p.queue.list) > 0 {
		w := p.queue.list[0]
		late := s.Limits.QueueTime > 0 && now.Sub(w.since) > s.Limits.QueueTime
		if !late && !s.takes(p) {
			return
		}
		p.queue.list[0] = waiter{}
		p.queue.list = p.queue.list[1:]
		if late {
			w.fail(queuedTooLong())
		} else {
			s.give(p, w)
		}
	}
}

// want has the object served when there is a guest for it.
func (s *Shard) want(o *resident, p *place) {
	if !o.wanted {
		o.wanted = true
		p.queue.list = append(p.queue.list, waiter{object: o})
	}
}

// queued counts what waits.
func (s *Shard) queued(p *place, size int) {
	p.queue.bytes += size
	if s.queueFull(p) {
		s.pause(queueFull)
	}
}

func (s *Shard) queueFull(p *place) bool {
	return len(p.queue.list) > s.Limits.Waiting || p.queue.bytes > s.Limits.WaitingBytes
}

// waiting counts what waits for guests.
func (s *Shard) waiting() (n int) {
	for _, p := range s.places {
		n += len(p.queue.list)
	}
	return n
}

// serve gives the guest that has come what has waited for one.
func (s *Shard) serve(p *place) {
	if s.frozen {
		return // Thaw calls it again
	}
	list := p.queue.list
	p.queue.list, p.queue.bytes = nil, 0
	for _, w := range list {
		if w.object == nil {
			s.forWorker(w)
			continue
		}
		w.object.wanted = false
		w.object.drain()
		w.object.forget()
	}
	for _, other := range s.places {
		if s.queueFull(other) {
			return
		}
	}
	s.resume(queueFull)
}

// Unfit tells that no guest can be had for a place, because of e: requests that
// wait fail, and so do those that come, until Ready. What sockets have said waits
// on.
func (s *Shard) Unfit(name guest.Place, e *dormouse.Error) {
	p := s.places[name]
	if p == nil {
		return
	}
	p.queue.whyNot = e
	list := p.queue.list
	p.queue.list = nil
	for _, w := range list {
		if w.object == nil {
			w.fail(e)
			continue
		}
		w.object.failMail(e)
		if len(w.object.mail) > 0 {
			p.queue.list = append(p.queue.list, w)
			continue
		}
		w.object.wanted = false
		w.object.forget()
	}
}

// refuses fails a request for an object that has no room for it or that nobody
// can run.
func (s *Shard) refuses(k dormouse.Key, class int, fail func(*dormouse.Error)) bool {
	o := s.objects[k]
	p := s.placeOf(k, class)
	switch {
	case s.isolated(k) > 0 && (o == nil || o.live == nil):
		fail(errIsolated(s.isolated(k)))
	case o != nil && o.mailFull():
		fail(overloaded())
	case (o == nil || o.live == nil) && s.lacks(p, class):
		fail(s.errClassless(class))
	case p.guest != nil && !s.frozen || o != nil && o.live != nil:
		return false
	case p.queue.whyNot != nil:
		fail(p.queue.whyNot)
	case len(p.queue.list) >= s.Limits.Waiting:
		fail(overloaded())
	default:
		return false
	}
	return true
}
