//go:build linux

package wsepoll

import (
	"net"
	"strconv"
	"testing"

	gws "github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// What does our transport cost beside the barest loop that can echo? Both serve
// the same client, which takes its share of the machine in both.
func BenchmarkEcho(b *testing.B) {
	for _, shape := range []struct {
		name            string
		sockets, flight int
	}{{"1x1", 1, 1}, {"100x1", 100, 1}, {"100x32", 100, 32}} {
		b.Run(shape.name+"/wsepoll", func(b *testing.B) { benchmarkEcho(b, serveEcho, shape.sockets, shape.flight) })
		b.Run(shape.name+"/bare", func(b *testing.B) { benchmarkEcho(b, serveBare, shape.sockets, shape.flight) })
	}
}

// How many deliveries of a broadcast to 200 does one loop make, beside a client
// that reads them? One operation is one delivery.
func BenchmarkBroadcast(b *testing.B) {
	const sockets = 200
	for _, size := range []int{64, 4096} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			l, t := startLoop(b)
			var near []net.Conn
			var conns []ws.Conn
			for range sockets {
				n, f := tcpPair(b)
				near = append(near, n)
				e := &echo{}
				l.Call(func() {
					c, err := t.Adopt(f, nil, ws.Options{}, e)
					if err != nil {
						b.Error(err)
					}
					e.conn = c
					conns = append(conns, c)
				})
			}
			c := newBenchClient(b, near, 1)
			payload := make([]byte, size)
			c.reply = len(ws.AppendFrame(nil, ws.OpText, payload))
			b.ReportAllocs()
			b.ResetTimer()
			for range (b.N + sockets - 1) / sockets {
				l.Post(func() {
					m := ws.NewShared(ws.OpText, payload)
					for _, c := range conns {
						c.SendShared(m)
					}
				})
				c.read(sockets)
			}
		})
	}
}

const benchPayload = 64

// benchmarkEcho counts one message as one operation.
func benchmarkEcho(b *testing.B, serve func(testing.TB, []net.Conn), sockets, flight int) {
	var near, far []net.Conn
	for range sockets {
		n, f := tcpPair(b)
		near, far = append(near, n), append(far, f)
	}
	serve(b, far)
	c := newBenchClient(b, near, flight)
	b.ReportAllocs()
	b.ResetTimer()
	c.run(b.N)
}

// echo sends back what it hears.
type echo struct{ conn ws.Conn }

func (e *echo) Message(op ws.Opcode, payload []byte)  { e.conn.Send(op, payload) }
func (e *echo) CloseFrame(code uint16, reason string) { e.conn.Close(code, reason) }
func (e *echo) Drained()                              {}
func (e *echo) Gone(error)                            {}

func serveEcho(tb testing.TB, conns []net.Conn) {
	l, t := startLoop(tb)
	l.Call(func() {
		for _, c := range conns {
			e := &echo{}
			var err error
			if e.conn, err = t.Adopt(c, nil, ws.Options{}, e); err != nil {
				tb.Error(err)
			}
		}
	})
}

// serveBare is the loop that the design was measured with: whole
// small frames only, no errors, no bookkeeping.
func serveBare(tb testing.TB, conns []net.Conn) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		tb.Fatal(err)
	}
	for _, c := range conns {
		fd, err := duplicate(c)
		if err != nil {
			tb.Fatal(err)
		}
		c.Close()
		unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	}
	done := make(chan struct{})
	tb.Cleanup(func() { <-done; unix.Close(ep) })
	go func() {
		defer close(done)
		events := make([]unix.EpollEvent, 512)
		in, out := make([]byte, 64<<10), make([]byte, 0, 64<<10)
		for left := len(conns); left > 0; {
			n, _ := unix.EpollWait(ep, events, 0)
			if n == 0 {
				n, _ = unix.EpollWait(ep, events, -1)
			}
			for _, e := range events[:max(n, 0)] {
				fd := int(e.Fd)
				n, _ := unix.Read(fd, in)
				if n <= 0 {
					unix.Close(fd)
					left--
					continue
				}
				out = out[:0]
				for p := in[:n]; len(p) > 0; {
					size := int(p[1] & 0x7f)
					payload := p[6 : 6+size]
					gws.Cipher(payload, [4]byte(p[2:6]), 0)
					out = append(append(out, p[0], byte(size)), payload...)
					p = p[6+size:]
				}
				unix.Write(fd, out)
			}
		}
	}()
}

// benchClient keeps a number of messages in flight on each of its sockets.
type benchClient struct {
	ep      int
	fds     []int
	request []byte // one round's messages of one socket
	reply   int    // bytes that answer it
	flight  int
}

func newBenchClient(b *testing.B, conns []net.Conn, flight int) *benchClient {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	c := &benchClient{ep: ep, flight: flight, reply: flight * (2 + benchPayload)}
	for _, nc := range conns {
		fd, err := duplicate(nc)
		if err != nil {
			b.Fatal(err)
		}
		nc.Close()
		c.fds = append(c.fds, fd)
		unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd), Pad: int32(len(c.fds) - 1)})
	}
	b.Cleanup(func() {
		for _, fd := range c.fds {
			unix.Close(fd)
		}
		unix.Close(ep)
	})
	frame := gws.MustCompileFrame(gws.MaskFrameWith(gws.NewTextFrame(make([]byte, benchPayload)), [4]byte{1, 2, 3, 4}))
	for range flight {
		c.request = append(c.request, frame...)
	}
	return c
}

// run sends at least n messages and waits for their echoes.
func (c *benchClient) run(n int) {
	rounds := (n + c.flight - 1) / c.flight
	got := make([]int, len(c.fds))
	buf := make([]byte, 64<<10)
	events := make([]unix.EpollEvent, 512)
	waiting := 0
	for _, fd := range c.fds[:min(len(c.fds), rounds)] {
		unix.Write(fd, c.request)
		waiting++
	}
	for rounds -= waiting; waiting > 0; {
		n, _ := unix.EpollWait(c.ep, events, -1)
		for _, e := range events[:max(n, 0)] {
			n, _ := unix.Read(int(e.Fd), buf)
			if n <= 0 {
				panic("the server is gone")
			}
			if got[e.Pad] += n; got[e.Pad] < c.reply {
				continue
			}
			got[e.Pad] = 0
			if rounds > 0 {
				rounds--
				unix.Write(int(e.Fd), c.request)
			} else {
				waiting--
			}
		}
	}
}

// read waits until each of so many sockets has had one reply.
func (c *benchClient) read(waiting int) {
	got := make([]int, len(c.fds))
	buf := make([]byte, 64<<10)
	events := make([]unix.EpollEvent, 512)
	for waiting > 0 {
		n, _ := unix.EpollWait(c.ep, events, -1)
		for _, e := range events[:max(n, 0)] {
			n, _ := unix.Read(int(e.Fd), buf)
			if got[e.Pad] += n; n > 0 && got[e.Pad] == c.reply {
				waiting--
			}
		}
	}
}

func startLoop(tb testing.TB) (*loop.Loop, *Transport) {
	tb.Helper()
	l, err := loop.New()
	if err != nil {
		tb.Fatal(err)
	}
	t := New(l)
	l.Start()
	tb.Cleanup(l.Stop)
	return l, t
}

// tcpPair returns both ends of a TCP connection.
func tcpPair(tb testing.TB) (near, far net.Conn) {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer ln.Close()
	if near, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		tb.Fatal(err)
	}
	if far, err = ln.Accept(); err != nil {
		tb.Fatal(err)
	}
	return near, far
}
