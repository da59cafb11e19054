//go:build linux

package wsepoll

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	gws "github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
	"github.com/dormouse-dev/dormouse/internal/ws/wstest"
)

func TestContract(t *testing.T) {
	wstest.Run(t, func(t *testing.T) *wstest.Subject {
		l, tr := startLoop(t)
		return &wstest.Subject{Loop: l, Transport: tr, Pair: func(t *testing.T) (net.Conn, net.Conn) { return tcpPair(t) }}
	})
}

func TestContractOverUnixSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	wstest.Run(t, func(t *testing.T) *wstest.Subject {
		l, tr := startLoop(t)
		return &wstest.Subject{Loop: l, Transport: tr, Pair: func(t *testing.T) (net.Conn, net.Conn) {
			near, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			far, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			return near, far
		}}
	})
}

// witness is a Sink that a test can ask.
type witness struct {
	conn     ws.Conn
	messages atomic.Int64
	gone     chan error
}

func (w *witness) Message(ws.Opcode, []byte) { w.messages.Add(1) }
func (w *witness) CloseFrame(uint16, string) {}
func (w *witness) Drained()                  {}
func (w *witness) Gone(err error)            { w.gone <- err }

func adopt(t *testing.T, l *loop.Loop, tr *Transport, c net.Conn) *witness {
	t.Helper()
	w := &witness{gone: make(chan error, 1)}
	var err error
	l.Call(func() { w.conn, err = tr.Adopt(c, nil, ws.Options{}, w) })
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func text(s string) []byte {
	return gws.MustCompileFrame(gws.MaskFrameWith(gws.NewTextFrame([]byte(s)), [4]byte{1, 2, 3, 4}))
}

// A connection at rest: what the Go heap holds for it, but for its owner's Sink.
// The kernel's part and the owner's are measured elsewhere.
//
// Of the bytes measured 112 are the socket's struct and about 60 its place in the
// loop's table of descriptors, in which the clients of this test have theirs too;
// the rest is what the pool keeps. If this trips, look at the fields of
// wsconn.Conn and ws.Endpoint first: one more pointer crosses into the next size
// class.
const (
	idleHeapBudget   = 250 // bytes
	idleHeapMeasured = 198 // on 2026-11-22, amd64, 5,000 connections
)

// TestIdleConnectionsAreSmall: 5,000 connections that have said something and
// now rest add no goroutine, hold no buffer, and take a small struct each.
func TestIdleConnectionsAreSmall(t *testing.T) {
	const n = 5000
	needDescriptors(t, 2*n+200)
	l, tr := startLoop(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	// The clients are descriptors too, so that the heap has the servers alone.
	clients := make([]int, 0, n)
	t.Cleanup(func() {
		for _, fd := range clients {
			unix.Close(fd)
		}
	})
	far := make([]net.Conn, 0, n)
	for range n {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fd, err := duplicate(c)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		clients = append(clients, fd)
		f, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		far = append(far, f)
	}
	e := &counter{} // one for all: a Sink is the owner's memory
	conns := make([]ws.Conn, n)
	goroutines, before := runtime.NumGoroutine(), liveHeap()
	l.Call(func() {
		for i, c := range far {
			if conns[i], err = tr.Adopt(c, nil, ws.Options{}, e); err != nil {
				t.Error(err)
				return
			}
		}
	})
	frame := text("hello")
	for _, fd := range clients {
		unix.Write(fd, frame[:3]) // in two parts, so that a decoder was needed
	}
	for _, fd := range clients {
		unix.Write(fd, frame[3:])
	}
	for deadline := time.Now().Add(20 * time.Second); e.messages.Load() < n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d messages were heard", e.messages.Load(), n)
		}
		runtime.Gosched()
	}
	for some := range slices.Chunk(conns, 100) { // an answer to each, which goes through every queue
		l.Call(func() {
			for _, c := range some {
				c.Send(ws.OpText, []byte("answer"))
			}
		})
	}
	l.Call(func() {})
	if got := runtime.NumGoroutine(); got > goroutines {
		t.Errorf("%d goroutines with %d connections, %d before", got, n, goroutines)
	}
	perConn := float64(int64(liveHeap())-int64(before)) / n
	t.Logf("%.0f bytes of heap for each idle connection (socket struct: %d)", perConn, unsafe.Sizeof(socket{}))
	if perConn > idleHeapBudget {
		t.Errorf("%.0f bytes of heap for each idle connection, want at most %d; %d were measured", perConn, idleHeapBudget, idleHeapMeasured)
	}
	runtime.KeepAlive(conns)
	runtime.KeepAlive(far) // closed, and counted in before
}

type counter struct{ messages atomic.Int64 }

func (c *counter) Message(ws.Opcode, []byte) { c.messages.Add(1) }
func (c *counter) CloseFrame(uint16, string) {}
func (c *counter) Drained()                  {}
func (c *counter) Gone(error)                {}

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // finalizers have run, and what they held is gone
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func needDescriptors(t *testing.T, n uint64) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < n {
		t.Skipf("%d descriptors needed, %d allowed; raise the limit with ulimit -n", n, limit.Cur)
	}
}

// TestReset: a peer that resets the connection has left without a Close.
func TestReset(t *testing.T) {
	l, tr := startLoop(t)
	near, far := tcpPair(t)
	w := adopt(t, l, tr, far)
	near.Write(text("one"))
	for w.messages.Load() < 1 {
		runtime.Gosched()
	}
	near.(*net.TCPConn).SetLinger(0)
	near.Close()
	if err := <-w.gone; err != ws.ErrNoCloseFrame {
		t.Errorf("got %v, want %v", err, ws.ErrNoCloseFrame)
	}
}

