// Package wspipe keeps WebSockets in memory. The whole protocol is spoken, byte
// by byte, but no descriptor is used, nothing starts a goroutine, and time is
// only what the loop says: it works in a testing/synctest bubble, and a million
// connections fit into a test.
package wspipe

import (
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
	"github.com/dormouse-dev/dormouse/internal/ws/wsconn"
)

// Transport makes connections of one loop, from ends of Pipe.
type Transport struct {
	*wsconn.Shard
	runFunc func()    // made once, because Post would otherwise allocate it
	chunks  sync.Pool // of *chunk

	mu    sync.Mutex // guards the following
	ready []*stream  // whose pipe has changed since they were last looked at

	spare []*stream // memory for ready; owned by the loop
}

var _ ws.Transport = (*Transport)(nil)

// New returns the transport of a loop. Call it before Start or on the loop.
func New(l *loop.Loop) *Transport {
	t := &Transport{Shard: wsconn.NewShard(l)}
	t.runFunc = t.run
	return t
}

// Adopt implements ws.Transport. c must be one end of a Pipe.
func (t *Transport) Adopt(c net.Conn, rest []byte, o ws.Options, sink ws.Sink) (ws.Conn, error) {
	e, ok := c.(*End)
	if !ok {
		return nil, fmt.Errorf("adopt %s: %T is not the end of a pipe", c.RemoteAddr(), c)
	}
	s := &stream{transport: t, near: e}
	e.attach(s)
	if err := s.conn.Adopt(t.Shard, s, rest, o, sink); err != nil {
		return nil, err
	}
	return &s.conn, nil
}

// changed has s looked at on the loop. Any goroutine.
func (t *Transport) changed(s *stream) {
	t.mu.Lock()
	first := len(t.ready) == 0
	if !s.listed {
		s.listed = true
		t.ready = append(t.ready, s)
	}
	t.mu.Unlock()
	if first {
		t.Loop().Post(t.runFunc)
	}
}

func (t *Transport) run() {
	t.mu.Lock()
	ready := t.ready
	t.ready, t.spare = t.spare, nil
	for _, s := range ready {
		s.listed = false
	}
	t.mu.Unlock()
	for left := ready; len(left) > 0; {
		next := left[:min(len(left), wsconn.Ahead)]
		wsconn.Expect(t.Shard, next, func(s *stream) *wsconn.Conn { return &s.conn })
		for _, s := range next {
			s.pump()
		}
		left = left[len(next):]
	}
	if cap(ready) <= maxKeptReady {
		clear(ready)
		t.spare = ready[:0]
	}
}

// maxKeptReady is the longest list of streams whose memory is kept.
const maxKeptReady = 16 << 10

// stream is an end of a pipe as a connection sees it.
type stream struct {
	transport *Transport
	near      *End
	listed    bool // in transport.ready; guarded by its lock

	// Owned by the loop.
	wantRead  bool
	wantWrite bool
	closed    bool
	conn      wsconn.Conn
}

var _ wsconn.Stream = (*stream)(nil)

// pump tells the connection what it waits for and can have.
func (s *stream) pump() {
	if s.closed {
		return
	}
	if read, write := s.ready(); read || write {
		s.conn.Ready(read, write)
		s.poke() // for what is left, unless that is no longer wanted
	}
}

func (s *stream) ready() (read, write bool) {
	readable, writable := s.near.state()
	return s.wantRead && readable, s.wantWrite && writable
}

func (s *stream) poke() {
	if read, write := s.ready(); read || write {
		s.transport.changed(s)
	}
}

// Read implements wsconn.Stream.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.near.take(p)
	if err == errNothing {
		err = nil
	}
	return n, err
}

// Write implements wsconn.Stream.
func (s *stream) Write(segments [][]byte) (int, error) {
	all := 0
	for _, b := range segments {
		n, err := s.near.put(b)
		all += n
		if err != nil || n < len(b) {
			return all, err
		}
	}
	return all, nil
}

// Buffered implements wsconn.Stream: what was written is the pipe's.
func (s *stream) Buffered() int { return 0 }

// Want implements wsconn.Stream.
func (s *stream) Want(read, write bool) error {
	s.wantRead, s.wantWrite = read, write
	s.poke()
	return nil
}

// CloseWrite implements wsconn.Stream.
func (s *stream) CloseWrite() error { return s.near.CloseWrite() }

// Close implements wsconn.Stream.
func (s *stream) Close() {
	s.closed = true
	s.near.Close()
}

// RemoteAddr implements wsconn.Stream.
func (s *stream) RemoteAddr() string { return s.near.RemoteAddr().String() }

// Listener is a net.Listener in memory, for servers that speak HTTP first.
type Listener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

// Listen returns a listener whose connections come from its Dial.
func Listen() *Listener {
	return &Listener{conns: make(chan net.Conn), done: make(chan struct{})}
}

// Dial connects, when the server accepts.
func (l *Listener) Dial() (*End, error) {
	near, far := Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return addr{} }

type addr struct{}

func (addr) Network() string { return "pipe" }
func (addr) String() string  { return "pipe" }

var _ io.ReadWriteCloser = (*End)(nil)
