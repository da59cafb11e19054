package wspipe

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// DefaultCapacity is how many bytes a direction of a Pipe holds, unless
// SetCapacity says otherwise, before a writer has to wait.
const DefaultCapacity = 64 << 10

// Pipe returns the two ends of a connection in memory. Each is a net.Conn; one
// of them may be given to Transport.Adopt. Unlike those of net.Pipe they
// buffer, so writers need not wait for readers.
func Pipe() (*End, *End) {
	p := &pipe{}
	p.ends[0] = End{pipe: p, capacity: DefaultCapacity}
	p.ends[1] = End{pipe: p, capacity: DefaultCapacity}
	return &p.ends[0], &p.ends[1]
}

// pipe is both ends, in one piece of memory.
type pipe struct {
	mu   sync.Mutex // guards the fields of both ends
	ends [2]End
}

// End is one end of a Pipe.
type End struct {
	pipe *pipe

	in       []byte  // what has arrived here and was not read; nil when empty
	capacity int32   // of in
	ended    bool    // nothing more arrives
	closed   bool    // by its owner
	owner    *stream // once adopted
	waits    *waits  // nil while nobody waits and no deadline is set
}

// waits is what an end has only while it is waited for.
type waits struct {
	changed     chan struct{} // closed at the next change; nil when nobody waits
	read, write time.Time     // deadlines
}

// chunk is the memory of what is short and on its way in a pipe of which a
// transport has an end. It is lent by that, so that messages leave no garbage.
type chunk [128]byte

// lender is the transport of either end, if there is one.
func (p *pipe) lender() *Transport {
	for i := range p.ends {
		if s := p.ends[i].owner; s != nil {
			return s.transport
		}
	}
	return nil
}

// add appends to what has arrived.
func (e *End) add(p []byte) {
	if e.in == nil && len(p) <= len(chunk{}) {
		if t := e.pipe.lender(); t != nil {
			c, _ := t.chunks.Get().(*chunk)
			if c == nil {
				c = new(chunk)
			}
			e.in = c[:0]
		}
	}
	e.in = append(e.in, p...)
}

// drop takes n bytes away from the beginning. Nobody else has them.
func (e *End) drop(n int) {
	if n < len(e.in) {
		e.in = e.in[n:]
		return
	}
	if cap(e.in) == len(chunk{}) { // of which nothing has been dropped before
		if t := e.pipe.lender(); t != nil {
			t.chunks.Put((*chunk)(e.in[:cap(e.in)]))
		}
	}
	e.in = nil
}

var _ net.Conn = (*End)(nil)

// errNothing says that there is nothing to read now.
var errNothing = errors.New("nothing to read")

func (e *End) peer() *End {
	if e == &e.pipe.ends[0] {
		return &e.pipe.ends[1]
	}
	return &e.pipe.ends[0]
}

// SetCapacity changes how many bytes may wait to be read here.
func (e *End) SetCapacity(n int) {
	e.pipe.mu.Lock()
	e.capacity = int32(n)
	told := e.peer().wake()
	e.pipe.mu.Unlock()
	told.tell()
}

// Take returns all that waits to be read, without waiting for it.
func (e *End) Take() []byte {
	e.pipe.mu.Lock()
	b := e.in
	e.in = nil
	told := e.peer().wake()
	e.pipe.mu.Unlock()
	told.tell()
	return b
}

// take reads without waiting. It returns errNothing or io.EOF when there is
// nothing.
func (e *End) take(p []byte) (int, error) {
	e.pipe.mu.Lock()
	if e.closed || len(e.in) == 0 {
		defer e.pipe.mu.Unlock()
		switch {
		case e.closed:
			return 0, net.ErrClosed
		case e.ended:
			return 0, io.EOF
		}
		return 0, errNothing
	}
	n := copy(p, e.in)
	e.drop(n)
	told := e.peer().wake()
	e.pipe.mu.Unlock()
	told.tell()
	return n, nil
}

// put writes as much as there is room for.
func (e *End) put(p []byte) (int, error) {
	e.pipe.mu.Lock()
	to := e.peer()
	switch {
	case e.closed || to.ended:
		e.pipe.mu.Unlock()
		return 0, net.ErrClosed
	case to.closed:
		e.pipe.mu.Unlock()
		return 0, syscall.EPIPE
	}
	n := min(len(p), max(0, int(to.capacity)-len(to.in)))
	if n > 0 {
		to.add(p[:n])
	}
	told := to.wake()
	e.pipe.mu.Unlock()
	if n > 0 {
		told.tell()
	}
	return n, nil
}

