package edge

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dormouse-dev/dormouse/internal/ws"
)

// Keep-alive of connections, as package net has it by default.
const (
	keepIdle     = 15 // seconds
	keepInterval = 15 // seconds
	keepProbes   = 9
)

// deferAccept is for how many seconds, about, the system keeps a connection to
// itself on which nothing has been said.
const deferAccept = 1

// Bare has the connections of a TCP listener come to Steps as no more than
// descriptors: not watched by the Go runtime, which a connection that becomes a
// WebSocket at once would only have to undo, and with their options from the
// listener rather than with five system calls each. What is no TCP listener is
// returned as it is.
func Bare(l net.Listener) net.Listener {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return l
	}
	f, err := tcp.File() // a duplicate: the listener's own cannot be waited for
	if err != nil {
		return l
	}
	b := &bareListener{TCPListener: tcp, file: f}
	if b.raw, err = f.SyscallConn(); err == nil {
		err = b.raw.Control(inherited)
	}
	if err != nil {
		f.Close()
		return l
	}
	return b
}

// inherited sets what every connection of a listener has from it.
func inherited(fd uintptr) {
	// A system that lacks one of them serves without it.
	unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepIdle)
	unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepInterval)
	unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepProbes)
	unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, deferAccept)
}

type bareListener struct {
	*net.TCPListener
	file *os.File
	raw  syscall.RawConn
}

// Accept implements net.Listener.
func (l *bareListener) Accept() (net.Conn, error) {
	var fd int
	var from unix.Sockaddr
	var failed error
	err := l.raw.Read(func(listener uintptr) bool {
		for {
			fd, from, failed = unix.Accept4(int(listener), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			switch failed {
			case unix.EINTR, unix.ECONNABORTED: // it has left before it was its turn
				continue
			case unix.EAGAIN:
				return false
			}
			return true
		}
	})
	switch {
	case err == nil && failed != nil:
		err = os.NewSyscallError("accept4", failed)
	case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
		err = net.ErrClosed // nothing else ends the waiting
	}
	if err != nil {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: err}
	}
	return &bareConn{fd: fd, from: from}, nil
}

// Close implements net.Listener.
func (l *bareListener) Close() error {
	return errors.Join(l.TCPListener.Close(), l.file.Close())
}

// SetDeadline is net.TCPListener's.
func (l *bareListener) SetDeadline(t time.Time) error { return l.file.SetDeadline(t) }

// bareConn is a connection of a bareListener. It becomes one of package net when
// it is used as such.
type bareConn struct {
	from unix.Sockaddr

	mu   sync.Mutex   // guards the following
	fd   int          // -1: it is somebody else's, or closed
	file *os.File     // that has it, while it becomes one of package net
	tcp  *net.TCPConn // that it has become
	err  error        // it is none, and becomes none
}

var _ ws.Bare = (*bareConn)(nil)

// Descriptor implements ws.Bare.
func (c *bareConn) Descriptor() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fd
}

// Taken implements ws.Bare.
func (c *bareConn) Taken() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fd, c.err = -1, net.ErrClosed
}

// readNow reads what has come already; 0 if that is nothing, or not to be known.
func (c *bareConn) readNow(p []byte) int {
	n, err := unix.Read(c.Descriptor(), p)
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// known is the connection as one of package net. An error for which there is hope,
// because another descriptor may become free, leaves it as it is.
func (c *bareConn) known() (*net.TCPConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tcp != nil || c.err != nil {
		return c.tcp, c.err
	}
	if c.file == nil {
		c.file = os.NewFile(uintptr(c.fd), "client")
		c.fd = -1
	}
	conn, err := net.FileConn(c.file) // with a duplicate
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		return nil, err
	}
	c.file.Close()
	c.file = nil
	tcp, ok := conn.(*net.TCPConn)
	if err == nil && !ok {
		conn.Close()
		err = net.UnknownNetworkError(conn.LocalAddr().Network())
	}
	c.tcp, c.err = tcp, err
	return c.tcp, c.err
}

// Close implements net.Conn.
func (c *bareConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.tcp != nil:
		return c.tcp.Close()
	case c.err != nil:
		return c.err
	}
	c.err = net.ErrClosed
	if c.file != nil {
		return c.file.Close()
	}
	fd := c.fd
	c.fd = -1
	return unix.Close(fd)
}

// RemoteAddr implements net.Conn.
func (c *bareConn) RemoteAddr() net.Addr {
	switch from := c.from.(type) {
	case *unix.SockaddrInet4:
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(from.Addr), uint16(from.Port)))
	case *unix.SockaddrInet6:
		if from.ZoneId == 0 {
			return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom16(from.Addr), uint16(from.Port)))
		}
	}
	if tcp, err := c.known(); err == nil { // package net knows the names of zones
		return tcp.RemoteAddr()
	}
	return &net.TCPAddr{}
}

// LocalAddr implements net.Conn.
func (c *bareConn) LocalAddr() net.Addr {
	if tcp, err := c.known(); err == nil {
		return tcp.LocalAddr()
	}
	return &net.TCPAddr{}
}

// Read implements net.Conn.
func (c *bareConn) Read(p []byte) (int, error) {
	tcp, err := c.known()
	if err != nil {
		return 0, err
	}
	return tcp.Read(p)
}

// Write implements net.Conn.
func (c *bareConn) Write(p []byte) (int, error) {
	tcp, err := c.known()
	if err != nil {
		return 0, err
	}
	return tcp.Write(p)
}

// CloseWrite is net.TCPConn's.
func (c *bareConn) CloseWrite() error {
	tcp, err := c.known()
	if err != nil {
		return err
	}
	return tcp.CloseWrite()
}

// SetDeadline implements net.Conn.
func (c *bareConn) SetDeadline(t time.Time) error {
	tcp, err := c.known()
	if err != nil {
		return err
	}
	return tcp.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *bareConn) SetReadDeadline(t time.Time) error {
	tcp, err := c.known()
	if err != nil {
		return err
	}
	return tcp.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *bareConn) SetWriteDeadline(t time.Time) error {
	tcp, err := c.known()
	if err != nil {
		return err
	}
	return tcp.SetWriteDeadline(t)
}

// SyscallConn implements syscall.Conn, of what it becomes by that.
func (c *bareConn) SyscallConn() (syscall.RawConn, error) {
	tcp, err := c.known()
	if err != nil {
		return nil, err
	}
	return tcp.SyscallConn()
}
