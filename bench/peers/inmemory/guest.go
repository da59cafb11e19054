package main

import (
	"net/http"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
)

// echoes is a guest whose objects send back what they are told. A guest is another
// process, with caches of its own, and what it costs is not the question here: it
// does no more than the contract asks for, and keeps a few bytes for each object and
// nothing for a socket. As a process does, it says in a later round what follows
// from what it was told in this one. It belongs to the loop.
type echoes struct {
	guest.Guest // nil: what no object here is told

	// Set once, before use.
	host      guest.Host
	loop      *loop.Loop
	turn      func()                         // made once, because Post would otherwise allocate it
	perObject uint32                         // sockets, which come one after another
	accepted  func(client dormouse.SocketID) // told of each, the end of its client

	told, telling []word
	said, saying  []byte // the payloads of told and of telling
	rooms         []room
	instances     map[guest.Object]uint32 // the numbers of their rooms
	pairs         uint32
}

// room is an object, awake or not, with the same number at all times.
type room struct {
	object guest.Object // its activation, or the last one
	events uint32       // that this has had
}

// word is something that the guest has been told.
type word struct {
	what   what
	object guest.Object // of all but a message
	x      guest.Exchange
	socket dormouse.SocketID
	end    int // of a message's payload, in said
}

type what uint8

const (
	start what = iota
	message
	request
	leave
)

func (g *echoes) tell(w word) {
	if g.told = append(g.told, w); len(g.told) == 1 {
		g.loop.Post(g.turn)
	}
}

// handle does what it has been told, in its order.
func (g *echoes) handle() {
	g.told, g.telling = g.telling[:0], g.told
	g.said, g.saying = g.saying[:0], g.said
	begin := 0
	for _, w := range g.telling {
		switch w.what {
		case start:
			g.host.Started(g, w.object, time.Millisecond)
			g.host.Progress(g, w.object, guest.Progress{})
		case message:
			g.host.Send(g, w.socket, true, g.saying[begin:w.end])
			begin = w.end
			g.ended(g.room(w.socket))
		case request:
			g.connect(w.x, w.object)
			g.ended(g.instances[w.object])
		case leave:
			delete(g.instances, w.object)
			g.host.Asleep(g, w.object)
		}
	}
}

// ended tells that an event has begun and ended.
func (g *echoes) ended(n uint32) {
	r := &g.rooms[n]
	r.events++
	g.host.Progress(g, r.object, guest.Progress{Started: r.events, Finished: r.events})
}

// connect answers with a new socket.
func (g *echoes) connect(x guest.Exchange, o guest.Object) {
	server := dormouse.SocketID(g.Incarnation())<<32 | dormouse.SocketID(2*g.pairs)
	g.pairs++
	g.host.Accept(g, o, server, nil)
	g.accepted(server.Peer())
	g.host.FromPeer(g).Response(x, &guest.Response{Status: http.StatusSwitchingProtocols, Socket: server.Peer()})
}

// room is the number of the room that has the socket.
func (g *echoes) room(s dormouse.SocketID) uint32 { return uint32(s) / 2 / g.perObject }

// Start implements guest.Guest, as all that follows.
func (g *echoes) Start(a guest.Activation) {
	n := uint32(len(g.rooms))
	if len(a.Sockets) > 0 {
		n = g.room(a.Sockets[0].ID)
	} else {
		g.rooms = append(g.rooms, room{})
	}
	g.rooms[n] = room{object: a.Object}
	g.instances[a.Object] = n
	g.tell(word{what: start, object: a.Object})
}

func (g *echoes) Message(s dormouse.SocketID, _ bool, payload []byte) {
	g.said = append(g.said, payload...)
	g.tell(word{what: message, socket: s, end: len(g.said)})
}

func (g *echoes) Request(x guest.Exchange, o guest.Object, _ *guest.Request) {
	g.tell(word{what: request, object: o, x: x})
}

func (g *echoes) Hibernate(o guest.Object, _ uint32, _ guest.Mode) {
	g.tell(word{what: leave, object: o})
}

func (g *echoes) Backlog() int        { return 0 }
func (g *echoes) Incarnation() uint32 { return 1 }
