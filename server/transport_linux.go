package server

import (
	"net"

	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
	"github.com/dormouse-dev/dormouse/internal/ws/wsepoll"
	"github.com/dormouse-dev/dormouse/internal/ws/wsstd"
)

// transport is where a shard's client sockets come from.
type transport struct {
	epoll *wsepoll.Transport
	std   *wsstd.Transport // what has no descriptor of its own: TLS
}

func newTransport(l *loop.Loop) transport {
	return transport{wsepoll.New(l), wsstd.New(l)}
}

func (t transport) Adopt(c net.Conn, rest []byte, o ws.Options, sink ws.Sink) (ws.Conn, error) {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
		return t.epoll.Adopt(c, rest, o, sink)
	}
	return t.std.Adopt(c, rest, o, sink)
}

func (t transport) SetPaused(p bool) {
	t.epoll.SetPaused(p)
	t.std.SetPaused(p)
}

// close ends what is still connected. Not on the loop.
func (t transport) close(l *loop.Loop) {
	l.Call(t.epoll.Close)
	t.std.Close()
}
