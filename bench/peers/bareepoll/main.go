// Bareepoll is the limit that the benchmarks measure against: one epoll loop
// that speaks just enough WebSocket to give the answers of bench/worker, with
// nothing behind it. No fragments, no compression, no object, no limits worth
// the name: it is a yardstick and not a server. Prints the port it took.
package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"log"
	"runtime"
	"slices"
	"strings"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

const (
	maxMessage = 1 << 20
	maxUnsent  = 16 << 20 // a socket that reads nothing is dropped past this
)

func main() {
	runtime.LockOSThread()
	s, err := listen()
	if err != nil {
		log.Fatal(err)
	}
	for {
		if err := s.round(); err != nil {
			log.Fatal(err)
		}
	}
}

type server struct {
	ln, ep int
	conns  map[int32]*conn
	rooms  map[string][]*conn
	names  map[string]string
	events []unix.EpollEvent
	buf    []byte
}

type conn struct {
	fd    int
	kind  string // the class of bench/worker whose answers it gets; empty before the handshake
	room  string
	in    []byte // what has not come whole
	out   []byte // the round's answers, and what the socket did not take
	dirty bool   // in the round's list of those with answers
	watch bool   // registered for EPOLLOUT
}

func listen() (*server, error) {
	ln, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(ln, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, err
	}
	if err := unix.Listen(ln, 4096); err != nil {
		return nil, err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	name, err := unix.Getsockname(ln)
	if err != nil {
		return nil, err
	}
	fmt.Println(name.(*unix.SockaddrInet4).Port)
	s := &server{ln: ln, ep: ep, conns: map[int32]*conn{}, rooms: map[string][]*conn{}, names: map[string]string{}, events: make([]unix.EpollEvent, 1024), buf: make([]byte, 256<<10)}
	return s, unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, ln, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(ln)})
}

// round reads from every socket that has something, then writes to every
// socket that is owed something, once.
func (s *server) round() error {
	n, err := unix.EpollWait(s.ep, s.events, -1)
	if err != nil && err != unix.EINTR {
		return err
	}
	var dirty []*conn
	owe := func(c *conn, op byte, payload []byte) {
		c.out = appendFrame(c.out, op, payload)
		if !c.dirty {
			c.dirty = true
			dirty = append(dirty, c)
		}
	}
	for _, e := range s.events[:max(n, 0)] {
		if int(e.Fd) == s.ln {
			s.accept()
			continue
		}
		c := s.conns[e.Fd]
		if e.Events&unix.EPOLLOUT != 0 {
			s.flush(c)
		}
		if e.Events&^unix.EPOLLOUT == 0 {
			continue
		}
		m, err := unix.Read(c.fd, s.buf)
		if err == unix.EAGAIN {
			continue
		}
		if err != nil || m == 0 || !s.receive(c, s.buf[:m], owe) {
			s.drop(c)
		}
	}
	for _, c := range dirty {
		if c.dirty = false; s.conns[int32(c.fd)] == c {
			s.flush(c)
		}
	}
	return nil
}

func (s *server) accept() {
	for {
		fd, _, err := unix.Accept4(s.ln, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		s.conns[int32(fd)] = &conn{fd: fd}
		unix.EpollCtl(s.ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	}
}

func (s *server) drop(c *conn) {
	if s.rooms[c.room] = slices.DeleteFunc(s.rooms[c.room], func(o *conn) bool { return o == c }); len(s.rooms[c.room]) == 0 {
		delete(s.rooms, c.room)
	}
	delete(s.conns, int32(c.fd))
	unix.Close(c.fd)
}

func (s *server) flush(c *conn) {
	n, err := unix.Write(c.fd, c.out)
	if err != nil && err != unix.EAGAIN || len(c.out) > maxUnsent {
		s.drop(c)
		return
	}
	if n == len(c.out) {
		c.out = c.out[:0]
	} else {
		c.out = c.out[max(n, 0):]
	}
	if more := len(c.out) > 0; more != c.watch {
		c.watch = more
		e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd)}
		if more {
			e.Events |= unix.EPOLLOUT
		}
		unix.EpollCtl(s.ep, unix.EPOLL_CTL_MOD, c.fd, &e)
	}
}

