package hibernation

import (
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// A registry can hand its sockets to another process. Its objects are asleep
// then: nothing waits at a gate, in a line or for an answer of a guest. Between
// Save and Keep or Forget the connections stand still.

// SavedSet is a Set as plain data.
type SavedSet struct {
	Pair         *guest.Pair
	EventTimeout time.Duration
	Sockets      []SavedSocket // oldest first
}

// SavedSocket is a Socket of a SavedSet.
type SavedSocket struct {
	ID         dormouse.SocketID
	Tags       []string
	Attachment []byte // nil: none
	Stamp      int64  // as Socket.stamp
	Passed     uint32 // messages that the object was given; it wraps
	WeClosed   bool
	Echoed     bool
	PeerClosed bool
	// Ended: the peer is gone, and the last words are on their way to the object.
	Ended bool
	// Relayed: the peer is a socket of another object.
	Relayed bool
	// Patience is how long the peer may still take to answer our Close; 0 without
	// a limit.
	Patience time.Duration
	// Conn is nil when the connection cannot be taken along.
	Conn *ws.Saved
	// Client is whose limits the connection has; nil: nobody's.
	Client *string
}

// Settle tells the objects of connections that have ended and still send what
// they have: what is left to do for these needs nobody here.
func (r *Registry) Settle() {
	for _, s := range r.sockets {
		if c, ok := s.conn.(ws.Portable); ok {
			if cause, ended := c.Leave(); ended {
				s.Gone(cause)
			}
		}
	}
}

// Save describes the set. It borrows until Keep or Forget; staying is how many of
// its sockets are connected and cannot be taken along.
func (t *Set) Save() (saved SavedSet, staying int) {
	saved = SavedSet{Pair: t.pair, EventTimeout: t.timeout, Sockets: make([]SavedSocket, 0, t.n)}
	for s := range t.all {
		d := SavedSocket{
			ID: s.id, Tags: s.tags, Attachment: s.attachment, Stamp: s.stamp, Passed: s.passed,
			WeClosed: s.weClosed, Echoed: s.echoed, PeerClosed: s.peerClosed, Ended: s.ended,
		}
		if s.timer != nil {
			d.Patience = max(s.timer.At().Sub(t.reg.cfg.Loop.Now()), time.Millisecond)
		}
		switch c := s.conn.(type) {
		case *relay:
			d.Relayed = true
		case ws.Portable:
			if state, ok := c.Save(); ok {
				d.Conn = &state
				if m := t.reg.meters[s]; m != nil {
					client := m.Client()
					d.Client = &client
				}
			} else {
				staying++
			}
		}
		saved.Sockets = append(saved.Sockets, d)
	}
	return saved, staying
}

// Keep goes on with the connections that Save has stopped.
func (r *Registry) Keep() {
	for _, s := range r.sockets {
		if c, ok := s.conn.(ws.Portable); ok {
			c.Keep()
		}
	}
}

// Forget gives up what Save has described: it belongs to another process.
// Connections that stay behind are told code, and live until they have answered
// or the transport is shut.
func (r *Registry) Forget(code uint16) {
	for id, s := range r.sockets {
		if s.timer != nil {
			r.cfg.Loop.Cancel(s.timer)
			s.timer = nil
		}
		c, ok := s.conn.(ws.Portable)
		s.set, s.orphan, s.pending = nil, true, nil
		if !ok || c.Forget() {
			delete(r.meters, s)
			s.conn, s.ended = nil, true
			delete(r.sockets, id)
			continue
		}
		c.Resume()
		if !s.weClosed {
			s.weClosed = true
			c.Close(code, "")
		}
	}
}

// Restore fills an empty set with what another process has saved. It takes the
// descriptors, whatever becomes of them. The result is to be called when the
// object may hear of them: it tells it which have been lost.
func (t *Set) Restore(saved *SavedSet) (tell func()) {
	r := t.reg
	t.pair, t.timeout = saved.Pair, saved.EventTimeout
	var lost []*Socket
	for i := range saved.Sockets {
		d := &saved.Sockets[i]
		s := r.socket(d.ID)
		s.tags, s.attachment, s.stamp, s.passed = d.Tags, d.Attachment, d.Stamp, d.Passed
		s.weClosed, s.echoed, s.peerClosed, s.ended = d.WeClosed, d.Echoed, d.PeerClosed, d.Ended
		t.add(s)
		switch {
		case d.Conn != nil:
			if err := s.restore(d); err != nil {
				lost = append(lost, s)
			}
		case !d.Ended && !d.Relayed:
			lost = append(lost, s)
		}
	}
	return func() {
		for _, s := range lost {
			s.Gone(ws.ErrNoCloseFrame)
		}
	}
}

// restore gives the socket its connection.
func (s *Socket) restore(d *SavedSocket) error {
	r := s.reg
	opt := r.cfg.Options
	opt.Head = nil
	var m ws.Meter
	if d.Client != nil && r.cfg.Meter != nil {
		m = r.cfg.Meter(*d.Client)
	}
	conn, err := r.cfg.Transport.(ws.Restorer).Restore(d.Conn, opt, s.metered(m))
	if err != nil {
		if m != nil {
			delete(r.meters, s)
			m.Done()
		}
		return err
	}
	s.conn = conn
	if d.Patience > 0 && s.weClosed && !s.peerClosed {
		s.timer = loop.NewTimer(func() {
			if s.conn != nil {
				s.conn.Drop()
			}
		})
		r.cfg.Loop.Schedule(s.timer, r.cfg.Loop.Now().Add(d.Patience))
	}
	return nil
}

// Rejoin connects a relayed socket to its other end, which another set has
// restored; other is the registry that holds it, nil if there is none. It is
// called for both ends, each on its own loop, when all sets have been restored.
func (r *Registry) Rejoin(id dormouse.SocketID, other *Registry) {
	s := r.sockets[id]
	if s == nil || s.conn != nil || s.ended {
		return
	}
	if other == nil {
		s.Gone(ws.ErrNoCloseFrame)
		return
	}
	other.cfg.Loop.Post(func() {
		p := other.sockets[id.Peer()]
		r.cfg.Loop.Post(func() {
			if p == nil {
				s.Gone(ws.ErrNoCloseFrame)
				return
			}
			s.attach(&relay{from: s, to: p, closed: s.weClosed})
		})
	})
}
