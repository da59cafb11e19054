//go:build linux

// Package wsepoll keeps WebSockets on epoll: at rest a connection is a
// descriptor and a small struct, without a goroutine and without a buffer. It
// knows descriptors; what their bytes mean is ws's.
package wsepoll

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
	"github.com/dormouse-dev/dormouse/internal/ws/wsconn"
)

// Transport makes connections of one loop. It must be one of loop.New's.
type Transport struct {
	*wsconn.Shard
	vector [maxVector]unix.Iovec
	ready  []*socket // memory of expect
}

// maxVector is how many segments one system call sends.
const maxVector = 64

var _ ws.Transport = (*Transport)(nil)

// New returns the transport of a loop. Call it before Start or on the loop.
func New(l *loop.Loop) *Transport {
	t := &Transport{Shard: wsconn.NewShard(l)}
	l.OnReady(t.expect) // of a loop that watches no descriptors, Adopt says so
	return t
}

// expect has the sinks of those that are about to be read look at what they need.
func (t *Transport) expect(ready []loop.Handler) {
	list := t.ready[:0]
	for _, h := range ready {
		if s, ok := h.(*socket); ok {
			list = append(list, s)
		}
	}
	wsconn.Expect(t.Shard, list, func(s *socket) *wsconn.Conn { return &s.conn })
	clear(list)
	t.ready = list
}

// Adopt implements ws.Transport. c must be a TCP or Unix connection. The
// descriptor of one that is not ws.Bare is duplicated, so for a moment there are
// two.
func (t *Transport) Adopt(c net.Conn, rest []byte, o ws.Options, sink ws.Sink) (ws.Conn, error) {
	if bare, ok := c.(ws.Bare); ok {
		if fd := bare.Descriptor(); fd >= 0 {
			s := &socket{transport: t, fd: int32(fd)}
			if err := s.conn.Adopt(t.Shard, s, rest, o, sink); err != nil {
				return nil, fmt.Errorf("adopt %s: %w", c.RemoteAddr(), err)
			}
			bare.Taken()
			return &s.conn, nil
		}
	}
	fd, err := duplicate(c)
	if err != nil {
		return nil, fmt.Errorf("adopt %s: %w", c.RemoteAddr(), err)
	}
	// Small messages must not wait for each other. No matter for Unix sockets.
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	s := &socket{transport: t, fd: int32(fd)}
	if err := s.conn.Adopt(t.Shard, s, rest, o, sink); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("adopt %s: %w", c.RemoteAddr(), err)
	}
	// Also takes it off the Go runtime's own epoll, which would go on watching
	// the connection for as long as the duplicate is open.
	c.Close()
	return &s.conn, nil
}

// duplicate returns a descriptor of its own for the connection c.
func duplicate(c net.Conn) (int, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return 0, fmt.Errorf("%T has no descriptor", c)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var fd int
	var dupErr error
	err = raw.Control(func(p uintptr) {
		fd, dupErr = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err != nil {
		return 0, err
	}
	if dupErr != nil {
		return 0, fmt.Errorf("duplicate descriptor: %w", dupErr)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("make descriptor non-blocking: %w", err)
	}
	return fd, nil
}

// socket is one connection: all the memory that it has at rest.
type socket struct {
	conn      wsconn.Conn
	transport *Transport
	fd        int32
	events    uint32 // watched for; 0 when the loop does not know the descriptor
}

var _ wsconn.Stream = (*socket)(nil)

// The system calls below do not tell the scheduler: none of them can block, and
// telling costs more than a small message.

const failed = unix.EPOLLERR | unix.EPOLLHUP

// Ready is the loop's call.
func (s *socket) Ready(events uint32) {
	s.conn.Ready(events&(unix.EPOLLIN|failed) != 0, events&(unix.EPOLLOUT|failed) != 0)
}

// Read implements wsconn.Stream.
func (s *socket) Read(p []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), uintptr(unsafe.Pointer(&p[0])),
		uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0) // read(2) asks more of the file system on its way
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return 0, nil
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}
	return int(n), nil
}

// Write implements wsconn.Stream.
func (s *socket) Write(segments [][]byte) (int, error) {
	if len(segments) == 1 {
		b := segments[0]
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(&b[0])),
			uintptr(len(b)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
		return written(n, errno)
	}
	vector := s.transport.vector[:min(len(segments), maxVector)]
	for i := range vector {
		vector[i].Base = &segments[i][0]
		vector[i].SetLen(len(segments[i]))
	}
	message := unix.Msghdr{Iov: &vector[0]}
	message.SetIovlen(len(vector))
	n, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&message)),
		unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	clear(vector)
	return written(n, errno)
}

func written(n uintptr, errno unix.Errno) (int, error) {
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.EINTR, unix.ENOBUFS, unix.ENOMEM:
		return 0, nil
	default:
		return 0, errno
	}
}

// Buffered implements wsconn.Stream: what was written is the system's.
func (s *socket) Buffered() int { return 0 }

// Want implements wsconn.Stream. A descriptor that is wanted for nothing is not
// watched at all, because epoll tells of errors and hang-ups always.
func (s *socket) Want(read, write bool) error {
	var events uint32
	if read {
		events |= unix.EPOLLIN
	}
	if write {
		events |= unix.EPOLLOUT
	}
	was := s.events
	s.events = events
	l := s.transport.Loop()
	switch {
	case events == was:
		return nil
	case events == 0:
		return l.Unwatch(int(s.fd))
	case was == 0:
		err := l.Watch(int(s.fd), events, s)
		if err != nil {
			s.events = 0
		}
		return err
	default:
		return l.Rewatch(int(s.fd), events)
	}
}

// CloseWrite implements wsconn.Stream.
func (s *socket) CloseWrite() error { return unix.Shutdown(int(s.fd), unix.SHUT_WR) }

// Close implements wsconn.Stream.
func (s *socket) Close() {
	if s.events != 0 {
		s.transport.Loop().Unwatch(int(s.fd))
		s.events = 0
	}
	unix.Close(int(s.fd))
}

// RemoteAddr implements wsconn.Stream. It asks the system each time: an address
// as text would cost each connection more than its struct.
func (s *socket) RemoteAddr() string {
	sa, err := unix.Getpeername(int(s.fd))
	if err != nil {
		return ""
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return (&net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}).String()
	case *unix.SockaddrInet6:
		a := net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
		if sa.ZoneId != 0 {
			if i, err := net.InterfaceByIndex(int(sa.ZoneId)); err == nil {
				a.Zone = i.Name
			}
		}
		return a.String()
	case *unix.SockaddrUnix:
		return sa.Name
	}
	return ""
}

// Descriptor lets a connection move to another process; see ws.Portable.
func (s *socket) Descriptor() int { return int(s.fd) }

var _ ws.Restorer = (*Transport)(nil)

// Restore implements ws.Restorer.
func (t *Transport) Restore(saved *ws.Saved, o ws.Options, sink ws.Sink) (ws.Conn, error) {
	s := &socket{transport: t, fd: int32(saved.Descriptor)}
	// It does not block, and nobody may trust that. There may be very many.
	flags, err := unix.FcntlInt(uintptr(saved.Descriptor), unix.F_GETFL, 0)
	if err == nil && flags&unix.O_NONBLOCK == 0 {
		err = unix.SetNonblock(saved.Descriptor, true)
	}
	if err == nil {
		err = s.conn.Restore(t.Shard, s, saved, o, sink)
	}
	if err != nil {
		unix.Close(saved.Descriptor)
		return nil, fmt.Errorf("restore a connection: %w", err)
	}
	return &s.conn, nil
}
