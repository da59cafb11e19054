// Package guesttest is a guest without code, for tests of what stands on the
// other side: it writes down what the host says, and says what a test tells it.
// With Auto it behaves as a guest of empty handlers would.
package guesttest

import (
	"fmt"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/brief"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
)

// Guest is a guest.Guest. Like any guest it belongs to a loop; use its fields
// and methods there. What it says to the host by itself it says in a later
// round, as a process does.
type Guest struct {
	// Set once, before use.
	Host   guest.Host
	Loop   *loop.Loop
	Number uint32 // its incarnation
	// Auto has it answer by itself: constructors run, handlers begin and end
	// with the batch that brought their events, and an object leaves when it is
	// asked and nothing speaks against it.
	Auto bool
	// OnMessage and OnRequest are the handlers of every object, if set. They run
	// in the order of the events, also without Auto when Turn is called.
	OnMessage func(i *Instance, s dormouse.SocketID, text bool, payload string)
	OnRequest func(i *Instance, x guest.Exchange, r *guest.Request) // i is nil for the Worker
	OnSession func(i *Instance, x guest.Session, s *guest.Opening)  // as OnRequest

	// NoLedger has it keep no account of what it was given. Only then is it told
	// many messages at once; Runs is how often it was.
	NoLedger bool
	Runs     int

	// What the host has said since Take, one line each; nothing with Deaf.
	Heard []string
	Deaf  bool
	// Behind is what Backlog answers.
	Behind int
	// Holds has it handle nothing of what it is told until Handle is called.
	Holds bool
	// Broken is why the host has given it up; it says nothing any more then.
	Broken error

	instances map[guest.Object]*Instance
	owners    map[dormouse.SocketID]*Instance
	last      *Instance
	turns     []func() // what the next batch is about
	pairs     uint32
	asks      guest.Exchange
	sessions  guest.Session
	told      uint64
	handled   uint64
	gone      bool
	noting    *ledger // of the event that comes next
}

var _ guest.Guest = (*Guest)(nil)

// Instance is an activation in a Guest.
type Instance struct {
	guest.Activation
	Guest    *Guest
	Progress guest.Progress // as it will be told next
	Commits  uint32
	Gone     bool

	sockets []dormouse.SocketID // hibernatable ones, also those that have ended
}

// New makes a guest of the given incarnation. Ready introduces it to its host.
func New(h guest.Host, l *loop.Loop, incarnation uint32) *Guest {
	return &Guest{
		Host: h, Loop: l, Number: incarnation,
		instances: make(map[guest.Object]*Instance),
		owners:    make(map[dormouse.SocketID]*Instance),
	}
}

// Ready tells the host that the guest's module is loaded.
func (g *Guest) Ready() { g.Host.Ready(g, guest.Ready{}) }

// ReadyAs is Ready for a place and with code of its own.
func (g *Guest) ReadyAs(p guest.Place, c *guest.Code) {
	g.Host.Ready(g, guest.Ready{Place: p, Code: c})
}

// Die ends the guest.
func (g *Guest) Die(why error) {
	g.gone = true
	g.Host.Gone(g, why)
}

// Break implements what a host does to a guest that it cannot believe.
func (g *Guest) Break(err error) { g.Broken = err }

// Take returns what the host has said and forgets it.
func (g *Guest) Take() []string {
	heard := g.Heard
	g.Heard = nil
	return heard
}

// Instance is the activation of that number, nil when it has ended.
func (g *Guest) Instance(o guest.Object) *Instance { return g.instances[o] }

// Last is the latest activation, also when it has ended.
func (g *Guest) Last() *Instance { return g.last }

// Live is the number of instances in memory.
func (g *Guest) Live() int { return len(g.instances) }

// Pair makes the ends of a new pair.
func (g *Guest) Pair() (dormouse.SocketID, dormouse.SocketID) {
	g.pairs += 2
	id := dormouse.SocketID(g.Number)<<32 | dormouse.SocketID(g.pairs)
	return id, id.Peer()
}

