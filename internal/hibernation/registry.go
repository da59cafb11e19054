// Package hibernation holds sockets while their objects are away, and while
// they are not: which connection belongs to which object, with which tags and
// attachment, and which message is answered without waking anybody. It knows
// ids, connections and bytes, and never sees a guest, a handler or a request.
//
// A Registry belongs to one loop. Objects and sockets know each other by id;
// no pointer into this package crosses to the code that an object runs.
package hibernation

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/brief"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// Recipient gets what sockets say and holds back what is said to them: an
// object, in memory or not, or the code that owns standard sockets.
type Recipient interface {
	Message(s dormouse.SocketID, text bool, payload []byte)
	// Messages is Message for each of a run, which is the recipient's own from then
	// on. If it returns false it has taken none, and they are said with Message.
	// Several reports whether it would take any now.
	Several() bool
	Messages(s dormouse.SocketID, run brief.Run) bool
	// Arrived counts the events that have come; Begun says whether those up to n
	// have begun to be handled. Set.Progress asks again.
	Arrived() uint64
	Begun(n uint64) bool
	// Closed and Errored are the last words of a socket. Set.Ended answers when
	// the guest has them.
	Closed(s dormouse.SocketID, c guest.Closing)
	Errored(s dormouse.SocketID, message string)
	Buffered(s dormouse.SocketID, bytes int)
	// Stamped tells that Set.TakeStamps has something new.
	Stamped()
	// Open says whether outputs may leave; Hold keeps one until they may.
	Open() bool
	Hold(size int, release func())
	// Emptied tells that the set has lost its last socket.
	Emptied()
	// Behind is how many bytes wait for it.
	Behind() int
}

// Config is what a Registry needs.
type Config struct {
	Loop      *loop.Loop
	Transport ws.Transport
	Options   ws.Options // of every connection; Head and Deflate are set for each
	// AutoReply answers a client's Close at once.
	AutoReply bool
	// CloseHandshake is how long a client may take to answer our Close; 0: for
	// ever.
	CloseHandshake time.Duration
	MaxSockets     int // of one object
	// Home finds the registry of the guest that made a pair.
	Home func(incarnation uint32) *Registry
	// Meter finds the limits of a client that another process has let in, by the
	// name that its Meter had there; nil: nobody has limits.
	Meter func(client string) ws.Meter
}

// Registry holds the sockets of one loop.
type Registry struct {
	cfg     Config
	sockets map[dormouse.SocketID]*Socket
	graves  graves
	away    map[dormouse.SocketID]struct{} // ends that are on their way to whoever takes them
	shared  lastShared
	recent  [recents]*Socket // heard or spoken on lately, by id; others are looked up
	counts  Counts
	paused  bool                 // no client is read
	meters  map[*Socket]ws.Meter // of those connections that have one
}

// Counts are of the whole life of a registry but for Sockets.
type Counts struct {
	Sockets       int
	AutoResponses uint64
	Received      uint64 // messages of peers
	Sent          uint64 // messages to them, auto-responses too
	ReceivedBytes uint64 // of their payloads
	SentBytes     uint64
	Closes        map[uint16]uint64 // by code, as the object saw it
}

// New makes an empty registry.
func New(cfg Config) *Registry {
	return &Registry{
		cfg:     cfg,
		sockets: make(map[dormouse.SocketID]*Socket),
		away:    make(map[dormouse.SocketID]struct{}),
		counts:  Counts{Closes: make(map[uint16]uint64)},
		meters:  make(map[*Socket]ws.Meter),
	}
}

func (c *Counts) sent(n, bytes int) {
	c.Sent += uint64(n)
	c.SentBytes += uint64(n) * uint64(bytes)
}

// SetAutoReply says whether a client's Close is answered at once from now on. On
// the loop.
func (r *Registry) SetAutoReply(is bool) { r.cfg.AutoReply = is }

// Counts returns a copy of the counts. On the loop.
func (r *Registry) Counts() Counts {
	c := r.counts
	c.Sockets = len(r.sockets)
	c.Closes = make(map[uint16]uint64, len(r.counts.Closes))
	for code, n := range r.counts.Closes {
		c.Closes[code] = n
	}
	return c
}

// ErrTooMany is returned for a socket past the limit of its object.
var ErrTooMany = errors.New("too many sockets")

// Accept makes id a hibernatable socket of set.
func (r *Registry) Accept(set *Set, id dormouse.SocketID, tags []string) error {
	if set.n >= r.cfg.MaxSockets {
		return ErrTooMany
	}
	return r.take(set, id, tags)
}

// Open makes id a standard socket of set.
func (r *Registry) Open(set *Set, id dormouse.SocketID) error {
	return r.take(set, id, nil)
}

func (r *Registry) take(set *Set, id dormouse.SocketID, tags []string) error {
	s := r.socket(id)
	if s.set != nil {
		return fmt.Errorf("socket %d was accepted twice", id)
	}
	s.tags = tags
	set.add(s)
	if s.timer != nil { // see untaken
		r.cfg.Loop.Cancel(s.timer)
		s.timer = nil
	}
	if s.conn == nil {
		r.link(s)
	} else if !set.paused && !s.slowed {
		s.conn.Resume()
	}
	s.taken()
	return nil
}

