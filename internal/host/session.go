package host

import (
	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/observe"
	"github.com/dormouse-dev/dormouse/internal/observe/trace"
)

// Bounds of sessions. A guest opens no more than maxSessions; past maxUntaken
// bytes that it has not taken it gets no new ones.
const (
	maxSessions = 64 << 10
	maxUntaken  = 64 << 20
)

// Line is one side's hold on an RPC session: what is said to it reaches the
// other side, in order. Methods may be called on any goroutine, one at a time;
// slices are borrowed. After Close or Fail of either side nothing is said.
type Line interface {
	Message(p []byte)
	Credit(n uint32)
	Close(last []byte)
	Fail(*dormouse.Error)
}

// session is one guest's end of a session, and the Line of whoever has the
// other end. What the guest says passes the object's gate.
type session struct {
	shard  *Shard
	object *resident // nil: the Worker
	near   bool      // the other end speaks on our own loop

	// Owned by the loop.
	guest  guest.RPC // nil until it has been delivered
	life   *life
	x      guest.Session
	far    Line     // nil until the opening has passed the gate
	early  []func() // what the other end has said before
	over   bool     // nothing more is said, to either
	last   bool     // the guest has said its last word, which may be behind the gate
	window int      // bytes of messages that the guest may still send
}

// OpenSession is the first call of a guest to an object, an entrypoint or a
// service.
func (s *Shard) OpenSession(g guest.Guest, x guest.Session, from guest.Object, to guest.Target, o *guest.Opening) {
	l := s.lives[g]
	if l == nil {
		return
	}
	rpc, ok := g.(guest.RPC)
	if !ok || x&1 == 0 || l.sessions[x] != nil || len(l.sessions) >= maxSessions {
		s.protocolError(g, "session %d cannot be opened by a guest that has %d", x, len(l.sessions))
		return
	}
	c := &session{shard: s, guest: rpc, x: x, object: s.at(g, from), window: guest.Window}
	o.Trace = l.takeTraced()
	if from != 0 && c.object == nil {
		return // it crossed the end of the activation
	}
	c.enter(l)
	c.gated(len(o.First)+512, func() { c.connect(g, to, o) })
}

// connect has the other end begin.
func (c *session) connect(g guest.Guest, to guest.Target, o *guest.Opening) {
	s := c.shard
	switch to.Kind {
	case guest.ToObject:
		t, ok := s.target(g, to)
		if !ok {
			c.end()
			return
		}
		if t.failure != nil {
			c.Fail(t.failure)
			return
		}
		o.Foreign = t.foreign
		c.near = t.shard == s
		c.far = t.shard.Connect(t.key, t.class, t.name, o, c)
	case guest.ToService:
		c.connectFront(g, to.Index, o)
	case guest.ToSelf:
		// The very guest that asks: the code is the same, and so are its globals.
		far := &session{shard: s, far: c, near: true, window: guest.Window}
		c.near, c.far = true, far
		far.begin(g, 0, o)
	default:
		c.Fail(&dormouse.Error{Name: "TypeError", Message: "This binding has no methods: it can only be asked with fetch()."})
	}
}

// Connect begins a session with an object. name is its name if the caller knows
// it. What the object says goes to back. May be called on any goroutine.
func (s *Shard) Connect(k dormouse.Key, class int, name *string, o *guest.Opening, back Line) Line {
	c := &session{shard: s, far: back, window: guest.Window}
	s.Loop.Post(func() {
		if s.refuses(k, class, c.fail) {
			return
		}
		r := s.resident(k, class)
		if r.live != nil && r.guest.Backlog() > maxUntaken {
			c.fail(overloadedBytes())
			return
		}
		if name != nil {
			r.name, r.hasName = *name, true
		}
		c.object = r
		r.event(len(o.First)+len(o.Props)+512, func(g guest.Guest) { c.begin(g, r.num, o) }, c.fail)
	})
	return c
}

var errNoSessions = dormouse.Error{Name: "TypeError", Message: "What was called has no RPC."}

// begin delivers the session.
func (c *session) begin(g guest.Guest, num guest.Object, o *guest.Opening) {
	l := c.shard.lives[g]
	rpc, ok := g.(guest.RPC)
	if l == nil || !ok {
		c.fail(&errNoSessions)
		return
	}
	c.guest, c.x = rpc, l.nextSession()
	c.enter(l)
	if r := c.object; r != nil {
		r.live.requests = append(r.live.requests, r.m.Delivered())
	}
	c.announce(g, o.Trace)
	c.name()
	rpc.BeginSession(c.x, num, o)
	early := c.early
	c.early = nil
	for _, f := range early {
		f()
	}
}

func (c *session) enter(l *life) {
	c.life = l
	l.sessions[c.x] = c
	if o := c.object; o != nil {
		if o.live.sessions == nil {
			o.live.sessions = make(map[*session]struct{})
		}
		o.live.sessions[c] = struct{}{}
	}
}