// Ask begins an exchange. i is nil for the Worker.
func (g *Guest) Ask(i *Instance, to guest.Target, r *guest.Request) guest.Exchange {
	x := g.asks*2 + 1
	g.asks++
	var from guest.Object
	if i != nil {
		from = i.Object
	}
	g.Host.Ask(g, x, from, to, r)
	return x
}

// Peer says the rest of an exchange.
func (g *Guest) Peer() guest.Peer { return g.Host.FromPeer(g) }

// Respond answers a request whole.
func (g *Guest) Respond(x guest.Exchange, status int, body string) {
	g.Peer().Response(x, &guest.Response{Status: status, HasBody: body != ""})
	if body != "" {
		g.Peer().Body(x, []byte(body))
		g.Peer().BodyEnd(x)
	}
}

// Accept takes a socket for an object, as acceptWebSocket does.
func (i *Instance) Accept(s dormouse.SocketID, tags ...string) {
	i.own(s)
	i.Guest.Host.Accept(i.Guest, i.Object, s, tags)
}

func (i *Instance) own(s dormouse.SocketID) {
	i.Guest.owners[s] = i
	i.sockets = append(i.sockets, s)
}

// Open takes a socket as a standard one.
func (i *Instance) Open(s dormouse.SocketID) { i.Guest.Host.Open(i.Guest, s, i.Object) }

// Send sends text from the end s.
func (g *Guest) Send(s dormouse.SocketID, text string) { g.Host.Send(g, s, true, []byte(text)) }

// Commit tells of the next transaction.
func (i *Instance) Commit() uint32 {
	i.Commits++
	i.Guest.Host.Commit(i.Guest, i.Object, i.Commits, false)
	return i.Commits
}

// Tell reports the progress that has been made.
func (i *Instance) Tell() {
	if !i.Gone {
		i.Guest.Host.Progress(i.Guest, i.Object, i.Progress)
	}
}

// Tasks changes what else keeps the object in memory, and reports it.
func (i *Instance) Tasks(n int) {
	i.Progress.Tasks = uint32(n)
	i.Tell()
}

// Leave ends the instance; the host has to be told separately.
func (i *Instance) Leave() {
	i.Gone = true
	g := i.Guest
	delete(g.instances, i.Object)
	for _, s := range i.sockets {
		delete(g.owners, s)
	}
}

// Abort ends the instance as ctx.abort does.
func (i *Instance) Abort(reason string) {
	i.Tell()
	i.Leave()
	i.Guest.Host.Aborted(i.Guest, i.Object, &dormouse.Error{Message: reason, ObjectReset: true}, guest.Abort{DropSockets: true})
}

// Turn handles every event that has come: it begins, its handler runs, it ends.
func (g *Guest) Turn() {
	turns := g.turns
	g.turns = nil
	for _, f := range turns {
		if g.gone || g.Broken != nil {
			return
		}
		f()
	}
}

// later has f run with the next batch.
func (g *Guest) later(f func()) {
	g.turns = append(g.turns, f)
	if g.Auto && len(g.turns) == 1 {
		g.Loop.Post(g.Turn)
	}
}

// event is an event of an instance: it begins with the next batch, and ends.
func (g *Guest) event(i *Instance, handler func()) {
	if i == nil || i.Gone {
		return
	}
	g.later(func() {
		if i.Gone {
			return
		}
		i.Progress.Started++
		if handler != nil {
			handler()
		}
		i.Progress.Finished++
		i.Tell()
	})
}

func (g *Guest) hear(format string, args ...any) {
	g.told++
	if !g.gone && !g.Deaf {
		g.Heard = append(g.Heard, fmt.Sprintf(format, args...))
	}
}

// Told and Handled implement guest.Handler.
func (g *Guest) Told() uint64 { return g.told }
func (g *Guest) Handled() uint64 {
	if !g.Holds {
		g.handled = g.told
	}
	return g.handled
}

// Handle has it handle all that it has been told. The host is not told.
func (g *Guest) Handle() { g.handled = g.told }

// The contract, one line of Heard for each.

