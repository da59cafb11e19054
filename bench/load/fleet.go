// Package load drives a WebSocket server with many sockets from one thread. It
// knows frames, epoll and the clock, and never which server it drives.
//
// One loop reads whatever has come, checks every reply byte for byte, and
// answers a batch of replies with a batch of new messages in one write, so the
// load costs little beside the server. The question "ceiling" shows what it
// reaches against a server that does nothing but read and write.
package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a server may leave a socket without any progress.
const patience = 20 * time.Second

const readBytes = 256 << 10

// Fleet is a set of open client sockets of one server. Its methods are called
// by one goroutine.
type Fleet struct {
	ep     int
	conns  []*conn
	byFD   map[int32]*conn
	events []unix.EpollEvent
	buf    []byte // borrowed by one read at a time
	header string // more lines of the handshake

	// Of DialAgain.
	again     bool    // who is refused comes again
	refused   []*conn // and has not come yet
	busy, cut int
}

type conn struct {
	fd   int
	i    int    // among all
	open bool   // the handshake is done
	in   []byte // a frame or a response head that has not come whole
	out  []byte // what the socket did not take
	want bool   // registered for EPOLLOUT

	// What a Pump has sent and not got back: when, oldest first.
	// Invariant: owed <= len(sent).
	sent []time.Duration
	head int
	owed int

	room  *room // of a Broadcast
	timer bool  // an open loop's alarm, and no socket
}

// Compressed offers permessage-deflate, without contexts that are taken over. It
// is an option of Dial; the handshake fails if the server does not agree.
const Compressed = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"

// Dial opens n sockets, shaking hands with up to atOnce servers' ends at a
// time; path names the resource of the i-th. options are Compressed, or
// lines of headers.
func Dial(addr string, n, atOnce int, path func(i int) string, options ...string) (*Fleet, error) {
	return dialFleet(addr, n, atOnce, path, false, options)
}

// comeAgain is when those come again who were refused, and tries how often.
const (
	comeAgain = time.Second
	tries     = 60
)

// DialAgain is Dial for all at once, of clients as they should be: whom the server
// refuses with 503 because too many have come, or cuts off, comes again a second
// later.
func DialAgain(addr string, n int, path func(i int) string) (*Fleet, error) {
	return dialFleet(addr, n, n, path, true, nil)
}

