package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// News is what the chat's rooms tell: the union of FromRoom in
// examples/chat/src/protocol.ts.
type News struct {
	Type       string    `json:"type"`
	AwakeSince int64     `json:"awakeSince"` // milliseconds; one value for each life of the room
	You        string    `json:"you"`
	People     []Person  `json:"people"`
	Messages   []Message `json:"messages"`
	Message    Message   `json:"message"`
	Person     Person    `json:"person"`
	Name       string    `json:"name"`
	Wait       float64   `json:"wait"`
	Why        string    `json:"why"`
	Ref        string    `json:"ref"`
}

// Person is somebody in a room.
type Person struct {
	Name     string `json:"name"`
	Portrait string `json:"portrait"`
}

// Message is something that was said.
type Message struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
	Text string `json:"text"`
	Ref  string `json:"ref"`
}

// Visitor is one WebSocket in a room. Its methods end the test when the room
// does not do what they are named for.
type Visitor struct {
	Welcome News
	// Last is what was heard last.
	Last News

	t    testing.TB
	conn net.Conn
	rw   io.ReadWriter
}

// Visit enters a room and reads the welcome. The socket goes with the test.
func Visit(t testing.TB, s Target, room, name string) *Visitor {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	conn, buffered, _, err := ws.Dial(ctx, s.WebSocket(room, name))
	if err != nil {
		t.Fatalf("%s enters %s: %v", name, room, err)
	}
	t.Cleanup(func() { conn.Close() })
	if buffered == nil {
		buffered = bufio.NewReader(conn)
	}
	v := &Visitor{t: t, conn: conn, rw: struct {
		io.Reader
		io.Writer
	}{buffered, conn}}
	v.Welcome = v.Hear("welcome")
	return v
}

// Say says text.
func (v *Visitor) Say(text string) { v.SayAs(text, "") }

// SayAs says text under a ref of the caller's.
func (v *Visitor) SayAs(text, ref string) {
	v.t.Helper()
	say, err := json.Marshal(map[string]string{"type": "say", "text": text, "ref": ref})
	if err != nil {
		v.t.Fatal(err)
	}
	v.Send(ws.OpText, say)
}

// Send sends one message.
func (v *Visitor) Send(op ws.OpCode, payload []byte) {
	v.t.Helper()
	v.conn.SetWriteDeadline(time.Now().Add(limit))
	if err := wsutil.WriteClientMessage(v.conn, op, payload); err != nil {
		v.t.Fatalf("send %d bytes: %v", len(payload), err)
	}
}

// Hear returns the next news of that type; others before it are passed over.
func (v *Visitor) Hear(kind string) News {
	v.t.Helper()
	heard := v.HearAll(func(n News) bool { return n.Type == kind })
	return heard[len(heard)-1]
}

// HearSaid returns the message with that text.
func (v *Visitor) HearSaid(text string) Message {
	v.t.Helper()
	heard := v.HearAll(func(n News) bool { return n.Type == "message" && n.Message.Text == text })
	return heard[len(heard)-1].Message
}

// HearAll returns all news up to and with the first that is what was waited for.
func (v *Visitor) HearAll(last func(News) bool) []News {
	v.t.Helper()
	var heard []News
	for {
		text := v.read()
		var n News
		if err := json.Unmarshal(text, &n); err != nil {
			v.t.Fatalf("heard %q after %+v: %v", text, heard, err)
		}
		v.Last = n
		heard = append(heard, n)
		if last(n) {
			return heard
		}
	}
}

// Ping asks for the automatic answer, which must come before anything else.
func (v *Visitor) Ping() {
	v.t.Helper()
	v.Send(ws.OpText, []byte("ping"))
	if got := v.read(); !bytes.Equal(got, []byte("pong")) {
		v.t.Fatalf("ping was answered %q, want pong", got)
	}
}

// Leave closes the socket as a browser does, and waits for the answer.
func (v *Visitor) Leave() {
	v.t.Helper()
	v.conn.SetDeadline(time.Now().Add(limit))
	if err := ws.WriteFrame(v.conn, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))); err != nil {
		v.t.Fatalf("close: %v", err)
	}
	for {
		_, _, err := wsutil.ReadServerData(v.rw)
		if closed := (wsutil.ClosedError{}); errors.As(err, &closed) {
			v.conn.Close()
			return
		}
		if err != nil {
			v.t.Fatalf("waiting for the answer to a close: %v", err)
		}
	}
}

// Vanish ends the connection without a word.
func (v *Visitor) Vanish() { v.conn.Close() }

func (v *Visitor) read() []byte {
	v.t.Helper()
	v.conn.SetReadDeadline(time.Now().Add(limit))
	text, _, err := wsutil.ReadServerData(v.rw)
	if err != nil {
		v.t.Fatalf("listening, after %+v: %v", v.Last, err)
	}
	return text
}
