package wstest

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/ws"
)

func headComesFirst(t *testing.T, s *Subject) {
	o, c := dial(t, s, ws.Options{Head: []byte("HTTP/1.1 101 Switching Protocols\r\n\r\n")})
	call(t, s, func() { o.conn.Send(ws.OpText, []byte("first")) })
	r := bufio.NewReader(c)
	c.SetReadDeadline(time.Now().Add(patience))
	for _, want := range []string{"HTTP/1.1 101 Switching Protocols\r\n", "\r\n"} {
		if got, err := r.ReadString('\n'); got != want || err != nil {
			t.Fatalf("client got %q, %v; want %q", got, err, want)
		}
	}
	if got, err := readFrame(r); got != `text "first"` || err != nil {
		t.Fatalf("client got %s, %v; want text \"first\"", got, err)
	}
}

func restIsHeardFirst(t *testing.T, s *Subject) {
	o := newOwner()
	rest := join(text("one"), text("two")[:3])
	c := dialSink(t, s, rest, ws.Options{}, o, &o.conn)
	clear(rest) // it was borrowed
	c.write(t, text("two")[3:], text("three"))
	o.expect(t, `text "one"`, `text "two"`, `text "three"`)
}

func serverClosesFirst(t *testing.T, s *Subject) {
	o, c := dial(t, s, ws.Options{})
	call(t, s, func() {
		o.conn.Send(ws.OpText, []byte("before"))
		o.conn.Close(4001, "enough")
		o.conn.Close(4002, "again")
		o.conn.Send(ws.OpText, []byte("after"))
	})
	c.want(t, `text "before"`, `close 4001 "enough"`)
	c.write(t, text("still talking"), ping("not answered any more"), closeFrame(4001, "enough"))
	o.expect(t, `text "still talking"`, `close 4001 "enough"`, "gone")
	c.want(t, "end")
}

func halfOpenUntilClose(t *testing.T, s *Subject) {
	o, c := dial(t, s, ws.Options{})
	c.write(t, text("hello"), closeFrame(1000, "done"), text("never"))
	o.expect(t, `text "hello"`, `close 1000 "done"`)
	call(t, s, func() { o.conn.Send(ws.OpText, []byte("one")) })
	c.want(t, `text "one"`)
	call(t, s, func() {
		o.conn.Send(ws.OpText, []byte("two"))
		o.conn.Close(0, "not sent")
	})
	c.want(t, `text "two"`, `close 1005 ""`, "end")
	o.expect(t, "gone")
}

func halfOpenAfterFIN(t *testing.T, s *Subject) {
	o, c := dial(t, s, ws.Options{})
	c.write(t, closeFrame(1000, "done"))
	if !c.finishWriting() {
		t.Skip("this connection cannot be half-closed")
	}
	o.expect(t, `close 1000 "done"`)
	call(t, s, func() { o.conn.Send(ws.OpText, []byte("one")) })
	c.want(t, `text "one"`)
	call(t, s, func() { o.conn.Close(1000, "done") })
	c.want(t, `close 1000 "done"`, "end")
	o.expect(t, "gone")
}

func peerLeaves(t *testing.T, s *Subject) {
	o, c := dial(t, s, ws.Options{})
	c.write(t, text("one"), text("two"))
	c.Close()
	o.expect(t, `text "one"`, `text "two"`, lost)
	call(t, s, func() { // all of this does nothing any more
		o.conn.Send(ws.OpText, []byte("x"))
		o.conn.SendShared(ws.NewShared(ws.OpText, []byte("x")))
		o.conn.Close(1000, "")
		o.conn.Pause()
		o.conn.Resume()
		o.conn.NotifyDrained(0)
		o.conn.Drop()
		if n := o.conn.Buffered(); n != 0 {
			t.Errorf("Buffered is %d after the end, want 0", n)
		}
	})
}

