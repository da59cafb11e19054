// Package goguest runs objects written in Go, in this process: the second
// implementation of the contract in package guest, beside nodeguest. It knows
// instances, their handlers and the goroutines that run them, and never sees a
// client's connection, HTTP on the wire or another process.
//
// What the host says arrives on the loop and becomes events in the mail of an
// instance; a crew of goroutines runs their handlers; what these say goes back to
// the loop in batches, in order.
package goguest

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/brief"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
)

// Config is what a Guest needs.
type Config struct {
	Loop *loop.Loop
	// Incarnation is the upper half of the ids of the pairs that it makes.
	Incarnation uint32
	// Classes are the classes as the host numbers them; nil for those that are
	// not written in Go.
	Classes    []*dormouse.Class
	Namespaces []dormouse.Namespace // of the classes
	Limits     Limits
	// Waits is shared by the guests of a server.
	Waits *Waits
	// Methods is shared by the guests of a server.
	Methods *Methods
	// Open opens the storage of an object.
	Open Opener
}

// Limits of objects.
type Limits struct {
	Attachment int // bytes of a socket's attachment
	Sockets    int // of one object
}

// Host is what a Guest talks to.
type Host interface {
	guest.Host
	// Taken tells that the guest has taken bytes: Backlog is less.
	Taken(guest.Guest)
	guest.Speaker
}

// Guest runs the objects of one loop.
type Guest struct {
	// Set once, before use.
	host        Host // by Begin
	incarnation uint32
	classes     []*dormouse.Class
	namespaces  []dormouse.Namespace
	limits      Limits
	waits       *Waits
	methods     *Methods
	open        Opener
	crew        *crew

	// Owned by the loop.
	instances      map[guest.Object]*instance
	sockets        map[dormouse.SocketID]*socket
	calls          map[guest.Exchange]*fetch // that the host began
	locals         map[guest.Exchange]*event // calls within this process that the host began
	asks           map[guest.Exchange]*ask   // that we began
	lastAsk        guest.Exchange
	called         map[guest.Session]*event      // calls of methods that the host began
	connections    map[guest.Session]*connection // that we began
	lastConnection guest.Session
	touched        []*instance // with events that came in this round
	heard          int         // messages that came in this round
	spoke          *socket     // that has spoken last; nil: it has gone
	chunk          []byte      // memory for short messages
	ended          bool

	pairs   atomic.Uint32 // the last end made
	backlog atomic.Int64
}

var (
	_ guest.Guest    = (*Guest)(nil)
	_ guest.Listener = (*Guest)(nil)
)

// New makes a guest. Call it before the loop's transport is made, so that what
// handlers say leaves in the round in which they say it.
func New(c Config) *Guest {
	g := &Guest{
		incarnation: c.Incarnation, classes: c.Classes, namespaces: c.Namespaces,
		limits: c.Limits, waits: c.Waits, methods: c.Methods, open: c.Open, crew: newCrew(c.Loop),
		instances:   make(map[guest.Object]*instance),
		sockets:     make(map[dormouse.SocketID]*socket),
		calls:       make(map[guest.Exchange]*fetch),
		locals:      make(map[guest.Exchange]*event),
		asks:        make(map[guest.Exchange]*ask),
		called:      make(map[guest.Session]*event),
		connections: make(map[guest.Session]*connection),
	}
	g.crew.apply, g.crew.publish = g.applyBatch, g.publish
	return g
}

// Begin introduces the guest to its host. On the loop.
func (g *Guest) Begin(h Host) {
	g.host = h
	h.Ready(g, guest.Ready{})
}

// Stop lets handlers finish for as long as d, ends all instances and returns
// when their goroutines have ended, or false if one would not. Not on the loop.
func (g *Guest) Stop(d time.Duration) bool {
	quiet := g.crew.wait(d)
	g.crew.loop.Call(func() {
		g.ended = true
		for _, i := range g.instances {
			i.end(dormouse.ErrGone)
			g.forget(i)
		}
		g.host.Gone(g, errStopped)
	})
	return quiet || g.crew.wait(d)
}

var errStopped = &dormouse.Error{Message: "The server is stopping.", Retryable: true, ObjectReset: true}

// Incarnation implements guest.Guest.
func (g *Guest) Incarnation() uint32 { return g.incarnation }

// Backlog implements guest.Guest.
func (g *Guest) Backlog() int { return int(g.backlog.Load()) }

// took tells that n bytes of mail have been taken.
func (g *Guest) took(n int) {
	if n == 0 {
		return
	}
	const much = 1 << 20 // far below what a host lets grow
	if before := g.backlog.Add(int64(-n)) + int64(n); before >= much && before-int64(n) < much {
		g.crew.tell(func() { g.host.Taken(g) })
	}
}

