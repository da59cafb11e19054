package edge

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dormouse-dev/dormouse/internal/ws"
)

// Door is what a connection passes on its way in.
type Door interface {
	// Fresh tells of a connection that has said nothing yet, and that it has.
	Fresh(c net.Conn, is bool)
	// Enter begins a request, if none has to wait now; Leave pairs with it.
	Enter() bool
	Leave()
}

// Steps is a listener in front of net/http's server. A client that opens a
// connection to ask for a WebSocket is served here, and the connection handed
// over: without a goroutine while the Worker answers, and without the buffers
// and timers that a connection of net/http's has. Everything else is passed
// on to who accepts, as if it came from the network; so is all that is in
// any way unusual.
type Steps struct {
	net.Listener
	Front   func() *Front
	Door    Door
	Context func(context.Context, net.Conn) context.Context
	Limit   time.Duration // for the head of the first request; 0: none

	once sync.Once
	out  chan accepted
	done chan struct{}

	mu      sync.Mutex // guards the following
	closed  bool
	silent  map[net.Conn]struct{} // that have said nothing yet
	visits  map[*visit]struct{}   // whose answer is awaited
	looking bool                  // lookAround will be called
}

type accepted struct {
	net.Conn
	err error
}

// firstBytes is how much is read of a connection before it is decided who serves
// it. A head that is longer is net/http's.
const firstBytes = 4096

var heads = sync.Pool{New: func() any { return new([firstBytes]byte) }}

// Accept implements net.Listener.
func (s *Steps) Accept() (net.Conn, error) {
	s.once.Do(s.begin)
	select {
	case a := <-s.out:
		return a.Conn, a.err
	case <-s.done:
		return nil, net.ErrClosed
	}
}

func (s *Steps) begin() {
	s.out, s.done = make(chan accepted), make(chan struct{})
	s.silent, s.visits = make(map[net.Conn]struct{}), make(map[*visit]struct{})
	go s.run()
}

// Close implements net.Listener. Connections that have said nothing end with it;
// requests in progress go on.
func (s *Steps) Close() error {
	s.once.Do(s.begin)
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	silent := s.silent
	s.silent = nil
	s.mu.Unlock()
	if first {
		close(s.done)
	}
	for c := range silent {
		c.Close()
	}
	return s.Listener.Close()
}

// run accepts until the listener is closed.
func (s *Steps) run() {
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			// Whoever accepts knows which errors pass, and how long to wait.
			select {
			case s.out <- accepted{nil, err}:
				continue
			case <-s.done:
				return
			}
		}
		var n int
		head := heads.Get().(*[firstBytes]byte)
		switch c := c.(type) {
		case bare:
			n = c.readNow(head[:])
		case *net.TCPConn:
			n = readNow(c, head[:])
		default:
			heads.Put(head)
			s.passOn(c, nil)
			continue
		}
		if n > 0 {
			s.first(c.(stream), head, n)
			continue
		}
		tcp := s.known(c)
		if tcp == nil {
			heads.Put(head)
			continue
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			tcp.Close()
			return
		}
		s.silent[tcp] = struct{}{}
		s.mu.Unlock()
		s.Door.Fresh(tcp, true)
		go s.wait(tcp, head)
	}
}

// wait reads what a connection says first.
func (s *Steps) wait(c *net.TCPConn, head *[firstBytes]byte) {
	if s.Limit > 0 {
		c.SetReadDeadline(time.Now().Add(s.Limit))
	}
	n, err := c.Read(head[:])
	s.Door.Fresh(c, false)
	s.mu.Lock()
	delete(s.silent, c)
	s.mu.Unlock()
	if n == 0 || err != nil {
		heads.Put(head)
		c.Close()
		return
	}
	if s.Limit > 0 {
		c.SetReadDeadline(time.Time{})
	}
	s.first(c, head, n)
}

// passOn gives a connection to who accepts; head is what was read of it. It
// waits until somebody takes it.
func (s *Steps) passOn(c net.Conn, head []byte) {
	if b, ok := c.(bare); ok {
		tcp := s.known(b)
		if tcp == nil {
			return
		}
		c = tcp
	}
	if tcp, ok := c.(*net.TCPConn); ok && len(head) > 0 {
		c = &begun{tcp, bytes.Clone(head)}
	}
	select {
	case s.out <- accepted{c, nil}:
	case <-s.done:
		c.Close()
	}
}

