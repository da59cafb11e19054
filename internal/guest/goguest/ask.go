package goguest

import (
	"context"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// Answer is where the answer to a call goes; Asker is the caller's hold on it.
// They are those of package host.
type (
	Answer interface {
		Response(*guest.Response)
		Body(p []byte)
		BodyEnd()
		BodyAbort(reason string)
		Credit(n uint32)
		Cancel(reason string)
		Failure(*dormouse.Error)
	}
	Asker interface {
		Body(p []byte)
		BodyEnd()
		BodyAbort(reason string)
		Credit(n uint32)
		Cancel(reason string)
	}
)

// ask is a call of an object to another one.
type ask struct {
	i      *instance
	answer Answer
	wait   *wait // the caller keeps its object meanwhile; nil: it does not

	// Owned by the loop.
	x    guest.Exchange
	over bool
}

// Ask calls an object on behalf of the one whose handler or task ctx is of, in
// order with what that one says and behind its commits. It returns nil if ctx is
// of none: then the call is the process's own. dormouse.ErrDeadlock if the caller
// would wait for itself.
func Ask(ctx context.Context, to guest.Target, key dormouse.Key, r *guest.Request, answer Answer) (Asker, error) {
	i, e := caller(ctx)
	if i == nil {
		return nil, nil
	}
	a := &ask{i: i, answer: answer}
	var err error
	if a.wait, err = i.waitsFor(e, key); err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead != nil {
		a.unwait()
		return nil, i.dead
	}
	i.outLocked().later(func() { a.begin(to, r) })
	i.handOverLocked()
	return a, nil
}

// caller is the instance whose handler or task ctx is of, nil for none, and the
// handler's event.
func caller(ctx context.Context) (*instance, *event) {
	if e := eventOf(ctx); e != nil {
		return e.i, e
	}
	i, _ := ctx.Value(taskKey{}).(*instance)
	return i, nil
}

// waitsFor ends the turn of an event that is going to wait for another object, if
// it has its own, and lets the crew go on with others. The wait is nil if it has
// not. dormouse.ErrDeadlock if it would wait for itself.
func (i *instance) waitsFor(e *event, key dormouse.Key) (*wait, error) {
	if e == nil || !e.has() {
		return nil, nil
	}
	w, free := i.g.waits.begin(e, key)
	if !free {
		return nil, dormouse.ErrDeadlock
	}
	i.endTurn(e) // the other one may learn of it
	e.runner.detach()
	return w, nil
}

// Interleaves says whether the handler that ctx is of lets others in while it
// waits for another object, and how.
func Interleaves(ctx context.Context) (yield func(context.Context, func(context.Context) error) error, ok bool) {
	if e := eventOf(ctx); e != nil && e.i.class.Interleave {
		return e.i.Yield, true
	}
	return nil, false
}

// begin says the request to the host. On the loop.
func (a *ask) begin(to guest.Target, r *guest.Request) {
	g := a.i.g
	g.lastAsk++
	a.x = g.lastAsk*2 - 1
	g.asks[a.x] = a
	if a.i.asks == nil {
		a.i.asks = make(map[*ask]struct{})
	}
	a.i.asks[a] = struct{}{}
	g.host.Ask(g, a.x, a.i.num, to, r)
}

// end forgets the call. On the loop.
func (a *ask) end() {
	a.over = true
	delete(a.i.g.asks, a.x)
	delete(a.i.asks, a)
	a.unwait()
}

func (a *ask) unwait() { a.i.g.waits.ended(a.wait) }

// fail ends a call whose object has ended. On the loop.
func (a *ask) fail(e *dormouse.Error) {
	if !a.over {
		a.end()
		a.answer.Failure(e)
	}
}

// tell says the rest of the request, on the loop, behind its beginning.
func (a *ask) tell(say func(guest.Peer)) {
	a.i.g.crew.tell(func() {
		if !a.over && a.x != 0 {
			say(a.i.g.host.FromPeer(a.i.g))
		}
	})
}

// Body implements Asker.
func (a *ask) Body(p []byte) {
	p = append([]byte(nil), p...)
	a.tell(func(to guest.Peer) { to.Body(a.x, p) })
}

// BodyEnd implements Asker.
func (a *ask) BodyEnd() { a.tell(func(to guest.Peer) { to.BodyEnd(a.x) }) }

// BodyAbort implements Asker.
func (a *ask) BodyAbort(reason string) {
	a.tell(func(to guest.Peer) { to.BodyAbort(a.x, reason) })
}

// Credit implements Asker.
func (a *ask) Credit(n uint32) { a.tell(func(to guest.Peer) { to.Credit(a.x, n) }) }

// Cancel implements Asker.
func (a *ask) Cancel(reason string) {
	a.tell(func(to guest.Peer) {
		a.end()
		to.Cancel(a.x, reason)
	})
	a.unwait()
}
