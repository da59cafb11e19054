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
	asker Asker // nil until the request has passed the gate
	over  bool
	left  int // halves that have not ended
}

// Ask is a call of a guest to a stub, to assets or to a service.
func (s *Shard) Ask(g guest.Guest, x guest.Exchange, from guest.Object, to guest.Target, r *guest.Request) {
	l := s.lives[g]
	if l == nil {
		return
	}
	if !own(x) || l.asks[x] != nil {
		s.protocolError(g, "exchange %d cannot be begun by a guest", x)
		return
	}
	a := &ask{shard: s, guest: g, x: x, from: s.at(g, from), left: 1}
	if from != 0 && a.from == nil {
		return // it crossed the end of the activation
	}
	if r.HasBody {
		a.left = 2
	}
	l.asks[x] = a
	a.gated(len(r.URL)+512, func() { a.begin(to, r) })
}

// begin sends the request to where it goes.
func (a *ask) begin(to guest.Target, r *guest.Request) {
	s := a.shard
	if to.Kind != guest.ToObject {
		a.asker = s.Outside.Ask(to, r, a)
		return
	}
	if to.Index >= len(s.Bindings) {
		s.protocolError(a.guest, "namespace binding %d of %d", to.Index, len(s.Bindings))
		return
	}
	b := s.Bindings[to.Index]
	k := dormouse.Key{Namespace: s.Classes[b.Class].Namespace, ID: to.ID}
	target := s.Route(k)
	a.near = target == s
	var name *string
	if to.HasName {
		name = &to.Name
	}
	a.asker = target.Fetch(k, b.Class, name, r, a)
}

// gated says an output of the asking object now or behind its commits.
func (a *ask) gated(size int, say func()) {
	if a.from == nil || a.from.gate.Open() {
		say()
		return
	}
	a.from.Hold(size, func() {
		if !a.over {
			say()
		}
	})
}

func (a *ask) end() {
	a.over = true
	if l := a.shard.lives[a.guest]; l != nil {
		delete(l.asks, a.x)
		a.shard.retiredIfEmpty(l)
	}
}

func (a *ask) half() {
	if a.left--; a.left <= 0 {
		a.end()
	}
}

// gone is what an exchange is that has ended: what is said of it crossed.
type gone struct{}

func (gone) Body([]byte)      {}
func (gone) BodyEnd()         {}
func (gone) BodyAbort(string) {}
func (gone) Credit(uint32)    {}
func (gone) Cancel(string)    {}

// ask finds the exchange that the guest speaks of.
func (p peer) ask(x guest.Exchange) Asker {
	if l := p.s.lives[p.g]; l != nil {
		if a := l.asks[x]; a != nil {
			return asking{a}
		}
	}
	return gone{}
}

// asking is what the guest says after it has asked.
type asking struct{ a *ask }

func (g asking) Body(p []byte) {
	if g.a.from == nil || g.a.from.gate.Open() {
		g.a.asker.Body(p)
		return
	}
	p = append([]byte(nil), p...)
	g.a.gated(len(p), func() { g.a.asker.Body(p) })
}

func (g asking) BodyEnd() { g.a.gated(0, func() { g.a.asker.BodyEnd(); g.a.half() }) }

func (g asking) BodyAbort(reason string) {
	g.a.gated(0, func() { g.a.asker.BodyAbort(reason); g.a.half() })
}

func (g asking) Credit(n uint32) {
	if g.a.asker != nil {
		g.a.asker.Credit(n)
	}
}

func (g asking) Cancel(reason string) {
	if g.a.asker != nil {
		g.a.asker.Cancel(reason)
	}
	g.a.end()
}

// The Answer, on the loop or in the goroutine of whoever answers.

// say brings something back to the guest that asked.
func (a *ask) say(f func()) {
	if a.near {
		if !a.over {
			f()
		}
		return
	}
	a.shard.Loop.Post(func() {
		if !a.over {
			f()
		}
	})
}

func (a *ask) Response(r *guest.Response) {
	a.say(func() {
		a.guest.Response(a.x, r)
		if !r.HasBody {
			a.half()
		}
	})
}

func (a *ask) Body(p []byte) {
	if !a.near {
		p = append([]byte(nil), p...)
	}
	a.say(func() { a.guest.Body(a.x, p) })
}

func (a *ask) BodyEnd() { a.say(func() { a.guest.BodyEnd(a.x); a.half() }) }

func (a *ask) BodyAbort(reason string) {
	a.say(func() { a.guest.BodyAbort(a.x, reason); a.half() })
}

func (a *ask) Credit(n uint32) { a.say(func() { a.guest.Credit(a.x, n) }) }

func (a *ask) Cancel(reason string) {
	a.say(func() { a.guest.Cancel(a.x, reason); a.half() })
}

func (a *ask) Failure(e *dormouse.Error) {
	a.say(func() { a.guest.Failure(a.x, e); a.end() })
}