// link joins s to the other end of its pair if a guest holds that one. The end
// whose registry made the pair may not know of s yet, then it waits there.
func (r *Registry) link(s *Socket) {
	peer := s.id.Peer()
	if p := r.sockets[peer]; p != nil {
		join(s, p)
		return
	}
	home := r.cfg.Home(s.id.Incarnation())
	if home == nil {
		home = r
	}
	if home == r {
		if r.graves.has(peer) {
			r.cfg.Loop.Post(func() { s.Gone(ws.ErrNoCloseFrame) })
		}
		return // its peer will come here, or a client
	}
	home.cfg.Loop.Post(func() {
		gone := home.graves.has(peer)
		if p := home.sockets[peer]; p != nil {
			// A client has it already if the guest passed one end on twice.
			gone = p.conn != nil || p.ended
		}
		if gone {
			r.cfg.Loop.Post(func() { s.Gone(ws.ErrNoCloseFrame) })
			return
		}
		p := home.socket(peer)
		r.cfg.Loop.Post(func() { s.attach(&relay{from: s, to: p}) })
		p.attach(&relay{from: p, to: s})
	})
}

// Attach gives the end id, which a guest has passed on, to the client behind c.
// o.Head and o.Deflate are used. After an error c is still the caller's.
func (r *Registry) Attach(id dormouse.SocketID, c net.Conn, rest []byte, o ws.Options) error {
	delete(r.away, id)
	if r.graves.has(id.Peer()) {
		return fmt.Errorf("the other end of socket %d is gone", id)
	}
	s := r.socket(id.Peer())
	if s.conn != nil || s.ended {
		return fmt.Errorf("the other end of socket %d is gone or taken", id)
	}
	opt := r.cfg.Options
	opt.Head, opt.Deflate = o.Head, o.Deflate
	conn, err := r.cfg.Transport.Adopt(c, rest, opt, s.metered(o.Meter))
	if err != nil {
		delete(r.meters, s)
		if s.set == nil {
			delete(r.sockets, s.id)
		}
		return err
	}
	if s.set == nil {
		conn.Pause() // nobody hears it yet
		s.untaken()
	}
	s.attach(conn)
	return nil
}

// Release tells that nobody will use the end id any more.
func (r *Registry) Release(id dormouse.SocketID) {
	delete(r.away, id)
	if s := r.sockets[id]; s != nil {
		s.drop()
		return
	}
	home := r
	if h := r.cfg.Home(id.Incarnation()); h != nil {
		home = h
	}
	home.cfg.Loop.Post(func() {
		p := home.sockets[id.Peer()]
		if p == nil || p.conn == nil {
			home.bury(id)
		}
		if p != nil && p.conn == nil {
			p.Gone(ws.ErrNoCloseFrame)
		}
	})
}

// Passed tells that the end id is on its way to a client or to another guest;
// with away false that the guest which made the pair has got it back.
func (r *Registry) Passed(id dormouse.SocketID, away bool) {
	if !away {
		delete(r.away, id)
	} else if s := r.sockets[id.Peer()]; s != nil && s.conn == nil {
		r.away[id] = struct{}{}
	}
}

// Told counts the messages of a socket that its object was given, in memory or
// not, and lists its tags.
func (r *Registry) Told(id dormouse.SocketID) (messages uint32, tags []string) {
	if s := r.sockets[id]; s != nil {
		return s.passed, s.tags
	}
	return 0, nil
}

// Abandoned tells that a guest is gone. An end that it has made, and had not
// passed on, is gone with it; the other end, if it is a hibernatable one, would
// wait for ever.
func (r *Registry) Abandoned(incarnation uint32) {
	for id, s := range r.sockets {
		if s.conn != nil || s.ended || id.Incarnation() != incarnation {
			continue
		}
		if _, away := r.away[id.Peer()]; !away {
			r.bury(id.Peer())
			s.Gone(ws.ErrNoCloseFrame)
		}
	}
}

// Recipient is whom a socket belongs to; nil: nobody.
func (r *Registry) Recipient(id dormouse.SocketID) any {
	if s := r.sockets[id]; s != nil && s.set != nil {
		return s.set.rec
	}
	return nil
}

// bury remembers that an end is gone whose peer nobody has taken yet: whoever
// takes it later has to learn that there is nobody. It is for the registry of
// the guest that made the pair; others ask that one.
func (r *Registry) bury(id dormouse.SocketID) { r.graves.add(id) }

// socket returns the socket with this id and makes it if there is none.
func (r *Registry) socket(id dormouse.SocketID) *Socket {
	s := r.sockets[id]
	if s == nil {
		s = &Socket{id: id, reg: r}
		r.sockets[id] = s
	}
	return s
}