// TestResetWhilePausedDoesNotSpin: epoll tells of a hang-up always, so a paused
// descriptor must not be watched; the end is heard after the pause.
func TestResetWhilePausedDoesNotSpin(t *testing.T) {
	l, tr := startLoop(t)
	near, far := tcpPair(t)
	w := adopt(t, l, tr, far)
	var rounds atomic.Int64
	l.Call(func() {
		l.OnFlush(func() { rounds.Add(1) })
		w.conn.Pause()
	})
	near.Write(text("unread"))
	near.(*net.TCPConn).SetLinger(0)
	near.Close()
	before := rounds.Load()
	// Other connections come, talk and go; a spinning loop would have run a
	// round for every one of its turns.
	for range 20 {
		n, f := tcpPair(t)
		other := adopt(t, l, tr, f)
		n.Write(text("x"))
		for other.messages.Load() == 0 {
			runtime.Gosched()
		}
		n.Close()
		<-other.gone
	}
	if got := rounds.Load() - before; got > 500 {
		t.Errorf("%d rounds for 20 connections: the loop spins", got)
	}
	if len(w.gone) != 0 {
		t.Error("the end was heard during the pause")
	}
	l.Call(w.conn.Resume)
	if err := <-w.gone; err != ws.ErrNoCloseFrame {
		t.Errorf("got %v, want %v", err, ws.ErrNoCloseFrame)
	}
}

// TestCloseFrameSurvivesUnreadInput: a peer in the middle of a large message
// that is refused must still get our Close. Closing over unread input would send
// RST, which destroys it.
func TestCloseFrameSurvivesUnreadInput(t *testing.T) {
	for range 20 {
		l, tr := startLoop(t)
		near, far := tcpPair(t)
		w := adopt(t, l, tr, far)
		big := make([]byte, 1<<20)
		copy(big, []byte{0x83, 0x80, 0, 0, 0, 0}) // an unknown opcode, and then a flood
		wrote := make(chan struct{})
		go func() {
			defer close(wrote)
			near.Write(big)
			near.(*net.TCPConn).CloseWrite()
		}()
		near.SetReadDeadline(time.Now().Add(20 * time.Second))
		got, err := wstest.ReadAll(near)
		if err != nil {
			t.Fatalf("client got %q, then %v", got, err)
		}
		wstest.Compare(t, "client", got, []string{`close 1002 "Unknown opcode 3"`, "end"})
		<-wrote
		near.Close()
		if _, ok := errors.AsType[*ws.ProtocolError](<-w.gone); !ok {
			t.Error("the owner did not hear of a protocol error")
		}
		l.Stop()
	}
}

func TestAdoptRefuses(t *testing.T) {
	l, tr := startLoop(t)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	l.Call(func() {
		if _, err := tr.Adopt(a, nil, ws.Options{}, &witness{}); err == nil {
			t.Error("a connection without a descriptor was adopted")
		}
	})
	near, far := tcpPair(t)
	defer near.Close()
	far.Close()
	l.Call(func() {
		if _, err := tr.Adopt(far, nil, ws.Options{}, &witness{}); err == nil {
			t.Error("a closed connection was adopted")
		}
	})
}

// TestAdoptWithoutDescriptors: when the process has none left, Adopt says so and
// the connection is as before.
func TestAdoptWithoutDescriptors(t *testing.T) {
	l, tr := startLoop(t)
	near, far := tcpPair(t)
	defer near.Close()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = 3 // fewer than are open, so no new one
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Skip(err)
	}
	var err error
	l.Call(func() { _, err = tr.Adopt(far, nil, ws.Options{}, &witness{}) })
	if e := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); e != nil {
		t.Fatal(e)
	}
	if !errors.Is(err, syscall.EMFILE) {
		t.Errorf("got %v, want EMFILE", err)
	}
	far.Write([]byte("still alive"))
	b := make([]byte, 11)
	if _, err := near.Read(b); err != nil || string(b) != "still alive" {
		t.Errorf("after the failure the connection gives %q, %v", b, err)
	}
	w := adopt(t, l, tr, far)
	near.Close()
	<-w.gone
}

// TestDescriptorsAreClosed: after many connections have ended in every way, as
// many descriptors are open as before.
func TestDescriptorsAreClosed(t *testing.T) {
	l, tr := startLoop(t)
	before := openDescriptors(t)
	for i := range 100 {
		near, far := tcpPair(t)
		w := adopt(t, l, tr, far)
		switch i % 3 {
		case 0:
			near.Close()
		case 1:
			l.Call(w.conn.Drop)
			near.Close()
		case 2:
			near.Write([]byte{0xFF, 0xFF})
			near.Close()
		}
		<-w.gone
	}
	// The last ones may linger until the loop has seen their peers' FIN.
	deadline := time.Now().Add(20 * time.Second)
	for openDescriptors(t) > before {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors are open, %d before", openDescriptors(t), before)
		}
		runtime.Gosched()
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

func TestRemoteAddr(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("%s: %v", address, err)
			continue
		}
		defer ln.Close()
		l, tr := startLoop(t)
		near, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		far, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		w := adopt(t, l, tr, far)
		l.Call(func() {
			if got, want := w.conn.RemoteAddr(), near.LocalAddr().String(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
		near.Close()
		<-w.gone
		l.Call(func() {})
		l.Call(func() {
			if got := w.conn.RemoteAddr(); got != "" {
				t.Errorf("after the end: got %q, want nothing", got)
			}
		})
	}
}