func (g *Guest) Start(a guest.Activation) {
	g.hear("start %d%s", a.Object, describe(&a))
	for n := range a.Sockets { // attachments and tags are borrowed
		s := &a.Sockets[n]
		s.Attachment = append([]byte(nil), s.Attachment...)
	}
	i := &Instance{Activation: a, Guest: g}
	g.instances[a.Object], g.last = i, i
	for _, s := range a.Sockets {
		i.own(s.ID)
	}
	g.later(func() {
		if !i.Gone {
			g.Host.Started(g, a.Object, time.Millisecond)
			i.Tell()
		}
	})
}

// describe is an activation without its number.
func describe(a *guest.Activation) string {
	var b strings.Builder
	if a.HasName {
		fmt.Fprintf(&b, " name=%s", a.Name)
	}
	if a.Pair != nil {
		fmt.Fprintf(&b, " pair=%s/%s", a.Pair.Request, a.Pair.Response)
	}
	if a.EventTimeout != 0 {
		fmt.Fprintf(&b, " timeout=%v", a.EventTimeout)
	}
	for _, s := range a.Sockets {
		fmt.Fprintf(&b, " [%s%s]", Socket(s.ID), row(&s))
	}
	return b.String()
}

func row(s *guest.Socket) string {
	var b strings.Builder
	if s.WeClosed {
		b.WriteString(" we-closed")
	}
	if s.PeerClosed {
		b.WriteString(" peer-closed")
	}
	if len(s.Tags) > 0 {
		fmt.Fprintf(&b, " tags=%s", strings.Join(s.Tags, ","))
	}
	if s.Attachment != nil {
		fmt.Fprintf(&b, " attachment=%s", s.Attachment)
	}
	if !s.Stamp.IsZero() {
		fmt.Fprintf(&b, " stamp=%s", s.Stamp.UTC().Format("05.000"))
	}
	return b.String()
}

// Socket is a short name for an end: its incarnation and its number there.
func Socket(s dormouse.SocketID) string { return fmt.Sprintf("%d.%d", s.Incarnation(), uint32(s)) }

func (g *Guest) Message(s dormouse.SocketID, text bool, payload []byte) {
	p := string(payload)
	g.note(guest.Event{Socket: s, Text: text, Payload: []byte(p)})
	g.hear("message %s %s", Socket(s), Payload(text, payload))
	i := g.owners[s]
	g.event(i, func() {
		if g.OnMessage != nil {
			g.OnMessage(i, s, text, p)
		}
	})
}

// Messages implements guest.Listener.
func (g *Guest) Messages(s dormouse.SocketID, run brief.Run) {
	g.Runs++
	for text, payload := range run.All() {
		g.Message(s, text, payload)
	}
}

func short(s string) string {
	if len(s) > 64 {
		return fmt.Sprintf("%d bytes", len(s))
	}
	return s
}

func (g *Guest) Closed(s dormouse.SocketID, c guest.Closing) {
	note := ""
	if c.Clean {
		note += " clean"
	}
	if c.Ended {
		note += " ended"
	}
	g.note(guest.Event{Socket: s, Kind: guest.ClosedEvent, Closing: c})
	g.hear("closed %s %d %q%s", Socket(s), c.Code, c.Reason, note)
	g.event(g.owners[s], nil)
}

func (g *Guest) Errored(s dormouse.SocketID, message string) {
	g.note(guest.Event{Socket: s, Kind: guest.ErroredEvent, Payload: []byte(message)})
	g.hear("errored %s %s", Socket(s), message)
	g.event(g.owners[s], nil)
}

func (g *Guest) Request(x guest.Exchange, o guest.Object, r *guest.Request) {
	g.hear("request %d of %d %s %s", x, o, r.Method, r.URL)
	if o == 0 {
		g.later(func() { g.handle(nil, x, r) })
		return
	}
	i := g.instances[o]
	g.event(i, func() { g.handle(i, x, r) })
}

func (g *Guest) handle(i *Instance, x guest.Exchange, r *guest.Request) {
	if g.OnRequest != nil {
		g.OnRequest(i, x, r)
	} else if g.Auto {
		g.Respond(x, 200, "")
	}
}