// nextSession is the number of a session that the host begins.
func (l *life) nextSession() guest.Session {
	for {
		l.lastSession += 2
		if l.lastSession != 0 && l.sessions[l.lastSession] == nil {
			return l.lastSession
		}
	}
}

// forget takes the number back: the guest has none of it any more.
func (c *session) forget() {
	if c.life != nil && c.life.sessions[c.x] == c {
		delete(c.life.sessions, c.x)
		c.shard.retiredIfEmpty(c.life)
	}
}

func (c *session) end() {
	c.over = true
	c.forget()
	if o := c.object; o != nil {
		delete(o.parting, c)
		if o.live != nil {
			delete(o.live.sessions, c)
		}
	}
}

// fail breaks the session off on this end: its object or its guest is gone, or
// it could not begin.
func (c *session) fail(e *dormouse.Error) {
	if c.over {
		return
	}
	c.end()
	if c.far != nil {
		c.far.Fail(e)
	}
}

// gated says an output of the object now or behind its commits.
func (c *session) gated(size int, say func()) { c.object.say(size, &c.over, say) }

// The Line: what the other end says, to the guest.

func (c *session) say(f func()) {
	if c.near {
		f()
		return
	}
	c.shard.Loop.Post(f)
}

// deliver says something to the guest, or keeps it until the guest has the
// beginning. A session in a mailbox has been given at most a window of messages.
func (c *session) deliver(f func()) {
	c.say(func() {
		switch {
		case c.over || c.last:
		case c.guest == nil:
			c.early = append(c.early, f)
		default:
			f()
		}
	})
}

func (c *session) Message(p []byte) {
	if !c.near || c.guest == nil {
		p = append([]byte(nil), p...)
	}
	c.deliver(func() {
		c.guest.SessionMessage(c.x, p)
		if g, ok := c.guest.(guest.Guest); ok {
			c.shard.throttle(g)
		}
	})
}

func (c *session) Credit(n uint32) {
	c.deliver(func() {
		c.window = min(c.window+int(n), guest.Window)
		c.guest.SessionCredit(c.x, n)
	})
}

func (c *session) Close(last []byte) {
	if !c.near || c.guest == nil {
		last = append([]byte(nil), last...)
	}
	c.deliver(func() {
		c.guest.SessionClose(c.x, last)
		c.end()
	})
}

func (c *session) Fail(e *dormouse.Error) {
	c.deliver(func() {
		c.guest.SessionFailure(c.x, e)
		c.end()
	})
}

// FromSessions takes what a guest says in its sessions. What it says in one that
// has ended crossed its end.
func (s *Shard) FromSessions(g guest.Guest) guest.Sessions { return sessions{s, g} }

type sessions struct {
	s *Shard
	g guest.Guest
}

func (s sessions) at(x guest.Session) *session {
	if l := s.s.lives[s.g]; l != nil {
		return l.sessions[x]
	}
	return nil
}

func (s sessions) SessionMessage(x guest.Session, p []byte) {
	c := s.at(x)
	if c == nil {
		return
	}
	if c.window <= 0 {
		s.s.protocolError(s.g, "session %d: %d bytes without credit", x, len(p))
		return
	}
	c.window -= len(p)
	if c.object == nil || c.object.Open() {
		c.far.Message(p)
		return
	}
	p = append([]byte(nil), p...)
	c.gated(len(p), func() { c.far.Message(p) })
}

// SessionCredit passes no gate: it tells what was read.
func (s sessions) SessionCredit(x guest.Session, n uint32) {
	if c := s.at(x); c != nil && c.far != nil {
		c.far.Credit(n)
	}
}

func (s sessions) SessionClose(x guest.Session, last []byte) {
	s.lastWord(x, last, func(c *session, last []byte) { c.far.Close(last) })
}

func (s sessions) SessionFailure(x guest.Session, e *dormouse.Error) {
	s.lastWord(x, nil, func(c *session, _ []byte) { c.far.Fail(e) })
}

// lastWord passes on what the guest says at the end. Until it has passed the
// gate it can still be lost with a commit, but not with the instance.
func (s sessions) lastWord(x guest.Session, last []byte, say func(*session, []byte)) {
	c := s.at(x)
	if c == nil {
		return
	}
	c.last = true
	c.forget()
	if c.object != nil && !c.object.Open() {
		last = append([]byte(nil), last...)
	}
	c.gated(len(last)+64, func() {
		c.end()
		say(c, last)
	})
}

// announce tells the guest which trace the session belongs to.
func (c *session) announce(g guest.Guest, context string) {
	if c.object != nil {
		parent, _ := trace.ParseText(context)
		c.object.traced(observe.Request, parent)
		return
	}
	if t, ok := g.(guest.Tracing); ok && context != "" {
		t.Trace(context)
	}
}
