package hibernation

import (
	"errors"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/brief"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// reportBuffered is how much has to wait on a socket before the guest is told.
const reportBuffered = 64 << 10

// takeLimit is how long an end that a client holds may be without an owner at
// its other side. The guest says sooner that there will be none, if it collects
// garbage.
const takeLimit = 15 * time.Minute

// Socket is one end of a pair that a guest holds, or has made and not accepted
// yet. It is the ws.Sink of its connection. At rest it is this struct, its tags
// and its attachment.
//
// What each message needs comes first: see Expect.
type Socket struct {
	set    *Set // whose it is; nil before it is accepted
	reg    *Registry
	id     dormouse.SocketID
	conn   ws.Conn // to the peer; nil until somebody takes that end
	passed uint32  // messages that the object was given; it wraps
	held   int32   // outputs of this socket that wait at the gate

	listed     bool // in the set: the guest does not have its last words
	orphan     bool // its code is gone: nobody hears it
	echoed     bool // weClosed, but the object did not say so
	closing    bool // the object has closed it; it may wait at the gate
	weClosed   bool
	peerClosed bool
	ended      bool // the peer is gone; only its last words may be outstanding
	paused     bool // its guest does not want what the peer says for now
	slowed     bool // the client has spoken too fast

	at         int32    // its place in the set, while listed
	pending    *pending // what had to wait for the other side
	tags       []string
	attachment []byte // nil: none
	stamp      int64  // of the last auto-response, Unix milliseconds; 0 never
	told       int    // bytes that wait, as the guest knows it
	last       uint64 // its last event, as its recipient counts; kept while there is a pair
	timer      *loop.Timer
}

// pending is what a guest said on an end whose peer nobody has taken yet, and
// what a guest said there before this end was taken.
// Invariant: bytes <= MaxOutbound.
type pending struct {
	ops   []func(ws.Conn)
	heard []func()
	bytes int
}

// attach gives the socket its connection and says what waited for it.
func (s *Socket) attach(c ws.Conn) {
	if s.ended {
		c.Drop() // the peer learns that there is nobody
		return
	}
	s.conn = c
	delete(s.reg.away, s.id.Peer())
	if s.set != nil && s.set.paused || s.paused {
		c.Pause()
	}
	p := s.pending
	if p == nil {
		return
	}
	ops := p.ops
	p.ops = nil
	s.settled()
	for _, op := range ops {
		op(c)
	}
	if s.weClosed {
		s.expectAnswer()
	}
}

// settled forgets what waits if nothing does.
func (s *Socket) settled() {
	if p := s.pending; p != nil && len(p.ops) == 0 && len(p.heard) == 0 {
		s.pending = nil
	}
}

// wait makes room for something that has to wait. It reports false when too
// much waits already.
func (s *Socket) wait(size int) bool {
	if s.pending == nil {
		s.pending = new(pending)
	}
	s.pending.bytes += size
	return s.pending.bytes <= s.outboundLimit()
}

// outboundLimit is how many bytes may wait to leave.
func (s *Socket) outboundLimit() int {
	if limit := s.reg.cfg.Options.MaxOutbound; limit > 0 {
		return limit
	}
	return ws.DefaultMaxOutbound
}

// hear says something that a relay brings to the end's owner, if it must when
// there is one.
func (s *Socket) hear(size int, say func()) {
	if s.set != nil || s.ended || s.orphan {
		say()
		return
	}
	if !s.wait(size + 64) {
		s.conn.Drop() // which is a relay: both ends hear of it
		s.pending = nil
		return
	}
	s.pending.heard = append(s.pending.heard, say)
}

// taken says what waited for the end to have an owner.
func (s *Socket) taken() {
	if s.pending == nil {
		return
	}
	heard := s.pending.heard
	s.pending.heard = nil
	s.settled()
	for _, say := range heard {
		say()
	}
}

// later keeps op until there is a connection.
func (s *Socket) later(size int, op func(ws.Conn)) {
	if s.ended {
		return
	}
	if !s.wait(size) {
		s.reg.bury(s.id)
		s.Gone(ws.ErrSlow)
		return
	}
	s.pending.ops = append(s.pending.ops, op)
}

func (s *Socket) send(text bool, payload []byte) {
	if s.conn == nil {
		p := append([]byte(nil), payload...)
		s.later(len(p)+64, func(c ws.Conn) { c.Send(ws.OpcodeOf(text), p) })
		return
	}
	s.conn.Send(ws.OpcodeOf(text), payload)
	s.watch()
}

func (s *Socket) sendShared(m *ws.Shared, text bool, payload []byte) {
	if _, relayed := s.conn.(*relay); relayed || s.conn == nil {
		s.send(text, payload)
		return
	}
	s.conn.SendShared(m)
	s.watch()
}

// watch tells the guest when much waits, and again each time that it has
// doubled.
func (s *Socket) watch() {
	n := s.conn.Buffered()
	if n > reportBuffered && n >= 2*s.told && s.set != nil {
		s.tell(n)
	}
}

// Drained tells the guest when half of what waited has left, and when all has.
func (s *Socket) Drained() {
	if s.conn != nil && s.set != nil {
		s.tell(s.conn.Buffered())
	}
}

func (s *Socket) tell(n int) {
	s.told = n
	switch {
	case n > reportBuffered:
		s.conn.NotifyDrained(n / 2)
	case n > 0:
		s.conn.NotifyDrained(0)
	}
	s.set.rec.Buffered(s.id, n)
}

// pause stops and resumes what the peer says, on the wish of the guest.
func (s *Socket) pause(paused bool) {
	if s.paused == paused {
		return
	}
	s.paused = paused
	switch {
	case s.conn == nil:
	case paused:
		s.conn.Pause()
	case !s.set.paused && !s.slowed:
		s.conn.Resume()
	}
}

func (s *Socket) close(code uint16, reason string) {
	if s.weClosed {
		return
	}
	s.weClosed = true
	if s.conn == nil {
		s.later(len(reason), func(c ws.Conn) { c.Close(code, reason) })
		return
	}
	s.conn.Close(code, reason)
	s.expectAnswer()
}

// expectAnswer drops the connection when the peer does not answer our Close.
func (s *Socket) expectAnswer() {
	wait := s.reg.cfg.CloseHandshake
	if wait == 0 || s.peerClosed || s.ended || s.timer != nil {
		return
	}
	l := s.reg.cfg.Loop
	s.timer = loop.NewTimer(func() {
		switch {
		case s.conn == nil:
		case s.unread():
			l.Schedule(s.timer, l.Now().Add(wait)) // its answer may be there
		default:
			s.conn.Drop()
		}
	})
	l.Schedule(s.timer, l.Now().Add(wait))
}

// unread says that what the peer says is not read for now, for our own reasons.
func (s *Socket) unread() bool {
	return s.paused || s.slowed || s.set != nil && s.set.paused || s.reg.paused
}

// untaken bounds how long a connection waits for the other end to have an owner.
func (s *Socket) untaken() {
	l := s.reg.cfg.Loop
	s.timer = loop.NewTimer(func() {
		s.timer = nil
		if s.set == nil && s.conn != nil {
			s.drop()
		}
	})
	l.Schedule(s.timer, l.Now().Add(takeLimit))
}

// hold keeps an output at the gate of the socket's object.
func (s *Socket) hold(size int, release func()) {
	s.held++
	s.set.rec.Hold(size, func() {
		s.held--
		if s.set != nil {
			release()
		}
	})
}

// Expect implements ws.Expecter.
func (s *Socket) Expect(step int) (seen uint) {
	t := s.set
	switch {
	case t == nil:
	case step == 0:
		return uint(s.held)
	case step == 1:
		return uint(t.number) + uint(len(t.stamps))
	default:
		if e, ok := t.rec.(ws.Expecter); ok {
			return e.Expect(step - 2)
		}
	}
	return 0
}

// Message is a data message from the peer.
func (s *Socket) Message(op ws.Opcode, payload []byte) {
	if s.set == nil {
		return
	}
	s.heard(1, len(payload))
	text := op == ws.OpText
	if s.set.pair == nil && s.set.lines == nil {
		s.pass(text, payload)
		return
	}
	s.inOrder(text, payload)
}

// Several implements ws.RunSink.
func (s *Socket) Several() bool {
	t := s.set
	return t != nil && t.pair == nil && t.lines == nil && t.rec.Several()
}

// Messages implements ws.RunSink.
func (s *Socket) Messages(run brief.Run) bool {
	if !s.set.rec.Messages(s.id, run) {
		return false
	}
	s.passed += uint32(run.N)
	s.heard(run.N, run.Size())
	return true
}

// heard counts messages of the peer, and has the socket found soon: it may be
// answered.
func (s *Socket) heard(n, bytes int) {
	r := s.reg
	r.recent[place(s.id)] = s
	r.counts.Received += uint64(n)
	r.counts.ReceivedBytes += uint64(bytes)
}

// pass gives the object a message.
func (s *Socket) pass(text bool, payload []byte) {
	s.passed++
	s.set.number = s.passed
	s.set.rec.Message(s.id, text, payload)
}

// autoRespond answers without the object. The answer passes the gate, but never
// overtakes what this socket has waiting there.
func (s *Socket) autoRespond(p *guest.Pair) {
	s.reg.counts.AutoResponses++
	if s.weClosed {
		return
	}
	s.reg.counts.sent(1, len(p.Response))
	if s.held == 0 {
		s.send(true, []byte(p.Response))
		return
	}
	s.hold(len(p.Response), func() { s.send(true, []byte(p.Response)) })
}

// CloseFrame is the peer's Close.
func (s *Socket) CloseFrame(code uint16, reason string) {
	if s.peerClosed {
		return
	}
	s.flush()
	s.peerClosed = true
	if s.set == nil {
		return
	}
	answered := s.weClosed || s.closing
	if !answered && s.set.hibernate && s.reg.cfg.AutoReply {
		s.echo(code, reason)
		answered = true
	}
	s.reg.countClose(code)
	s.set.rec.Closed(s.id, guest.Closing{Code: code, Reason: reason, Clean: true, Ended: answered})
}

// echo answers the peer's Close with the same, in order with what waits at the
// gate. RFC 6455, section 5.5.1: the answer typically echoes the status code.
func (s *Socket) echo(code uint16, reason string) {
	if code == ws.CloseNoStatus {
		code = 0
	}
	s.echoed = true
	if s.held == 0 {
		s.close(code, reason)
		return
	}
	s.hold(len(reason), func() { s.close(code, reason) })
}

// Gone is the end of the connection.
func (s *Socket) Gone(err error) {
	if s.ended {
		return
	}
	s.flush()
	s.ended = true
	s.conn = nil
	s.pending = nil
	delete(s.reg.away, s.id.Peer())
	if s.timer != nil {
		s.reg.cfg.Loop.Cancel(s.timer)
		s.timer = nil
	}
	if s.set == nil {
		delete(s.reg.sockets, s.id)
		return
	}
	if s.peerClosed {
		s.forget() // its last word was the Close frame
		return
	}
	var protocol *ws.ProtocolError
	if errors.As(err, &protocol) || errors.Is(err, ws.ErrSlow) {
		s.reg.countClose(ws.CloseAbnormal)
		s.set.rec.Errored(s.id, err.Error())
		return
	}
	s.reg.countClose(ws.CloseAbnormal)
	s.set.rec.Closed(s.id, guest.Closing{Code: ws.CloseAbnormal, Reason: ws.ErrNoCloseFrame.Error(), Ended: true})
}

// forget takes the socket out of the registry when both the peer and the guest
// are done with it.
func (s *Socket) forget() {
	if s.ended && !s.listed {
		delete(s.reg.sockets, s.id)
		s.attachment, s.tags = nil, nil
	}
}

// drop ends the connection without a Close frame; the object is not told.
func (s *Socket) drop() {
	c := s.conn
	set := s.set
	if c == nil && !s.ended {
		s.reg.bury(s.id)
	}
	s.set, s.pending, s.attachment, s.tags, s.held = nil, nil, nil, nil, 0
	delete(s.reg.away, s.id.Peer())
	s.ended = true
	s.conn = nil
	if s.timer != nil {
		s.reg.cfg.Loop.Cancel(s.timer)
		s.timer = nil
	}
	if set != nil {
		set.remove(s)
	}
	delete(s.reg.sockets, s.id)
	if c != nil {
		c.Drop()
	}
}

// stampTime is when the last auto-response was given.
func (s *Socket) stampTime() time.Time {
	if s.stamp == 0 {
		return time.Time{}
	}
	return time.UnixMilli(s.stamp)
}

func (r *Registry) countClose(code uint16) {
	if len(r.counts.Closes) < 64 || r.counts.Closes[code] > 0 {
		r.counts.Closes[code]++
		return
	}
	r.counts.Closes[0]++ // clients may invent codes; the list has a bound
}
