package outlive

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gobwas/ws"

	"github.com/dormouse-dev/dormouse/internal/ws/wsread"
)

// client is one socket.
type client struct {
	name, object, kind string
	tls                bool

	conn net.Conn
	r    *bufio.Reader
}

// dialLimit bounds a handshake; upgrades may happen meanwhile.
const dialLimit = 30 * time.Second

func (c *client) dial(address string) error {
	conn, err := net.DialTimeout("tcp", address, dialLimit)
	if err != nil {
		return err
	}
	if c.tls {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // of a test's proxy
	}
	c.conn = conn
	return c.shake(address)
}

// shake asks for the socket on the connection.
func (c *client) shake(address string) error {
	conn := c.conn
	conn.SetDeadline(time.Now().Add(dialLimit))
	fmt.Fprintf(conn, "GET /%s?name=%s&kind=%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", c.object, c.name, c.kind, address)
	r := bufio.NewReaderSize(conn, 512)
	res, err := http.ReadResponse(r, nil)
	if err == nil && res.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("socket %s: %s", c.name, res.Status)
	}
	if err != nil {
		conn.Close()
		return err
	}
	conn.SetDeadline(time.Time{})
	c.r = r
	return nil
}

// dialAll opens all sockets, a few at a time.
func dialAll(address string, clients []*client) error {
	var wait sync.WaitGroup
	var failed atomic.Pointer[error]
	next := make(chan *client)
	for range 32 {
		wait.Go(func() {
			for c := range next {
				if failed.Load() != nil {
					continue
				}
				if err := c.dial(address); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	for _, c := range clients {
		next <- c
	}
	close(next)
	wait.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// closed says whether the peer has ended an idle socket, or said anything on it.
func (c *client) closed() (bool, error) {
	under := c.conn
	if t, ok := under.(*tls.Conn); ok {
		under = t.NetConn()
	}
	raw, err := under.(syscall.Conn).SyscallConn()
	if err != nil {
		return true, err
	}
	var n int
	err = raw.Read(func(fd uintptr) bool {
		n, _, err = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	if errors.Is(err, syscall.EAGAIN) || n < 0 {
		return false, nil
	}
	return true, err
}

// talk is the conversation of a busy client: numbered messages out, numbered
// answers back, a few on their way at a time.
type talk struct {
	*client
	inFlight int
	pace     time.Duration // from an answer to the next message
	stop     chan struct{}
	counts   *Counts
	mark     func(began, ended time.Time) // of a wait for an answer

	mu    sync.Mutex // guards the following
	sent  int        // the last message
	heard int        // the last one that was answered
	last  int        // the last answer, as the object counts
	lost  []int      // messages that were not answered though a later one was
	at    time.Time  // when it came
}

// nudge is after how long without an answer one more message is sent: if all that
// were on their way have been lost, nobody else says anything. A client that takes
// its time is what silence is measured with, so it asks again soon.
const nudge, pacedNudge = 250 * time.Millisecond, 50 * time.Millisecond

// maxBehind bounds what a client says without an answer.
const maxBehind = 64

// silent is after how long without an answer a client gives up.
const silent = 40 * time.Second

// run talks until stop is closed and everything has been answered.
func (t *talk) run() error {
	var out sync.Mutex
	say := func() error {
		out.Lock()
		defer out.Unlock()
		t.mu.Lock()
		t.sent++
		n := t.sent
		t.mu.Unlock()
		t.conn.SetWriteDeadline(time.Now().Add(silent))
		return ws.WriteFrame(t.conn, ws.MaskFrameInPlace(ws.NewTextFrame(fmt.Append(nil, n))))
	}
	t.at = time.Now()
	for range t.inFlight {
		if err := say(); err != nil {
			return err
		}
	}
	quiet := time.Now()
	patience := nudge
	if t.pace > 0 {
		patience = pacedNudge
	}
	for {
		t.conn.SetReadDeadline(time.Now().Add(patience))
		_, err := t.r.Peek(1)
		if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
			if time.Since(quiet) > silent {
				return fmt.Errorf("no answer for %v", silent)
			}
			if t.behind() < maxBehind {
				if err := say(); err != nil {
					return err
				}
			}
			continue
		}
		if err != nil {
			return err
		}
		t.conn.SetReadDeadline(time.Now().Add(silent))
		f, err := wsread.Frame(t.r)
		if err != nil {
			return err
		}
		if f.Header.OpCode != ws.OpText {
			return fmt.Errorf("a frame of kind %d: %q", f.Header.OpCode, f.Payload)
		}
		quiet = time.Now()
		more, err := t.hear(string(f.Payload))
		if err != nil {
			return err
		}
		select {
		case <-t.stop:
			if !more {
				return nil
			}
			continue
		case <-t.rested():
		}
		t.asked()
		for t.behind() < t.inFlight {
			if err := say(); err != nil {
				return err
			}
		}
	}
}

// always is closed.
var always = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

// rested fires when it is time for the next message.
func (t *talk) rested() <-chan time.Time {
	if t.pace == 0 {
		return always
	}
	return time.After(t.pace)
}

// asked begins a wait for an answer: what a client rests before it speaks is no
// silence of the server's.
func (t *talk) asked() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pace > 0 {
		t.at = time.Now()
	}
}

func (t *talk) behind() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent - t.heard
}

// hear counts an answer and reports whether others are still to come.
func (t *talk) hear(text string) (more bool, err error) {
	var n, sent, version int
	if _, err := fmt.Sscan(text, &n, &sent, &version); err != nil {
		return false, fmt.Errorf("answer %q: %w", text, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.mark(t.at, now)
	t.at = now
	k := t.counts
	k.Messages.Add(1)
	switch {
	case n <= t.heard:
		k.Doubled.Add(1)
		return t.heard < t.sent, nil
	case n > t.sent:
		return false, fmt.Errorf("answer %q to a message that was not sent", text)
	}
	for m := t.heard + 1; m < n; m++ {
		t.lost = append(t.lost, m)
		k.Lost.Add(1)
	}
	if sent <= t.last {
		k.Disordered.Add(1)
	}
	t.heard, t.last = n, sent
	return t.heard < t.sent, nil
}
