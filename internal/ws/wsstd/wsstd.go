// Package wsstd keeps WebSockets on any net.Conn, TLS in this process among
// them, on any system. Each connection has a goroutine that reads, and one that
// writes while there is something to write; everything else happens on the loop.
package wsstd

import (
	"net"
	"sync"

	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
	"github.com/dormouse-dev/dormouse/internal/ws/wsconn"
)

const (
	readChunk  = 16 << 10  // what a connection's reader may have read ahead of the loop
	writeChunk = 256 << 10 // what its writer may have taken and not written
)

// Transport makes connections of one loop.
type Transport struct {
	*wsconn.Shard
	goroutines sync.WaitGroup
	streams    map[*stream]struct{} // owned by the loop
}

var _ ws.Transport = (*Transport)(nil)

// New returns the transport of a loop. Call it before Start or on the loop.
func New(l *loop.Loop) *Transport {
	return &Transport{Shard: wsconn.NewShard(l), streams: make(map[*stream]struct{})}
}

// Adopt implements ws.Transport. It never fails.
func (t *Transport) Adopt(c net.Conn, rest []byte, o ws.Options, sink ws.Sink) (ws.Conn, error) {
	s := &stream{
		transport: t,
		nc:        c,
		next:      make(chan struct{}, 1),
		quit:      make(chan struct{}),
	}
	if err := s.conn.Adopt(t.Shard, s, rest, o, sink); err != nil {
		return nil, err
	}
	t.streams[s] = struct{}{}
	t.goroutines.Go(s.read)
	return &s.conn, nil
}

// Close closes every connection without a word to its Sink, and waits for all
// goroutines. Call it from outside of the loop, before Stop or after.
func (t *Transport) Close() {
	closeAll := func() {
		for s := range t.streams {
			s.Close()
		}
	}
	if !t.Loop().Call(closeAll) {
		closeAll() // the loop has ended: nobody else touches them
	}
	t.goroutines.Wait()
}

// stream is a net.Conn that never blocks.
type stream struct {
	// Set once, before use.
	transport *Transport
	nc        net.Conn
	next      chan struct{} // a token: the reader may read on
	quit      chan struct{} // closed when the stream is

	// Owned by the loop.
	conn      wsconn.Conn
	chunk     []byte // what the reader has read, lent by it
	err       error  // what ended the reader
	writing   int    // bytes that the writer has taken; 0 when there is none
	wantRead  bool
	wantWrite bool
	broken    error // what ended the writer
	poked     bool  // pump is posted
	closed    bool
}

var _ wsconn.Stream = (*stream)(nil)

// read is the reader's goroutine. It ends when the stream does; Close makes a
// blocked Read return.
func (s *stream) read() {
	buf := make([]byte, readChunk)
	for {
		n, err := s.nc.Read(buf)
		if !s.transport.Loop().Post(func() { s.arrived(buf[:n], err) }) || err != nil {
			return
		}
		select {
		case <-s.next:
		case <-s.quit:
			return
		}
	}
}

func (s *stream) arrived(chunk []byte, err error) {
	s.chunk, s.err = chunk, err
	if len(chunk) == 0 && err == nil {
		s.next <- struct{}{}
	}
	s.pump()
}

// pump tells the connection what it waits for and can have.
func (s *stream) pump() {
	s.poked = false
	if s.closed {
		return
	}
	if read, write := s.ready(); read || write {
		s.conn.Ready(read, write)
		s.poke() // for what is left, unless that is no longer wanted
	}
}

func (s *stream) ready() (read, write bool) {
	return s.wantRead && (len(s.chunk) > 0 || s.err != nil), s.wantWrite && s.writing == 0
}

func (s *stream) poke() {
	if read, write := s.ready(); (read || write) && !s.poked && !s.closed {
		s.poked = true
		s.transport.Loop().Post(s.pump)
	}
}

// Read implements wsconn.Stream.
func (s *stream) Read(p []byte) (int, error) {
	if len(s.chunk) == 0 {
		return 0, s.err
	}
	n := copy(p, s.chunk)
	s.chunk = s.chunk[n:]
	if len(s.chunk) == 0 && s.err == nil {
		s.next <- struct{}{} // the reader waits for it, so there is room
	}
	return n, nil
}

// Write implements wsconn.Stream.
func (s *stream) Write(segments [][]byte) (int, error) {
	switch {
	case s.closed:
		return 0, net.ErrClosed
	case s.broken != nil || s.writing > 0:
		return 0, s.broken
	}
	var b []byte
	for _, segment := range segments {
		b = append(b, segment[:min(len(segment), writeChunk-len(b))]...)
	}
	s.writing = len(b)
	s.transport.goroutines.Go(func() {
		_, err := s.nc.Write(b)
		s.transport.Loop().Post(func() { s.written(err) })
	})
	return len(b), nil
}

func (s *stream) written(err error) {
	s.writing, s.broken = 0, err
	if !s.closed {
		s.conn.Ready(false, true)
	}
}

// Buffered implements wsconn.Stream.
func (s *stream) Buffered() int { return s.writing }

// Want implements wsconn.Stream.
func (s *stream) Want(read, write bool) error {
	s.wantRead, s.wantWrite = read, write
	s.poke()
	return nil
}

// CloseWrite implements wsconn.Stream. A connection without half-closing is
// closed whole.
func (s *stream) CloseWrite() error {
	if s.closed {
		return net.ErrClosed
	}
	s.transport.goroutines.Go(func() { // TLS says goodbye, which may block
		if c, ok := s.nc.(interface{ CloseWrite() error }); ok {
			c.CloseWrite()
		} else {
			s.nc.Close()
		}
	})
	return nil
}

// Close implements wsconn.Stream.
func (s *stream) Close() {
	if s.closed {
		return
	}
	s.closed = true
	close(s.quit)
	delete(s.transport.streams, s)
	s.transport.goroutines.Go(func() { s.nc.Close() })
}

// RemoteAddr implements wsconn.Stream.
func (s *stream) RemoteAddr() string { return s.nc.RemoteAddr().String() }