// known is a connection of a listener as one of package net; nil if it cannot be
// one. While there is no descriptor it waits, and who accepts is told.
func (s *Steps) known(c net.Conn) *net.TCPConn {
	if tcp, ok := c.(*net.TCPConn); ok {
		return tcp
	}
	for b := c.(bare); ; {
		tcp, err := b.known()
		if err == nil {
			return tcp
		}
		if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
			b.Close()
			return nil
		}
		select {
		case s.out <- accepted{nil, err}:
		case <-s.done:
			b.Close()
			return nil
		}
	}
}

// stream is a connection whose directions end apart.
type stream interface {
	net.Conn
	CloseWrite() error
}

// bare is a connection that Bare has accepted.
type bare interface {
	stream
	readNow(p []byte) int
	known() (*net.TCPConn, error)
}

// begun is a connection of which something was read already.
type begun struct {
	*net.TCPConn
	head []byte
}

// Read implements net.Conn.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.head) == 0 {
		return b.TCPConn.Read(p)
	}
	n := copy(p, b.head)
	if b.head = b.head[n:]; len(b.head) == 0 {
		b.head = nil
	}
	return n, nil
}

// first serves what has come first, or passes the connection on.
func (s *Steps) first(c stream, head *[firstBytes]byte, n int) {
	defer heads.Put(head)
	r, rest := plainUpgrade(head[:n])
	if r == nil {
		s.passOn(c, head[:n])
		return
	}
	f := s.Front()
	if f.Assets != nil || f.Tracer != nil || !s.Door.Enter() {
		s.passOn(c, head[:n])
		return
	}
	r.RemoteAddr = c.RemoteAddr().String()
	if ctx := s.Context(context.Background(), c); ctx != context.Background() {
		r = r.WithContext(ctx)
	}
	var lease *Lease
	refused := f.refuses(r) != 0
	if !refused && f.Clients != nil {
		lease = f.Clients.Enter(f.client(r).address)
		refused = lease == nil
	}
	if refused { // net/http says so
		s.Door.Leave()
		s.passOn(c, head[:n])
		return
	}
	v := &visit{steps: s, front: f, conn: c, request: r, lease: lease, rest: bytes.Clone(rest), began: time.Now()}
	v.mu.Lock() // the answer waits until it is known who was asked
	defer v.mu.Unlock()
	s.visiting(v)
	v.asker = f.Worker.FetchWorker(f.request(r), v)
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, firstBytes) }}

// plainUpgrade reads the head of a request that asks for a WebSocket and has
// nothing unusual in it; nil for any other. rest is what follows it, borrowed.
func plainUpgrade(b []byte) (r *http.Request, rest []byte) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 || !bytes.HasPrefix(b, []byte("GET /")) || !plain(b[:end]) {
		return nil, nil
	}
	lower := bytes.ToLower(b[:end])
	if !bytes.Contains(lower, []byte("\r\nupgrade:")) || bytes.Count(lower, []byte("\r\nhost:")) != 1 {
		return nil, nil
	}
	reader := readers.Get().(*bufio.Reader)
	defer func() {
		reader.Reset(nil)
		readers.Put(reader)
	}()
	reader.Reset(bytes.NewReader(b[:end+4]))
	r, err := http.ReadRequest(reader)
	if err != nil || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.ContentLength != 0 || len(r.TransferEncoding) > 0 ||
		r.Header["Expect"] != nil || r.Header["Trailer"] != nil || !plainHost(r.Host) || !ws.IsUpgrade(r.Header) {
		return nil, nil
	}
	for name := range r.Header {
		if strings.ContainsRune(name, ' ') { // nothing else gets that far
			return nil, nil
		}
	}
	return r, b[end+4:]
}

// plain says that a head consists of whole lines of visible characters.
func plain(head []byte) bool {
	for i, c := range head {
		switch {
		case c == '\r':
			if i+1 >= len(head) || head[i+1] != '\n' {
				return false
			}
		case c == '\n':
			// A line that begins with a space would go on with the one before.
			if i == 0 || head[i-1] != '\r' || i+1 < len(head) && (head[i+1] == ' ' || head[i+1] == '\t') {
				return false
			}
		case c < ' ' && c != '\t', c == 0x7f:
			return false
		}
	}
	return true
}

func plainHost(host string) bool {
	return host != "" && !strings.ContainsFunc(host, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune(".:-_[]", c))
	})
}
