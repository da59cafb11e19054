//go:build unix && !linux

package nodeguest

import (
	"net"
	"os"
	"sync"

	"github.com/dormouse-dev/dormouse/internal/loop"
)

// pumped is a stream with a goroutine for each direction, for systems whose
// loop does not watch descriptors. Both end when the connection is closed.
type pumped struct {
	conn net.Conn
	loop *loop.Loop
	p    *Process

	mu   sync.Mutex // guards the following
	cond *sync.Cond
	out  []byte // to be written; at most maxPumped
	full bool   // write was refused bytes
	end  bool
}

const maxPumped = 1 << 20

// open takes fd over. On the loop.
func open(fd int, l *loop.Loop, p *Process) (stream, error) {
	f := os.NewFile(uintptr(fd), "guest")
	conn, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return nil, err
	}
	s := &pumped{conn: conn, loop: l, p: p}
	s.cond = sync.NewCond(&s.mu)
	go s.readAll()
	go s.writeAll()
	return s, nil
}

func (s *pumped) readAll() {
	buf := make([]byte, readBuffer)
	for {
		n, err := s.conn.Read(buf)
		if n > 0 && !s.loop.Call(func() { s.p.received(buf[:n]) }) {
			return
		}
		if err != nil {
			s.loop.Post(s.p.hungUp)
			return
		}
	}
}

func (s *pumped) writeAll() {
	for {
		s.mu.Lock()
		for len(s.out) == 0 && !s.end {
			s.cond.Wait()
		}
		b, end := s.out, s.end
		s.out = nil
		if s.full {
			s.full = false
			s.loop.Post(s.p.writable)
		}
		s.mu.Unlock()
		if end {
			return
		}
		if _, err := s.conn.Write(b); err != nil {
			return // the reader learns of it too
		}
	}
}

func (s *pumped) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(p), maxPumped-len(s.out))
	s.out = append(s.out, p[:n]...)
	s.full = n < len(p)
	s.cond.Signal()
	return n, nil
}

func (s *pumped) close() {
	s.mu.Lock()
	s.end = true
	s.cond.Signal()
	s.mu.Unlock()
	s.conn.Close()
}
