package guesttest

import (
	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

var _ guest.RPC = (*Guest)(nil)

// OpenSession begins a session. i is nil for the Worker.
func (g *Guest) OpenSession(i *Instance, to guest.Target, first string) guest.Session {
	g.sessions += 2
	x, from := g.sessions-1, guest.Object(0)
	if i != nil {
		from = i.Object
	}
	g.Host.OpenSession(g, x, from, to, &guest.Opening{First: []byte(first)})
	return x
}

// Sessions is where the rest of sessions is said.
func (g *Guest) Sessions() guest.Sessions { return g.Host.FromSessions(g) }

// BeginSession is an event, whose end OnSession says if it is set.
func (g *Guest) BeginSession(x guest.Session, o guest.Object, s *guest.Opening) {
	g.hear("session %d of %d %s%s", x, o, s.Entrypoint, short(string(s.First)))
	begin := func() {
		switch {
		case g.OnSession != nil:
			g.OnSession(g.instances[o], x, s)
		case g.Auto:
			g.Sessions().SessionClose(x, []byte("done"))
		}
	}
	if o == 0 {
		g.later(begin)
		return
	}
	g.event(g.instances[o], begin)
}

func (g *Guest) SessionMessage(x guest.Session, p []byte) {
	g.hear("session %d message %s", x, short(string(p)))
}
func (g *Guest) SessionCredit(x guest.Session, n uint32) { g.hear("session %d credit %d", x, n) }
func (g *Guest) SessionClose(x guest.Session, last []byte) {
	g.hear("session %d close %s", x, short(string(last)))
}
func (g *Guest) SessionFailure(x guest.Session, e *dormouse.Error) {
	g.hear("session %d failure %s%s", x, e.Error(), Flags(e))
}

// hostSessions writes down what a guest says of sessions.
type hostSessions struct {
	h *Host
	g guest.Guest
}

func (s hostSessions) SessionMessage(x guest.Session, p []byte) {
	s.h.hear(s.g, "session %d message %d bytes", x, len(p))
}
func (s hostSessions) SessionCredit(x guest.Session, n uint32) {
	s.h.hear(s.g, "session %d credit %d", x, n)
}
func (s hostSessions) SessionClose(x guest.Session, last []byte) {
	s.h.hear(s.g, "session %d close %d bytes", x, len(last))
}
func (s hostSessions) SessionFailure(x guest.Session, e *dormouse.Error) {
	s.h.hear(s.g, "session %d failure %s%s", x, e.Error(), Flags(e))
}