func dialFleet(addr string, n, atOnce int, path func(i int) string, again bool, options []string) (*Fleet, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil || !to.Addr().Is4() {
		return nil, fmt.Errorf("dial %q: want an IPv4 address and a port (%v)", addr, err)
	}
	f, err := newFleet()
	if err != nil {
		return nil, err
	}
	f.header, f.again = strings.Join(options, ""), again
	if err := f.dialAll(to, n, atOnce, path); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func newFleet() (*Fleet, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &Fleet{ep: ep, byFD: make(map[int32]*conn), events: make([]unix.EpollEvent, 1024), buf: make([]byte, readBytes)}, nil
}

// Len is how many sockets there are.
func (f *Fleet) Len() int { return len(f.conns) }

// Close drops all sockets with a reset, which leaves no port in TIME_WAIT. The
// error is always nil.
func (f *Fleet) Close() error {
	for _, c := range f.conns {
		unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		unix.Close(c.fd)
	}
	unix.Close(f.ep)
	f.conns, f.byFD, f.ep = nil, nil, -1 // once more does nothing
	return nil
}

func (f *Fleet) dialAll(to netip.AddrPort, n, atOnce int, path func(int) string) error {
	opened, tried := 0, 0
	for opened < n {
		for len(f.conns) < n && len(f.conns)-opened-len(f.refused) < atOnce {
			c := &conn{i: len(f.conns)}
			f.conns = append(f.conns, c)
			if err := f.dial(c, to, path(c.i)); err != nil {
				return fmt.Errorf("socket %d: %w", c.i, err)
			}
		}
		if opened+len(f.refused) == n {
			if tried++; tried > tries {
				return fmt.Errorf("%d of %d sockets open: %w", opened, n, errBusy)
			}
			if err := f.dialRefused(to, path); err != nil {
				return err
			}
		}
		err := f.wait(func(c *conn, in []byte) error {
			if c.open {
				return errors.New("the server spoke before it was spoken to")
			}
			done, err := c.shaken(in, f.header == Compressed)
			if done {
				opened++
			}
			if f.again && errors.Is(err, errBusy) {
				f.busy++
				return f.refuse(c)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("%d of %d sockets open: %w", opened, n, err)
		}
	}
	return nil
}

// refuse has c come again later.
func (f *Fleet) refuse(c *conn) error {
	f.refused = append(f.refused, c)
	delete(f.byFD, int32(c.fd))
	err := unix.Close(c.fd)
	c.fd = -1
	return err
}

// Refusals is how often DialAgain was told to come again, and how often a
// connection ended with no answer to its handshake.
func (f *Fleet) Refusals() (busy, cut int) { return f.busy, f.cut }

// dialRefused has those come again that were refused.
func (f *Fleet) dialRefused(to netip.AddrPort, path func(int) string) error {
	time.Sleep(comeAgain)
	list := f.refused
	f.refused = nil
	for _, c := range list {
		*c = conn{i: c.i}
		if err := f.dial(c, to, path(c.i)); err != nil {
			return fmt.Errorf("socket %d: %w", c.i, err)
		}
	}
	return nil
}

func (f *Fleet) dial(c *conn, to netip.AddrPort, path string) error {
	return f.connect(c, to, fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n", path, to, f.header))
}

// connect opens a connection that begins with first.
func (f *Fleet) connect(c *conn, to netip.AddrPort, first []byte) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		c.fd = -1
		return err
	}
	c.fd, c.want = fd, true
	f.byFD[int32(fd)] = c
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	if err != nil && err != unix.EINPROGRESS {
		return err
	}
	c.out = first
	return unix.EpollCtl(f.ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT, Fd: int32(fd)})
}

// errBusy is when a handshake is refused for now.
var errBusy = errors.New("refused with 503")

// shaken reads the server's half of the handshake.
func (c *conn) shaken(in []byte, compressed bool) (bool, error) {
	c.in = append(c.in, in...)
	end := bytes.Index(c.in, []byte("\r\n\r\n"))
	if end < 0 {
		if len(c.in) > readBytes {
			return false, errors.New("the response to the handshake has no end")
		}
		return false, nil
	}
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(c.in)), nil)
	if err != nil {
		return false, fmt.Errorf("read handshake: %w", err)
	}
	if res.StatusCode == http.StatusServiceUnavailable {
		return false, fmt.Errorf("handshake: %w: %s", errBusy, c.in[end+4:])
	}
	const accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" // of the key that dial sends
	if res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Sec-WebSocket-Accept") != accept {
		return false, fmt.Errorf("handshake refused: %s: %s", res.Status, c.in[end+4:])
	}
	if compressed && res.Header.Get("Sec-WebSocket-Extensions") == "" {
		return false, errors.New("the server does not agree to compression")
	}
	if len(c.in) > end+4 {
		return false, errors.New("the server spoke before it was spoken to")
	}
	c.in, c.open = nil, true
	return true, nil
}

// wait waits for sockets once and gives what they received to got; in is
// borrowed for the call. It fails when nothing comes for too long.
func (f *Fleet) wait(got func(c *conn, in []byte) error) error {
	n, err := unix.EpollWait(f.ep, f.events, int(patience/time.Millisecond))
	if err == unix.EINTR {
		return nil
	}
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("the server has been silent for %v", patience)
	}
	for _, e := range f.events[:n] {
		c := f.byFD[e.Fd]
		if e.Events&unix.EPOLLOUT != 0 {
			if err := f.flush(c); err != nil {
				return err
			}
		}
		if e.Events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
			continue
		}
		m, err := unix.Read(c.fd, f.buf)
		switch {
		case err == unix.EAGAIN:
			continue
		case m <= 0 && f.again && !c.open:
			f.cut++
			if err := f.refuse(c); err != nil {
				return err
			}
			continue
		case err != nil:
			return fmt.Errorf("read: %w", err)
		case m == 0:
			return net.ErrClosed
		}
		if err := got(c, f.buf[:m]); err != nil {
			return err
		}
	}
	return nil
}

