package wsconn

import "github.com/dormouse-dev/dormouse/internal/ws"

// A connection can move to another process. Between Save and Keep or Forget it
// stands still: two processes have its descriptor, and one of them may speak.

var _ ws.Portable = (*Conn)(nil)

// portable is a Stream that is a descriptor.
type portable interface{ Descriptor() int }

// Save implements ws.Portable.
func (c *Conn) Save() (ws.Saved, bool) {
	d, ok := c.stream.(portable)
	if !ok || c.phase != open || c.has(movingFlag) {
		return ws.Saved{}, false
	}
	c.flush()
	s, ok := c.end.Save()
	if !ok {
		return ws.Saved{}, false
	}
	s.Descriptor = d.Descriptor()
	c.flags |= movingFlag
	c.flags &^= wantsRead | wantsWrite
	c.stream.Want(false, false) // off the old epoll, which would go on reporting it
	return s, true
}

// Keep implements ws.Portable.
func (c *Conn) Keep() {
	if !c.has(movingFlag) {
		return
	}
	c.flags &^= movingFlag
	c.end.Unstick() // asks again, because nobody was watching
	c.tellLater()
	c.touch()
}

// Forget implements ws.Portable.
func (c *Conn) Forget() bool {
	if !c.has(movingFlag) {
		return false
	}
	c.phase = finished
	c.stream.Close()
	return true
}

// Leave implements ws.Portable.
func (c *Conn) Leave() (cause error, ended bool) { return c.end.Leave() }

// Restore begins the connection where another process has saved it. After an
// error nothing has begun.
func (c *Conn) Restore(s *Shard, stream Stream, saved *ws.Saved, o ws.Options, sink ws.Sink) error {
	if err := c.end.Restore(&s.pool, o, saved, sink); err != nil {
		return err
	}
	c.shard, c.stream = s, stream
	c.want() // an error of the system's ends the connection, later
	c.tellLater()
	c.touch()
	return nil
}
