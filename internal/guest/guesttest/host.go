package guesttest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/brief"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// Host is a host without objects: it writes down what guests say, one line
// each, and whom it has to do with. Its lines may be read on any goroutine.
type Host struct {
	// OnReady, OnFrame and OnTaken are called on the loop, if set: when a guest is
	// ready, after each line, and with Taken.
	OnReady func(guest.Guest)
	OnFrame func(g guest.Guest, line string)
	OnTaken func(guest.Guest)

	mu          sync.Mutex // guards the following
	heard       []string
	guests      []guest.Guest
	attachments map[dormouse.SocketID][]byte
	changed     chan struct{}
}

// NewHost returns a host that has heard nothing.
func NewHost() *Host {
	return &Host{changed: make(chan struct{}), attachments: make(map[dormouse.SocketID][]byte)}
}

func (h *Host) hear(g guest.Guest, format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	h.mu.Lock()
	h.heard = append(h.heard, line)
	close(h.changed)
	h.changed = make(chan struct{})
	h.mu.Unlock()
	if h.OnFrame != nil {
		h.OnFrame(g, line)
	}
}

// Heard is what guests have said so far.
func (h *Host) Heard() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.heard)
}

// Guests are those that were ready, oldest first.
func (h *Host) Guests() []guest.Guest {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.guests)
}

// Kept is the attachment of a socket as a guest has written it.
func (h *Host) Kept(s dormouse.SocketID) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.attachments[s]
}

// Changed waits until something more is heard, for so long at most.
func (h *Host) Changed(limit time.Duration) {
	h.mu.Lock()
	changed := h.changed
	h.mu.Unlock()
	select {
	case <-changed:
	case <-time.After(min(limit, 10*time.Millisecond)): // it may have been before
	}
}

// Forget drops lines from the n-th on.
func (h *Host) Forget(n int, these func(line string) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = append(h.heard[:n:n], slices.DeleteFunc(slices.Clone(h.heard[n:]), these)...)
}

// Wait returns the first line that begins with prefix, and that skip lines like
// it have gone before; ok is false when none has come within the limit.
func (h *Host) Wait(prefix string, skip int, limit time.Duration) (line string, ok bool) {
	late := time.After(limit)
	for {
		h.mu.Lock()
		n, changed := skip, h.changed
		for _, line := range h.heard {
			if strings.HasPrefix(line, prefix) {
				if n--; n < 0 {
					h.mu.Unlock()
					return line, true
				}
			}
		}
		h.mu.Unlock()
		select {
		case <-changed:
		case <-late:
			return "", false
		}
	}
}

// The contract, one line for each.

func (h *Host) Ready(g guest.Guest, r guest.Ready) {
	h.mu.Lock()
	h.guests = append(h.guests, g)
	h.mu.Unlock()
	if h.OnReady != nil {
		h.OnReady(g)
	}
	h.hear(g, "ready %d", g.Incarnation())
}

func (h *Host) Started(g guest.Guest, o guest.Object, _ time.Duration) { h.hear(g, "started %d", o) }
func (h *Host) StartFailed(g guest.Guest, o guest.Object, e *dormouse.Error) {
	h.hear(g, "start failed %d %s%s", o, e.Error(), Flags(e))
}
func (h *Host) Progress(g guest.Guest, o guest.Object, p guest.Progress) {
	h.hear(g, "progress %d begun %d finished %d tasks %d", o, p.Started, p.Finished, p.Tasks)
}
func (h *Host) Aborted(g guest.Guest, o guest.Object, e *dormouse.Error, a guest.Abort) {
	h.hear(g, "aborted %d %s%s drop=%v", o, e.Error(), Flags(e), a.DropSockets)
}
func (h *Host) Waited(g guest.Guest, o guest.Object, d time.Duration) {
	h.hear(g, "waited %d %v", o, d)
}

// What is only for people is not part of the contract: a guest may leave it out.

func (h *Host) InTrace(guest.Guest, string)              {}
func (h *Host) Blamed(guest.Guest, guest.Object, uint32) {}
func (h *Host) Caused(guest.Guest, bool, uint32)         {}

func (h *Host) Direct(guest.Guest, guest.Object, uint32, time.Duration) {}
func (h *Host) CausedDirectly(guest.Guest, guest.Object, uint32)        {}