// write sends b, keeping what the socket does not take now. b is borrowed.
func (f *Fleet) write(c *conn, b []byte) error {
	if len(c.out) > 0 {
		c.out = append(c.out, b...)
		return nil
	}
	n, err := unix.Write(c.fd, b)
	if err != nil && err != unix.EAGAIN {
		return fmt.Errorf("write: %w", err)
	}
	if n = max(n, 0); n < len(b) {
		c.out = append(c.out, b[n:]...)
		return f.watch(c, true)
	}
	return nil
}

func (f *Fleet) flush(c *conn) error {
	n, err := unix.Write(c.fd, c.out)
	if err != nil && err != unix.EAGAIN {
		return fmt.Errorf("write: %w", err)
	}
	c.out = c.out[max(n, 0):]
	if len(c.out) > 0 {
		return nil
	}
	c.out = nil
	return f.watch(c, false)
}

func (f *Fleet) watch(c *conn, out bool) error {
	if c.want == out {
		return nil
	}
	c.want = out
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd)}
	if out {
		e.Events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(f.ep, unix.EPOLL_CTL_MOD, c.fd, &e)
}

// Ask sends one text message on the i-th socket and returns the reply.
func (f *Fleet) Ask(i int, message string) (string, error) {
	c := f.conns[i]
	if err := f.write(c, clientFrame(Text, []byte(message))); err != nil {
		return "", err
	}
	var reply string
	for got := false; !got; {
		err := f.wait(func(from *conn, in []byte) error {
			if from != c {
				return errors.New("a socket was spoken to that was not asked")
			}
			c.in = append(c.in, in...)
			op, payload, rest, err := splitFrame(c.in)
			if err == errShort {
				return nil
			}
			if err != nil || op != Text {
				return fmt.Errorf("want a text reply, got opcode %d (%w)", op, err)
			}
			reply, c.in, got = string(payload), bytes.Clone(rest), true
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("ask %q: %w", message, err)
		}
	}
	return reply, nil
}

// Goodbye sends a Close on every socket and waits for the server's.
func (f *Fleet) Goodbye() error {
	code := []byte{0x03, 0xe8} // 1000
	for _, c := range f.conns {
		if err := f.write(c, clientFrame(opClose, code)); err != nil {
			return err
		}
	}
	for left := len(f.conns); left > 0; {
		err := f.wait(func(c *conn, in []byte) error {
			c.in = append(c.in, in...)
			op, _, _, err := splitFrame(c.in)
			if err == errShort {
				return nil
			}
			if err != nil || op != opClose {
				return fmt.Errorf("want a Close, got opcode %d (%v)", op, err)
			}
			left--
			return unix.EpollCtl(f.ep, unix.EPOLL_CTL_DEL, c.fd, nil)
		})
		if err != nil {
			return fmt.Errorf("%d sockets have heard no goodbye: %w", left, err)
		}
	}
	return nil
}

// AskAll sends one text message on every socket at once and waits until each has
// got a text back. It returns how long each waited.
func (f *Fleet) AskAll(message string) (*Result, error) {
	frame := clientFrame(Text, []byte(message))
	began := time.Now()
	for _, c := range f.conns {
		c.owed = 1
		if err := f.write(c, frame); err != nil {
			return nil, err
		}
	}
	var r Result
	for r.Messages < len(f.conns) {
		err := f.wait(func(c *conn, in []byte) error {
			c.in = append(c.in, in...)
			op, _, rest, err := splitFrame(c.in)
			if err == errShort {
				return nil
			}
			if err != nil || op != Text || len(rest) > 0 || c.owed != 1 {
				return fmt.Errorf("want one text reply, got opcode %d (%v)", op, err)
			}
			c.owed, c.in = 0, nil
			r.Messages++
			r.Latency.Add(time.Since(began), 1)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%d of %d answered: %w", r.Messages, len(f.conns), err)
		}
	}
	r.Elapsed = time.Since(began)
	return &r, nil
}
