package hibernation

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// portable is a conn that can move. Its descriptor is its number among all.
type portable struct {
	*conn
	descriptor    int
	over          error // how it has ended, if it has
	left          bool
	fixed         bool // it cannot move, as TLS in the process
	moving, moved bool
}

func (p *portable) Save() (ws.Saved, bool) {
	if p.over != nil || p.fixed {
		return ws.Saved{}, false
	}
	p.moving = true
	return ws.Saved{Descriptor: p.descriptor}, true
}

func (p *portable) Keep() { p.moving = false }

func (p *portable) Forget() bool {
	p.moved = p.moving
	return p.moving
}

func (p *portable) Leave() (error, bool) {
	if p.over == nil || p.left {
		return nil, false
	}
	p.left = true
	return p.over, true
}

// movers is a transport that restores, but for the descriptors it lacks.
type movers struct {
	transport
	restored []*portable
	lacks    int
}

func (m *movers) Restore(s *ws.Saved, _ ws.Options, sink ws.Sink) (ws.Conn, error) {
	if s.Descriptor == m.lacks {
		return nil, errors.New("no such descriptor")
	}
	p := &portable{conn: &conn{sink: sink}, descriptor: s.Descriptor}
	m.restored = append(m.restored, p)
	return p, nil
}

// move is a registry with sockets that can move, and one to move them to.
type move struct {
	*rig
	conns []*portable
	to    *Registry
	into  *movers
	rec2  recipient
	set2  *Set
}

