package host

import (
	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/observe/trace"
)

// halves are the directions of an exchange that have not ended.
type halves uint8

const (
	request halves = 1 << iota
	response
	neither halves = 0
)

// halvesOf is what an exchange begins with.
func halvesOf(hasBody bool) halves {
	if hasBody {
		return request | response
	}
	return response
}

// Call is an exchange that the host began with a guest. It is the Asker of
// whoever asked; what the guest answers passes the object's gate to the Answer.
type Call struct {
	shard  *Shard
	object *resident // nil: the Worker
	answer Answer

	// Owned by the loop.
	guest guest.Guest // nil until it has been delivered
	x     guest.Exchange
	early []func(*Call) // what the asker said before
	over  bool          // nothing more is said to the answer
	left  bool          // the instance is gone: nothing more is said to the guest
	open  halves        // as they have passed the gate

	// What the guest has said, which may still be behind the gate.
	heard  bool              // a Response
	body   bool              // it had a body, which has not ended
	window int               // bytes of it that the guest may still send
	socket dormouse.SocketID // it passes this end on, and has not left yet

	replied bool // Response has been said to the answer

	span  trace.Span      // of the event; nil: it is not recorded
	where *dormouse.Where // the same event, where errors are named; see errors.go
}

// begin delivers the call.
func (c *Call) begin(g guest.Guest, num guest.Object, r *guest.Request) {
	if !c.enter(g, halvesOf(r.HasBody)) {
		return
	}
	if c.object != nil {
		c.span = c.object.tracedRequest(r)
	}
	g.Request(c.x, num, r)
	c.sayEarly()
}

// enter numbers the call. What nobody wants any more is begun all the same: the
// event has been counted.
func (c *Call) enter(g guest.Guest, open halves) bool {
	l := c.shard.lives[g]
	if l == nil {
		return false
	}
	c.x, c.guest, c.open = l.nextCall(), g, open
	c.name()
	l.calls[c.x] = c
	if o := c.object; o != nil {
		if o.live.calls == nil {
			o.live.calls = make(map[*Call]struct{})
		}
		o.live.calls[c] = struct{}{}
		o.live.requests = append(o.live.requests, o.m.Delivered())
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
	if c.socket != 0 {
		c.shard.Registry.Release(c.socket)
		c.socket = 0
	}
	if c.left {
		delete(c.object.parting, c)
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

// spoken says that the guest has given the whole answer: it only waits for
// commits, which the end of the instance does not touch.
func (c *Call) spoken() bool { return c.heard && !c.body && c.socket == 0 && !c.over }

// part has the answer of a call that is spoken outlive the instance.
func (c *Call) part(reason string) {
	c.left = true
	if l := c.shard.lives[c.guest]; l != nil {
		delete(l.calls, c.x)
	}
	if c.open&request != 0 {
		c.open &^= request
		c.answer.Cancel(reason)
	}
}

// half ends one of the two directions. To end it twice is to end it once: the
// two sides may each have the last word.
func (c *Call) half(h halves) {
	if c.open &^= h; c.open == neither {
		c.end()
	}
}

// fail ends the call with an error.
func (c *Call) fail(e *dormouse.Error) {
	if c.over {
		return
	}
	open := c.open
	c.end()
	switch {
	case !c.replied:
		c.answer.Failure(e)
	case open&response != 0:
		c.answer.BodyAbort(e.Message)
	default: // it has been answered; only the rest of its body was still coming
		c.answer.Cancel(e.Message)
	}
}

// gated says an output of the object now or behind its commits.
func (c *Call) gated(size int, say func()) { c.object.say(size, &c.over, say) }

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
	c.post(func(c *Call) {
		if c.open&request != 0 {
			c.guest.Body(c.x, p)
			c.shard.throttle(c.guest)
		}
	})
}

func (c *Call) BodyEnd() {
	c.post(func(c *Call) {
		if c.open&request != 0 {
			c.guest.BodyEnd(c.x)
			c.half(request)
		}
	})
}

func (c *Call) BodyAbort(reason string) {
	c.post(func(c *Call) {
		if c.open&request != 0 {
			c.guest.BodyAbort(c.x, reason)
			c.half(request)
		}
	})
}

func (c *Call) Credit(n uint32) {
	c.post(func(c *Call) {
		if c.open&response != 0 && !c.left {
			c.window += int(n)
			c.guest.Credit(c.x, n)
		}
	})
}

func (c *Call) Cancel(reason string) {
	c.shard.Loop.Post(func() {
		if c.over {
			return
		}
		c.over = true
		if c.guest != nil {
			if !c.left {
				c.guest.Cancel(c.x, reason)
			}
			c.end()
		}
	})
}

// What the guest says of the call.

func (c *Call) respond(r *guest.Response) {
	c.heard, c.body, c.socket = true, r.HasBody, r.Socket
	c.window += guest.Credit
	if r.Socket != 0 {
		c.shard.Registry.Passed(r.Socket, true)
		if c.span != nil {
			c.shard.tracing.opened(c.object.key, r.Socket.Peer(), c.span.Context())
		}
	}
	c.gated(512, func() {
		c.replied, c.socket = true, 0
		c.answer.Response(r)
		if !r.HasBody {
			c.half(response)
		}
	})
}

// chunk is a piece of the answer's body. It returns false when the guest was not
// allowed to send it.
func (c *Call) chunk(b []byte) bool {
	if !c.body {
		return c.heard // behind the end of the body it crossed
	}
	if c.window -= len(b); c.window < 0 {
		return false
	}
	if c.object == nil || c.object.Open() {
		c.answer.Body(b)
		return true
	}
	b = append([]byte(nil), b...)
	c.gated(len(b), func() { c.answer.Body(b) })
	return true
}

// endOfBody ends the answer's body, with end.
func (c *Call) endOfBody(end func()) {
	if c.body {
		c.body = false
		c.gated(0, func() {
			end()
			c.half(response)
		})
	}
}

// refused is the guest's word that it does not want the rest of the request.
func (c *Call) refused(reason string) {
	if c.open&request != 0 {
		c.answer.Cancel(reason)
		c.half(request)
	}
}
