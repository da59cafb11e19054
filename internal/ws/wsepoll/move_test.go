//go:build linux

package wsepoll

import (
	"bytes"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// heard is a Sink that passes on what it hears.
type heard struct {
	messages chan string
	gone     chan error
}

func (h *heard) Message(_ ws.Opcode, p []byte) { h.messages <- string(p) }
func (h *heard) CloseFrame(uint16, string)     {}
func (h *heard) Drained()                      {}
func (h *heard) Gone(err error)                { h.gone <- err }

// TestConnectionMoves from one transport to another, as between two processes: in
// the middle of a frame that comes, and of one that leaves. The peer notices
// nothing, and nothing is lost or doubled.
func TestConnectionMoves(t *testing.T) {
	near, far := tcpPair(t)
	defer near.Close()
	old, transport := startLoop(t)
	next, successor := startLoop(t)
	h := &heard{messages: make(chan string, 8), gone: make(chan error, 2)}
	var conn ws.Conn
	old.Call(func() { conn, _ = transport.Adopt(far, nil, ws.Options{}, h) })

	// More than the system takes, so that the end of it waits.
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	old.Call(func() { conn.Send(ws.OpBinary, big) })
	frame := text("in two halves")
	near.Write(append(text("first"), frame[:9]...))
	if got := <-h.messages; got != "first" {
		t.Fatalf("heard %q", got)
	}
	var saved ws.Saved
	old.Call(func() {
		if conn.Buffered() == 0 {
			t.Error("the system has taken everything: this tests nothing")
		}
		var ok bool
		if saved, ok = conn.(ws.Portable).Save(); !ok {
			t.Error("not saved")
		}
	})
	near.Write(frame[9:])
	near.Write(text("while nobody listens"))
	fd, err := unix.FcntlInt(uintptr(saved.Descriptor), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	saved.Descriptor = fd
	var moved ws.Conn
	next.Call(func() { moved, err = successor.Restore(&saved, ws.Options{}, h) })
	if err != nil {
		t.Fatal(err)
	}
	old.Call(func() {
		if !conn.(ws.Portable).Forget() {
			t.Error("not forgotten")
		}
		conn.Send(ws.OpText, []byte("from the grave"))
		conn.Close(1000, "")
		conn.Drop()
	})
	for _, want := range []string{"in two halves", "while nobody listens"} {
		if got := <-h.messages; got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
	next.Call(func() { moved.Send(ws.OpText, []byte("after")) })
	want := append(ws.AppendFrame(nil, ws.OpBinary, big), ws.AppendFrame(nil, ws.OpText, []byte("after"))...)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(near, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the peer got %d bytes, %v, and they are not what was sent", len(got), err)
	}
	near.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := near.Read(got); !os.IsTimeout(err) {
		t.Errorf("then the peer got %d bytes, %v", n, err)
	}
	near.Close()
	if err := <-h.gone; err != ws.ErrNoCloseFrame {
		t.Errorf("the end: %v", err)
	}
	if len(h.gone) > 0 {
		t.Error("it ended twice")
	}
}

// TestConnectionStays: after Keep it goes on as if nothing had been.
func TestConnectionStays(t *testing.T) {
	near, far := tcpPair(t)
	defer near.Close()
	l, transport := startLoop(t)
	h := &heard{messages: make(chan string, 8), gone: make(chan error, 1)}
	var conn ws.Conn
	l.Call(func() { conn, _ = transport.Adopt(far, nil, ws.Options{}, h) })
	l.Call(func() { conn.(ws.Portable).Save() })
	near.Write(text("meanwhile"))
	l.Call(func() { conn.Send(ws.OpText, []byte("meanwhile")) })
	settle(l)
	if len(h.messages) > 0 {
		t.Error("a connection that stands still was read")
	}
	l.Call(func() { conn.(ws.Portable).Keep() })
	if got := <-h.messages; got != "meanwhile" {
		t.Errorf("heard %q", got)
	}
	want := ws.AppendFrame(nil, ws.OpText, []byte("meanwhile"))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(near, got); err != nil || !slices.Equal(got, want) {
		t.Errorf("the peer got %q, %v", got, err)
	}
}

// settle lets a few rounds pass.
func settle(l *loop.Loop) {
	for range 5 {
		l.Call(func() {})
	}
}