func (g *Guest) Alarm(x guest.Exchange, o guest.Object, scheduled time.Time, retry int) {
	g.hear("alarm %d of %d retry %d", x, o, retry)
	g.event(g.instances[o], func() {
		if g.Auto {
			g.Host.Done(g, x)
		}
	})
}

var modes = [...]string{"if-idle", "if-quiet", "now", "evict"}

func (g *Guest) Hibernate(o guest.Object, delivered uint32, m guest.Mode) {
	g.hear("hibernate %d after %d %s", o, delivered, modes[m])
	i := g.instances[o]
	g.later(func() {
		if i == nil || i.Gone || !g.Auto {
			return
		}
		quiet := i.Progress.Finished == delivered && i.Progress.Started == delivered
		if m == guest.Now || quiet && (i.Progress.Tasks == 0 || m != guest.IfIdle) {
			i.Leave()
			g.Host.Asleep(g, o)
			return
		}
		g.Host.Awake(g, o)
	})
}

func (g *Guest) Reset(o guest.Object, e *dormouse.Error) {
	g.hear("reset %d %s", o, e.Error())
	i := g.instances[o]
	g.later(func() {
		if i != nil && !i.Gone && g.Auto {
			i.Leave()
			g.Host.Asleep(g, o)
		}
	})
}

func (g *Guest) Durable(o guest.Object, commit uint32) { g.hear("durable %d %d", o, commit) }
func (g *Guest) Why(query uint32, o guest.Object)      { g.hear("why %d of %d", query, o) }

func (g *Guest) Checkpoint(o guest.Object, s guest.CheckpointStep) {
	g.hear("checkpoint %d %s", o, [...]string{"hold", "move", "end"}[s])
}
func (g *Guest) Past(o guest.Object, q uint32, ok bool, text string) {
	g.hear("past %d of %d %v %s", q, o, ok, text)
}
func (g *Guest) CloseDatabase(o guest.Object) { g.hear("close-database %d", o) }

func (g *Guest) Stamps(stamps []guest.Stamp) {
	for _, s := range stamps {
		g.hear("stamp %s %s", Socket(s.Socket), s.At.UTC().Format("05.000"))
	}
}

func (g *Guest) Buffered(s dormouse.SocketID, bytes int) {
	if bytes > 0 {
		g.hear("buffered %s some", Socket(s))
	} else {
		g.hear("buffered %s none", Socket(s))
	}
}

func (g *Guest) Response(x guest.Exchange, r *guest.Response) {
	note := ""
	if r.Socket != 0 {
		note = " socket " + Socket(r.Socket)
	}
	if r.HasBody {
		note += " body"
	}
	g.hear("response %d %d%s", x, r.Status, note)
}

func (g *Guest) Body(x guest.Exchange, p []byte) { g.hear("body %d %s", x, short(string(p))) }
func (g *Guest) BodyEnd(x guest.Exchange)        { g.hear("body-end %d", x) }
func (g *Guest) BodyAbort(x guest.Exchange, reason string) {
	g.hear("body-abort %d %s", x, reason)
}
func (g *Guest) Credit(x guest.Exchange, n uint32)      { g.hear("credit %d %d", x, n) }
func (g *Guest) Cancel(x guest.Exchange, reason string) { g.hear("cancel %d %s", x, reason) }
func (g *Guest) Failure(x guest.Exchange, e *dormouse.Error) {
	g.hear("failure %d %s%s", x, e.Error(), Flags(e))
}

// Flags are the flags of an error, each with a space before it.
func Flags(e *dormouse.Error) string {
	var b strings.Builder
	for _, f := range []struct {
		on   bool
		name string
	}{{e.Remote, " remote"}, {e.Retryable, " retryable"}, {e.Overloaded, " overloaded"}, {e.ObjectReset, " reset"}} {
		if f.on {
			b.WriteString(f.name)
		}
	}
	return b.String()
}

func (g *Guest) Backlog() int        { return g.Behind }
func (g *Guest) Incarnation() uint32 { return g.Number }
