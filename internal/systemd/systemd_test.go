//go:build unix

package systemd

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manager plays systemd at a socket.
func manager(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	t.Setenv(notifySocket, path)
	return c
}

func TestNotify(t *testing.T) {
	c := manager(t)
	if err := Notify(Ready, MainPID(7)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if want := "READY=1\nMAINPID=7"; err != nil || string(b[:n]) != want {
		t.Errorf("systemd heard %q, %v, want %q", b[:n], err, want)
	}
}

// TestBarrier: it ends when systemd closes the descriptor that it was sent.
func TestBarrier(t *testing.T) {
	c := manager(t)
	done := make(chan error, 1)
	go func() { done <- Barrier(time.Minute) }()
	b, oob := make([]byte, 100), make([]byte, 100)
	n, m, _, _, err := c.ReadMsgUnix(b, oob)
	if err != nil || string(b[:n]) != "BARRIER=1" {
		t.Fatalf("systemd heard %q, %v", b[:n], err)
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:m])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages with it, %v", len(messages), err)
	}
	rights, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(rights) != 1 {
		t.Fatalf("descriptors %v, %v", rights, err)
	}
	select {
	case err := <-done:
		t.Fatalf("it ended before systemd had read it: %v", err)
	case <-time.After(10 * time.Millisecond):
	}
	syscall.Close(rights[0])
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := Barrier(time.Millisecond); err == nil {
		t.Error("a systemd that does not answer was not noticed")
	}
}

func TestWithoutSystemd(t *testing.T) {
	t.Setenv(notifySocket, "")
	if err := Notify(Ready); err != nil {
		t.Error(err)
	}
	if err := Barrier(time.Minute); err != nil {
		t.Error(err)
	}
	t.Setenv("LISTEN_FDS", "1")
	t.Setenv("LISTEN_PID", "1") // for somebody else
	if l, err := Listeners(); len(l) > 0 || err != nil {
		t.Errorf("got %v, %v", l, err)
	}
}

// TestListeners runs itself as systemd would: with a socket for descriptor 3.
func TestListeners(t *testing.T) {
	if os.Getenv("AS_SERVICE") != "" {
		t.Setenv("LISTEN_PID", itoa(os.Getpid()))
		l, err := Listeners()
		if err != nil || len(l["clients"]) != 1 {
			t.Fatalf("got %v, %v", l, err)
		}
		if os.Getenv("LISTEN_FDS") != "" {
			t.Error("children would take it for theirs")
		}
		c, err := l["clients"][0].Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("hello"))
		c.Close()
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestListeners$")
	cmd.ExtraFiles = []*os.File{f}
	cmd.Env = append(os.Environ(), "AS_SERVICE=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=clients")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	b := make([]byte, 10)
	if n, err := c.Read(b); err != nil || string(b[:n]) != "hello" {
		t.Errorf("the service said %q, %v", b[:n], err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func itoa(n int) string { return strings.TrimPrefix(MainPID(n), "MAINPID=") }
