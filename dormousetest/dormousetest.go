// Package dormousetest runs servers of Go objects in memory, so that authors can
// test what they write: an object's sleep takes a millisecond, an object can be
// crashed, and inside a bubble of testing/synctest time is the test's own, for
// alarms too.
//
//	synctest.Test(t, func(t *testing.T) {
//		s := dormousetest.New(t)
//		rooms := s.Define(dormouse.NewClass("Room", NewRoom, struct{}{}))
//		ada := s.Dial(rooms.ByName("lobby"), "/?name=Ada")
//		s.Hibernate(rooms.ByName("lobby"))
//		ada.SendText("is anybody awake?")
//		if got := ada.Text(); got != "Ada: is anybody awake?" {
//			t.Errorf("got %s", got)
//		}
//	})
//
// The server is the real one: mailboxes, gates, hibernation, WebSocket frames and
// SQLite files. Only the network is not there. It ends with the test.
package dormousetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
	"github.com/dormouse-dev/dormouse/internal/ws/wspipe"
	"github.com/dormouse-dev/dormouse/server"
)

// patience is how long a test waits for something before it fails. In a bubble
// it takes no time.
const patience = time.Minute

// Server is a server in memory. Define its classes before anything else; what
// there is to set is in Config.
type Server struct {
	*server.Server
	t       testing.TB
	control *server.Control
}

// New makes a server that ends with the test. Its data folder is one of the
// test's, unless Config.Data is set to another: a second server on the same
// folder, after Stop, finds what the first one has stored.
//
// What it stores outlives it, but does not wait for the disk.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, control: new(server.Control)}
	s.Server = &server.Server{Config: server.Config{
		Data: t.TempDir(), Relaxed: true, Shards: 1,
		Parts: &server.Parts{
			Loop:      func() (*loop.Loop, error) { return loop.NewPortable(), nil },
			Transport: func(l *loop.Loop) server.Transport { return &memory{Transport: wspipe.New(l)} },
			Control:   s.control,
		},
	}}
	t.Cleanup(s.Stop)
	return s
}

// Stop ends the server as a deploy of the whole program would: sockets are closed
// with 1001. It may be called again.
func (s *Server) Stop() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		s.t.Errorf("stop the server: %v", err)
	}
}

// Hibernate has an object leave memory now, as it does by itself after
// Config.HibernateAfter without anything to do. Its sockets stay connected. If
// the object is not in memory nothing happens; if it does not come to rest,
// because a handler or a task of WaitUntil runs, the test fails.
func (s *Server) Hibernate(o *server.Stub) {
	s.t.Helper()
	s.leave(o, false)
}

// Evict has an object leave memory although tasks of WaitUntil run, as the server
// does with one that never comes to rest: their contexts end.
func (s *Server) Evict(o *server.Stub) {
	s.t.Helper()
	s.leave(o, true)
}

func (s *Server) leave(o *server.Stub, force bool) {
	s.t.Helper()
	s.start()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if s.control.Hibernate(o, force) {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("object %s does not come to rest: %s", o.ID(), s.control.Why(o))
		}
	}
}

// Crash ends an object as the death of its process would: what it has not
// committed is gone, its handlers' contexts end, callers get an error that is
// Retryable, and its sockets stay connected. Its next event constructs it again.
func (s *Server) Crash(o *server.Stub) {
	s.t.Helper()
	s.start()
	s.control.Crash(o)
}

func (s *Server) start() {
	s.t.Helper()
	if err := s.Start(context.Background()); err != nil {
		s.t.Fatalf("start the server: %v", err)
	}
}

// Constructions returns how often objects of a class have been constructed.
func (s *Server) Constructions(class string) int {
	s.t.Helper()
	s.start()
	return s.control.Constructions(class)
}

// memory is the transport of a server in memory.
type memory struct {
	*wspipe.Transport
	ends []net.Conn // that were adopted; owned by the loop
}

// Adopt implements ws.Transport.
func (m *memory) Adopt(c net.Conn, rest []byte, o ws.Options, sink ws.Sink) (ws.Conn, error) {
	m.ends = append(m.ends, c)
	return m.Transport.Adopt(c, rest, o, sink)
}

// Shut implements server.Transport.
func (m *memory) Shut(l *loop.Loop) {
	l.Call(func() {
		for _, c := range m.ends {
			c.Close()
		}
	})
}

// serve has h answer what comes over one connection, and returns the client's
// end of it.
func (s *Server) serve(h http.Handler) net.Conn {
	near, far := wspipe.Pipe()
	l := &single{conn: far}
	go (&http.Server{Handler: h}).Serve(l)
	return near
}

// single is a listener for one connection.
type single struct {
	mu   sync.Mutex
	conn net.Conn // nil: it has been accepted
}

func (l *single) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return nil, errors.New("there is one connection")
	}
	c := l.conn
	l.conn = nil
	return c, nil
}

func (l *single) Close() error   { return nil }
func (l *single) Addr() net.Addr { return address{} }

type address struct{}

func (address) Network() string { return "memory" }
func (address) String() string  { return "memory" }

// target makes a URL of what a test gives: a path with a query.
func target(path string) string {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return fmt.Sprintf("ws://dormousetest%s", path)
}