// Start activates an object.
func (g *Guest) Start(a guest.Activation) {
	if g.ended {
		return
	}
	i := &instance{
		g: g, num: a.Object, class: g.classes[a.Class],
		key:  dormouse.Key{Namespace: g.namespaces[a.Class], ID: a.ID},
		name: a.Name, hasName: a.HasName, pair: a.Pair, timeout: a.EventTimeout,
		database: a.Database != "",
	}
	g.instances[a.Object] = i
	for n := range a.Sockets {
		s := restore(i, &a.Sockets[n])
		i.sockets.add(s)
		g.sockets[s.id] = s
	}
	i.birth = &event{i: i, work: birth{}, silent: true, scope: &scope{blocked: 1}}
	i.deliver(i.birth)
}

// forget takes an instance out of the tables. On the loop.
func (g *Guest) forget(i *instance) {
	i.gone = true
	g.spoke = nil
	delete(g.instances, i.num)
	i.mu.Lock()
	list := i.sockets.all
	i.mu.Unlock()
	for _, s := range list {
		if g.sockets[s.id] == s {
			delete(g.sockets, s.id)
		}
	}
	for f := range i.calls {
		f.out.done()
	}
	for _, c := range g.connections {
		if c.i == i {
			c.end()
			c.done(nil, &dormouse.Error{Message: "The object that called has ended.", ObjectReset: true})
		}
	}
	for a := range i.asks {
		a.fail(&dormouse.Error{Message: "The object that called has ended.", ObjectReset: true})
	}
}

// Message is what a client has said.
func (g *Guest) Message(id dormouse.SocketID, text bool, payload []byte) {
	if s := g.speaker(id); s != nil {
		p := s.i.pile()
		p.said = append(p.said, said{socket: s, data: g.own(payload), text: text})
		s.i.arriving += len(payload)
		g.hears(1)
	}
}

// Messages implements guest.Listener.
func (g *Guest) Messages(id dormouse.SocketID, run brief.Run) {
	if s := g.speaker(id); s != nil {
		p := s.i.pile()
		p.said = append(p.said, said{socket: s, data: run.Frames, run: run.N})
		s.i.arriving += run.Size()
		g.hears(run.N)
	}
}

// speaker is the socket with this id, nil if there is none.
func (g *Guest) speaker(id dormouse.SocketID) *socket {
	s := g.spoke
	if s == nil || s.id != id { // a client that speaks much says many messages in a round
		s = g.sockets[id]
		g.spoke = s
	}
	return s
}

// hears ends the reading of a round in which enough has been heard.
func (g *Guest) hears(n int) {
	before := g.heard
	if g.heard += n; before < enough && g.heard >= enough {
		g.crew.loop.Enough()
	}
}

// enough messages are handled before others are read: what they and their answers
// need then fits into the processor's caches.
const enough = 256

// Memory for messages is taken in pieces, so that a short one costs no
// allocation of its own. Whoever keeps one keeps its piece, which is why these
// are small.
const (
	chunkBytes  = 1 << 10
	shortMemory = chunkBytes / 4
)

// own copies a payload.
func (g *Guest) own(p []byte) []byte {
	if len(p) > shortMemory {
		return append(make([]byte, 0, len(p)), p...)
	}
	if cap(g.chunk)-len(g.chunk) < len(p) {
		g.chunk = make([]byte, 0, chunkBytes)
	}
	at := len(g.chunk)
	g.chunk = append(g.chunk, p...)
	return g.chunk[at:len(g.chunk):len(g.chunk)]
}

// publish gives the events of the round to their objects. On the loop.
func (g *Guest) publish() {
	for n, i := range g.touched {
		g.touched[n] = nil
		i.publish()
	}
	g.touched, g.heard = g.touched[:0], 0
}

// Closed is the end of a socket.
func (g *Guest) Closed(id dormouse.SocketID, c guest.Closing) {
	if s := g.sockets[id]; s != nil {
		g.drop(s)
		s.i.deliver(&event{i: s.i, work: onClose(c), socket: s})
	}
}

// Errored is the end of a socket, too.
func (g *Guest) Errored(id dormouse.SocketID, message string) {
	if s := g.sockets[id]; s != nil {
		g.drop(s)
		s.i.deliver(&event{i: s.i, work: onError(message), socket: s})
	}
}

// drop forgets a socket, from which nothing will come any more.
func (g *Guest) drop(s *socket) {
	g.spoke = nil
	delete(g.sockets, s.id)
}

// Alarm runs the alarm handler.
func (g *Guest) Alarm(x guest.Exchange, o guest.Object, scheduled time.Time, retry int) {
	if i := g.instances[o]; i != nil {
		i.deliver(&event{i: i, work: &onAlarm{x, scheduled, retry}})
	}
}

