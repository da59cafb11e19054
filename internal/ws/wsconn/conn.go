package wsconn

import (
	"errors"
	"io"
	"time"

	"github.com/dormouse-dev/dormouse/internal/brief"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// Stream is the bytes of one connection, as a transport provides them. No call
// blocks, and none calls back.
type Stream interface {
	// Read returns bytes or an error, never both; 0 and nil when nothing is
	// there now, and io.EOF when nothing will come any more.
	Read(p []byte) (int, error)
	// Write takes as much as it can at once. Less than all means: not now.
	Write(segments [][]byte) (int, error)
	// Buffered is how much of what Write took is still in this process. When
	// that becomes 0, the transport calls Conn.Ready for writing, asked or not.
	Buffered() int
	// Want says what Conn.Ready is to be called for, as long as it is so.
	Want(read, write bool) error
	// CloseWrite ends our direction. What is Buffered may be lost.
	CloseWrite() error
	// Close ends the stream. Nothing is called after it.
	Close()
	RemoteAddr() string
}

// Conn is a ws.Conn over a Stream. Transports embed it in the struct that is
// their Stream, so that a connection at rest is one small piece of memory.
type Conn struct {
	end    ws.Endpoint
	shard  *Shard
	stream Stream
	phase  phase
	flags  flags
}

var _ ws.RunConn = (*Conn)(nil)

// phase is where in its life a connection is. It only grows.
type phase uint8

const (
	open      phase = iota // the conversation goes on
	flushing               // it is over, but not all of it has left
	lingering              // all has left, and our FIN; the peer has not noticed yet
	finished               // closed
)

type flags uint8

const (
	dirtyFlag  flags = 1 << iota // in shard.dirty
	laterFlag                    // in shard.later
	parkedFlag                   // in shard.parked: not read until the shard resumes
	endedFlag                    // the stream has no more to read
	wantsRead                    // as last said to Stream.Want
	wantsWrite                   // as last said to Stream.Want
	movingFlag                   // between Save and Keep or Forget
)

func (c *Conn) has(f flags) bool { return c.flags&f != 0 }

// Adopt begins the connection: it asks stream for what it wants, sends o.Head at
// the end of the round and listens to rest before anything else.
func (c *Conn) Adopt(s *Shard, stream Stream, rest []byte, o ws.Options, sink ws.Sink) error {
	if err := stream.Want(true, false); err != nil {
		return err
	}
	c.shard, c.stream, c.flags = s, stream, wantsRead
	c.end.Init(&s.pool, o, sink)
	if len(rest) > 0 {
		c.end.Hold(rest)
		c.tellLater()
	}
	c.touch()
	return nil
}

// Send implements ws.Conn.
func (c *Conn) Send(op ws.Opcode, payload []byte) { c.queued(c.end.Send(op, payload)) }

// SendRun implements ws.RunConn.
func (c *Conn) SendRun(run brief.Run) {
	for run.N > 0 {
		var u ws.Urgency
		run, u = c.end.SendRun(run)
		c.queued(u)
	}
}

// SendShared implements ws.Conn.
func (c *Conn) SendShared(m *ws.Shared) { c.queued(c.end.SendShared(m)) }

// Close implements ws.Conn.
func (c *Conn) Close(code uint16, reason string) { c.queued(c.end.Close(code, reason)) }

// queued does what the endpoint asks for after something was queued.
func (c *Conn) queued(u ws.Urgency) {
	if u == ws.AtOnce {
		c.flush()
	}
	if u != ws.Nothing || c.end.Over() {
		c.touch()
	}
	if c.shard.pool.Full() {
		c.shard.flush()
	}
}

// Drop implements ws.Conn.
func (c *Conn) Drop() {
	if c.phase > flushing {
		return
	}
	c.end.Drop()
	if c.has(movingFlag) {
		return // Keep goes on from here
	}
	c.flush()
	c.end.Mute()
	c.settle()
}

// Pause implements ws.Conn.
func (c *Conn) Pause() {
	c.end.Pause()
	c.touch()
}

// Resume implements ws.Conn.
func (c *Conn) Resume() {
	c.end.Resume()
	if c.end.Holds() {
		c.tellLater()
	}
	c.touch()
}

// Buffered implements ws.Conn.
func (c *Conn) Buffered() int {
	if c.phase == finished {
		return 0
	}
	return c.end.Buffered() + c.stream.Buffered()
}

// NotifyDrained implements ws.Conn.
func (c *Conn) NotifyDrained(low int) {
	c.end.NotifyDrained(low)
	c.checkDrained()
}

// RemoteAddr implements ws.Conn.
func (c *Conn) RemoteAddr() string {
	if c.phase == finished {
		return ""
	}
	return c.stream.RemoteAddr()
}

// Ready is the transport's call when the stream can be read or written, or has
// failed: then both. It may call the Sink.
func (c *Conn) Ready(read, write bool) {
	if c.has(movingFlag) {
		return
	}
	if write {
		c.end.Unstick()
		c.flush()
	}
	if read {
		c.read()
	}
	c.touch()
}

// read reads once, so that nobody takes more than its share of a round.
func (c *Conn) read() {
	s := c.shard
	switch {
	case c.phase == lingering:
		if _, err := c.stream.Read(s.buf); err != nil {
			c.close()
		}
		return
	case c.phase != open || c.has(endedFlag) || c.end.Over():
		return
	case !c.end.Listening():
		c.park()
		return
	case c.end.Holds():
		c.receive(nil) // it came before what the stream has, its end perhaps
		return
	}
	switch n, err := c.stream.Read(s.buf); {
	case n > 0:
		c.receive(s.buf[:n])
	case err == nil:
	case errors.Is(err, io.EOF):
		c.flags |= endedFlag
		c.end.Hangup()
	default:
		c.flags |= endedFlag
		c.end.Lost()
	}
}

// receive hands bytes to the protocol, or lets it go on with those it holds.
func (c *Conn) receive(p []byte) {
	c.end.Receive(p)
	if c.end.Holds() {
		c.park()
	}
}

// park takes the connection off the readable ones until the shard resumes, if
// it is the shard that is paused.
func (c *Conn) park() {
	if s := c.shard; s.pool.Paused && !c.has(parkedFlag) {
		c.flags |= parkedFlag
		s.parked = append(s.parked, c)
	}
}

// tell says to the Sink what had to wait until no call was running.
func (c *Conn) tell() {
	if c.has(movingFlag) {
		return
	}
	if c.phase == open && c.end.Holds() {
		c.receive(nil)
	}
	c.end.TellDrained(c.stream.Buffered())
	if c.phase > flushing {
		c.end.TellGone()
	}
	c.touch()
}

// touch has the connection flushed and settled at the end of the round.
func (c *Conn) touch() {
	if !c.has(dirtyFlag) && c.phase != finished {
		c.flags |= dirtyFlag
		c.shard.dirty = append(c.shard.dirty, c)
	}
}

// tellLater has tell called soon, from outside of any call of the owner.
func (c *Conn) tellLater() {
	if c.has(laterFlag) {
		return
	}
	s := c.shard
	c.flags |= laterFlag
	s.later = append(s.later, c)
	if len(s.later) == 1 {
		s.loop.Post(s.runLaterFunc)
	}
}

// flush offers the stream what waits, until it takes no more.
func (c *Conn) flush() {
	if c.has(movingFlag) {
		return
	}
	s := c.shard
	for out := c.end.Unsent(); out != nil; out = c.end.Unsent() {
		s.segments = out.Segments(s.segments[:0])
		n, err := c.stream.Write(s.segments)
		if err != nil {
			c.writeFailed()
			break
		}
		all := 0
		for _, b := range s.segments {
			all += len(b)
		}
		c.end.Sent(n, n == all)
	}
	clear(s.segments)
	c.checkDrained()
}

// writeFailed gives up sending. What the peer said before it went is still
// there to be read, and then the end of it.
func (c *Conn) writeFailed() {
	if c.end.Curious() && !c.has(endedFlag) {
		c.end.Mute()
	} else {
		c.flags |= endedFlag
		c.end.Lost()
	}
}

func (c *Conn) checkDrained() {
	if c.end.Drained(c.stream.Buffered()) {
		c.tellLater()
	}
}

// settle brings the stream in line with what has become of the conversation.
func (c *Conn) settle() {
	if c.has(movingFlag) {
		return
	}
	if c.phase == open && c.end.Over() {
		c.phase = flushing
		c.shard.ending[c] = loop.NewTimer(c.expire)
	}
	if c.phase == flushing {
		if c.end.Stuck() || c.stream.Buffered() > 0 {
			c.bound(c.end.Patience())
		} else {
			c.finish()
		}
	}
	c.want()
}

// finish ends our direction, now that everything has left.
func (c *Conn) finish() {
	c.phase = lingering
	c.tellLater()
	failed := c.stream.CloseWrite() != nil
	if failed || c.has(endedFlag) || len(c.shard.ending) > maxLingering {
		c.close()
		return
	}
	c.shard.loop.Cancel(c.shard.ending[c])
	c.bound(ws.LingerWait)
}

// bound gives the phase an end. It does nothing when there is one already.
func (c *Conn) bound(d time.Duration) {
	l := c.shard.loop
	if t := c.shard.ending[c]; !t.Scheduled() {
		l.Schedule(t, l.Now().Add(d))
	}
}

func (c *Conn) expire() {
	switch c.phase {
	case flushing:
		c.end.Mute()
		c.finish()
		c.want()
	case lingering:
		c.close()
	}
}

// close ends the stream. The Sink has been told, or will be.
func (c *Conn) close() {
	if c.phase == finished {
		return
	}
	c.shard.loop.Cancel(c.shard.ending[c])
	delete(c.shard.ending, c)
	c.phase = finished
	c.end.Mute()
	c.stream.Close()
	c.tellLater()
}

// want tells the stream what to wait for, if that has changed.
func (c *Conn) want() {
	if c.phase == finished {
		return
	}
	read := c.phase == lingering ||
		c.phase == open && c.end.Curious() && !c.end.Paused() && !c.has(endedFlag|parkedFlag)
	write := c.end.Stuck()
	if read == c.has(wantsRead) && write == c.has(wantsWrite) {
		return
	}
	c.flags &^= wantsRead | wantsWrite
	if read {
		c.flags |= wantsRead
	}
	if write {
		c.flags |= wantsWrite
	}
	if err := c.stream.Want(read, write); err != nil {
		// The system cannot watch it: it would be deaf for ever.
		c.flags |= endedFlag
		c.end.Lost()
		c.touch()
	}
}
