package host

import (
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// Call is an exchange that the host began with a guest. It is the Asker of
// whoever asked; what the guest answers passes the object's gate to the Answer.
type Call struct {
	shard  *Shard
	object *resident // nil: the Worker
	answer Answer

	// Owned by the loop.
	guest   guest.Guest // nil until it has been delivered
	x       guest.Exchange
	early   []func(*Call) // what the asker said before
	over    bool          // nothing more is said to the answer
	replied bool          // Response has been said
	left    int           // halves that have not ended: the request's body, the answer
}

// begin delivers the call.
func (c *Call) begin(g guest.Guest, num guest.Object, r *guest.Request) {
	if !c.enter(g) {
		return
	}
	c.left = 1
	if r.HasBody {
		c.left = 2
	}
	g.Request(c.x, num, r)
	c.sayEarly()
}

func (c *Call) beginAlarm(g guest.Guest, num guest.Object, scheduled time.Time, retry int) {
	if c.enter(g) {
		c.left = 1
		g.Alarm(c.x, num, scheduled, retry)
	}
}

// enter numbers the call. It returns false when nobody wants it any more; the
// event has been counted then, and must reach the guest all the same.
func (c *Call) enter(g guest.Guest) bool {
	l := c.shard.lives[g]
	if l == nil {
		return false
	}
	l.lastCall += 2
	c.x, c.guest = l.lastCall, g
	l.calls[c.x] = c
	if o := c.object; o != nil {
		if o.live.calls == nil {
			o.live.calls = make(map[*Call]struct{})
		}
		o.live.calls[c] = struct{}{}
	}
	return true
}

func (c *Call) sayEarly() {
	early := c.early
	c.early = nil
	for _, f := range early {
		f(c)
	}
	if c.over {
		c.guest.Cancel(c.x, "canceled")
		c.end()
	}
}

// end forgets the call.
func (c *Call) end() {
	c.over = true
	if c.guest == nil {
		return
	}
	if o := c.object; o != nil && o.live != nil {
		delete(o.live.calls, c)
	}
	if l := c.shard.lives[c.guest]; l != nil {
		delete(l.calls, c.x)
		c.shard.retiredIfEmpty(l)
	}
}

// half ends one of the two directions.
func (c *Call) half() {
	if c.left--; c.left <= 0 {
		c.end()
	}
}

// fail ends the call with an error of ours.
func (c *Call) fail(e *dormouse.Error) {
	if c.over {
		return
	}
	c.end()
	if c.replied {
		c.answer.BodyAbort(e.Message)
		return
	}
	c.answer.Failure(e)
}

// gated says an output of the object now or behind its commits.
func (c *Call) gated(size int, say func()) {
	if c.object == nil || c.object.gate.Open() {
		say()
		return
	}
	c.object.Hold(size, func() {
		if !c.over {
			say()
		}
	})
}

// The Asker: from any goroutine to the loop.

func (c *Call) post(f func(*Call)) {
	c.shard.Loop.Post(func() {
		switch {
		case c.over:
		case c.guest == nil:
			c.early = append(c.early, f)
		default:
			f(c)
		}
	})
}

func (c *Call) Body(p []byte) {
	p = append([]byte(nil), p...)
	c.post(func(c *Call) { c.guest.Body(c.x, p); c.shard.throttle(c.guest) })
}

func (c *Call) BodyEnd() {
	c.post(func(c *Call) { c.guest.BodyEnd(c.x); c.half() })
}

func (c *Call) BodyAbort(reason string) {
	c.post(func(c *Call) { c.guest.BodyAbort(c.x, reason); c.half() })
}

func (c *Call) Credit(n uint32) {
	c.post(func(c *Call) { c.guest.Credit(c.x, n) })
}

func (c *Call) Cancel(reason string) {
	c.shard.Loop.Post(func() {
		if c.over {
			return
		}
		c.over = true
		if c.guest != nil {
			c.guest.Cancel(c.x, reason)
			c.end()
		}
	})
}

// FromPeer takes the frames that are said of exchanges of either kind.
func (s *Shard) FromPeer(g guest.Guest) guest.Peer { return peer{s, g} }

// peer is the guest's side of exchanges: it answers those that the host began,
// and goes on with those that it began itself.
type peer struct {
	s *Shard
	g guest.Guest
}

func (p peer) call(x guest.Exchange) *Call {
	if l := p.s.lives[p.g]; l != nil {
		return l.calls[x]
	}
	return nil
}

func (p peer) Response(x guest.Exchange, r *guest.Response) {
	c := p.call(x)
	if c == nil {
		if r.Socket != 0 {
			p.s.Registry.Release(r.Socket)
		}
		return
	}
	if c.replied {
		p.s.protocolError(p.g, "exchange %d was answered twice", x)
		return
	}
	c.gated(512, func() {
		c.replied = true
		c.answer.Response(r)
	})
	if !r.HasBody {
		c.gated(0, c.half)
	}
}

func (p peer) Body(x guest.Exchange, b []byte) {
	if own(x) {
		p.ask(x).Body(b)
		return
	}
	c := p.call(x)
	switch {
	case c == nil:
	case c.object == nil || c.object.gate.Open():
		c.answer.Body(b)
	default:
		b = append([]byte(nil), b...)
		c.gated(len(b), func() { c.answer.Body(b) })
	}
}

func (p peer) BodyEnd(x guest.Exchange) {
	if own(x) {
		p.ask(x).BodyEnd()
		return
	}
	if c := p.call(x); c != nil {
		c.gated(0, func() { c.answer.BodyEnd(); c.half() })
	}
}

func (p peer) BodyAbort(x guest.Exchange, reason string) {
	if own(x) {
		p.ask(x).BodyAbort(reason)
		return
	}
	if c := p.call(x); c != nil {
		c.gated(0, func() { c.answer.BodyAbort(reason); c.half() })
	}
}

func (p peer) Credit(x guest.Exchange, n uint32) {
	if own(x) {
		p.ask(x).Credit(n)
		return
	}
	if c := p.call(x); c != nil {
		c.answer.Credit(n)
	}
}

// Cancel is the guest's word that it does not want the rest of the request.
func (p peer) Cancel(x guest.Exchange, reason string) {
	if own(x) {
		p.ask(x).Cancel(reason)
		return
	}
	if c := p.call(x); c != nil {
		c.answer.Cancel(reason)
		c.half()
	}
}

func (p peer) Failure(x guest.Exchange, e *dormouse.Error) {
	if c := p.call(x); c != nil {
		c.gated(256, func() { c.fail(e) })
	}
}

// own says that the guest began the exchange.
func own(x guest.Exchange) bool { return x&1 == 1 }

// alarmAnswer takes the end of an alarm.
type alarmAnswer func(*dormouse.Error)

func (f alarmAnswer) Response(*guest.Response)  { f(nil) }
func (f alarmAnswer) Failure(e *dormouse.Error) { f(e) }
func (f alarmAnswer) BodyAbort(string)          {}
func (f alarmAnswer) Body([]byte)               {}
func (f alarmAnswer) BodyEnd()                  {}
func (f alarmAnswer) Credit(uint32)             {}
func (f alarmAnswer) Cancel(string)             {}
