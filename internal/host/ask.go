package host

import (
	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// ask is an exchange that a guest began. It takes what the guest goes on to
// say, and is the Answer that brings back what was asked.
type ask struct {
	shard *Shard
	guest guest.Guest
	x     guest.Exchange
	from  *resident // whose gate the request passes; nil: the Worker
	near  bool      // the answer comes on our own loop

	// Owned by the loop.
	asker  Asker // nil until the request has passed the gate
	over   bool
	open   halves // the request's as it has passed the gate
	body   bool   // the guest has not ended the request's body
	window int    // bytes of it that the guest may still send
}

// Ask is a call of a guest to a stub, to assets, to a store or to a front.
func (s *Shard) Ask(g guest.Guest, x guest.Exchange, from guest.Object, to guest.Target, r *guest.Request) {
	l := s.lives[g]
	if l == nil {
		return
	}
	if !own(x) || l.asks[x] != nil {
		s.protocolError(g, "exchange %d cannot be begun by a guest", x)
		return
	}
	a := &ask{
		shard: s, guest: g, x: x, from: s.at(g, from),
		open: halvesOf(r.HasBody), body: r.HasBody, window: guest.Credit,
	}
	if from != 0 && a.from == nil {
		return // it crossed the end of the activation
	}
	l.asks[x] = a
	if a.from != nil {
		if a.from.live.asks == nil {
			a.from.live.asks = make(map[*ask]struct{})
		}
		a.from.live.asks[a] = struct{}{}
	}
	a.gated(len(r.URL)+512, func() { a.begin(to, r) })
}

// begin sends the request to where it goes.
func (a *ask) begin(to guest.Target, r *guest.Request) {
	s := a.shard
	if to.Kind == guest.ToKV || to.Kind == guest.ToR2 {
		var ok bool
		if to.Name, ok = s.storeName(a.guest, to); !ok {
			a.end()
			return
		}
	}
	if to.Kind == guest.ToService {
		a.askFront(to.Index, r)
		return
	}
	if to.Kind != guest.ToObject {
		a.asker = s.Outside.Ask(to, r, a)
		return
	}
	if private(r.Entrypoint) {
		s.protocolError(a.guest, "a guest is no operator")
		a.end()
		return
	}
	t, ok := s.target(a.guest, to)
	if !ok {
		a.end()
		return
	}
	if t.failure != nil {
		a.Failure(t.failure)
		return
	}
	a.near = t.shard == s
	a.asker = t.shard.Fetch(t.key, t.class, t.name, r, a)
}

// target is an object that a guest calls.
type target struct {
	shard *Shard
	key   dormouse.Key
	class int
	name  *string // nil: the caller does not know it
	// foreign: it is a neighbour's; failure: and cannot be called.
	foreign bool
	failure *dormouse.Error
}

// target finds the object that a guest names by one of its bindings; ok is false
// if it has no such binding.
func (s *Shard) target(g guest.Guest, to guest.Target) (t target, ok bool) {
	b, ok := s.binding(g, to.Index)
	if !ok {
		return t, false
	}
	if b.Far != nil {
		t = s.farTarget(*b.Far, to)
	} else {
		t.class = b.Class
		t.key = dormouse.Key{Namespace: s.Classes[b.Class].Namespace, ID: to.ID}
		t.shard = s.Route(t.key)
	}
	if to.HasName {
		t.name = &to.Name
	}
	return t, true
}

// gated says an output of the asking object now or behind its commits.
func (a *ask) gated(size int, say func()) { a.from.say(size, &a.over, say) }

func (a *ask) end() {
	a.over = true
	if o := a.from; o != nil && o.live != nil {
		delete(o.live.asks, a)
	}
	if l := a.shard.lives[a.guest]; l != nil {
		delete(l.asks, a.x)
		a.shard.retiredIfEmpty(l)
	}
}

// half ends one of the two directions; again is as good as once.
func (a *ask) half(h halves) {
	if a.open &^= h; a.open == neither {
		a.end()
	}
}

// cancel gives the request up, because the guest or the asking object does.
func (a *ask) cancel(reason string) {
	if a.over {
		return
	}
	a.end()
	if a.asker != nil {
		a.asker.Cancel(reason)
	}
}

// chunk is a piece of the request's body. It returns false when the guest was
// not allowed to send it.
func (a *ask) chunk(b []byte) bool {
	if !a.body {
		return true // it crossed, or the request was said to have none
	}
	if a.window -= len(b); a.window < 0 {
		return false
	}
	if a.from == nil || a.from.Open() {
		a.asker.Body(b)
		return true
	}
	b = append([]byte(nil), b...)
	a.gated(len(b), func() { a.asker.Body(b) })
	return true
}

// endOfBody ends the request's body, with end.
func (a *ask) endOfBody(end func()) {
	if a.body {
		a.body = false
		a.gated(0, func() {
			end()
			a.half(request)
		})
	}
}

// The Answer, on the loop or in the goroutine of whoever answers.

// say brings something back to the loop of the guest that asked.
func (a *ask) say(f func()) {
	if a.near {
		f()
		return
	}
	a.shard.Loop.Post(f)
}

// sayOf is say for what belongs to one direction, while it has not ended.
func (a *ask) sayOf(h halves, f func()) {
	a.say(func() {
		if !a.over && a.open&h != 0 {
			f()
		}
	})
}

func (a *ask) Response(r *guest.Response) {
	a.say(func() {
		if a.over {
			if r.Socket != 0 {
				a.shard.Registry.Release(r.Socket)
			}
			return
		}
		if r.Socket != 0 && r.Socket.Incarnation() == a.guest.Incarnation() {
			a.shard.Registry.Passed(r.Socket, false)
		}
		a.guest.Response(a.x, r)
		if !r.HasBody {
			a.half(response)
		}
	})
}

func (a *ask) Body(p []byte) {
	if !a.near {
		p = append([]byte(nil), p...)
	}
	a.sayOf(response, func() { a.guest.Body(a.x, p) })
}

func (a *ask) BodyEnd() {
	a.sayOf(response, func() { a.guest.BodyEnd(a.x); a.half(response) })
}

func (a *ask) BodyAbort(reason string) {
	a.sayOf(response, func() { a.guest.BodyAbort(a.x, reason); a.half(response) })
}

func (a *ask) Credit(n uint32) {
	a.sayOf(request, func() {
		a.window += int(n)
		a.guest.Credit(a.x, n)
	})
}

func (a *ask) Cancel(reason string) {
	a.sayOf(request, func() {
		a.body = false
		a.guest.Cancel(a.x, reason)
		a.half(request)
	})
}

func (a *ask) Failure(e *dormouse.Error) {
	a.sayOf(response, func() {
		if l := a.shard.lives[a.guest]; l != nil && e.Where != nil {
			l.errors.calls.note(uint32(a.x), e.Where)
		}
		a.guest.Failure(a.x, e)
		a.end()
	})
}