// state reports whether reading, and writing, would do something.
func (e *End) state() (readable, writable bool) {
	e.pipe.mu.Lock()
	to := e.peer()
	readable = len(e.in) > 0 || e.ended || e.closed
	writable = len(to.in) < int(to.capacity) || to.closed || e.closed
	e.pipe.mu.Unlock()
	return readable, writable
}

// wake wakes those who wait at this end. The pipe's lock is held; the owner, if
// there is one, is to be told after it is not.
func (e *End) wake() *stream {
	if w := e.waits; w != nil && w.changed != nil {
		close(w.changed)
		w.changed = nil
		if w.read.IsZero() && w.write.IsZero() {
			e.waits = nil
		}
	}
	return e.owner
}

// tell has the owner look at its end. s may be nil.
func (s *stream) tell() {
	if s != nil {
		s.transport.changed(s)
	}
}

func (e *End) attach(s *stream) {
	e.pipe.mu.Lock()
	e.owner = s
	e.pipe.mu.Unlock()
}

// Read implements net.Conn.
func (e *End) Read(p []byte) (int, error) {
	for {
		n, err := e.take(p)
		if err != errNothing || len(p) == 0 {
			return n, err
		}
		readable := func() bool { return len(e.in) > 0 || e.ended || e.closed }
		if err := e.wait(readable, func(w *waits) time.Time { return w.read }); err != nil {
			return 0, err
		}
	}
}

// Write implements net.Conn.
func (e *End) Write(p []byte) (int, error) {
	for done := 0; ; {
		n, err := e.put(p[done:])
		done += n
		if err != nil || done == len(p) {
			return done, err
		}
		to := e.peer()
		writable := func() bool { return len(to.in) < int(to.capacity) || to.closed || e.closed }
		if err := e.wait(writable, func(w *waits) time.Time { return w.write }); err != nil {
			return done, err
		}
	}
}

// wait waits for a change, unless the condition holds already. It fails when
// the deadline has passed.
func (e *End) wait(condition func() bool, which func(*waits) time.Time) error {
	e.pipe.mu.Lock()
	if condition() {
		e.pipe.mu.Unlock()
		return nil
	}
	if e.waits == nil {
		e.waits = &waits{}
	}
	w := e.waits
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	changed, deadline := w.changed, which(w)
	e.pipe.mu.Unlock()
	if deadline.IsZero() {
		<-changed
		return nil
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-changed:
		return nil
	case <-timer.C:
		return os.ErrDeadlineExceeded
	}
}

// CloseWrite ends the direction to the peer, who still reads what was written.
func (e *End) CloseWrite() error {
	e.pipe.mu.Lock()
	to := e.peer()
	to.ended = true
	told := to.wake()
	e.pipe.mu.Unlock()
	told.tell()
	return nil
}

// Close implements net.Conn. What the peer has written and is not read is lost.
func (e *End) Close() error {
	e.pipe.mu.Lock()
	if e.closed {
		e.pipe.mu.Unlock()
		return net.ErrClosed
	}
	e.closed, e.in, e.owner = true, nil, nil
	to := e.peer()
	to.ended = true
	e.wake()
	told := to.wake()
	e.pipe.mu.Unlock()
	told.tell()
	return nil
}

// LocalAddr implements net.Conn.
func (e *End) LocalAddr() net.Addr { return addr{} }

// RemoteAddr implements net.Conn.
func (e *End) RemoteAddr() net.Addr { return addr{} }

// SetDeadline implements net.Conn.
func (e *End) SetDeadline(t time.Time) error {
	return e.setDeadlines(func(w *waits) { w.read, w.write = t, t })
}

// SetReadDeadline implements net.Conn.
func (e *End) SetReadDeadline(t time.Time) error {
	return e.setDeadlines(func(w *waits) { w.read = t })
}

// SetWriteDeadline implements net.Conn.
func (e *End) SetWriteDeadline(t time.Time) error {
	return e.setDeadlines(func(w *waits) { w.write = t })
}

func (e *End) setDeadlines(set func(*waits)) error {
	e.pipe.mu.Lock()
	if e.waits == nil {
		e.waits = &waits{}
	}
	set(e.waits)
	e.wake() // those who wait look at it
	e.pipe.mu.Unlock()
	return nil
}