// receive takes what came, borrowed, and reports whether the socket stays.
func (s *server) receive(c *conn, b []byte, owe func(*conn, byte, []byte)) bool {
	if len(c.in) > 0 {
		c.in = append(c.in, b...)
		b = c.in
	}
	if c.kind == "" {
		end := bytes.Index(b, []byte("\r\n\r\n"))
		if end < 0 {
			c.in = append(c.in[:0], b...)
			return len(b) < maxMessage
		}
		if !s.shake(c, b[:end+4]) {
			return false
		}
		b = b[end+4:]
	}
	if c.kind == "Ceiling" {
		s.mirror(c, b, owe)
		return true
	}
	for {
		op, payload, rest, ok := splitFrame(b)
		if !ok {
			return false
		}
		if payload == nil {
			break
		}
		b = rest
		if op == 8 {
			owe(c, 8, payload)
			continue
		}
		if op == 9 {
			owe(c, 10, payload)
			continue
		}
		s.answer(c, op, payload, owe)
	}
	if c.in = append(c.in[:0], b...); len(c.in) == 0 {
		c.in = nil
	}
	return true
}

func (s *server) answer(c *conn, op byte, payload []byte, owe func(*conn, byte, []byte)) {
	switch c.kind {
	case "Echo":
		owe(c, op, payload)
	case "Broadcast":
		for _, other := range s.rooms[c.room] {
			owe(other, op, payload)
		}
	case "AutoResponse":
		if string(payload) == "ping" {
			owe(c, op, []byte("pong"))
		}
	case "Idle":
		owe(c, op, []byte("1"))
	}
}

// mirror gives for every frame of 64 bytes the same one back without looking at
// it: what is left is to read and to write, so it shows what the load reaches.
func (s *server) mirror(c *conn, b []byte, owe func(*conn, byte, []byte)) {
	const frame = 64 + 6
	for ; len(b) >= frame; b = b[frame:] {
		owe(c, 1, mirrored)
	}
	c.in = append(c.in[:0], b...)
}

var mirrored = bytes.Repeat([]byte("m"), 64)

// shake answers a handshake, or GET /ready. head is borrowed.
func (s *server) shake(c *conn, head []byte) bool {
	lines := strings.Split(string(head), "\r\n")
	request := strings.Fields(lines[0])
	if len(request) != 3 {
		return false
	}
	if request[1] == "/ready" {
		unix.Write(c.fd, []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
		return false
	}
	path := strings.Split(request[1], "/")
	if len(path) != 4 {
		return false
	}
	var key string
	for _, line := range lines[1:] {
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Sec-WebSocket-Key") {
			key = strings.TrimSpace(value)
		}
	}
	c.kind, c.room = s.intern(path[2]), s.intern(request[1])
	s.rooms[c.room] = append(s.rooms[c.room], c)
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	c.out = fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
	s.flush(c)
	if len(c.out) == 0 {
		c.out = nil // an idle socket owns no buffer
	}
	return true
}

// intern keeps one copy of each of the few names there are.
func (s *server) intern(name string) string {
	if _, ok := s.names[name]; !ok {
		name = strings.Clone(name)
		s.names[name] = name
	}
	return s.names[name]
}

// splitFrame takes the first client frame off b and unmasks it in place. The
// payload is nil while b holds only a part of one.
func splitFrame(b []byte) (op byte, payload, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, b, true
	}
	if b[0]&0xf0 != 0x80 || b[1]&0x80 == 0 {
		return 0, nil, nil, false
	}
	n, head := uint64(b[1]&0x7f), 6
	switch n {
	case 126:
		head = 8
	case 127:
		head = 14
	}
	if len(b) < head {
		return 0, nil, b, true
	}
	switch head {
	case 8:
		n = uint64(binary.BigEndian.Uint16(b[2:]))
	case 14:
		n = binary.BigEndian.Uint64(b[2:])
	}
	if n > maxMessage {
		return 0, nil, nil, false
	}
	if uint64(len(b)-head) < n {
		return 0, nil, b, true
	}
	payload = b[head : head+int(n) : head+int(n)]
	ws.Cipher(payload, [4]byte(b[head-4:head]), 0)
	return b[0] & 0x0f, payload, b[head+int(n):], true
}

func appendFrame(b []byte, op byte, payload []byte) []byte {
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|op, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|op, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|op, 127), uint64(n))
	}
	return append(b, payload...)
}
