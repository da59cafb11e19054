package server

import (
	"net"

	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
	"github.com/dormouse-dev/dormouse/internal/ws/wsepoll"
	"github.com/dormouse-dev/dormouse/internal/ws/wsstd"
)

// system is the transport of this system.
type system struct {
	epoll *wsepoll.Transport
	std   *wsstd.Transport // what has no descriptor of its own: TLS
}

func newSystem(l *loop.Loop) Transport {
	return system{wsepoll.New(l), wsstd.New(l)}
}

func (t system) Adopt(c net.Conn, rest []byte, o ws.Options, sink ws.Sink) (ws.Conn, error) {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn, ws.Bare:
		return t.epoll.Adopt(c, rest, o, sink)
	}
	return t.std.Adopt(c, rest, o, sink)
}

// Restore implements ws.Restorer.
func (t system) Restore(s *ws.Saved, o ws.Options, sink ws.Sink) (ws.Conn, error) {
	return t.epoll.Restore(s, o, sink)
}

func (t system) SetPaused(p bool) {
	t.epoll.SetPaused(p)
	t.std.SetPaused(p)
}

// Shut implements Transport.
func (t system) Shut(l *loop.Loop) {
	l.Call(t.epoll.Close)
	t.std.Close()
}