// Hibernate asks for an instance to leave memory.
func (g *Guest) Hibernate(o guest.Object, delivered uint32, m guest.Mode) {
	i := g.instances[o]
	if i == nil {
		return
	}
	g.publish()
	if m != guest.Now && !i.idle(delivered, m != guest.IfIdle) {
		g.crew.tell(func() {
			if !i.gone {
				g.host.Awake(g, o)
			}
		})
		return
	}
	g.leave(i, dormouse.ErrGone)
}

// Reset ends an instance with an error.
func (g *Guest) Reset(o guest.Object, e *dormouse.Error) {
	if i := g.instances[o]; i != nil {
		g.leave(i, e)
	}
}

// leave ends an instance and says so behind everything that it has said.
func (g *Guest) leave(i *instance, why error) {
	g.publish()
	made := i.end(why)
	g.forget(i)
	g.crew.tell(func() {
		g.host.Progress(g, i.num, made) // what has begun is not said again
		g.host.Asleep(g, i.num)
		i.release()
	})
}

// Durable tells that commits are on disk.
func (g *Guest) Durable(o guest.Object, commit uint32) {
	if i := g.instances[o]; i != nil {
		i.durable(commit)
	}
}

// release tells that the instance has its database open no more: what is open, and
// for how long, is its stores' business. Behind the end of the instance. Without it
// the host would remember each activation.
func (i *instance) release() {
	if i.database {
		i.g.host.DatabaseClosed(i.g, i.num)
	}
}

// Past answers what an object has asked of its history.
func (g *Guest) Past(o guest.Object, question uint32, ok bool, text string) {
	if i := g.instances[o]; i != nil {
		i.remember(question, ok, text)
	}
}

// Checkpoint and CloseDatabase are for guests that keep databases open.
func (g *Guest) Checkpoint(guest.Object, guest.CheckpointStep) {}
func (g *Guest) CloseDatabase(guest.Object)                    {}

// Stamps tells when sockets were answered without their object.
func (g *Guest) Stamps(list []guest.Stamp) {
	for _, t := range list {
		if s := g.sockets[t.Socket]; s != nil {
			s.i.mu.Lock()
			s.stamp = t.At
			s.i.mu.Unlock()
		}
	}
}

// Buffered tells how much waits for a client.
func (g *Guest) Buffered(id dormouse.SocketID, n int) {
	if s := g.sockets[id]; s != nil {
		s.i.mu.Lock()
		s.buffered = n
		s.i.mu.Unlock()
	}
}

// The rest of exchanges: even ones are the host's, odd ones ours.

// Response implements guest.Peer.
func (g *Guest) Response(x guest.Exchange, r *guest.Response) {
	if a := g.asks[x]; a != nil {
		if !r.HasBody {
			a.end()
		}
		a.answer.Response(r)
	}
}

// Body implements guest.Peer.
func (g *Guest) Body(x guest.Exchange, p []byte) {
	if a := g.asks[x]; a != nil {
		a.answer.Body(p)
	} else if f := g.calls[x]; f != nil && f.body != nil {
		f.body.push(p)
	}
}

// BodyEnd implements guest.Peer.
func (g *Guest) BodyEnd(x guest.Exchange) {
	if a := g.asks[x]; a != nil {
		a.end()
		a.answer.BodyEnd()
	} else if f := g.calls[x]; f != nil && f.body != nil {
		f.body.end(io.EOF)
	}
}

// BodyAbort implements guest.Peer.
func (g *Guest) BodyAbort(x guest.Exchange, reason string) {
	if a := g.asks[x]; a != nil {
		a.end()
		a.answer.BodyAbort(reason)
	} else if f := g.calls[x]; f != nil && f.body != nil {
		f.body.end(&brokenBody{reason})
	}
}

// Credit implements guest.Peer.
func (g *Guest) Credit(x guest.Exchange, n uint32) {
	if a := g.asks[x]; a != nil {
		a.answer.Credit(n)
	} else if f := g.calls[x]; f != nil {
		f.out.grant(int(n))
	}
}

// Cancel implements guest.Peer.
func (g *Guest) Cancel(x guest.Exchange, reason string) {
	if a := g.asks[x]; a != nil {
		a.answer.Cancel(reason)
	} else if f := g.calls[x]; f != nil {
		f.cancel(reason)
	} else if e := g.locals[x]; e != nil {
		e.cancelled(reason)
	}
}

// Failure implements guest.Peer.
func (g *Guest) Failure(x guest.Exchange, e *dormouse.Error) {
	if a := g.asks[x]; a != nil {
		a.end()
		a.answer.Failure(e)
	}
}

// Crash ends an instance as the death of a process would: sockets stay, and what
// was not committed is gone. Its object is one of tests. On the loop.
func (g *Guest) Crash(k dormouse.Key) {
	for _, i := range g.instances {
		if i.key == k {
			g.publish()
			i.abort(errCrashed, 0)
			return
		}
	}
}

var errCrashed = &dormouse.Error{Message: "The object has crashed.", Retryable: true, ObjectReset: true}