// Deliver says an event of a socket once more, to whom the socket belongs now.
// The payload is borrowed.
func (r *Registry) Deliver(e guest.Event) {
	s := r.sockets[e.Socket]
	if s == nil || s.set == nil {
		return
	}
	switch e.Kind {
	case guest.MessageEvent:
		s.set.number = e.Number
		s.set.rec.Message(e.Socket, e.Text, e.Payload)
		s.last = s.set.rec.Arrived()
	case guest.ClosedEvent:
		s.set.rec.Closed(e.Socket, e.Closing)
	case guest.ErroredEvent:
		s.set.rec.Errored(e.Socket, string(e.Payload))
	}
}

// recents is how many sockets are found without a look into the map, which among
// a million of them waits for memory twice.
const recents = 1024

// place is where in recent the socket is, if it is there. Each end has one in a
// run of ids.
func place(id dormouse.SocketID) int { return int(id>>1) % recents }

// speaking is the socket with this id if a guest may speak on it. What an object
// says comes in runs, and most of it answers what it has just heard.
func (r *Registry) speaking(id dormouse.SocketID) *Socket {
	s := r.recent[place(id)]
	if s == nil || s.id != id || s.ended {
		s = r.sockets[id]
	}
	if s == nil || s.set == nil || s.set.muted {
		return nil
	}
	r.recent[place(id)] = s
	return s
}

// Send sends a message from the end id to its peer. payload is borrowed.
func (r *Registry) Send(id dormouse.SocketID, text bool, payload []byte) {
	s := r.speaking(id)
	if s == nil {
		return
	}
	r.counts.sent(1, len(payload))
	if s.set.rec.Open() {
		s.send(text, payload)
		return
	}
	p := append([]byte(nil), payload...)
	s.hold(len(p), func() { s.send(text, p) })
}

// SendAll is Send for each of a run, which is borrowed. None of them changes whether
// the next may leave.
func (r *Registry) SendAll(id dormouse.SocketID, run brief.Run) {
	s := r.speaking(id)
	if s == nil {
		return
	}
	c, ok := s.conn.(ws.RunConn)
	if !ok || !s.set.rec.Open() {
		for text, payload := range run.All() {
			r.Send(id, text, payload)
		}
		return
	}
	c.SendRun(run)
	r.counts.Sent += uint64(run.N)
	r.counts.SentBytes += uint64(run.Size())
	s.watch()
}

// Broadcast sends one message from many ends of one object.
func (r *Registry) Broadcast(ids guest.Sockets, text bool, payload []byte) {
	if ids.Len() == 0 {
		return
	}
	m := ws.NewShared(ws.OpcodeOf(text), payload)
	r.counts.sent(ids.Len(), len(payload))
	for i := range ids.Len() {
		s := r.speaking(ids.At(i))
		if s == nil {
			continue
		}
		if s.set.rec.Open() {
			s.sendShared(m, text, payload)
			continue
		}
		p := r.shared.owned(m, payload)
		s.hold(len(p), func() { s.sendShared(m, text, p) })
	}
	r.shared = lastShared{}
}

// lastShared keeps one owned copy of a payload for all held sends of it.
type lastShared struct {
	of   *ws.Shared
	copy []byte
}

func (l *lastShared) owned(m *ws.Shared, payload []byte) []byte {
	if l.of != m {
		*l = lastShared{m, append([]byte(nil), payload...)}
	}
	return l.copy
}

// Close sends Close from the end id.
func (r *Registry) Close(id dormouse.SocketID, code uint16, reason string) {
	s := r.speaking(id)
	if s == nil {
		return
	}
	if s.set.rec.Open() {
		s.close(code, reason)
		return
	}
	s.closing = true
	s.hold(len(reason), func() { s.close(code, reason) })
}

// Pause stops what the peer of the end id says, when that is a client, and lets
// it go on.
func (r *Registry) Pause(id dormouse.SocketID, paused bool) {
	if s := r.speaking(id); s != nil {
		s.pause(paused)
	}
}

// AllPaused tells that no client is read, whatever its object wants, or that all
// are again.
func (r *Registry) AllPaused(paused bool) { r.paused = paused }

// SetAttachment keeps a copy of value with the socket; nil removes it.
func (r *Registry) SetAttachment(id dormouse.SocketID, value []byte) {
	s := r.speaking(id)
	if s == nil || !s.listed { // the guest has its last words: nothing is kept any more
		return
	}
	if value == nil {
		s.attachment = nil
		return
	}
	s.attachment = append(make([]byte, 0, len(value)), value...)
}

// Loop is the loop that the registry belongs to.
func (r *Registry) Loop() *loop.Loop { return r.cfg.Loop }

// CloseAll sends Close to every client, because the server stops.
func (r *Registry) CloseAll(code uint16, reason string) {
	for _, s := range r.sockets {
		if s.conn != nil && !s.weClosed {
			s.weClosed = true
			s.conn.Close(code, reason)
		}
	}
}

// Connected is the number of sockets that have a connection.
func (r *Registry) Connected() int {
	n := 0
	for _, s := range r.sockets {
		if s.conn != nil {
			n++
		}
	}
	return n
}
