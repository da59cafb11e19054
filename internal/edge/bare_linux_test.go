package edge

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listenBare listens, and connects a client that has said "hello".
func listenBare(t *testing.T) (l net.Listener, client net.Conn, served *bareConn) {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = Bare(tcp)
	t.Cleanup(func() { l.Close() })
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	client.SetDeadline(time.Now().Add(patience))
	io.WriteString(client, "hello")
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return l, client, c.(*bareConn)
}

// hears fails unless the connection says what is wanted.
func hears(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Errorf("got %q, %v; want %q", b, err, want)
	}
}

func TestBareHasTheOptionsOfItsListener(t *testing.T) {
	_, _, c := listenBare(t)
	for name, option := range map[string][3]int{
		"no delay":            {unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		"keep-alive":          {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"keep-alive, idle":    {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepIdle},
		"keep-alive, between": {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepInterval},
		"keep-alive, probes":  {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepProbes},
	} {
		if got, err := unix.GetsockoptInt(c.Descriptor(), option[0], option[1]); err != nil || got != option[2] {
			t.Errorf("%s: got %d, %v; want %d", name, got, err, option[2])
		}
	}
}

func TestBareBecomesOneOfNetWhenItIsUsed(t *testing.T) {
	_, client, c := listenBare(t)
	if got, want := c.RemoteAddr().String(), client.LocalAddr().String(); got != want {
		t.Errorf("it comes from %s, want %s", got, want)
	}
	if c.Descriptor() < 0 {
		t.Fatal("it has become another one before anybody used it")
	}
	hears(t, c, "hello")
	if fd := c.Descriptor(); fd >= 0 {
		t.Errorf("it has still descriptor %d", fd)
	}
	if got, want := c.LocalAddr().String(), client.RemoteAddr().String(); got != want {
		t.Errorf("its own address is %s, want %s", got, want)
	}
	io.WriteString(c, "welcome")
	c.CloseWrite()
	hears(t, client, "welcome")
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("behind it: %v, want the end", err)
	}
}

func TestBareThatIsTakenIsNotClosed(t *testing.T) {
	_, client, c := listenBare(t)
	fd := c.Descriptor()
	c.Taken()
	c.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after it was taken: %v, want %v", err, net.ErrClosed)
	}
	if _, err := unix.Write(fd, []byte("mine")); err != nil {
		t.Fatal(err)
	}
	hears(t, client, "mine")
	unix.Close(fd)
}

func TestBareThatNobodyUsesIsClosed(t *testing.T) {
	_, client, c := listenBare(t)
	c.readNow(make([]byte, 16)) // what has not been read would end it with a reset
	c.Close()
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the client hears %v, want the end", err)
	}
	if err := c.Close(); err == nil {
		t.Error("it was closed twice")
	}
}

// TestBareWithoutAWord: a client that says nothing is served all the same, once
// the system does not wait for it any more.
func TestBareWithoutAWord(t *testing.T) {
	l, _, _ := listenBare(t)
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	l.(*bareListener).SetDeadline(time.Now().Add(patience))
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n := c.(*bareConn).readNow(make([]byte, 1)); n != 0 {
		t.Errorf("read %d bytes of a client that has said nothing", n)
	}
}

func TestBareStopsAccepting(t *testing.T) {
	l, _, _ := listenBare(t)
	l.(*bareListener).SetDeadline(time.Unix(1, 0))
	_, err := l.Accept()
	if e, ok := errors.AsType[net.Error](err); !ok || !e.Timeout() {
		t.Errorf("after its deadline: %v, want a timeout", err)
	}
	l.(*bareListener).SetDeadline(time.Time{})
	accepts := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepts <- err
	}()
	l.Close()
	if err := <-accepts; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v, want %v", err, net.ErrClosed)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}
