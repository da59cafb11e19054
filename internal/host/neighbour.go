package host

import (
	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// Neighbour is what else there is to be called in this process: objects of
// shards that are not among those which Route finds, or are there under another
// roof, and code that is no object's. A guest reaches it by its bindings only
// (guest.Code.Far and Fronts), so it calls nobody whom its code does not name.
//
// What a call then meets is what it meets between any two shards: it passes the
// gate of the object that calls, in order with everything else that it says;
// it is an event of the object that is called, behind its mailbox, and the answer
// passes the gate of that object. A socket in an answer finds its other side if
// the incarnations of all guests differ and the registries' Home knows all of
// them. Quiet has to be asked of all shards together.
//
// What a shard gives to a neighbour's guest is marked as Foreign: the two do not
// number their bindings alike.
//
// Methods may be called on any goroutine, and do not wait.
type Neighbour interface {
	// Object finds the shard of an object of the neighbour's, and the number that
	// its class has there; or says why there is none.
	Object(k dormouse.Key) (s *Shard, class int, e *dormouse.Error)
	// Front finds a shard whose guests run what is no object's: a request goes to
	// its FetchWorker and a session to its ConnectWorker.
	Front() (s *Shard, e *dormouse.Error)
}

// neighbour finds the one of this name.
func (s *Shard) neighbour(name string) (Neighbour, *dormouse.Error) {
	if s.Neighbour != nil {
		if n := s.Neighbour(name); n != nil {
			return n, nil
		}
	}
	return nil, &dormouse.Error{Message: "There is no " + name + " in this server."}
}

// farTarget finds an object that a guest calls at a neighbour's.
func (s *Shard) farTarget(far guest.Far, to guest.Target) target {
	t := target{key: dormouse.Key{Namespace: far.Namespace, ID: to.ID}, foreign: true}
	n, e := s.neighbour(far.Neighbour)
	if e == nil {
		t.shard, t.class, e = n.Object(t.key)
	}
	t.failure = e
	return t
}

// front is where a guest's binding of a front leads: the code, and the shard that
// runs it.
type front struct {
	guest.Front
	shard   *Shard
	failure *dormouse.Error // there is none
}

// front finds what a guest's binding leads to; ok is false if it has no such
// binding.
func (s *Shard) front(g guest.Guest, index int) (f front, ok bool) {
	l := s.lives[g]
	if l == nil {
		return f, false // it has died while what it said waited at the gate
	}
	if index >= len(l.code.fronts) {
		s.protocolError(g, "front %d of %d", index, len(l.code.fronts))
		return f, false
	}
	f.Front = l.code.fronts[index]
	if private(f.Entrypoint) {
		f.failure = &dormouse.Error{Message: "There is no entrypoint " + f.Entrypoint + "."}
		return f, true
	}
	n, e := s.neighbour(f.Neighbour)
	if e == nil {
		f.shard, e = n.Front()
	}
	f.failure = e
	return f, true
}

// private says whether only the host may ask for an entrypoint.
func private(entrypoint string) bool {
	return entrypoint == guest.OperatorEntrypoint || entrypoint == guest.TestEntrypoint
}

// askFront begins a request to a front. Which of its entrypoints that is, and
// with which props, the binding says and not the guest.
func (a *ask) askFront(index int, r *guest.Request) {
	f, ok := a.shard.front(a.guest, index)
	switch {
	case !ok:
		a.end()
	case f.failure != nil:
		a.Failure(f.failure)
	default:
		r.Entrypoint, r.Props = f.Entrypoint, f.Props
		a.near = f.shard == a.shard
		a.asker = f.shard.FetchWorker(r, a)
	}
}

// connectFront is askFront for a session.
func (c *session) connectFront(g guest.Guest, index int, o *guest.Opening) {
	f, ok := c.shard.front(g, index)
	switch {
	case !ok:
		c.end()
	case f.failure != nil:
		c.Fail(f.failure)
	default:
		o.Entrypoint, o.Props, o.Foreign = f.Entrypoint, f.Props, true
		c.near = f.shard == c.shard
		c.far = f.shard.ConnectWorker(o, c)
	}
}

// ConnectWorker begins a session with code of the guest's that is no object's.
// What it says goes to back. May be called on any goroutine.
func (s *Shard) ConnectWorker(o *guest.Opening, back Line) Line {
	c := &session{shard: s, far: back, window: guest.Window}
	s.Loop.Post(func() {
		switch p := s.main; {
		case c.over: // whoever asked has gone
		case p.guest != nil && !s.frozen && p.guest.Backlog() > maxUntaken:
			c.fail(overloadedBytes())
		default:
			s.forWorker(waiter{session: c, opening: o})
		}
	})
	return c
}

func overloadedBytes() *dormouse.Error {
	return &dormouse.Error{Message: "Durable Object is overloaded. Too much data queued.", Overloaded: true}
}