func newMove(t *testing.T, n int) *move {
	m := &move{rig: newRig(t, false), into: &movers{lacks: -1}}
	m.reg.cfg.CloseHandshake = time.Minute
	for i := range n {
		id := dormouse.SocketID(2 * i)
		if err := m.reg.Accept(m.set, id, []string{fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
		p := &portable{conn: &conn{}, descriptor: i}
		s := m.reg.sockets[id]
		p.sink = s
		s.attach(p)
		m.conns = append(m.conns, p)
	}
	m.to = New(Config{
		Loop: loop.NewPortable(), Transport: m.into, MaxSockets: 1 << 15, CloseHandshake: time.Minute,
		Home: func(uint32) *Registry { return m.to },
	})
	m.set2 = m.to.NewSet(&m.rec2, true)
	return m
}

func TestSetMoves(t *testing.T) {
	m := newMove(t, 5)
	m.set.SetPair(&guest.Pair{Request: "ping", Response: "pong"})
	m.set.SetEventTimeout(3 * time.Second)
	m.reg.SetAttachment(2, []byte("kept"))
	m.conns[0].sink.Message(ws.OpText, []byte("ping")) // a stamp
	m.reg.Close(4, 1000, "")
	m.conns[3].sink.CloseFrame(1001, "")
	m.reg.SetAttachment(0, []byte{})
	m.reg.sockets[0].passed = 7
	m.reg.meters[m.reg.sockets[0]] = &meter{}
	var moved []*meter
	m.to.cfg.Meter = func(client string) ws.Meter {
		if client != "192.0.2.1" {
			t.Errorf("counted for %q", client)
		}
		moved = append(moved, &meter{left: 10})
		return moved[len(moved)-1]
	}
	saved, staying := m.set.Save()
	if staying != 0 {
		t.Errorf("%d sockets stay, want none", staying)
	}
	for i, c := range m.conns {
		if !c.moving {
			t.Errorf("connection %d does not stand still", i)
		}
	}
	before := m.set.Table()
	m.into.lacks = 4
	tell := m.set2.Restore(&saved)
	if len(m.rec2.heard) > 0 {
		t.Errorf("the object heard %q before it may", m.rec2.heard)
	}
	tell()
	if want := []string{"8 closed 1006"}; !slices.Equal(m.rec2.heard, want) {
		t.Errorf("the object heard %q, want %q", m.rec2.heard, want)
	}
	after := m.set2.Table()
	before[4].PeerClosed = true // it was lost
	if fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the table is\n%v\nand was\n%v", after, before)
	}
	if p := m.set2.Pair(); p == nil || *p != (guest.Pair{Request: "ping", Response: "pong"}) || m.set2.EventTimeout() != 3*time.Second {
		t.Errorf("the pair is %v and the timeout %v", p, m.set2.EventTimeout())
	}
	// The one that we have closed still has to be answered, in what is left.
	if timer := m.to.sockets[4].timer; timer == nil || timer.At().Sub(m.to.cfg.Loop.Now()) > time.Minute {
		t.Error("the peer of a closed socket may take for ever")
	}
	m.into.restored[0].sink.Message(ws.OpText, []byte("hello"))
	if got := m.rec2.heard[len(m.rec2.heard)-1]; got != "0 hello" {
		t.Errorf("the object heard %q", got)
	}
	if n := m.to.sockets[0].passed; n != 8 {
		t.Errorf("it is message %d of the socket, want 8", n)
	}
	m.into.restored[0].sink.Gone(nil)
	if len(moved) != 1 || moved[0].done != 1 || len(m.to.meters) != 0 {
		t.Errorf("%d sockets were counted, and %d are", len(moved), len(m.to.meters))
	}
	m.reg.Forget(1012)
	for i, c := range m.conns {
		if !c.moved || c.gone || slices.Contains(c.sent, "close 1012") {
			t.Errorf("connection %d: moved %t, dropped %t, sent %q", i, c.moved, c.gone, c.sent)
		}
	}
	if n := len(m.reg.sockets); n > 0 {
		t.Errorf("%d sockets are still there", n)
	}
}

// TestWhatCannotMove is told to come again, and its object hears of it where it
// goes.
func TestWhatCannotMove(t *testing.T) {
	m := newMove(t, 2)
	m.conns[1].fixed = true
	saved, staying := m.set.Save()
	if staying != 1 {
		t.Errorf("%d sockets stay, want 1", staying)
	}
	m.set2.Restore(&saved)()
	if want := []string{"2 closed 1006"}; !slices.Equal(m.rec2.heard, want) {
		t.Errorf("the object heard %q, want %q", m.rec2.heard, want)
	}
	m.reg.Forget(1012)
	if sent := m.conns[1].sent; !slices.Equal(sent, []string{"close 1012"}) || m.conns[1].moved {
		t.Errorf("what stays was sent %q", sent)
	}
	m.conns[1].sink.CloseFrame(1012, "") // its answer
	m.conns[1].sink.Gone(nil)
	if len(m.rec.heard) > 0 || len(m.reg.sockets) > 0 {
		t.Errorf("here the object heard %q, and %d sockets are left", m.rec.heard, len(m.reg.sockets))
	}
}

// TestSettle: what has ended and still sends is told to its object at once.
func TestSettle(t *testing.T) {
	m := newMove(t, 2)
	m.conns[1].over = ws.ErrSlow
	m.reg.Settle()
	m.reg.Settle()
	if want := []string{"2 " + ws.ErrSlow.Error()}; !slices.Equal(m.rec.heard, want) {
		t.Errorf("the object heard %q, want %q", m.rec.heard, want)
	}
	saved, _ := m.set.Save()
	if !saved.Sockets[1].Ended || saved.Sockets[1].Conn != nil {
		t.Errorf("saved as %+v", saved.Sockets[1])
	}
	m.set2.Restore(&saved)()
	if len(m.rec2.heard) > 0 {
		t.Errorf("the object heard %q again", m.rec2.heard)
	}
}

func TestKeep(t *testing.T) {
	m := newMove(t, 2)
	m.set.Save()
	m.reg.Keep()
	for i, c := range m.conns {
		if c.moving {
			t.Errorf("connection %d stands still", i)
		}
	}
	m.reg.Forget(1012) // nothing has been saved: all are told
	for i, c := range m.conns {
		if !slices.Equal(c.sent, []string{"close 1012"}) {
			t.Errorf("connection %d was sent %q", i, c.sent)
		}
	}
}

// TestRelayMoves: two objects with a socket to each other go on to talk.
func TestRelayMoves(t *testing.T) {
	l := loop.NewPortable()
	l.Start()
	defer l.Stop()
	var reg *Registry
	var a, b recipient
	var sets [2]*Set
	home := func(uint32) *Registry { return nil } // those of the predecessor are nobody's
	l.Call(func() {
		reg = New(Config{Loop: l, Transport: &movers{}, MaxSockets: 10, Home: home})
		for i, r := range []*recipient{&a, &b} {
			sets[i] = reg.NewSet(r, true)
			sets[i].Restore(&SavedSet{Sockets: []SavedSocket{{ID: dormouse.SocketID(10 + i), Relayed: true}}})()
		}
		lone := reg.NewSet(&a, true)
		lone.Restore(&SavedSet{Sockets: []SavedSocket{{ID: 20, Relayed: true}}})()
		for _, id := range []dormouse.SocketID{10, 11} {
			reg.Rejoin(id, reg)
		}
		reg.Rejoin(20, nil)
	})
	for range 3 { // what is posted posts
		l.Call(func() {})
	}
	l.Call(func() { reg.Send(10, true, []byte("over there?")) })
	for range 3 {
		l.Call(func() {})
	}
	l.Call(func() {
		if want := []string{"11 over there?"}; !slices.Equal(b.heard, want) {
			t.Errorf("the peer heard %q, want %q", b.heard, want)
		}
		if want := []string{"20 closed 1006"}; !slices.Equal(a.heard, want) {
			t.Errorf("the one whose peer is gone heard %q, want %q", a.heard, want)
		}
	})
}