func (h *Host) Asleep(g guest.Guest, o guest.Object)       { h.hear(g, "asleep %d", o) }
func (h *Host) Awake(g guest.Guest, o guest.Object)        { h.hear(g, "awake %d", o) }
func (h *Host) SnapshotHeld(g guest.Guest, o guest.Object) { h.hear(g, "snapshot held %d", o) }
func (h *Host) Checkpointed(g guest.Guest, o guest.Object, frames int) {
	h.hear(g, "checkpointed %d frames %d", o, frames)
}
func (h *Host) DatabaseClosed(g guest.Guest, o guest.Object) { h.hear(g, "database closed %d", o) }
func (h *Host) Report(g guest.Guest, query uint32, report []byte) {
	h.hear(g, "report %d %s", query, report)
}
func (h *Host) Log(g guest.Guest, o guest.Object, level int, _ time.Time, text []byte) {
	h.hear(g, "log %d level %d %s", o, level, text)
}
func (h *Host) Send(g guest.Guest, s dormouse.SocketID, text bool, payload []byte) {
	h.hear(g, "send %s %s", Socket(s), Payload(text, payload))
}
func (h *Host) SendAll(g guest.Guest, s dormouse.SocketID, run brief.Run) {
	for text, payload := range run.All() {
		h.Send(g, s, text, payload)
	}
}
func (h *Host) Broadcast(g guest.Guest, to guest.Sockets, text bool, payload []byte) {
	for i := range to.Len() {
		h.hear(g, "send %s %s", Socket(to.At(i)), Payload(text, payload))
	}
}
func (h *Host) Close(g guest.Guest, s dormouse.SocketID, code uint16, reason string) {
	h.hear(g, "close %s %d %q", Socket(s), code, reason)
}
func (h *Host) Accept(g guest.Guest, o guest.Object, s dormouse.SocketID, tags []string) {
	h.hear(g, "accept %d %s %q", o, Socket(s), tags)
}
func (h *Host) Attachment(g guest.Guest, s dormouse.SocketID, value []byte) {
	h.mu.Lock()
	h.attachments[s] = slices.Clone(value)
	h.mu.Unlock()
	h.hear(g, "attachment %s %d bytes", Socket(s), len(value))
}
func (h *Host) AutoResponse(g guest.Guest, o guest.Object, p *guest.Pair) {
	h.hear(g, "auto-response %d %v", o, p)
}
func (h *Host) EventTimeout(g guest.Guest, o guest.Object, d time.Duration) {
	h.hear(g, "event timeout %d %v", o, d)
}
func (h *Host) Open(g guest.Guest, s dormouse.SocketID, o guest.Object) {
	h.hear(g, "open %s %d", Socket(s), o)
}
func (h *Host) Release(g guest.Guest, s dormouse.SocketID) { h.hear(g, "release %s", Socket(s)) }
func (h *Host) Pause(g guest.Guest, s dormouse.SocketID, paused bool) {
	h.hear(g, "pause %s %v", Socket(s), paused)
}
func (h *Host) Commit(g guest.Guest, o guest.Object, n uint32, unconfirmed bool) {
	h.hear(g, "commit %d %d unconfirmed=%v", o, n, unconfirmed)
}
func (h *Host) AwaitDurable(g guest.Guest, o guest.Object, n uint32) {
	h.hear(g, "await durable %d %d", o, n)
}
func (h *Host) SetAlarm(g guest.Guest, o guest.Object, at time.Time, committed bool) {
	h.hear(g, "set alarm %d %v %v", o, at.UnixMilli(), committed)
}
func (h *Host) FoundAlarm(g guest.Guest, o guest.Object, at time.Time) {
	h.hear(g, "found alarm %d %v", o, at.UnixMilli())
}
func (h *Host) AskPast(g guest.Guest, o guest.Object, q uint32, what guest.PastQuestion, at time.Time, bookmark string) {
	h.hear(g, "ask past %d of %d: %d %v %s", q, o, what, at.UnixMilli(), bookmark)
}
func (h *Host) Ask(g guest.Guest, x guest.Exchange, from guest.Object, to guest.Target, r *guest.Request) {
	h.hear(g, "ask %d from %d kind %d %s %s", x, from, to.Kind, r.Method, r.URL)
}
func (h *Host) Done(g guest.Guest, x guest.Exchange) { h.hear(g, "done %d", x) }
func (h *Host) FromPeer(g guest.Guest) guest.Peer    { return hostPeer{h, g} }
func (h *Host) OpenSession(g guest.Guest, x guest.Session, from guest.Object, to guest.Target, s *guest.Opening) {
	h.hear(g, "open session %d from %d kind %d %d bytes", x, from, to.Kind, len(s.First))
}
func (h *Host) FromSessions(g guest.Guest) guest.Sessions          { return hostSessions{h, g} }
func (h *Host) Gone(g guest.Guest, why error)                      { h.hear(g, "gone %d: %v", g.Incarnation(), why) }
func (h *Host) Unfit(_ guest.Place, e *dormouse.Error)             { h.hear(nil, "unfit %s", e.Error()) }
func (h *Host) Retire(_ guest.Guest, _ time.Duration, gone func()) { gone() }

func (h *Host) Taken(g guest.Guest) {
	if h.OnTaken != nil {
		h.OnTaken(g)
	}
}

func (h *Host) Remains(g guest.Guest, begun, unbegun []guest.Event) {
	for _, e := range begun {
		h.hear(g, "begun %s %s %s", e.Kind, Socket(e.Socket), e.Payload)
	}
	for _, e := range unbegun {
		h.hear(g, "not begun %s %s %s", e.Kind, Socket(e.Socket), e.Payload)
	}
}

func (h *Host) Culprit(g guest.Guest, o guest.Object) {
	if o != 0 {
		h.hear(g, "culprit %d", o)
	}
}

// Payload is a message as the lines have it.
func Payload(text bool, payload []byte) string {
	if text {
		return "text " + short(string(payload))
	}
	return "binary " + short(string(payload))
}

// hostPeer writes down what a guest says of exchanges.
type hostPeer struct {
	h *Host
	g guest.Guest
}

func (p hostPeer) Response(x guest.Exchange, r *guest.Response) {
	note := ""
	if r.Socket != 0 {
		note = " socket " + Socket(r.Socket)
	}
	p.h.hear(p.g, "response %d %d%s", x, r.Status, note)
}
func (p hostPeer) Body(x guest.Exchange, b []byte) { p.h.hear(p.g, "body %d %s", x, short(string(b))) }
func (p hostPeer) BodyEnd(x guest.Exchange)        { p.h.hear(p.g, "body-end %d", x) }
func (p hostPeer) BodyAbort(x guest.Exchange, reason string) {
	p.h.hear(p.g, "body-abort %d %s", x, reason)
}
func (p hostPeer) Credit(x guest.Exchange, n uint32)      { p.h.hear(p.g, "credit %d %d", x, n) }
func (p hostPeer) Cancel(x guest.Exchange, reason string) { p.h.hear(p.g, "cancel %d %s", x, reason) }
func (p hostPeer) Failure(x guest.Exchange, e *dormouse.Error) {
	p.h.hear(p.g, "failure %d %s%s", x, e.Error(), Flags(e))
}