func peerLeavesInsideOfFrame(t *testing.T, s *Subject) {
	for n := 1; n < len(text("message")); n++ {
		o, c := dial(t, s, ws.Options{})
		c.write(t, text("one"), text("message")[:n])
		c.Close()
		o.expect(t, `text "one"`, lost)
	}
}

func peerLeavesAfterOurClose(t *testing.T, s *Subject) {
	o, c := dial(t, s, ws.Options{})
	call(t, s, func() { o.conn.Close(1000, "bye") })
	c.want(t, `close 1000 "bye"`)
	c.Close()
	o.expect(t, lost)
}

func dropSendsNoClose(t *testing.T, s *Subject) {
	o, c := dial(t, s, ws.Options{})
	call(t, s, func() {
		o.conn.Send(ws.OpText, []byte("last words"))
		o.conn.Drop()
		o.conn.Drop()
		o.conn.Send(ws.OpText, []byte("never"))
		o.conn.Close(1000, "never")
	})
	c.want(t, `text "last words"`, "end")
	o.expect(t, "gone "+ws.ErrDropped.Error())
}

func dropInsideOfMessage(t *testing.T, s *Subject) {
	o, c := dial(t, s, ws.Options{})
	call(t, s, func() {
		o.onMessage = func(ws.Opcode, []byte) { o.conn.Drop() }
	})
	c.write(t, text("one"), text("two"), ping("p"), closeFrame(1000, ""))
	o.expect(t, `text "one"`, "gone "+ws.ErrDropped.Error())
	c.want(t, "end")
}

func closeInsideOfMessage(t *testing.T, s *Subject) {
	o, c := dial(t, s, ws.Options{})
	call(t, s, func() {
		o.onMessage = func(op ws.Opcode, p []byte) {
			o.conn.Send(op, p)
			o.conn.Close(1001, "")
		}
	})
	c.write(t, text("one"), text("two"), closeFrame(1001, ""))
	o.expect(t, `text "one"`, `text "two"`, `close 1001 ""`, "gone")
	c.want(t, `text "one"`, `close 1001 ""`, "end")
}

func longReasonIsCut(t *testing.T, s *Subject) {
	o, c := dial(t, s, ws.Options{})
	call(t, s, func() { o.conn.Close(1000, strings.Repeat("é", 100)) })
	c.want(t, closing(1000, strings.Repeat("é", 61))) // 122 bytes; 123 would cut a character
	c.write(t, closeFrame(1000, ""))
	o.expect(t, `close 1000 ""`, "gone")
}

// manyComeAndGo has connections end in every way at once; each owner must hear
// exactly one end, and a number of descriptors must not go to the wrong one.
func manyComeAndGo(t *testing.T, s *Subject) {
	for range 5 {
		var owners []*owner
		var clients []client
		for i := range 60 {
			o, c := dial(t, s, ws.Options{})
			call(t, s, func() {
				o.onMessage = func(op ws.Opcode, p []byte) {
					switch i % 3 {
					case 0:
						o.conn.Drop()
					case 1:
						o.conn.Send(op, p)
						o.conn.Close(1000, "")
					}
				}
			})
			owners, clients = append(owners, o), append(clients, c)
		}
		for i, c := range clients {
			c.write(t, text("go"))
			if i%3 == 2 {
				c.Close()
			}
		}
		for i, c := range clients {
			if i%3 == 1 {
				c.write(t, closeFrame(1000, ""))
			}
			if i%3 != 2 {
				c.SetReadDeadline(time.Now().Add(patience))
				if _, err := io.Copy(io.Discard, c); err != nil {
					t.Errorf("client %d: %v", i, err)
				}
			}
			c.Close()
		}
		for i, o := range owners {
			switch i % 3 {
			case 0:
				o.expect(t, `text "go"`, "gone "+ws.ErrDropped.Error())
			case 1:
				o.expect(t, `text "go"`, `close 1000 ""`, "gone")
			case 2:
				o.expect(t, `text "go"`, lost)
			}
		}
	}
}
