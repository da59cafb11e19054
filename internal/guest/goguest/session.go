package goguest

import (
	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

var _ guest.RPC = (*Guest)(nil)

var errNoRPC = &dormouse.Error{
	Name: "TypeError", Remote: true,
	Message: "The receiving object is written in Go, which has no RPC from JavaScript: ask it with fetch().",
}

// BeginSession refuses: methods of Go objects are called with server.Call.
func (g *Guest) BeginSession(x guest.Session, o guest.Object, _ *guest.Opening) {
	if i := g.instances[o]; i != nil {
		i.deliver(&event{i: i, work: refusal{x}})
		return
	}
	g.crew.tell(func() { g.host.FromSessions(g).SessionFailure(x, errNoRPC) })
}

// refusal is a session with an object, as an event.
type refusal struct{ x guest.Session }

// run implements work.
func (r refusal) run(e *event) error {
	i := e.i
	i.mu.Lock()
	defer i.mu.Unlock()
	i.outLocked().later(func() { i.g.host.FromSessions(i.g).SessionFailure(r.x, errNoRPC) })
	return nil
}

// drop implements work.
func (refusal) drop(*event, *dormouse.Error) {}

// What would follow in a session: there is none.

func (g *Guest) SessionMessage(guest.Session, []byte)          {}
func (g *Guest) SessionCredit(guest.Session, uint32)           {}
func (g *Guest) SessionClose(guest.Session, []byte)            {}
func (g *Guest) SessionFailure(guest.Session, *dormouse.Error) {}
