package host

import (
	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// FromPeer takes the frames that are said of exchanges of either kind.
func (s *Shard) FromPeer(g guest.Guest) guest.Peer { return peer{s, g} }

// peer is the guest's side of exchanges: it answers those that the host began,
// and goes on with those that it began itself. What it says of one that has
// ended crossed its end.
type peer struct {
	s *Shard
	g guest.Guest
}

// own says that the guest began the exchange.
func own(x guest.Exchange) bool { return x&1 == 1 }

func (p peer) call(x guest.Exchange) *Call {
	if l := p.s.lives[p.g]; l != nil {
		return l.calls[x]
	}
	return nil
}

func (p peer) ask(x guest.Exchange) *ask {
	if l := p.s.lives[p.g]; l != nil {
		return l.asks[x]
	}
	return nil
}

func (p peer) Response(x guest.Exchange, r *guest.Response) {
	c := p.call(x)
	switch {
	case c == nil:
		if r.Socket != 0 {
			p.s.Registry.Release(r.Socket)
		}
	case c.heard:
		p.s.protocolError(p.g, "exchange %d was answered twice", x)
	default:
		c.respond(r)
	}
}

func (p peer) Body(x guest.Exchange, b []byte) {
	allowed := true
	if own(x) {
		if a := p.ask(x); a != nil {
			allowed = a.chunk(b)
		}
	} else if c := p.call(x); c != nil {
		allowed = c.chunk(b)
	}
	if !allowed {
		p.s.protocolError(p.g, "exchange %d: %d bytes of a body that it may not send", x, len(b))
	}
}

func (p peer) BodyEnd(x guest.Exchange) {
	if own(x) {
		if a := p.ask(x); a != nil {
			a.endOfBody(func() { a.asker.BodyEnd() })
		}
		return
	}
	if c := p.call(x); c != nil {
		c.endOfBody(func() { c.answer.BodyEnd() })
	}
}

func (p peer) BodyAbort(x guest.Exchange, reason string) {
	if own(x) {
		if a := p.ask(x); a != nil {
			a.endOfBody(func() { a.asker.BodyAbort(reason) })
		}
		return
	}
	if c := p.call(x); c != nil {
		c.endOfBody(func() { c.answer.BodyAbort(reason) })
	}
}

// Credit is for the side that sends a body, and passes no gate: it tells what
// was read.
func (p peer) Credit(x guest.Exchange, n uint32) {
	if own(x) {
		if a := p.ask(x); a != nil && a.asker != nil && a.open&response != 0 {
			a.asker.Credit(n)
		}
		return
	}
	if c := p.call(x); c != nil && c.open&request != 0 {
		c.answer.Credit(n)
	}
}

func (p peer) Cancel(x guest.Exchange, reason string) {
	if own(x) {
		if a := p.ask(x); a != nil {
			a.cancel(reason)
		}
		return
	}
	if c := p.call(x); c != nil {
		c.refused(reason)
	}
}

func (p peer) Failure(x guest.Exchange, e *dormouse.Error) {
	if c := p.call(x); c != nil {
		c.blame(AlarmFailed)
		c.failed(e)
		c.gated(256, func() { c.fail(e) })
	}
}
